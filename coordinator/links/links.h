/* SPDX-License-Identifier: Apache-2.0 */
/* links.h - the coordinator's connections to its shards, and the processes behind them.
 *
 * Starts one shardd for each local database (posix_spawn, from one thread that lives as long as the links do, since
 * PR_SET_PDEATHSIG follows the spawning thread), dials every shard (nng PAIR0: ipc:// for local ones,
 * tcp:// on loopback for databases with an address), watches processes and connections, and starts again what died,
 * with growing delay (10 ms doubling to 5 s). It carries bytes: what a message means is the engine's business, except
 * pings, which are its own.
 *
 * Generation: one life of a link, counted up over all links from 1. An event says which it belongs to; what comes from
 * an earlier one is dropped here. A successful links_send is not a delivery: only an answer is.
 *
 * Events come from nng's and the supervisor's threads through the listener, which must only post them to its own
 * mailbox: never block, never call back into links. For one link they come in order: CONNECTED, MESSAGE…, LOST,
 * CONNECTED, …; FAILED instead of CONNECTED when a start did not succeed (it is tried again until links_close).
 *
 * Order: links_open, links_send…, links_close. links_close returns when every process that was started here is reaped.
 */
#ifndef SHEAF_LINKS_H
#define SHEAF_LINKS_H

#include "error.h"
#include "limits.h"
#include "schema.h"

struct links;

enum link_event_kind {
    LINK_CONNECTED, /* the shard is ready and dialled: say hello */
    LINK_MESSAGE,
    LINK_LOST,  /* process died, connection broke, or it was mute and got killed; `error` says which */
    LINK_FAILED /* it could not be started or dialled; `error` names the database and the cause */
};

struct link_event {
    enum link_event_kind kind;
    database_id database;
    uint64_t generation;
    const uint8_t *bytes; /* MESSAGE: owned by the event */
    size_t len;
    void *handle; /* what holds the bytes */
    struct error error;
};

/* Ends what a MESSAGE owns; harmless on other kinds. */
void link_event_release(struct link_event *event);

typedef void links_listener(void *context, const struct link_event *event); /* takes over what the event owns */

struct links_options {
    const struct schema *schema;  /* database names and their number */
    const char *data;             /* data directory of local shards */
    const char *const *addresses; /* per database: NULL is local */
    const char *shardd;           /* path of the program; NULL: beside this one (/proc/self/exe), else in PATH */
    struct limits limits;
    const char *log_format; /* handed to shardd: "logfmt" or "json" */
    const char *log_level;
    links_listener *listener;
    void *context;
};

/* Whether a shard can be dialled there: tcp://HOST:PORT on loopback. The error (ERROR_PARSE) names the database. */
bool links_address_valid(const char *address, const char *database, struct error *error);

/* Starts all of them at once and returns without waiting. */
struct links *links_open(const struct links_options *options, struct error *error);

/* Sends head and body as one message on that generation's connection. Copies. Never blocks; false when that generation
 * is over, which a message that finds no memory ends: its LOST event is under way. Engine thread only. */
bool links_send(struct links *links, database_id database, uint64_t generation, const void *head, size_t head_len,
                const void *body, size_t body_len);

/* That generation will not do, though its connection does: the shard's process ends in an orderly way and is started
 * again as one that died is, with growing delay; a dialled one is dialled again. LOST follows. Nothing happens when
 * that generation is over. Never blocks. Engine thread only. */
void links_restart(struct links *links, database_id database, uint64_t generation);

/* What a shard's process is, for logs and status: 0 when it is not a local one or not running. */
int64_t links_pid(const struct links *links, database_id database);

/* Orderly: no more restarts, SIGTERM to each shard (which finishes what it received), SIGKILL after stop_ms; waits for
 * all. Dialled shards are left running. Removes the socket directory. NULL is fine. */
void links_close(struct links *links);

#endif
