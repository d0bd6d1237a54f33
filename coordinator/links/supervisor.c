/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor.h"

#include "clock.h"
#include "link.h"
#include "shard.h"
#include "sockets.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS 1000000u /* ns */

/* ---- the thread ---- */

void supervisor_put_sockets_away(struct supervisor *supervisor)
{
    for (size_t i = 0; i < supervisor->count; i++) {
        const struct shard *shard = &supervisor->shards[i];
        if (!shard->url && (shard->state == SHARD_STARTING || shard->state == SHARD_DIALLING))
            return;
    }
    sockets_remove(&supervisor->sockets);
}

static void drain(int fd)
{
    uint64_t count;
    if (read(fd, &count, sizeof count) < 0) /* nothing there: somebody else's wake was read with ours */
        return;
}

static size_t gather(struct supervisor *supervisor)
{
    size_t count = 0;
    supervisor->polled[count++] = (struct pollfd){.fd = supervisor->wake_fd, .events = POLLIN};
    for (size_t i = 0; i < supervisor->count; i++) {
        struct shard *shard = &supervisor->shards[i];
        if (!shard->pid)
            continue;
        supervisor->polled_shards[count] = shard;
        supervisor->polled[count++] = (struct pollfd){.fd = shard->pid_fd, .events = POLLIN};
        if (shard->ready_fd < 0)
            continue;
        supervisor->polled_shards[count] = shard;
        supervisor->polled[count++] = (struct pollfd){.fd = shard->ready_fd, .events = POLLIN};
    }
    return count;
}

/* Milliseconds until `deadline`, rounded up, as poll takes them; -1: for ever. */
static int timeout_until(uint64_t deadline, uint64_t now)
{
    if (deadline == UINT64_MAX)
        return -1;
    if (deadline <= now)
        return 0;
    uint64_t ms = (deadline - now + MS - 1) / MS;
    return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

static uint64_t nearest_deadline(const struct supervisor *supervisor)
{
    uint64_t nearest = UINT64_MAX;
    for (size_t i = 0; i < supervisor->count; i++)
        if (supervisor->shards[i].deadline_ns < nearest)
            nearest = supervisor->shards[i].deadline_ns;
    return nearest;
}

static void handle_polled(struct supervisor *supervisor, size_t count, uint64_t now)
{
    if (supervisor->polled[0].revents)
        drain(supervisor->wake_fd);
    for (size_t i = 1; i < count; i++) {
        struct shard *shard = supervisor->polled_shards[i];
        if (!supervisor->polled[i].revents || !shard->pid)
            continue;
        if (supervisor->polled[i].fd == shard->pid_fd)
            shard_reap(supervisor, shard, now);
        else if (shard->state == SHARD_STARTING && supervisor->polled[i].fd == shard->ready_fd)
            shard_listen_to_start(supervisor, shard, now);
    }
    for (size_t i = 0; i < supervisor->count; i++) {
        shard_look_at_link(supervisor, &supervisor->shards[i], now);
        shard_look_at_wish(supervisor, &supervisor->shards[i], now);
    }
}

/* This process was stopped, or the machine suspended, for `gap` longer than it meant to wait: no shard is to blame. */
static void forgive(struct supervisor *supervisor, uint64_t gap, uint64_t now)
{
    for (size_t i = 0; i < supervisor->count; i++) {
        struct shard *shard = &supervisor->shards[i];
        if (shard->state == SHARD_UP)
            link_forgive(shard->link, now);
        if (shard->state == SHARD_STARTING || shard->state == SHARD_DIALLING)
            shard->deadline_ns = shard->start_ends_ns += gap;
    }
}

static void serve(struct supervisor *supervisor)
{
    uint64_t now = clock_monotonic_ns();
    while (!atomic_load(&supervisor->stop)) {
        for (size_t i = 0; i < supervisor->count; i++)
            if (supervisor->shards[i].deadline_ns <= now)
                shard_deadline_passed(supervisor, &supervisor->shards[i], now);
        uint64_t deadline = nearest_deadline(supervisor);
        uint64_t meant = deadline == UINT64_MAX || deadline > now ? deadline : now;
        size_t count = gather(supervisor);
        int ready = poll(supervisor->polled, (nfds_t)count, timeout_until(deadline, clock_monotonic_ns()));
        now = clock_monotonic_ns();
        if (meant != UINT64_MAX && now > meant && now - meant > (uint64_t)supervisor->options.limits.mute_ms * MS / 2)
            forgive(supervisor, now - meant, now);
        if (ready > 0)
            handle_polled(supervisor, count, now);
        supervisor_put_sockets_away(supervisor);
    }
}

/* Waits until no process is left or `deadline` passed; true when none is left. */
static bool all_reaped(struct supervisor *supervisor, uint64_t deadline)
{
    for (;;) {
        size_t count = 0;
        for (size_t i = 0; i < supervisor->count; i++) {
            struct shard *shard = &supervisor->shards[i];
            if (shard->pid && waitpid((pid_t)shard->pid, NULL, WNOHANG) == (pid_t)shard->pid)
                shard_forget_process(shard);
            if (shard->pid)
                supervisor->polled[count++] = (struct pollfd){.fd = shard->pid_fd, .events = POLLIN};
        }
        uint64_t now = clock_monotonic_ns();
        if (!count || now >= deadline)
            return !count;
        poll(supervisor->polled, (nfds_t)count, timeout_until(deadline, now));
    }
}

static void signal_all(struct supervisor *supervisor, int number)
{
    for (size_t i = 0; i < supervisor->count; i++)
        if (supervisor->shards[i].pid)
            kill((pid_t)supervisor->shards[i].pid, number);
}

static void *supervise(void *context)
{
    struct supervisor *supervisor = context;
    serve(supervisor);
    signal_all(supervisor, SIGTERM);
    if (!all_reaped(supervisor, clock_monotonic_ns() + (uint64_t)supervisor->options.limits.stop_ms * MS)) {
        signal_all(supervisor, SIGKILL);
        all_reaped(supervisor, UINT64_MAX);
    }
    for (size_t i = 0; i < supervisor->count; i++)
        shard_close_link(&supervisor->shards[i]);
    return NULL;
}

/* ---- for others ---- */

static bool make_shards(struct supervisor *supervisor, char *const *urls)
{
    const struct schema *schema = supervisor->options.schema;
    size_t count = schema->database_count, local = 0;
    supervisor->shards = calloc(count + 1, sizeof *supervisor->shards);
    supervisor->polled = calloc(2 * count + 1, sizeof *supervisor->polled);
    supervisor->polled_shards = calloc(2 * count + 1, sizeof(struct shard *));
    if (!supervisor->shards || !supervisor->polled || !supervisor->polled_shards)
        return false;
    for (size_t i = 0; i < count; i++) {
        struct shard *shard = &supervisor->shards[i];
        *shard = (struct shard){.database = (database_id)i, .name = schema->databases[i].name, .ready_fd = -1};
        pthread_mutex_init(&shard->lock, NULL);
        supervisor->count++;
        local += !urls[i];
        if (urls[i] && !(shard->url = strdup(urls[i])))
            return false;
    }
    const struct limits *limits = &supervisor->options.limits;
    supervisor->cache_bytes = local ? limits->cache_bytes / (int64_t)local : 0;
    if (supervisor->cache_bytes < LIMIT_CACHE_BYTES_MIN)
        supervisor->cache_bytes = LIMIT_CACHE_BYTES_MIN;
    if (supervisor->cache_bytes > limits->cache_bytes_shard)
        supervisor->cache_bytes = limits->cache_bytes_shard;
    return true;
}

static bool copy_texts(struct supervisor *supervisor, const char *program)
{
    const struct links_options *options = &supervisor->options;
    supervisor->program = strdup(program);
    supervisor->data = strdup(options->data);
    supervisor->log_format = strdup(options->log_format);
    supervisor->log_level = strdup(options->log_level);
    return supervisor->program && supervisor->data && supervisor->log_format && supervisor->log_level;
}

static bool start_thread(struct supervisor *supervisor, struct error *error)
{
    sigset_t all, before;
    sigfillset(&all); /* signals are the business of the threads that asked for them */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&supervisor->thread, NULL, supervise, supervisor);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    supervisor->runs = result == 0;
    return supervisor->runs || error_set(error, ERROR_INTERNAL, "no thread can be made: %s", strerror(result));
}

struct supervisor *supervisor_start(const struct links_options *options, const char *program, char *const *urls,
                                    struct error *error)
{
    struct supervisor *supervisor = calloc(1, sizeof *supervisor);
    if (!supervisor) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    supervisor->options = *options;
    supervisor->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (supervisor->wake_fd < 0 || !make_shards(supervisor, urls) || !copy_texts(supervisor, program))
        error_set(error, ERROR_INTERNAL, "out of memory or descriptors");
    else if (sockets_make(&supervisor->sockets, error) && start_thread(supervisor, error))
        return supervisor;
    supervisor_stop(supervisor);
    return NULL;
}

bool supervisor_send(struct supervisor *supervisor, database_id database, uint64_t generation, const void *head,
                     size_t head_len, const void *body, size_t body_len)
{
    struct shard *shard = &supervisor->shards[database];
    pthread_mutex_lock(&shard->lock);
    /* Under the lock: the link cannot be closed meanwhile. nng's callbacks never take it. */
    bool taken =
        shard->open && shard->generation == generation && link_send(shard->open, head, head_len, body, body_len);
    pthread_mutex_unlock(&shard->lock);
    return taken;
}

static void wake(struct supervisor *supervisor)
{
    uint64_t one = 1;
    if (write(supervisor->wake_fd, &one, sizeof one) < 0)
        panic("an eventfd of our own cannot be written");
}

void supervisor_restart(struct supervisor *supervisor, database_id database, uint64_t generation)
{
    struct shard *shard = &supervisor->shards[database];
    pthread_mutex_lock(&shard->lock);
    shard->unwanted |= shard->generation == generation;
    pthread_mutex_unlock(&shard->lock);
    wake(supervisor);
}

int64_t supervisor_pid(const struct supervisor *supervisor, database_id database)
{
    return atomic_load(&supervisor->shards[database].shown_pid);
}

void supervisor_stop(struct supervisor *supervisor)
{
    if (!supervisor)
        return;
    if (supervisor->runs) {
        atomic_store(&supervisor->stop, true);
        wake(supervisor);
        pthread_join(supervisor->thread, NULL);
    }
    for (size_t i = 0; i < supervisor->count; i++) {
        pthread_mutex_destroy(&supervisor->shards[i].lock);
        free(supervisor->shards[i].url);
    }
    sockets_remove(&supervisor->sockets);
    if (supervisor->wake_fd >= 0)
        close(supervisor->wake_fd);
    free(supervisor->shards);
    free(supervisor->polled);
    free(supervisor->polled_shards);
    free(supervisor->program);
    free(supervisor->data);
    free(supervisor->log_format);
    free(supervisor->log_level);
    free(supervisor);
}
