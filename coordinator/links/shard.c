/* SPDX-License-Identifier: Apache-2.0 */
#include "shard.h"

#include "spawn.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS 1000000u /* ns */
#define DELAY_FIRST_MS 10u
#define DELAY_MAX_MS 5000u
#define STEADY_NS (5000u * (uint64_t)MS) /* a shard that lived so long starts again without waiting longer */
#define GRACE_NS (1000u * (uint64_t)MS)  /* for a process to end by itself and say why, before it is killed */

#define TO(state) (1u << SHARD_##state)
static const unsigned successors[] = {
    [SHARD_RESTING] = TO(RESTING) | TO(STARTING) | TO(DIALLING),
    [SHARD_STARTING] = TO(DIALLING) | TO(ENDING),
    [SHARD_DIALLING] = TO(UP) | TO(ENDING) | TO(RESTING),
    [SHARD_UP] = TO(ENDING) | TO(RESTING),
    [SHARD_ENDING] = TO(RESTING),
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

void shard_close_link(struct shard *shard)
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
    shard_close_link(shard);
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

void shard_listen_to_start(struct supervisor *supervisor, struct shard *shard, uint64_t now)
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

void shard_look_at_link(struct supervisor *supervisor, struct shard *shard, uint64_t now)
{
    if (!shard->link || (shard->state != SHARD_DIALLING && shard->state != SHARD_UP))
        return;
    enum link_state state = link_state(shard->link, &shard->why);
    if (state == LINK_OPEN && shard->state == SHARD_DIALLING) {
        shard_move(shard, SHARD_UP);
        shard->up_ns = now;
        shard->deadline_ns = now + (uint64_t)supervisor->options.limits.heartbeat_ms * MS;
        shard->connected = true;
        supervisor_put_sockets_away(supervisor);
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

void shard_look_at_wish(struct supervisor *supervisor, struct shard *shard, uint64_t now)
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

void shard_forget_process(struct shard *shard)
{
    close_ready(shard);
    close(shard->pid_fd);
    unlink(shard->socket);
    shard->pid = 0;
    atomic_store(&shard->shown_pid, 0);
}

void shard_reap(struct supervisor *supervisor, struct shard *shard, uint64_t now)
{
    int status;
    char text[96];
    struct error why = {0};
    if (shard->state == SHARD_STARTING) /* its last words come first */
        shard_listen_to_start(supervisor, shard, now);
    if (waitpid((pid_t)shard->pid, &status, WNOHANG) != (pid_t)shard->pid)
        return;
    shard_forget_process(shard);
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

void shard_deadline_passed(struct supervisor *supervisor, struct shard *shard, uint64_t now)
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
