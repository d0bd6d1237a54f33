/* SPDX-License-Identifier: Apache-2.0 */
/* session.h - what every verb that touches data does first and last.
 *
 * session_open: log and signals (log.h, signals.h), then
 * - configuration: --config, else DIR/sheaf.conf if it is there
 * - data directory DIR: the options' (--data, or a verb's own default), the configuration's, $SHEAF_DATA, ./sheaf-data;
 *   which one it is goes to the log, as a warning when --data did not say it
 * - lock of DIR; the cluster's note in it (datadir.h)
 * - schema: --schema, the configuration's, else the stored one, else the built-in shop. One that is given and differs
 *   from the stored one, in a statement or in the placement, is refused with the difference (ERROR_PARSE)
 * session_start: the engine, all shards running and recovered; after the first success the note claims the schema. What
 * a verb can refuse without its databases it refuses before: a mistaken command must not bind a new directory to a
 * schema. When it ends before session_start, or no shard was told of the cluster, session_close leaves nothing in the
 * directory that was not there before.
 * Errors: options_status_of gives the exit status (a schema or configuration that cannot be read is ERROR_PARSE, a data
 * directory ERROR_IO). A failed session_open leaves nothing to close; after a failed session_start nothing runs, and
 * session_close is still to be called.
 *
 * Main thread, before any other thread is made. */
#ifndef SHEAF_SESSION_H
#define SHEAF_SESSION_H

#include "config.h"
#include "datadir.h"
#include "engine.h"
#include "error.h"
#include "metrics_report.h"
#include "options.h"
#include "schema.h"

struct session {
    struct engine *engine; /* from session_start on */
    struct schema *schema;
    struct config config;
    const char *data;      /* the data directory's path */
    const char *ddl_file;  /* where the schema was read; NULL: nowhere. The options' or the configuration's */
    struct cluster stored; /* the note as it was found; its id is the cluster's */
    struct datadir *datadir;
    const char **addresses; /* per database; NULL: local */
    bool begun;             /* what is in the directory stays there */
    bool shared;            /* another process has the directory; */
    struct error held;      /* and this says which. It is used through its server, if it is one */
    struct metrics before;  /* of a server: what it had counted when this run began */
    bool serves;            /* set before session_start: users wait for each answer (engine_options.patient is not) */
};

/* For a verb that only reads files: log, configuration and the directory with its note, and nothing is made, locked or
 * started: engine and schema stay NULL. Ended by session_close as well. */
bool session_look(struct session *session, const struct options *options, struct error *error);

bool session_open(struct session *session, const struct options *options, struct error *error);
/* For a verb that need not have the directory to itself: one that a running server has is used through that server
 * (relay_client.h). */
bool session_open_shared(struct session *session, const struct options *options, struct error *error);
bool session_start(struct session *session, const struct options *options, struct error *error);

/* The metrics of this run (metrics_gather), whoever else uses the engine. */
bool session_gather(const struct session *session, const struct histogram *parse, uint64_t started_ns,
                    struct metrics *ret_metrics, struct error *error);

/* Finishes what was submitted and stops the shards; schema and directory stay. For one that still has to tell. */
void session_stop(struct session *session);
/* The same, and unlocks and frees the rest. */
void session_close(struct session *session);

#endif
