/* SPDX-License-Identifier: Apache-2.0 */
/* wire.h - the one table of messages between the coordinator and a shard, encoded and decoded.
 *
 * A request is a msgpack array  [kind, epoch, coordinator, generation, request, body]
 * an answer                     [kind, epoch, coordinator, generation, request, code, body]
 * where an answer repeats its request's first five fields, code 0 means done and any other code (error.h) comes with
 * the body [table, constraint, text]. Bodies are arrays, described beside each struct. Decoders check bounds and counts
 * before they believe them, refuse trailing bytes, and give views into the message; nothing is allocated but where a
 * release function stands beside it.
 *
 * Numbers once given are never given to another message (9 was `stop`). */
#ifndef SHEAF_WIRE_H
#define SHEAF_WIRE_H

#include "cursor.h"
#include "error.h"
#include "histogram.h"
#include "limits.h"
#include "pack.h"
#include "row.h"
#include "schema.h"

#define WIRE_PROTOCOL 4

#define WIRE_REQUESTS(X)                                                     \
    /* number, name, enum name, needs a claimed shard (hello came before) */ \
    X(1, hello, HELLO, false)                                                \
    X(2, write, WRITE, true)                                                 \
    X(3, exists, EXISTS, true)                                               \
    X(4, keys, KEYS, true)                                                   \
    X(5, scan, SCAN, true)                                                   \
    X(6, probe, PROBE, true)                                                 \
    X(7, stats, STATS, true)                                                 \
    X(8, ping, PING, false)                                                  \
    X(10, read, READ, true)                                                  \
    X(11, children, CHILDREN, true)                                          \
    X(12, kept, KEPT, true)

enum wire_kind {
#define X(number, name, NAME, claimed) WIRE_##NAME = number,
    WIRE_REQUESTS(X)
#undef X
};

/* "hello", …; "unknown" for a number that is none. */
const char *wire_kind_name(unsigned kind);

struct wire_header {
    unsigned kind; /* as received: may be a number that is no message */
    uint64_t epoch;
    uint64_t coordinator; /* random id of one life of a coordinator */
    uint64_t generation;  /* one life of the link, as the coordinator counts */
    uint64_t request;
};

bool wire_put_request(struct buffer *message, const struct wire_header *header); /* the body follows */
bool wire_put_done(struct buffer *message, const struct wire_header *header);    /* the answer's body follows */
bool wire_put_error(struct buffer *message, const struct wire_header *header, const struct error *error);

/* Leaves `cursor` at the body. ERROR_PARSE for what is not a message. */
bool wire_get_request(const uint8_t *bytes, size_t len, struct wire_header *ret_header, struct cursor *ret_body,
                      struct error *error);
/* For an answer that carries an error: *ret_done is false and *ret_refusal says which; that is not a failure of this
 * call. */
bool wire_get_answer(const uint8_t *bytes, size_t len, struct wire_header *ret_header, bool *ret_done,
                     struct error *ret_refusal, struct cursor *ret_body, struct error *error);

/* hello: [protocol, claim, cluster, database, schema text, placement text]
 * Without `claim` it only tells what is there (used to choose an epoch); with it, the shard creates what is missing,
 * commits the header's epoch and coordinator, and from then on refuses lower epochs, and an equal one of another
 * coordinator, with ERROR_UNAVAILABLE. */
struct wire_hello {
    uint64_t protocol;
    bool claim;
    const char *cluster; /* "" in a first probe; text views, not NUL-terminated */
    size_t cluster_len;
    const char *database;
    size_t database_len;
    const char *schema;
    size_t schema_len;
    const char *placement;
    size_t placement_len;
};
bool wire_put_hello(struct buffer *message, const struct wire_hello *hello);
bool wire_get_hello(struct cursor *body, struct wire_hello *ret_hello, struct error *error);

/* answer: [protocol, fresh, cluster, epoch, last batch, newest `at` of what is kept, [[txn, home, locks]…],
 *          [txn decided here…], [[table, has rows, max rowid, last rowid]…]]
 * Prepared transactions are in order of preparation. Without claim on a fresh file the lists are empty. */
struct wire_prepared {
    uint64_t txn;
    char home[LIMIT_NAME_BYTES_MAX + 1]; /* the home shard's database */
    const uint8_t *locks;                /* the engine's own bytes, opaque to the shard */
    size_t locks_len;
};
struct wire_table_state {
    table_id table;
    bool has_rows;
    int64_t rowid_max; /* highest below 2^63-1 of the rowids and sqlite_sequence; INT64_MIN when there is none */
    bool has_last;     /* 2^63-1 is a rowid, or in sqlite_sequence */
};
struct wire_hello_answer {
    uint64_t protocol;
    bool fresh; /* the file holds nothing of Sheaf yet */
    char cluster[64];
    uint64_t epoch; /* the highest this shard has committed */
    uint64_t last_batch;
    int64_t kept_at_ms; /* the latest `at` of a KEEP here; 0: nothing is kept */
    uint32_t prepared_count;
    uint32_t decided_count;
    uint32_t table_count;
    struct wire_prepared *prepared; /* these three are allocated: wire_hello_answer_release */
    uint64_t *decided;              /* transactions whose home this is, committed and not yet forgotten */
    struct wire_table_state *tables;
    uint8_t *locks_block; /* owned as well: what the locks of `prepared` point into, where an answer is put together;
                             else NULL */
};
bool wire_put_hello_answer(struct buffer *message, const struct wire_hello_answer *answer);
bool wire_get_hello_answer(struct cursor *body, struct wire_hello_answer *ret_answer, struct error *error);
void wire_hello_answer_release(struct wire_hello_answer *answer);

/* write: [batch number, [entry…]]     an entry is one of
 *   [INSERT, table, flags, row]                     a row on its own
 *   [GROUP, [op…]]                                  all or nothing, on this shard alone
 *   [PREPARE, txn, home, locks, [op…]]              promise, durably, that the ops can be applied
 *   [DECIDE, txn, [participant…], [op…]]            home: apply and record the decision; the commit of the whole
 *   [RESOLVE, txn, commit]                          apply or drop what was prepared; an absent one is done already
 *   [FORGET, txn]                                   drop the decision
 *   [TRY, [op…]]                                    a GROUP that is undone: only its failure is of interest
 *
 * an op is one of                        the first three are entries on their own, too
 *   [INSERT, table, flags, row]
 *   [UPDATE, table, flags, key, row]     the row with that key takes the columns that are not ABSENT
 *   [DELETE, table, flags, key]
 * a key being an array of the primary key's values, of a table without one its rowid. An update or delete of a row that
 * is not there is ERROR_NOT_FOUND. With WIRE_FLAG_MADE_HERE, in a table without a primary key and inside an entry only,
 * it is [op]: the row that this earlier op of the entry has inserted. Or, inside an entry only, [KEEP, key, index,
 * digest, at, outcome] which writes no row of the user's: it keeps what a request with an idempotency key came to, so
 * that it is in the file if and only if the entry's other ops are. `key` and `outcome` are the engine's own bytes,
 * opaque to the shard; `at` is the coordinator's time (keyed.h). Something kept LIMIT_KEPT_MS before `at` or earlier is
 * gone: a few such leave with each KEEP. When the shard keeps limits.kept_keys already it is ERROR_BUSY (never of what
 * was prepared); ERROR_INTERNAL when something is kept under that key and index.
 *
 * A write that is answered with an error had no effect and has not consumed its number: the same bytes may be sent
 * again. ERROR_CONFLICT is a batch out of order (its number is not the last one's successor, and no answer of it is
 * kept); ERROR_UNAVAILABLE and ERROR_IO are the shard's environment (WAL limit, full disk). */
enum wire_entry_kind {
    WIRE_ENTRY_INSERT = 1,
    WIRE_ENTRY_UPDATE = 2,
    WIRE_ENTRY_DELETE = 3,
    WIRE_ENTRY_GROUP = 4,
    WIRE_ENTRY_PREPARE = 5,
    WIRE_ENTRY_DECIDE = 6,
    WIRE_ENTRY_RESOLVE = 7,
    WIRE_ENTRY_FORGET = 8,
    WIRE_ENTRY_KEEP = 9, /* only inside an entry */
    WIRE_ENTRY_TRY = 10,
};
#define WIRE_FLAG_SAME_IS_FINE 1u
#define WIRE_FLAG_MADE_HERE 2u
#define WIRE_DIGEST_BYTES 16u

struct wire_keep {
    const uint8_t *key;
    size_t key_len;
    uint32_t index;
    const uint8_t *digest; /* WIRE_DIGEST_BYTES */
    int64_t at_ms;
    const uint8_t *outcome;
    size_t outcome_len;
};
struct wire_op { /* INSERT, UPDATE, DELETE, as an entry or inside one; KEEP inside one */
    enum wire_entry_kind kind;
    struct wire_keep keep; /* KEEP, which has nothing of what follows */
    table_id table;
    unsigned flags;
    const uint8_t *key; /* UPDATE, DELETE */
    size_t key_len;
    const uint8_t *row; /* INSERT, UPDATE */
    size_t row_len;
};
struct wire_entry {
    enum wire_entry_kind kind;
    struct wire_op op; /* INSERT, UPDATE, DELETE */
    uint64_t txn;      /* PREPARE, DECIDE, RESOLVE, FORGET */
    const char *home;  /* PREPARE */
    size_t home_len;
    const uint8_t *locks; /* PREPARE */
    size_t locks_len;
    struct cursor participants; /* DECIDE: over the names; participant_count of them */
    uint32_t participant_count;
    bool commit;       /* RESOLVE */
    struct cursor ops; /* GROUP, TRY, PREPARE, DECIDE: op_count ops follow; read with wire_get_op */
    uint32_t op_count;
    uint32_t row_count;   /* of these, how many write a row: all but KEEP */
    const uint8_t *bytes; /* the whole entry */
    size_t len;
};
bool wire_get_write(struct cursor *body, uint64_t *ret_batch, uint32_t *ret_entries, struct error *error);
/* The next entry (checked to be well formed, its ops counted); moves `body` over it. */
/* "insert", …; of a RESOLVE "commit" or "abort". */
const char *wire_entry_name(const struct wire_entry *entry);
bool wire_get_entry(struct cursor *body, struct wire_entry *ret_entry, struct error *error);
bool wire_get_op(struct cursor *ops, struct wire_op *ret_op, struct error *error);

bool wire_put_op(struct buffer *entries, table_id table, unsigned flags, const uint8_t *row, size_t row_len);
bool wire_put_update(struct buffer *entries, table_id table, unsigned flags, const uint8_t *key, size_t key_len,
                     const uint8_t *row, size_t row_len);
bool wire_put_delete(struct buffer *entries, table_id table, unsigned flags, const uint8_t *key, size_t key_len);
bool wire_put_keep(struct buffer *entries, const struct wire_keep *keep);
bool wire_put_group(struct buffer *entries, uint32_t op_count); /* that many wire_put_op follow; likewise below */
bool wire_put_try(struct buffer *entries, uint32_t op_count);
bool wire_put_prepare(struct buffer *entries, uint64_t txn, const char *home, const uint8_t *locks, size_t locks_len,
                      uint32_t op_count);
bool wire_put_decide(struct buffer *entries, uint64_t txn, const char *const *participants, uint32_t participant_count,
                     uint32_t op_count);
bool wire_put_resolve(struct buffer *entries, uint64_t txn, bool commit);
bool wire_put_forget(struct buffer *entries, uint64_t txn);
/* [batch number, array of `entry_count`: the entries' bytes follow. */
bool wire_put_write(struct buffer *message, uint64_t batch, uint32_t entry_count);

/* answer: [batch, [decode ns, apply ns, commit ns], [[entry, op, code, table, constraint, text]…],
 *          [entry, op, entry, op, …]]
 * the failures, and the ops that were there already with the same values; each list ascending. An entry that fails has
 * no effect as a whole; its failure names the op (0 for entries without). What the shard stores in _sheaf_applied is
 * this body, with a commit time of 0 since it is written before the commit; a repeated batch answers with it. */
struct wire_failure {
    uint32_t entry;
    uint32_t op;
    struct error error;
};
struct wire_write_answer {
    uint64_t batch;
    uint64_t decode_ns;
    uint64_t apply_ns;
    uint64_t commit_ns;
    uint32_t failure_count;
    uint32_t same_count;
    struct cursor failures; /* read with wire_get_failure */
    struct cursor same;     /* read with wire_get_same */
};
bool wire_get_write_answer(struct cursor *body, struct wire_write_answer *ret_answer, struct error *error);
bool wire_get_failure(struct cursor *failures, struct wire_failure *ret_failure, struct error *error);
bool wire_get_same(struct cursor *same, uint32_t *ret_entry, uint32_t *ret_op, struct error *error);
/* A write answer is built while the batch is applied. Zeroed = empty. */
struct wire_write_results {
    struct buffer failures;
    struct buffer same;
    uint32_t failure_count;
    uint32_t same_count;
};
bool wire_results_failure(struct wire_write_results *results, uint32_t entry, uint32_t op, const struct error *error);
bool wire_results_same(struct wire_write_results *results, uint32_t entry, uint32_t op);
bool wire_put_write_answer(struct buffer *message, uint64_t batch, uint64_t decode_ns, uint64_t apply_ns,
                           uint64_t commit_ns, const struct wire_write_results *results);
void wire_results_release(struct wire_write_results *results);
/* Puts the commit's time, which is known last, into a finished body at `at` of `message`. */
void wire_set_commit_ns(struct buffer *message, size_t at, uint64_t commit_ns);

/* exists: [table, key, count, [value…]] values of `count` keys one after the other, each with the key's column count
 * answer: [blob] one byte a key, 0 or 1, in order. A key with a NULL does not exist. */
struct wire_exists {
    table_id table;
    uint16_t key; /* position in the table's keys */
    uint32_t count;
    struct cursor values;
};
bool wire_get_exists(struct cursor *body, const struct schema *schema, struct wire_exists *ret_exists,
                     struct error *error);
bool wire_put_exists(struct buffer *message, table_id table, uint16_t key, uint32_t count, uint32_t value_count);
bool wire_put_exists_answer(struct buffer *message, const uint8_t *there, uint32_t count);
bool wire_get_exists_answer(struct cursor *body, const uint8_t **ret_there, uint32_t *ret_count, struct error *error);

/* keys: [table, after or nil, limit]   rowids in ascending order, for the presence set
 * answer: [as of batch, complete, blob of little-endian int64] */
struct wire_keys {
    table_id table;
    bool has_after;
    int64_t after;
    uint32_t limit; /* 1 to WIRE_KEYS_MAX */
};
#define WIRE_KEYS_MAX 262144u
bool wire_put_keys(struct buffer *message, const struct wire_keys *keys);
bool wire_get_keys(struct cursor *body, const struct schema *schema, struct wire_keys *ret_keys, struct error *error);
struct wire_keys_answer {
    uint64_t batch; /* every batch up to this one is in, none after it */
    bool complete;
    uint32_t count;
    const uint8_t *keys; /* count * 8 bytes; read with wire_key_at */
};
bool wire_put_keys_answer(struct buffer *message, uint64_t batch, bool complete, const int64_t *keys, uint32_t count);
bool wire_get_keys_answer(struct cursor *body, struct wire_keys_answer *ret_answer, struct error *error);
int64_t wire_key_at(const struct wire_keys_answer *answer, uint32_t i);

/* read: [table, count, [value…]] the keys of `count` rows one after the other: of each the primary key's values in the
 *                               key's own order, of a table without one the rowid; compared with affinity and
 *                               collation
 * answer: [[row or nil…]] in order, every column incl. generated. More than fits one message is ERROR_TOO_LARGE. */
struct wire_read {
    table_id table;
    uint32_t count;
    struct cursor values;
};
bool wire_put_read(struct buffer *message, table_id table, uint32_t count, uint32_t value_count); /* values follow */
bool wire_get_read(struct cursor *body, const struct schema *schema, struct wire_read *ret_read, struct error *error);
struct wire_rows {
    uint32_t count;
    struct cursor rows;
};
bool wire_get_read_answer(struct cursor *body, struct wire_rows *ret_rows, struct error *error);
/* The next row; NULL: there is none with that key. */
bool wire_get_row(struct wire_rows *rows, const uint8_t **ret_row, size_t *ret_len);

/* children: [reference, [value…]]  the parent's stored values, beside the reference's columns; none is NULL
 * answer: [[rowid or nil, row…]]   every child row that names that parent, as SQLite compares a parent key with a
 * child's columns (the parent's collation and affinity); rowid for a table without a primary key. More than fits one
 * message, or than LIMIT_BATCH_ROWS_MAX, is ERROR_TOO_LARGE. The first question about a reference makes an index on its
 * columns when none begins with them (_sheaf_ix_N, N the reference's number). */
struct wire_children_ask {
    reference_id reference;
    struct cursor values;
};
bool wire_put_children(struct buffer *message, reference_id reference, uint32_t value_count); /* values follow */
bool wire_get_children(struct cursor *body, const struct schema *schema, struct wire_children_ask *ret_ask,
                       struct error *error);
struct wire_children {
    uint32_t count;
    struct cursor rows;
};
bool wire_get_children_answer(struct cursor *body, struct wire_children *ret_children, struct error *error);
/* *ret_rowid is 0 for a table with a primary key. */
bool wire_get_child(struct wire_children *children, int64_t *ret_rowid, const uint8_t **ret_row, size_t *ret_len);

/* scan: [table, limit, [value…] after, [column, value…] filters]
 *                                        rows in key order (primary key, else rowid), after the given key (empty: from
 *                                        the start), with column = value for each filter (WIRE_FILTERS_MAX at most),
 *                                        compared as in SQL
 * answer: [[row…], [value…] next]        rows in wire form, every column incl. generated;  next is empty at the end,
 *                                        however full the last page is
 * A page also ends at 4 MiB. */
#define WIRE_FILTERS_MAX 256u /* SQLite's parser has its own limit on how deep an AND may be */
struct wire_filter {
    uint16_t column;
    struct value value; /* NULL equals nothing, as in SQL */
};
struct wire_scan {
    table_id table;
    uint32_t limit;
    uint32_t after_count;
    struct cursor after;
    uint32_t filter_count;
    struct cursor filters; /* filter_count times a column's number and a value */
};
bool wire_put_scan(struct buffer *message, table_id table, uint32_t limit, const struct value *after,
                   uint32_t after_count, const struct wire_filter *filters, uint32_t filter_count);
bool wire_get_scan(struct cursor *body, const struct schema *schema, struct wire_scan *ret_scan, struct error *error);
struct wire_scan_answer {
    uint32_t row_count;
    struct cursor rows; /* row_count rows: cursor_skip over each, row_read */
    uint32_t next_count;
    struct cursor next;
};
bool wire_get_scan_answer(struct cursor *body, struct wire_scan_answer *ret_answer, struct error *error);

/* probe: [[op…]]  says what each op alone would meet, applying none: for rows that wait for their references. No KEEP.
 * answer: a write answer with batch 0; `entry` counts the ops. */
bool wire_put_probe(struct buffer *message, uint32_t op_count); /* the ops follow */
bool wire_get_probe(struct cursor *body, uint32_t *ret_op_count, struct cursor *ret_ops, struct error *error);

/* kept: [key, from, at]  what is kept under an idempotency key: indexes from `from` on, not gone `at` this time
 * answer: [complete, [[index, digest, outcome]…]] indexes ascending. A page ends at 4 MiB, then it is not complete. */
struct wire_kept_ask {
    const uint8_t *key;
    size_t key_len;
    uint32_t from;
    int64_t at_ms;
};
bool wire_put_kept(struct buffer *message, const struct wire_kept_ask *ask);
bool wire_get_kept(struct cursor *body, struct wire_kept_ask *ret_ask, struct error *error);
/* An answer is put together from its list. */
bool wire_put_kept_answer(struct buffer *message, bool complete, uint32_t count, const struct buffer *list);
bool wire_put_kept_one(struct buffer *list, uint32_t index, const uint8_t *digest, const uint8_t *outcome,
                       size_t outcome_len);
struct wire_kept {
    bool complete;
    uint32_t count;
    struct cursor list; /* read with wire_get_kept_one */
};
bool wire_get_kept_answer(struct cursor *body, struct wire_kept *ret_kept, struct error *error);
/* The next: its index, digest and outcome. */
bool wire_get_kept_one(struct cursor *list, struct wire_keep *ret_keep, struct error *error);

/* stats: []  answer below. */
struct wire_stats {
    uint64_t rows_accepted;
    uint64_t rows_same;
    uint64_t rows_refused;
    uint64_t batches;
    uint64_t busy_ns; /* wall time spent on requests */
    uint64_t cpu_ns;  /* of the process */
    uint64_t file_bytes;
    uint64_t wal_bytes;
    uint64_t memory_bytes;   /* peak resident */
    struct histogram decode; /* each per row: a batch's time shared out over its rows */
    struct histogram apply;
    struct histogram commit; /* the commit's whole time, for each row in it */
    struct histogram batch_rows;
};
bool wire_put_stats_answer(struct buffer *message, const struct wire_stats *stats);
bool wire_get_stats_answer(struct cursor *body, struct wire_stats *ret_stats, struct error *error);

/* An empty body: stats, ping. */
bool wire_put_nothing(struct buffer *message);
bool wire_get_nothing(struct cursor *body, struct error *error);
/* ping answer: [progress]  a counter that moves while the shard's main thread does. */
bool wire_put_ping_answer(struct buffer *message, uint64_t progress);
bool wire_get_ping_answer(struct cursor *body, uint64_t *ret_progress, struct error *error);

#endif
