/* SPDX-License-Identifier: Apache-2.0 */
/* shard.h - the part of supervisor.h that takes one shard from state to state: starts it, dials it, and sees each of
 * its generations to the end. Only for supervisor.c, which tells it what happened and when its deadline passed.
 *
 * Invariants
 *  S1  At most one process and one connection per shard, both of the current generation. A new generation begins only
 *      when the process of the last one is reaped and its connection closed.
 *
 *  S2  Every generation ends in exactly one event that says so: LOST when it was CONNECTED, FAILED when it was not;
 *      none when the coordinator stops.
 *
 *  S3  After that event nothing of that generation reaches the listener: the link is closed before the event is posted.
 *
 *  S4  Only the supervisor's thread spawns, so that PR_SET_PDEATHSIG means the end of the coordinator and nothing
 *      else. */
#ifndef SHEAF_SHARD_H
#define SHEAF_SHARD_H

#include "link.h"
#include "links.h"
#include "sockets.h"
#include "spawn.h"
#include "supervisor.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

enum shard_state {
    SHARD_RESTING,  /* nothing runs; it is started at the deadline */
    SHARD_STARTING, /* a process runs and has not said that it is ready */
    SHARD_DIALLING,
    SHARD_UP,
    SHARD_ENDING /* the process is to end; at the deadline it is killed */
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

/* What has come about; `now` on the monotonic clock, ns. Each may change the state and the deadline. */

void shard_deadline_passed(struct supervisor *supervisor, struct shard *shard, uint64_t now);
/* The ready descriptor has something to say; only in SHARD_STARTING. */
void shard_listen_to_start(struct supervisor *supervisor, struct shard *shard, uint64_t now);
/* The process ended: reaps it. */
void shard_reap(struct supervisor *supervisor, struct shard *shard, uint64_t now);
/* The link may have changed its state. */
void shard_look_at_link(struct supervisor *supervisor, struct shard *shard, uint64_t now);
/* The engine may wish that a generation ends (links_restart). */
void shard_look_at_wish(struct supervisor *supervisor, struct shard *shard, uint64_t now);

/* ---- at a stop, where nothing is told any more ---- */

/* The process has been reaped. */
void shard_forget_process(struct shard *shard);
/* The process, if there is one, has ended, or does so now. */
void shard_close_link(struct shard *shard);

/* ---- supervisor.c's, for shard.c ---- */

/* When no socket is waiting to be dialled. */
void supervisor_put_sockets_away(struct supervisor *supervisor);

#endif
