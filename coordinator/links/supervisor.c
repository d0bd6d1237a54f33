/* SPDX-License-Identifier: Apache-2.0 */
/* Invariants
 *  S1  At most one process and one connection per shard, both of the current generation. A new generation begins only
 *      when the process of the last one is reaped and its connection closed.
 *
 *  S2  Every generation ends in exactly one event that says so: LOST when it was CONNECTED, FAILED when it was not;
 *      none when the coordinator stops.
 *
 *  S3  After that event nothing of that generation reaches the listener: the link is closed before the event is posted.
 *
 *  S4  Only this thread spawns, so that PR_SET_PDEATHSIG means the end of the coordinator and nothing else. */
#include "supervisor.h"

#include "clock.h"
#include "link.h"
#include "sockets.h"
#include "spawn.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS 1000000u /* ns */
#define DELAY_FIRST_MS 10u
#define DELAY_MAX_MS 5000u
#define STEADY_NS (5000u * (uint64_t)MS) /* a shard that lived so long starts again without waiting longer */
#define GRACE_NS (1000u * (uint64_t)MS)  /* for a process to end by itself and say why, before it is killed */

enum shard_state {
    SHARD_RESTING,  /* nothing runs; it is started at the deadline */
    SHARD_STARTING, /* a process runs and has not said that it is ready */
    SHARD_DIALLING,
    SHARD_UP,
    SHARD_ENDING /* the process is to end; at the deadline it is killed */
};

#define TO(state) (1u << SHARD_##state)
static const unsigned successors[] = {
    [SHARD_RESTING] = TO(RESTING) | TO(STARTING) | TO(DIALLING),
    [SHARD_STARTING] = TO(DIALLING) | TO(ENDING),
    [SHARD_DIALLING] = TO(UP) | TO(ENDING) | TO(RESTING),
    [SHARD_UP] = TO(ENDING) | TO(RESTING),
    [SHARD_ENDING] = TO(RESTING),
};

struct shard {
    database_id database;
    const char *name;
    char *url; /* NULL: local */
    enum shard_state state;
    uint64_t deadline_ns; /* what it means depends on the state; UP: the next heartbeat */
    uint64_t start_ends_ns;
    uint64_t up_ns;
    unsigned delay_ms;
    bool connected;   /* CONNECTED was posted in this generation */
    bool ended;       /* LOST or FAILED was */
    struct error why; /* ENDING: what to say if the process has to be killed; its own end says more */

    int64_t pid; /* 0: none; mirrored in shown_pid */
    int pid_fd;
    int ready_fd; /* -1: closed */
    struct spawn_line line;
    char socket[LIMIT_SOCKET_PATH_MAX + 1];

    _Atomic int64_t shown_pid;
    pthread_mutex_t lock; /* over the three below, for supervisor_send and supervisor_restart */
    struct link *open;    /* the link while the generation may be sent to */
    uint64_t generation;
    bool unwanted; /* this generation is to end */

    struct link *link; /* the thread's own view; closed by it alone */
};

struct supervisor {
    struct links_options options; /* its strings are the three below */
    char *program;
    char *data;
    char *log_format;
    char *log_level;
    int64_t cache_bytes; /* of one local shard */
    struct sockets sockets;
    int wake_fd;
    atomic_bool stop;
    pthread_t thread;
    bool runs;
    uint64_t generation_last;
    size_t count;
    struct shard *shards;
    struct pollfd *polled;        /* the wake descriptor, then at most two a shard */
    struct shard **polled_shards; /* beside polled */
};

static void shard_move(struct shard *shard, enum shard_state state)
{
    if (!(successors[shard->state] & (1u << state)))
        panic("database %s: no way from state %d to %d", shard->name, (int)shard->state, (int)state);
    shard->state = state;
}

static void emit(struct supervisor *supervisor, struct shard *shard, enum link_event_kind kind,
                 const struct error *error)
{
    struct link_event event = {.kind = kind, .database = shard->database, .generation = shard->generation};
    if (error) {
        char name[sizeof "database : " + LIMIT_NAME_BYTES_MAX];
        event.error = *error;
        snprintf(name, sizeof name, "database %s: ", shard->name);
        if (strncmp(error->text, name, strlen(name)) != 0) /* what a shard says of itself names it already */
            error_prefix(&event.error, "%s", name);
    }
    supervisor->options.listener(supervisor->options.context, &event);
}

/* The process, if there is one, has ended, or does so now. */
static void close_link(struct shard *shard)
{
    pthread_mutex_lock(&shard->lock);
    shard->open = NULL;
    pthread_mutex_unlock(&shard->lock);
    if (!shard->link)
        return;
    if (shard->pid)
        kill((pid_t)shard->pid, SIGKILL); /* not reaped yet, so the pid is still its own */
    if (!shard->url)
        link_last_words(shard->link);
    link_free(shard->link);
    shard->link = NULL;
}

/* The end of a generation (S2, S3). */
static void end_generation(struct supervisor *supervisor, struct shard *shard, const struct error *why)
{
    close_link(shard);
    if (shard->ended)
        return;
    shard->ended = true;
    emit(supervisor, shard, shard->connected ? LINK_LOST : LINK_FAILED, why);
}

static void rest(struct shard *shard, uint64_t now)
{
    if (shard->connected && now - shard->up_ns >= STEADY_NS)
        shard->delay_ms = 0;
    shard->delay_ms = !shard->delay_ms                     ? DELAY_FIRST_MS
                      : shard->delay_ms * 2 < DELAY_MAX_MS ? shard->delay_ms * 2
                                                           : DELAY_MAX_MS;
    shard->deadline_ns = now + (uint64_t)shard->delay_ms * MS;
    shard_move(shard, SHARD_RESTING);
}

/* The process, if there is one, gets `grace_ns` to end by itself. */
static void let_end(struct shard *shard, uint64_t now, uint64_t grace_ns)
{
    if (!shard->pid) {
        rest(shard, now);
        return;
    }
    if (!grace_ns)
        kill((pid_t)shard->pid, SIGKILL); /* not reaped yet, so the pid is still its own */
    shard->deadline_ns = now + grace_ns;
    shard_move(shard, SHARD_ENDING);
}

static void close_ready(struct shard *shard)
{
    if (shard->ready_fd >= 0)
        close(shard->ready_fd);
    shard->ready_fd = -1;
}

/* ---- a start ---- */

static void dial(struct supervisor *supervisor, struct shard *shard, const char *url, uint64_t now)
{
    struct link_setup setup = {.database = shard->database,
                               .generation = shard->generation,
                               .listener = supervisor->options.listener,
                               .context = supervisor->options.context,
                               .wake_fd = supervisor->wake_fd};
    struct error error = {0};
    shard_move(shard, SHARD_DIALLING);
    shard->deadline_ns = shard->start_ends_ns;
    shard->link = link_new(&setup, &error);
    if (shard->link && link_dial(shard->link, url, &error))
        return;
    end_generation(supervisor, shard, &error);
    let_end(shard, now, 0);
}

/* A socket is a name only until it is dialled: while all are, there is no directory, and a coordinator that is killed
 * leaves none. */
static bool make_socket_path(struct supervisor *supervisor, struct shard *shard, struct error *error)
{
    if (!supervisor->sockets.path[0] && !sockets_make(&supervisor->sockets, error))
        return false;
    sockets_path(&supervisor->sockets, shard->generation, shard->socket, sizeof shard->socket);
    return true;
}

static void put_sockets_away(struct supervisor *supervisor)
{
    for (size_t i = 0; i < supervisor->count; i++) {
        const struct shard *shard = &supervisor->shards[i];
        if (!shard->url && (shard->state == SHARD_STARTING || shard->state == SHARD_DIALLING))
            return;
    }
    sockets_remove(&supervisor->sockets);
}

static void begin(struct supervisor *supervisor, struct shard *shard, uint64_t now)
{
    pthread_mutex_lock(&shard->lock);
    shard->generation = ++supervisor->generation_last;
    shard->unwanted = false;
    pthread_mutex_unlock(&shard->lock);
    shard->connected = shard->ended = false;
    shard->start_ends_ns = shard->deadline_ns = now + (uint64_t)supervisor->options.limits.start_ms * MS;
    if (shard->url) {
        dial(supervisor, shard, shard->url, now);
        return;
    }
    struct error error = {0};
    char url[sizeof shard->socket + sizeof "ipc://"];
    if (!make_socket_path(supervisor, shard, &error)) {
        end_generation(supervisor, shard, &error);
        rest(shard, now);
        return;
    }
    snprintf(url, sizeof url, "ipc://%s", shard->socket);
    struct spawn_order order = {.program = supervisor->program,
                                .database = shard->name,
                                .data = supervisor->data,
                                .url = url,
                                .cache_bytes = supervisor->cache_bytes,
                                .limits = &supervisor->options.limits,
                                .log_format = supervisor->log_format,
                                .log_level = supervisor->log_level};
    struct spawned spawned;
    if (!spawn_shard(&order, &spawned, &error)) {
        end_generation(supervisor, shard, &error);
        rest(shard, now);
        return;
    }
    shard->pid = spawned.pid;
    shard->pid_fd = spawned.pid_fd;
    shard->ready_fd = spawned.ready_fd;
    shard->line = (struct spawn_line){0};
    atomic_store(&shard->shown_pid, shard->pid);
    shard_move(shard, SHARD_STARTING);
}

/* The ready descriptor has something to say. */
static void listen_to_start(struct supervisor *supervisor, struct shard *shard, uint64_t now)
{
    struct error error = {0};
    char url[sizeof shard->socket + sizeof "ipc://"];
    switch (spawn_listen(shard->ready_fd, &shard->line, &error)) {
    case SPAWN_SILENT:
        return;
    case SPAWN_READY:
        close_ready(shard);
        snprintf(url, sizeof url, "ipc://%s", shard->socket);
        dial(supervisor, shard, url, now);
        return;
    case SPAWN_REFUSED:
        close_ready(shard);
        end_generation(supervisor, shard, &error);
        let_end(shard, now, GRACE_NS);
        return;
    case SPAWN_ENDED: /* how it ended says more than that it did: wait for that */
        close_ready(shard);
        error_set(&shard->why, ERROR_UNAVAILABLE, "shardd said neither ready nor failed");
        let_end(shard, now, GRACE_NS);
        return;
    }
}

/* A link changed its state. */
static void look_at_link(struct supervisor *supervisor, struct shard *shard, uint64_t now)
{
    if (!shard->link || (shard->state != SHARD_DIALLING && shard->state != SHARD_UP))
        return;
    enum link_state state = link_state(shard->link, &shard->why);
    if (state == LINK_OPEN && shard->state == SHARD_DIALLING) {
        shard_move(shard, SHARD_UP);
        shard->up_ns = now;
        shard->deadline_ns = now + (uint64_t)supervisor->options.limits.heartbeat_ms * MS;
        shard->connected = true;
        put_sockets_away(supervisor);
        pthread_mutex_lock(&shard->lock);
        shard->open = shard->link;
        pthread_mutex_unlock(&shard->lock);
        emit(supervisor, shard, LINK_CONNECTED, NULL);
        link_receive(shard->link);
    } else if (state == LINK_BROKEN) {
        /* A local one that was killed is about to be reaped, and that tells more; the event waits for it, not long. */
        if (!shard->pid)
            end_generation(supervisor, shard, &shard->why);
        let_end(shard, now, GRACE_NS);
    }
}

/* ---- ends ---- */

/* The engine may wish that a generation ends (links_restart). */
static void look_at_wish(struct supervisor *supervisor, struct shard *shard, uint64_t now)
{
    pthread_mutex_lock(&shard->lock);
    bool unwanted = shard->unwanted && shard->state == SHARD_UP;
    pthread_mutex_unlock(&shard->lock);
    if (!unwanted)
        return;
    error_set(&shard->why, ERROR_UNAVAILABLE, "it is started again");
    if (shard->pid)
        kill((pid_t)shard->pid, SIGTERM); /* not reaped yet, so the pid is still its own */
    else
        end_generation(supervisor, shard, &shard->why);
    let_end(shard, now, GRACE_NS);
}

static void forget_process(struct shard *shard)
{
    close_ready(shard);
    close(shard->pid_fd);
    unlink(shard->socket);
    shard->pid = 0;
    atomic_store(&shard->shown_pid, 0);
}

/* The process ended: reaps it. */
static void reap(struct supervisor *supervisor, struct shard *shard, uint64_t now)
{
    int status;
    char text[96];
    struct error why = {0};
    if (shard->state == SHARD_STARTING) /* its last words come first */
        listen_to_start(supervisor, shard, now);
    if (waitpid((pid_t)shard->pid, &status, WNOHANG) != (pid_t)shard->pid)
        return;
    forget_process(shard);
    spawn_status_text(status, text, sizeof text);
    error_set(&why, ERROR_UNAVAILABLE, "%s", text);
    end_generation(supervisor, shard, &why);
    if (shard->state == SHARD_STARTING)
        shard_move(shard, SHARD_ENDING);
    rest(shard, now);
}

static void heartbeat(struct supervisor *supervisor, struct shard *shard, uint64_t now)
{
    struct error why = {0};
    uint64_t mute_ns = (uint64_t)supervisor->options.limits.mute_ms * MS;
    if (link_is_mute(shard->link, now, mute_ns, &why)) {
        end_generation(supervisor, shard, &why);
        let_end(shard, now, 0);
        return;
    }
    link_ping(shard->link, now);
    shard->deadline_ns = now + (uint64_t)supervisor->options.limits.heartbeat_ms * MS;
}

static void deadline_passed(struct supervisor *supervisor, struct shard *shard, uint64_t now)
{
    struct error why = {0};
    switch (shard->state) {
    case SHARD_RESTING:
        begin(supervisor, shard, now);
        return;
    case SHARD_STARTING:
    case SHARD_DIALLING:
        error_set(&why, ERROR_UNAVAILABLE, "%s within %lld ms", shard->url ? "no answer" : "shardd was not ready",
                  (long long)supervisor->options.limits.start_ms);
        end_generation(supervisor, shard, &why);
        let_end(shard, now, 0);
        return;
    case SHARD_UP:
        heartbeat(supervisor, shard, now);
        return;
    case SHARD_ENDING:
        end_generation(supervisor, shard, &shard->why);
        kill((pid_t)shard->pid, SIGKILL);
        shard->deadline_ns = UINT64_MAX;
        return;
    }
}

/* ---- the thread ---- */

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
            reap(supervisor, shard, now);
        else if (shard->state == SHARD_STARTING && supervisor->polled[i].fd == shard->ready_fd)
            listen_to_start(supervisor, shard, now);
    }
    for (size_t i = 0; i < supervisor->count; i++) {
        look_at_link(supervisor, &supervisor->shards[i], now);
        look_at_wish(supervisor, &supervisor->shards[i], now);
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
                deadline_passed(supervisor, &supervisor->shards[i], now);
        uint64_t deadline = nearest_deadline(supervisor);
        uint64_t meant = deadline == UINT64_MAX || deadline > now ? deadline : now;
        size_t count = gather(supervisor);
        int ready = poll(supervisor->polled, (nfds_t)count, timeout_until(deadline, clock_monotonic_ns()));
        now = clock_monotonic_ns();
        if (meant != UINT64_MAX && now > meant && now - meant > (uint64_t)supervisor->options.limits.mute_ms * MS / 2)
            forgive(supervisor, now - meant, now);
        if (ready > 0)
            handle_polled(supervisor, count, now);
        put_sockets_away(supervisor);
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
                forget_process(shard);
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
        close_link(&supervisor->shards[i]);
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
