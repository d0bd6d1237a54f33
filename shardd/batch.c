/* SPDX-License-Identifier: Apache-2.0 */
#include "batch.h"

#include "answers.h"
#include "change.h"
#include "clock.h"
#include "failpoint.h"
#include "insert.h"
#include "made.h"
#include "prepared.h"
#include "row_limit.h"

#include <stdlib.h>
#include <string.h>

struct batch {
    struct store *store;
    struct insert *insert;
    struct change *change;
    struct answers *answers;
    struct made made;  /* by the entry at hand */
    struct buffer key; /* of one op */
    sqlite3_stmt *savepoint, *undo, *release;
    bool open;     /* a transaction is open: these batches are in it */
    uint64_t last; /* the highest number applied, committed or in the open transaction */
    uint64_t open_rows;
    struct wire_write_results results;
    struct batch_counts counts;
};

/* ---- life ---- */

static bool prepare(struct batch *batch, const char *sql, sqlite3_stmt **statement, struct error *error)
{
    sqlite3 *connection = store_connection(batch->store);
    return sqlite3_prepare_v3(connection, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL) == SQLITE_OK ||
           error_set(error, ERROR_INTERNAL, "%s: %s", sql, sqlite3_errmsg(connection));
}

struct batch *batch_new(struct store *store, struct error *error)
{
    struct batch *batch = calloc(1, sizeof *batch);
    if (!batch) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    batch->store = store;
    batch->last = store_last_batch(store);
    batch->insert = insert_new(store_connection(store), store_schema(store), error);
    batch->change = change_new(store_connection(store), store_schema(store), error);
    batch->answers = answers_new(store_connection(store), store_kept_keys(store), error);
    if (!batch->insert || !batch->change || !batch->answers ||
        !prepare(batch, "SAVEPOINT sheaf", &batch->savepoint, error) ||
        !prepare(batch, "ROLLBACK TO sheaf", &batch->undo, error) ||
        !prepare(batch, "RELEASE sheaf", &batch->release, error)) {
        batch_free(batch);
        return NULL;
    }
    return batch;
}

void batch_free(struct batch *batch)
{
    if (!batch)
        return;
    insert_free(batch->insert);
    change_free(batch->change);
    answers_free(batch->answers);
    sqlite3_finalize(batch->savepoint);
    sqlite3_finalize(batch->undo);
    sqlite3_finalize(batch->release);
    wire_results_release(&batch->results);
    made_release(&batch->made);
    buffer_release(&batch->key);
    free(batch);
}

/* ---- savepoints ---- */

static bool step(struct batch *batch, sqlite3_stmt *statement, struct error *error)
{
    bool ok = sqlite3_step(statement) == SQLITE_DONE;
    if (!ok)
        error_set(error, ERROR_IO, "database %s: %s", store_database(batch->store),
                  sqlite3_errmsg(store_connection(batch->store)));
    sqlite3_reset(statement);
    return ok;
}

static bool savepoint_begin(struct batch *batch, struct error *error)
{
    return step(batch, batch->savepoint, error);
}

static bool savepoint_undo(struct batch *batch, struct error *error)
{
    return step(batch, batch->undo, error) && step(batch, batch->release, error);
}

static bool savepoint_keep(struct batch *batch, struct error *error)
{
    return step(batch, batch->release, error);
}

/* ---- ops ---- */

enum outcome { OUTCOME_DONE, OUTCOME_REFUSED, OUTCOME_FAILED };

static bool out_of_memory(struct error *error)
{
    return error_set(error, ERROR_INTERNAL, "out of memory");
}

static enum insert_result as_insert(enum change_result result)
{
    return result == CHANGE_DONE ? INSERT_DONE : result == CHANGE_REFUSED ? INSERT_REFUSED : INSERT_FAILED;
}

static enum insert_result keep(struct batch *batch, const struct wire_keep *keep, bool promised, struct error *error)
{
    switch (answers_keep(batch->answers, keep, promised, error)) {
    case ANSWERS_KEPT:
        return INSERT_DONE;
    case ANSWERS_REFUSED:
        return INSERT_REFUSED;
    case ANSWERS_FAILED:
        break;
    }
    return INSERT_FAILED;
}

/* `op`: a change of a row that is named by its key, or an insert. */
static enum insert_result write_row(struct batch *batch, const struct wire_op *op, int64_t *ret_rowid,
                                    struct error *error)
{
    switch (op->kind) {
    case WIRE_ENTRY_UPDATE:
        return as_insert(change_update(batch->change, op->table, op->key, op->key_len, op->row, op->row_len, error));
    case WIRE_ENTRY_DELETE:
        return as_insert(change_delete(batch->change, op->table, op->key, op->key_len, error));
    default:
        return insert_row(batch->insert, op->table, op->row, op->row_len, (op->flags & WIRE_FLAG_SAME_IS_FINE) != 0,
                          ret_rowid, error);
    }
}

/* Once more, in a savepoint: what was too large for the narrow limit may be small enough. */
static enum insert_result write_measured(struct batch *batch, const struct wire_op *op, int64_t *ret_rowid,
                                         struct error *error)
{
    sqlite3 *connection = store_connection(batch->store);
    struct error failure;
    row_limit_wide(connection);
    if (!savepoint_begin(batch, error))
        return INSERT_FAILED;
    enum insert_result result = write_row(batch, op, ret_rowid, error);
    bool undo = result == INSERT_DONE && !row_limit_keeps(connection, store_schema(batch->store), op, error);
    if (undo)
        result = INSERT_REFUSED;
    if (undo ? savepoint_undo(batch, &failure) : savepoint_keep(batch, &failure))
        return result;
    *error = failure;
    return INSERT_FAILED;
}

/* What was promised is kept, whatever was allowed when it was. */
static enum insert_result write_limited(struct batch *batch, const struct wire_op *op, bool promised,
                                        int64_t *ret_rowid, struct error *error)
{
    sqlite3 *connection = store_connection(batch->store);
    if (promised || op->kind == WIRE_ENTRY_DELETE)
        return write_row(batch, op, ret_rowid, error);
    int before = row_limit_narrow(connection, &store_schema(batch->store)->tables[op->table]);
    enum insert_result result = write_row(batch, op, ret_rowid, error);
    if ((result == INSERT_REFUSED || result == INSERT_FAILED) && error->code == ERROR_TOO_LARGE)
        result = write_measured(batch, op, ret_rowid, error);
    row_limit_end(connection, before);
    return result;
}

static enum insert_result apply_any(struct batch *batch, const struct wire_op *op, bool promised, int64_t *ret_rowid,
                                    struct error *error)
{
    const struct schema *schema = store_schema(batch->store);
    if (op->kind == WIRE_ENTRY_KEEP)
        return keep(batch, &op->keep, promised, error);
    if (op->table >= schema->table_count ||
        strcmp(schema->databases[schema->tables[op->table].database].name, store_database(batch->store)) != 0) {
        error_set(error, ERROR_INTERNAL, "table number %u is not one of database %s", op->table,
                  store_database(batch->store));
        return INSERT_REFUSED;
    }
    if (op->kind == WIRE_ENTRY_INSERT || !(op->flags & WIRE_FLAG_MADE_HERE))
        return write_limited(batch, op, promised, ret_rowid, error);
    struct wire_op named = *op;
    const struct made_row *row = made_find(&batch->made, op, error);
    if (!row)
        return INSERT_REFUSED;
    if (!made_key(row, &batch->key)) {
        out_of_memory(error);
        return INSERT_FAILED;
    }
    named.key = batch->key.bytes;
    named.key_len = batch->key.len;
    return write_limited(batch, &named, promised, ret_rowid, error);
}

/* ret_rowid: of the row that an insert made. When memory or the disk fails SQLite gives up the whole transaction, also
 * for a statement that only looks for the key which a refusal should name: what came behind it would be written without
 * one. */
static enum insert_result apply_op(struct batch *batch, const struct wire_op *op, bool promised, int64_t *ret_rowid,
                                   struct error *error)
{
    enum insert_result result = apply_any(batch, op, promised, ret_rowid, error);
    if (result == INSERT_FAILED || !sqlite3_get_autocommit(store_connection(batch->store)))
        return result;
    error_set(error, ERROR_IO, "database %s: SQLite has given up the transaction", store_database(batch->store));
    return INSERT_FAILED;
}

static bool note_failure(struct batch *batch, uint32_t entry, uint32_t op, const struct error *refusal,
                         struct error *error)
{
    return wire_results_failure(&batch->results, entry, op, refusal) || out_of_memory(error);
}

static bool note_same(struct batch *batch, uint32_t entry, uint32_t op, struct error *error)
{
    batch->counts.same++;
    return wire_results_same(&batch->results, entry, op) || out_of_memory(error);
}

static enum outcome apply_one(struct batch *batch, uint32_t number, const struct wire_op *op, struct error *error)
{
    struct error refusal;
    made_clear(&batch->made);
    switch (apply_op(batch, op, false, NULL, &refusal)) {
    case INSERT_DONE:
        batch->counts.accepted++;
        return OUTCOME_DONE;
    case INSERT_SAME:
        return note_same(batch, number, 0, error) ? OUTCOME_DONE : OUTCOME_FAILED;
    case INSERT_REFUSED:
        batch->counts.refused++;
        return note_failure(batch, number, 0, &refusal, error) ? OUTCOME_REFUSED : OUTCOME_FAILED;
    case INSERT_FAILED:
        break;
    }
    *error = refusal;
    return OUTCOME_FAILED;
}

/* A row that has no other name than its place in the entry. */
static bool note_made(struct batch *batch, uint32_t at, const struct wire_op *op, int64_t rowid, struct error *error)
{
    return op->kind != WIRE_ENTRY_INSERT || store_schema(batch->store)->tables[op->table].primary_key != SCHEMA_NONE ||
           made_note(&batch->made, at, op->table, rowid) || out_of_memory(error);
}

/* The ops one after the other; stops at the first that is refused, whose number and reason it gives. What was promised
 * before is not told of again. */
static enum outcome apply_ops(struct batch *batch, uint32_t number, struct cursor ops, uint32_t count, bool promised,
                              uint32_t *ret_at, struct error *refusal, struct error *error)
{
    made_clear(&batch->made);
    for (uint32_t i = 0; i < count; i++) {
        struct wire_op op;
        int64_t rowid = 0;
        if (!wire_get_op(&ops, &op, error))
            return OUTCOME_FAILED;
        enum insert_result result = apply_op(batch, &op, promised, &rowid, refusal);
        if (result == INSERT_DONE && !note_made(batch, i, &op, rowid, error))
            return OUTCOME_FAILED;
        if (result == INSERT_SAME && !promised && !note_same(batch, number, i, error))
            return OUTCOME_FAILED;
        if (result == INSERT_REFUSED) {
            *ret_at = i;
            return OUTCOME_REFUSED;
        }
        if (result == INSERT_FAILED) {
            *error = *refusal;
            return OUTCOME_FAILED;
        }
    }
    return OUTCOME_DONE;
}

/* A group's ops in a savepoint: all or nothing. `same` results of a group that fails are taken back with it. */
static enum outcome apply_group(struct batch *batch, uint32_t number, const struct wire_entry *entry, bool keep,
                                struct error *error)
{
    struct error refusal;
    uint32_t at = 0, same_count = batch->results.same_count;
    size_t same_len = batch->results.same.len;
    int64_t answers = answers_count(batch->answers);
    if (!savepoint_begin(batch, error))
        return OUTCOME_FAILED;
    enum outcome outcome = apply_ops(batch, number, entry->ops, entry->op_count, false, &at, &refusal, error);
    if (outcome == OUTCOME_FAILED)
        return outcome;
    if (outcome == OUTCOME_REFUSED) {
        batch->counts.refused += entry->row_count;
        batch->counts.same -= batch->results.same_count - same_count;
        batch->results.same_count = same_count;
        batch->results.same.len = same_len;
        if (!note_failure(batch, number, at, &refusal, error))
            return OUTCOME_FAILED;
    } else if (keep) {
        batch->counts.accepted += entry->row_count - (batch->results.same_count - same_count);
    }
    if (outcome == OUTCOME_DONE && keep)
        return savepoint_keep(batch, error) ? outcome : OUTCOME_FAILED;
    answers_undo(batch->answers, answers);
    return savepoint_undo(batch, error) ? outcome : OUTCOME_FAILED;
}

static enum outcome apply_prepare(struct batch *batch, uint32_t number, const struct wire_entry *entry,
                                  struct error *error)
{
    enum outcome outcome = apply_group(batch, number, entry, false, error);
    if (outcome == OUTCOME_DONE &&
        !prepared_keep(store_connection(batch->store), store_epoch(batch->store), entry, error))
        return OUTCOME_FAILED;
    return outcome;
}

static enum outcome apply_decide(struct batch *batch, uint32_t number, const struct wire_entry *entry,
                                 struct error *error)
{
    enum outcome outcome = apply_group(batch, number, entry, true, error);
    if (outcome == OUTCOME_DONE && !prepared_decide(store_connection(batch->store), entry, error))
        return OUTCOME_FAILED;
    return outcome;
}

static uint32_t rows_among(struct cursor ops, uint32_t count)
{
    struct wire_op op;
    uint32_t rows = 0;
    for (uint32_t i = 0; i < count && wire_get_op(&ops, &op, NULL); i++)
        rows += op.kind != WIRE_ENTRY_KEEP;
    return rows;
}

static enum outcome apply_resolve(struct batch *batch, const struct wire_entry *entry, struct error *error)
{
    sqlite3 *connection = store_connection(batch->store);
    struct buffer ops = {0};
    struct error refusal;
    uint32_t count = 0, at = 0;
    bool found = false;
    enum outcome outcome = OUTCOME_DONE;
    if (!prepared_find(connection, entry->txn, &ops, &count, &found, error))
        outcome = OUTCOME_FAILED;
    else if (found && entry->commit)
        outcome = apply_ops(batch, 0, cursor_over(ops.bytes, ops.len), count, true, &at, &refusal, error);
    uint32_t rows = rows_among(cursor_over(ops.bytes, ops.len), count);
    buffer_release(&ops);
    if (outcome == OUTCOME_REFUSED) /* P2: what was promised cannot be kept; nothing of it may be committed */
        panic("transaction %llu: op %u was prepared and is refused now: %s", (unsigned long long)entry->txn, at,
              refusal.text);
    if (outcome == OUTCOME_DONE && found && entry->commit)
        batch->counts.accepted += rows;
    if (outcome == OUTCOME_DONE && found && !prepared_drop(connection, entry->txn, error))
        outcome = OUTCOME_FAILED;
    return outcome;
}

static enum outcome apply_kind(struct batch *batch, uint32_t number, const struct wire_entry *entry,
                               struct error *error)
{
    switch (entry->kind) {
    case WIRE_ENTRY_INSERT:
    case WIRE_ENTRY_UPDATE:
    case WIRE_ENTRY_DELETE:
        return apply_one(batch, number, &entry->op, error);
    case WIRE_ENTRY_GROUP:
        return apply_group(batch, number, entry, true, error);
    case WIRE_ENTRY_TRY:
        return apply_group(batch, number, entry, false, error);
    case WIRE_ENTRY_PREPARE:
        return apply_prepare(batch, number, entry, error);
    case WIRE_ENTRY_DECIDE:
        return apply_decide(batch, number, entry, error);
    case WIRE_ENTRY_RESOLVE:
        return apply_resolve(batch, entry, error);
    case WIRE_ENTRY_FORGET:
        return prepared_forget(store_connection(batch->store), entry->txn, error) ? OUTCOME_DONE : OUTCOME_FAILED;
    case WIRE_ENTRY_KEEP:
        break;
    }
    error_set(error, ERROR_PARSE, "an entry of kind %u", (unsigned)entry->kind);
    return OUTCOME_FAILED;
}

static bool apply_entry(struct batch *batch, uint32_t number, const struct wire_entry *entry, struct error *error)
{
    FAILPOINT("apply.before", wire_entry_name(entry));
    bool fine = apply_kind(batch, number, entry, error) != OUTCOME_FAILED;
    FAILPOINT("apply.after", wire_entry_name(entry));
    return fine;
}

/* ---- batches ---- */

static void results_clear(struct batch *batch)
{
    buffer_clear(&batch->results.failures);
    buffer_clear(&batch->results.same);
    batch->results.failure_count = batch->results.same_count = 0;
}

/* Every entry is read once before the first is applied: a malformed batch has no effect. */
static bool well_formed(struct cursor body, uint32_t entries, uint64_t *ret_rows, struct error *error)
{
    struct wire_entry entry;
    uint64_t rows = 0;
    for (uint32_t i = 0; i < entries; i++) {
        if (!wire_get_entry(&body, &entry, error))
            return false;
        rows += entry.kind <= WIRE_ENTRY_DELETE ? 1 : entry.row_count;
    }
    *ret_rows = rows;
    return cursor_at_end(&body) || error_set(error, ERROR_PARSE, "malformed batch: trailing bytes");
}

static bool apply_entries(struct batch *batch, struct cursor *body, uint32_t entries, struct error *error)
{
    struct wire_entry entry;
    for (uint32_t i = 0; i < entries; i++)
        if (!wire_get_entry(body, &entry, error) || !apply_entry(batch, i, &entry, error))
            return false;
    return true;
}

static void record(struct batch *batch, uint64_t rows, uint64_t decode_ns, uint64_t apply_ns)
{
    batch->counts.batches++;
    if (!rows)
        return;
    histogram_add(&batch->counts.batch_rows, rows, 1);
    histogram_add(&batch->counts.decode, decode_ns / rows, rows);
    histogram_add(&batch->counts.apply, apply_ns / rows, rows);
    batch->open_rows += rows;
}

static bool begin_if_needed(struct batch *batch, struct error *error)
{
    if (batch->open)
        return true;
    batch->open_rows = 0;
    batch->open = store_begin(batch->store, error);
    return batch->open;
}

enum batch_result batch_apply(struct batch *batch, struct cursor *body, struct buffer *answer, struct error *error)
{
    uint64_t number, rows, begun = clock_monotonic_ns();
    uint32_t entries;
    bool kept = false;
    if (!wire_get_write(body, &number, &entries, error) || !well_formed(*body, entries, &rows, error))
        return BATCH_REFUSED;
    if (number <= batch->last && !store_applied_answer(batch->store, number, answer, &kept, error))
        return BATCH_UNKNOWN;
    if (kept) /* B3 */
        return number <= store_last_batch(batch->store) ? BATCH_REPEATED : BATCH_APPLIED;
    if (number != batch->last + 1) {
        error_set(error, ERROR_CONFLICT, "database %s: batch %llu is out of order behind %llu",
                  store_database(batch->store), (unsigned long long)number, (unsigned long long)batch->last);
        return BATCH_REFUSED;
    }
    if (!store_wal_has_room(batch->store, error) || !begin_if_needed(batch, error))
        return BATCH_FAILED;
    results_clear(batch);
    uint64_t decoded = clock_monotonic_ns();
    if (!apply_entries(batch, body, entries, error))
        return BATCH_FAILED;
    uint64_t applied = clock_monotonic_ns();
    size_t at = answer->len;
    if (!wire_put_write_answer(answer, number, decoded - begun, applied - decoded, 0, &batch->results)) {
        out_of_memory(error);
        return BATCH_FAILED;
    }
    if (!store_mark_applied(batch->store, number, answer->bytes + at, answer->len - at, error))
        return BATCH_FAILED;
    record(batch, rows, decoded - begun, applied - decoded);
    batch->last = number;
    return BATCH_APPLIED;
}

enum batch_committed batch_commit(struct batch *batch, uint64_t *ret_commit_ns, struct error *error)
{
    *ret_commit_ns = 0;
    if (!batch->open)
        return COMMIT_DONE;
    uint64_t begun = clock_monotonic_ns();
    FAILPOINT("commit.before", NULL);
    if (!store_flush(batch->store, error))
        return COMMIT_NOT_BEGUN;
    FAILPOINT("commit.flushed", NULL);
    if (!store_commit(batch->store, error))
        return COMMIT_UNKNOWN;
    FAILPOINT("commit.after", NULL);
    *ret_commit_ns = clock_monotonic_ns() - begun;
    histogram_add(&batch->counts.commit, *ret_commit_ns, batch->open_rows);
    batch->open = false;
    store_advance(batch->store, batch->last);
    return COMMIT_DONE;
}

void batch_abandon(struct batch *batch)
{
    if (batch->open)
        store_rollback(batch->store);
    answers_forget(batch->answers);
    batch->open = false;
    batch->last = store_last_batch(batch->store);
}

/* ---- probe ---- */

static bool probe_one(struct batch *batch, uint32_t number, const struct wire_op *op, struct error *error)
{
    if (!savepoint_begin(batch, error) || apply_one(batch, number, op, error) == OUTCOME_FAILED)
        return false;
    return savepoint_undo(batch, error);
}

bool batch_probe(struct batch *batch, struct cursor *body, struct buffer *answer, struct error *error)
{
    uint32_t count;
    struct cursor ops;
    struct wire_op op;
    if (!wire_get_probe(body, &count, &ops, error) || !store_begin(batch->store, error))
        return false;
    struct batch_counts before = batch->counts; /* nothing was written: nothing counts */
    results_clear(batch);
    bool ok = true;
    for (uint32_t i = 0; ok && i < count; i++)
        ok = wire_get_op(&ops, &op, error) && probe_one(batch, i, &op, error);
    store_rollback(batch->store);
    batch->counts = before;
    return ok && (wire_put_write_answer(answer, 0, 0, 0, 0, &batch->results) || out_of_memory(error));
}

const struct batch_counts *batch_counts(const struct batch *batch)
{
    return &batch->counts;
}

struct answers *batch_answers(struct batch *batch)
{
    return batch->answers;
}
