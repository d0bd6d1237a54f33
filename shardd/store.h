/* SPDX-License-Identifier: Apache-2.0 */
/* store.h - one SQLite file: opened, created, committed; Sheaf's own tables in it. The only user of sqlite3 that
 * writes, together with what it hands its connection to (batch.h, prepared.h).
 *
 * Life: store_open (the file is there, ours or empty, and locked against other writers); store_describe at any time;
 * store_claim once per coordinator (creates what is missing, raises the epoch); then transactions: store_begin, …
 * store_commit or store_rollback. Main thread only.
 *
 * In the file: the user's own tables, and
 *   _sheaf_meta(name, value)             format, cluster, database, schema, placement, epoch, coordinator
 *   _sheaf_applied(batch, result)        the last batches and what was answered
 *   _sheaf_prepared(txn, epoch, home, ops, locks)   promised, not decided
 *   _sheaf_decision(txn, participants)   decided here, not yet forgotten
 *   _sheaf_answers(key, idx, digest, at, outcome)   what requests with an idempotency key came to (answers.h)
 * application_id and user_version say so (file_meta.h). */
#ifndef SHEAF_STORE_H
#define SHEAF_STORE_H

#include "error.h"
#include "schema.h"
#include "wire.h"

#include <sqlite3.h>

struct store;

struct store_options {
    const char *database;
    const char *data; /* directory: must exist */
    int64_t cache_bytes;
    int64_t wal_checkpoint_pages;
    int64_t wal_bytes; /* beyond it writes are refused */
    int64_t lock_file_ms;
    int64_t kept_keys;               /* answers in _sheaf_answers */
    void (*progress)(void *context); /* called now and then while SQLite works */
    void *context;
};

/* Errors name the database and the file: ERROR_UNAVAILABLE (locked by another), ERROR_IO, ERROR_PARSE (not a database,
 * another application's, a newer format, tables or triggers that are not the schema's). Nothing of a file that is not
 * ours is changed. */
struct store *store_open(const struct store_options *options, struct error *error);
/* Checkpoints and closes. NULL is fine. */
void store_close(struct store *store);

sqlite3 *store_connection(struct store *store);
const char *store_database(const struct store *store);
const struct schema *store_schema(const struct store *store); /* NULL before the first claim of a fresh file */
uint64_t store_epoch(const struct store *store);
uint64_t store_coordinator(const struct store *store);
uint64_t store_last_batch(const struct store *store);
int64_t store_kept_keys(const struct store *store);

/* Fills what hello answers; the caller releases it. */
bool store_describe(struct store *store, struct wire_hello_answer *ret_answer, struct error *error);

/* Whether a hello is for this database; before it is answered. ERROR_PARSE when not, which names both. */
bool store_is_meant(struct store *store, const struct wire_hello *hello, struct error *error);

/* Commits epoch and coordinator, creating the schema in a fresh file, and what an older one lacks. ERROR_UNAVAILABLE: a
 * lower epoch, or an equal one of another coordinator. ERROR_PARSE: another cluster, schema or placement than the
 * file's. */
bool store_claim(struct store *store, uint64_t epoch, uint64_t coordinator, const struct wire_hello *hello,
                 struct error *error);

bool store_begin(struct store *store, struct error *error);
void store_rollback(struct store *store);
/* Writes what the open transaction holds to the WAL, as yet uncommitted. False: no room, or the disk fails; roll back.
 */
bool store_flush(struct store *store, struct error *error);
/* False: the outcome is not known (a COMMIT that fails may be in the file after a restart): the process must end
 * without an answer. */
bool store_commit(struct store *store, struct error *error);

/* Inside a transaction: notes that `batch` was applied, with its answer's body; forgets the oldest. */
bool store_mark_applied(struct store *store, uint64_t batch, const void *answer, size_t len, struct error *error);
/* After store_commit. */
void store_advance(struct store *store, uint64_t batch);
/* The kept answer of a batch, if it is still kept. False: it cannot be read. */
bool store_applied_answer(struct store *store, uint64_t batch, struct buffer *answer, bool *ret_kept,
                          struct error *error);

/* Whether the WAL is within its limit; else ERROR_UNAVAILABLE. Asked before each transaction, so that it grows past its
 * limit by one at most: a look costs a microsecond or two, a commit a hundred. */
bool store_wal_has_room(struct store *store, struct error *error);
void store_sizes(const struct store *store, uint64_t *ret_file_bytes, uint64_t *ret_wal_bytes);

#endif
