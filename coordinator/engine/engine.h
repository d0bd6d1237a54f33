/* SPDX-License-Identifier: Apache-2.0 */
/* engine.h - decides whether a write may be done, and has it done once.
 *
 * One thread owns the router, locks, presence sets, batches and transactions; every function here but start and stop
 * may be called from any thread and only posts to its mailbox. Front ends encode rows (row.h) into submissions, the
 * engine takes locks, checks references, batches the rows to their shards and completes each operation when its outcome
 * is known. It never sees a socket, a file or JSON.
 *
 * Order of meaning: inside a submission operations take effect as if one after the other in the order of its ops: an op
 * sees every earlier one (it waits for an earlier parent's commit) and no later one. So do the inserts of different
 * submissions, in the order of engine_submit; what has to find out first which rows follow from it (update, delete,
 * upsert, an atomic submission) may take effect after what was submitted later, but not after what was submitted when
 * it had been answered. A submission with a key takes its place in that order when its key has been looked up.
 *
 * Keys (Idempotency-Key). A submission with a key (submission_set_key) that is submitted again, also after a restart of
 * anything, has no second effect within LIMIT_KEPT_MS: its ops get the outcomes that the first one got (`replayed`),
 * and only those that have none yet are run. With another body every op is refused with ERROR_KEY_REUSED.
 *  - What came to its end before there was anything to do (a refusal of the front end, no ops at all) is an OP_NOTHING.
 *  - Outcomes are kept in the databases, each with its effect in one SQLite transaction: of an op on its own on its
 *    table's database; of an atomic submission as one, on a database chosen by the key's hash, which takes part in the
 *    transaction.
 *  - Refusals are kept as well, before they are told, but those that are not final: ERROR_BUSY, UNAVAILABLE, UNKNOWN,
 *    CONFLICT, IO, INTERNAL. Submitted again, such an op is run again, or what became of it is found out.
 *  - An op that ends as ERROR_UNKNOWN keeps its key locked until its outcome is known: a retry waits for that, for
 *    `answer_ms`, and is then ERROR_UNAVAILABLE.
 *  - Of an atomic submission that was refused the first op with an error keeps it; a replay has no other.
 *  - A database that keeps `kept_keys` outcomes refuses more with ERROR_BUSY, without effect. */
#ifndef SHEAF_ENGINE_H
#define SHEAF_ENGINE_H

#include "buffer.h"
#include "error.h"
#include "histogram.h"
#include "limits.h"
#include "schema.h"
#include "wire.h"

struct engine;
struct engine_metrics;

enum op_result {
    OP_PENDING,
    OP_DONE,
    OP_SAME,   /* was there already with the same values (only with same_is_fine) */
    OP_REFUSED /* `error` says why; ERROR_UNKNOWN: sent, and its outcome could not be learned */
};

/* What an operation does. Keys are given as msgpack arrays of the primary key's values in the key's own order; of a
 * table without a primary key as an array with its rowid. They are compared as SQLite compares them. */
enum op_kind {
    OP_INSERT,
    OP_UPDATE, /* the row with `key`: columns that `row` gives; ERROR_NOT_FOUND when there is none */
    OP_DELETE, /* the row with `key`: likewise */
    OP_UPSERT, /* as OP_INSERT, but a row with the same primary key takes the columns given, and keeps the others */
    OP_READ,   /* changes nothing: `found` is the row with `key`. Not in an atomic submission */
    OP_NOTHING /* only has the submission's key noted, so that another body is known; alone, and only with a key */
};

/* What must be so for an update, delete or upsert to be done; else ERROR_PRECONDITION and no effect. */
enum op_condition {
    OP_ALWAYS,
    OP_IF_THERE, /* a row with this key */
    OP_IF_TAGGED /* one whose tag (row_tag, row.h) is one of `tags` */
};

struct op_bytes { /* in submission.rows */
    uint32_t at;
    uint32_t len;
};

/* The front end fills the first part. */
struct op {
    enum op_kind kind;
    table_id table;
    bool same_is_fine; /* OP_INSERT */
    enum op_condition condition;
    uint32_t row_at; /* INSERT, UPSERT, UPDATE: the row's bytes in submission.rows; of an update the columns that stay
                        are ABSENT */
    uint32_t row_len;
    struct op_bytes key;  /* UPDATE, DELETE, READ */
    struct op_bytes tags; /* OP_IF_TAGGED: 16 bytes each */
    uint64_t position;    /* the front end's own: a line number */

    enum op_result result;
    bool key_assigned;       /* the row came without its integer key: */
    int64_t rowid;           /* this is the one it got */
    bool inserted;           /* UPSERT: there was none before */
    struct op_bytes found;   /* READ: the row as it is stored, every column; */
    struct op_bytes new_key; /* UPDATE that changed the primary key: the key it has now, as stored; len 0 otherwise */
    struct error *error;     /* REFUSED: allocated, freed with the submission */
    bool replayed;           /* the outcome of an earlier submission with the same key: nothing was done now */
    uint32_t slot;           /* the engine's own */
};

/* What makes a submission known again. */
struct submission_key {
    uint8_t bytes[ROW_TAG_BYTES + LIMIT_IDEMPOTENCY_KEY_BYTES_MAX]; /* a tag of the path, then the user's key */
    uint16_t len;                                                   /* 0: none */
    struct row_tag digest;                                          /* of all that has to be the same */
    table_id table; /* of all ops, when the path names it; else SCHEMA_NONE */
};

/* Owned by the engine from engine_submit until `finished` is called, from the engine's thread: it must be short and
 * only hand the submission on. */
struct submission {
    struct buffer rows;
    struct op *ops;
    uint32_t count;
    bool atomic; /* all or nothing, on any shards; references are checked at the end; when it fails every op is REFUSED
                    and those with an `error` of their own are the reason (at least one has) */
    bool references_at_end;    /* of rows on their own: whether one names itself is seen when it is there, and not
                                  as an INSERT by itself does */
    struct submission_key key; /* see above. Then without OP_READ and same_is_fine */
    uint64_t parsed_ns;        /* when parsing began and took; for the metrics (clock_monotonic_ns); 0: not measured */
    uint64_t parse_took_ns;
    void (*finished)(struct submission *submission);
    void *context;
    struct submission *next; /* for queues of whoever owns it */
    void *engine;            /* the engine's own, as all that follows: what stands for its key; */
    uint32_t begun;          /* how many ops have been begun, */
    uint32_t without_locks;  /* and of those, how many do not have their locks yet; */
    bool plans;              /* one of these finds out first which it needs, */
    bool set_aside;          /* and the others wait for it; */
    uint64_t moved_ns;       /* when one of them got its locks, or an answer of its shard, last */
};

/* Allocates a submission with room for `ops` operations (count 0). NULL: out of memory. */
struct submission *submission_new(uint32_t ops);
void submission_free(struct submission *submission); /* with its rows, ops and errors */

/* The operation is refused; the first error stays. */
void op_refuse(struct op *op, const struct error *error);

/* Gives it a key: any bytes, at least one. A key belongs to its path: on another path it is another key. `how` is what
 * has to be the same beside the body, the method and query for instance. `table` is the one that every op is of because
 * the path names it; SCHEMA_NONE when the path names none. ERROR_PARSE: an empty key; ERROR_TOO_LARGE: more than
 * LIMIT_IDEMPOTENCY_KEY_BYTES_MAX. */
bool submission_set_key(struct submission *submission, const char *path, table_id table, const void *key,
                        size_t key_len, const char *how, const void *body, size_t body_len, struct error *error);

/* A question to one shard that changes nothing, as the wire has it: `ask` holds the request's body, `answer` gets the
 * answer's. */
struct query {
    enum wire_kind kind; /* EXISTS, SCAN, PROBE, STATS. A scan shows no half of a transaction: it waits for those that
                            are being decided on its table */
    database_id database;
    struct buffer ask;
    bool ok;
    struct buffer answer;
    struct error error;
    void (*finished)(struct query *query); /* engine thread */
    void *context;
};

struct engine_options {
    const struct schema *schema;
    struct limits limits;
    const char *data;
    const char *const *addresses; /* per database, NULL: local */
    const char *cluster;          /* the data directory's cluster id, never empty */
    bool first_use;               /* files may be created; else a missing one is an error that names the database */
    bool patient;      /* what waits for a shard that is away, or for a lock, does so for answer_ms: for who has nobody
                          waiting for each answer. Else away_ms and lock_ms say how long (limits.h): a server refuses soon,
                          and its users try again */
    bool *ret_unheard; /* after a failed start: set when no shard was told the cluster's id. May be NULL */
    const char *log_format;
    const char *log_level;
    void (*log)(void *context, int level, database_id database,
                const char *text); /* state changes; engine thread; may be NULL */
    void *log_context;
};

/* Starts the shards and waits until every one has said hello and what was in doubt is resolved; on failure everything
 * is stopped again and the error names the database and the cause. */
struct engine *engine_start(const struct engine_options *options, struct error *error);

/* An engine that runs in another process. What is submitted, asked and measured is handed to `calls`, under the same
 * contract; the engine itself is a hull without threads. */
struct engine_calls {
    void (*submit)(void *context, struct submission *submission);
    void (*ask)(void *context, struct query *query);
    bool (*metrics)(void *context, struct engine_metrics *ret_metrics, struct error *error);
    void (*stop)(void *context); /* by engine_stop: frees the context */
};
struct engine *engine_elsewhere(const struct engine_calls *calls, void *context); /* NULL: out of memory */

void engine_submit(struct engine *engine, struct submission *submission);
void engine_ask(struct engine *engine, struct query *query);

/* The same, waiting for the answer. Not from the engine's thread. */
void engine_submit_and_wait(struct engine *engine, struct submission *submission);
bool engine_ask_and_wait(struct engine *engine, struct query *query);

/* Counters and times per database, from the engine's side. */
struct engine_database_metrics {
    uint64_t rows_accepted;
    uint64_t rows_same;
    uint64_t rows_refused;
    uint64_t batches;
    struct histogram wait;  /* per row, ns: for locks */
    struct histogram check; /* for references */
    struct histogram queue; /* from joining a batch until it was sent */
    struct histogram total; /* from parse (else submit) to known outcome */
    struct histogram batch_rows;
    struct histogram round_trip; /* per batch */
};
struct engine_metrics {
    uint16_t count;
    struct engine_database_metrics *databases; /* allocated */
    uint64_t busy_ns;                          /* the engine thread's CPU time */
};
bool engine_metrics(struct engine *engine, struct engine_metrics *ret_metrics, struct error *error);
void engine_metrics_release(struct engine_metrics *metrics);

/* Whether every database is there and takes writes now; else ERROR_UNAVAILABLE names the first that does not, and why.
 * Asks the engine's thread, which does not wait for any shard. Not of one elsewhere. */
bool engine_ready(struct engine *engine, struct error *error);

/* Finishes what was submitted, but waits for it no longer than stop_ms: what has no outcome by then is ERROR_UNKNOWN
 * when it was sent, else ERROR_UNAVAILABLE, and what is in doubt is left to the next start. Then stops the shards
 * (links_close: stop_ms again), frees everything. NULL is fine. */
void engine_stop(struct engine *engine);

#endif
