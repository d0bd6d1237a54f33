/* SPDX-License-Identifier: Apache-2.0 */
/* limits.h - every bound of Sheaf in one table: name, default, smallest, largest, unit, why.
 *
 * The ones under LIMITS_SETTABLE can be set in the configuration's [limits] section under their lower-case name;
 * config.h reads them into a `struct limits`. Those under LIMITS_FIXED are compiled in: both processes must agree on
 * them. */
#ifndef SHEAF_LIMITS_H
#define SHEAF_LIMITS_H

#include <stdint.h>

#define LIMITS_FIXED(X)                                                                                     \
    X(ROW_BYTES_MAX, 1048576u, "bytes", "one record of input, one row in its wire form")                    \
    X(BATCH_ROWS_SOFT, 8192u, "entries", "a batch is sent when it holds as many")                           \
    X(BATCH_BYTES_SOFT, 524288u, "bytes", "a batch is sent when it holds as many")                          \
    X(BATCH_ROWS_MAX, 100000u, "entries", "one transaction, never split; beyond it too_large")              \
    X(BATCH_BYTES_MAX, 33554432u, "bytes", "the same in bytes")                                             \
    X(MESSAGE_BYTES_MAX, 34603008u, "bytes", "receive limit of every socket: 33 MiB")                       \
    X(CACHE_BYTES_MIN, 2097152u, "bytes", "page cache of a shard, however many share the budget")           \
    X(MARKERS_KEPT, 64u, "batches", "answers kept in _sheaf_applied; more than may ever be in flight")      \
    X(TABLES_MAX, 1000u, "tables", "of one schema")                                                         \
    X(DATABASES_MAX, 64u, "databases", "of one schema: one process each")                                   \
    X(COLUMNS_MAX, 2000u, "columns", "of one table, as in SQLite")                                          \
    X(SCHEMA_BYTES_MAX, 4194304u, "bytes", "text of a schema file")                                         \
    X(SCHEMA_MEMORY_BYTES, 67108864u, "bytes", "what SQLite may take while it reads a schema")              \
    X(NAME_BYTES_MAX, 200u, "bytes", "a table's or database's name")                                        \
    X(SOCKET_PATH_MAX, 107u, "bytes", "sun_path without its NUL")                                           \
    X(JSON_DEPTH_MAX, 64u, "levels", "nesting of a JSON record")                                            \
    X(QUOTE_BYTES_MAX, 268435456u, "bytes", "how far the closing quote of a too large field is looked for") \
    X(RAW_BYTES_MAX, 1048576u, "bytes", "`raw` of a reject; cut beyond")                                    \
    X(REQUEST_OPS_MAX, 100000u, "operations", "of one HTTP request")                                        \
    X(PAGE_ROWS_MAX, 1000u, "rows", "of one page of a table")                                               \
    X(PAGE_ROWS_STANDARD, 100u, "rows", "of a page when its `limit` is not given")                          \
    X(HEAD_BYTES_MAX, 65536u, "bytes", "an HTTP request's line and headers")                                \
    X(ANSWER_BYTES_SMALL, 65536u, "bytes", "an answer that needs no room of answers_bytes")                 \
    X(IDEMPOTENCY_KEY_BYTES_MAX, 255u, "bytes", "one Idempotency-Key")                                      \
    X(KEPT_MS, 86400000u, "ms", "so long a key is known and its answers kept: 24 hours")

#define LIMITS_SETTABLE(X)                                                                                            \
    X(batches_in_flight, 4, 1, 32, "batches", "per shard, sent and not yet answered")                                 \
    X(batch_losses, 3, 1, 1000, "losses", "of a shard while it takes one batch; then the batch is given up")          \
    X(engine_ops_max, 32768, 16, 1048576, "operations", "accepted and not yet answered; front ends wait beyond")      \
    X(presence_bytes, 67108864, 1048576, 17179869184, "bytes", "key sets of all parents; beyond it shards are asked") \
    X(cache_bytes, 16777216, 1048576, 17179869184, "bytes", "SQLite page cache shared out over all local shards")     \
    X(cache_bytes_shard, 67108864, 2097152, 17179869184, "bytes", "at most so much of it for one shard")              \
    X(wal_checkpoint_pages, 10000, 100, 1000000, "pages", "WAL size at which a shard checkpoints")                    \
    X(wal_bytes, 1073741824, 16777216, 1099511627776, "bytes", "beyond it writes are unavailable: a reader holds it") \
    X(start_ms, 30000, 100, 600000, "ms", "a shard's start until it is ready (a long recovery of its WAL included)")  \
    X(lock_file_ms, 5000, 0, 600000, "ms", "wait for a predecessor's lock file")                                      \
    X(answer_ms, 60000, 100, 3600000, "ms", "an operation's wait for its shard; then unknown or unavailable")         \
    X(away_ms, 0, 0, 3600000, "ms", "a server's wait for a shard, from its loss on; then unavailable")                \
    X(lock_ms, 5000, 10, 3600000, "ms", "a server's wait for a lock; then unavailable or conflict")                   \
    X(heartbeat_ms, 1000, 50, 60000, "ms", "between two pings of a link")                                             \
    X(mute_ms, 5000, 200, 600000, "ms", "no sign of progress: the shard is mute")                                     \
    X(io_ms, 300000, 100, 3600000, "ms", "a shard's one read, write or sync of a file; until then it is busy")        \
    X(stop_ms, 10000, 100, 600000, "ms", "a stop's wait for what is under way, and then for the shards to end")       \
    X(body_bytes, 16777216, 1024, 1073741824, "bytes", "body of an HTTP request; beyond it too_large")                \
    X(bodies_bytes, 134217728, 1024, 17179869184, "bytes", "bodies of all requests at once; beyond it busy")          \
    X(answers_bytes, 134217728, 1024, 17179869184, "bytes", "large answers made and not yet taken; beyond it busy")   \
    X(waiting_ops, 200000, 1, 10000000, "operations", "of all that wait; beyond it busy; one request alone may go")   \
    X(connections, 1000, 1, 100000, "connections", "open at once; a new one then ends the one idle longest")          \
    X(header_ms, 10000, 10, 3600000, "ms", "from a connection's beginning to the end of its first request's headers") \
    X(idle_ms, 60000, 10, 3600000, "ms", "from an answer to the end of the next request's headers")                   \
    X(transfer_ms, 60000, 10, 3600000, "ms", "for a request's body to come, for an answer to be taken")               \
    X(kept_keys, 1000000, 1, 1000000000, "answers", "kept by one shard for idempotency keys; beyond it busy")

enum {
#define X(name, number, unit, why) LIMIT_##name = (int)(number),
    LIMITS_FIXED(X)
#undef X
};

struct limits {
#define X(name, standard, smallest, largest, unit, why) int64_t name;
    LIMITS_SETTABLE(X)
#undef X
};

/* Every settable limit at its default. */
struct limits limits_default(void);

#endif
