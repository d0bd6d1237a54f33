/* SPDX-License-Identifier: Apache-2.0 */
#include "prepared.h"

#include "affinity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool failed(sqlite3 *connection, struct error *error)
{
    return error_set(error, ERROR_IO, "transactions in doubt: %s", sqlite3_errmsg(connection));
}

static sqlite3_stmt *prepare(sqlite3 *connection, const char *sql, struct error *error)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(connection, sql, -1, &statement, NULL) != SQLITE_OK)
        failed(connection, error);
    return statement;
}

static bool finish(sqlite3 *connection, sqlite3_stmt *statement, bool bound, struct error *error)
{
    bool ok = bound && sqlite3_step(statement) == SQLITE_DONE;
    if (!ok)
        failed(connection, error);
    sqlite3_finalize(statement);
    return ok;
}

/* The bytes of an entry's ops: from the first to the entry's end. */
static size_t ops_len(const struct wire_entry *entry)
{
    return (size_t)(entry->bytes + entry->len - entry->ops.at);
}

bool prepared_keep(sqlite3 *connection, uint64_t epoch, const struct wire_entry *entry, struct error *error)
{
    struct buffer ops = {0};
    sqlite3_stmt *insert =
        prepare(connection, "INSERT OR REPLACE INTO _sheaf_prepared VALUES (?1, ?2, ?3, ?4, ?5)", error);
    if (!insert)
        return false;
    bool ok = pack_array(&ops, entry->op_count) && pack_raw(&ops, entry->ops.at, ops_len(entry));
    if (ok) {
        sqlite3_bind_int64(insert, 1, (sqlite3_int64)entry->txn);
        sqlite3_bind_int64(insert, 2, (sqlite3_int64)epoch);
        bool bound = sqlite3_bind_text(insert, 3, entry->home, (int)entry->home_len, SQLITE_STATIC) == SQLITE_OK &&
                     sqlite3_bind_blob64(insert, 4, ops.bytes, ops.len, SQLITE_STATIC) == SQLITE_OK &&
                     sqlite3_bind_blob64(insert, 5, entry->locks_len ? (const void *)entry->locks : "",
                                         entry->locks_len, SQLITE_STATIC) == SQLITE_OK;
        ok = finish(connection, insert, bound, error);
    } else {
        sqlite3_finalize(insert);
        error_set(error, ERROR_INTERNAL, "out of memory");
    }
    buffer_release(&ops);
    return ok;
}

bool prepared_find(sqlite3 *connection, uint64_t txn, struct buffer *ops, uint32_t *ret_count, bool *ret_found,
                   struct error *error)
{
    sqlite3_stmt *find = prepare(connection, "SELECT ops FROM _sheaf_prepared WHERE txn = ?1", error);
    if (!find)
        return false;
    sqlite3_bind_int64(find, 1, (sqlite3_int64)txn);
    int result = sqlite3_step(find);
    bool ok = result == SQLITE_DONE || result == SQLITE_ROW;
    *ret_found = result == SQLITE_ROW;
    if (!ok)
        failed(connection, error);
    if (*ret_found) {
        struct cursor cursor = cursor_over(sqlite3_column_blob(find, 0), (size_t)sqlite3_column_bytes(find, 0));
        ok = cursor_array(&cursor, ret_count) && buffer_put(ops, cursor.at, cursor_left(&cursor));
        if (!ok)
            error_set(error, ERROR_INTERNAL, "transaction %llu: what was prepared cannot be read",
                      (unsigned long long)txn);
    }
    sqlite3_finalize(find);
    return ok;
}

static bool drop(sqlite3 *connection, const char *sql, uint64_t txn, struct error *error)
{
    sqlite3_stmt *statement = prepare(connection, sql, error);
    if (!statement)
        return false;
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)txn);
    return finish(connection, statement, true, error);
}

bool prepared_drop(sqlite3 *connection, uint64_t txn, struct error *error)
{
    return drop(connection, "DELETE FROM _sheaf_prepared WHERE txn = ?1", txn, error);
}

bool prepared_forget(sqlite3 *connection, uint64_t txn, struct error *error)
{
    return drop(connection, "DELETE FROM _sheaf_decision WHERE txn = ?1", txn, error);
}

bool prepared_decide(sqlite3 *connection, const struct wire_entry *entry, struct error *error)
{
    sqlite3_stmt *insert = prepare(connection, "INSERT INTO _sheaf_decision VALUES (?1, ?2)", error);
    if (!insert)
        return false;
    struct buffer names = {0};
    struct cursor cursor = entry->participants;
    bool ok = true;
    for (uint32_t i = 0; ok && i < entry->participant_count; i++) {
        const char *name;
        size_t len;
        ok = cursor_text(&cursor, &name, &len) && buffer_put(&names, name, len) && buffer_put(&names, "\n", 1);
    }
    if (ok) {
        sqlite3_bind_int64(insert, 1, (sqlite3_int64)entry->txn);
        bool bound = sqlite3_bind_text(insert, 2, names.len ? (const char *)names.bytes : "", (int)names.len,
                                       SQLITE_STATIC) == SQLITE_OK;
        ok = finish(connection, insert, bound, error);
    } else {
        sqlite3_finalize(insert);
        error_set(error, ERROR_INTERNAL, "out of memory");
    }
    buffer_release(&names);
    return ok;
}

/* ---- hello ---- */

/* Makes a list one longer; NULL when memory is out. */
static void *grown(void *list, uint32_t count, size_t size)
{
    return realloc(list, ((size_t)count + 1) * size);
}

/* What a hello's answer is put together with. */
struct description {
    const struct schema *schema;
    struct wire_hello_answer *answer;
    struct affinity_scratch *scratch;
    struct value *values; /* of one row */
    uint8_t *locks;       /* where the next locks go in the answer's block, which is large enough for all of them */
};

static void raise_rowid(struct wire_hello_answer *answer, table_id table, int64_t rowid)
{
    for (uint32_t t = 0; t < answer->table_count; t++)
        if (answer->tables[t].table == table) {
            answer->tables[t].has_rows = true;
            if (rowid == INT64_MAX)
                answer->tables[t].has_last = true;
            else if (rowid > answer->tables[t].rowid_max)
                answer->tables[t].rowid_max = rowid;
        }
}

/* A key that a prepared insert or update will take must not be assigned to another row. It may be written as a text. */
static bool raise_rowids(struct description *description, struct cursor ops, struct error *error)
{
    uint32_t count;
    struct wire_op op;
    if (!cursor_array(&ops, &count))
        return error_set(error, ERROR_INTERNAL, "what was prepared cannot be read");
    for (uint32_t i = 0; i < count; i++) {
        if (!wire_get_op(&ops, &op, error))
            return false;
        if (op.kind == WIRE_ENTRY_KEEP)
            continue;
        if (op.table >= description->schema->table_count)
            return error_set(error, ERROR_INTERNAL, "what was prepared is for a table that is not there");
        if (op.kind == WIRE_ENTRY_DELETE)
            continue;
        const struct schema_table *table = &description->schema->tables[op.table];
        if (!row_read(table, op.row, op.row_len, description->values, error))
            return false;
        int64_t rowid;
        if (table->rowid_column != SCHEMA_NONE &&
            affinity_as_rowid(description->scratch, &description->values[table->rowid_column], &rowid))
            raise_rowid(description->answer, op.table, rowid);
    }
    return true;
}

static bool describe_one(struct description *description, sqlite3_stmt *row, struct error *error)
{
    struct wire_hello_answer *answer = description->answer;
    struct wire_prepared *larger = grown(answer->prepared, answer->prepared_count, sizeof *larger);
    if (!larger)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    answer->prepared = larger;
    struct wire_prepared *prepared = &larger[answer->prepared_count];
    *prepared = (struct wire_prepared){.txn = (uint64_t)sqlite3_column_int64(row, 0)};
    const char *home = (const char *)sqlite3_column_text(row, 1);
    if (!home)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    snprintf(prepared->home, sizeof prepared->home, "%s", home);
    answer->prepared_count++;
    prepared->locks = description->locks;
    prepared->locks_len = (size_t)sqlite3_column_bytes(row, 3);
    if (prepared->locks_len)
        memcpy(description->locks, sqlite3_column_blob(row, 3), prepared->locks_len);
    description->locks += prepared->locks_len;
    struct cursor ops = cursor_over(sqlite3_column_blob(row, 2), (size_t)sqlite3_column_bytes(row, 2));
    return raise_rowids(description, ops, error) ||
           error_prefix(error, "transaction %llu: ", (unsigned long long)prepared->txn);
}

static uint8_t *block_for_locks(sqlite3 *connection, struct error *error)
{
    sqlite3_stmt *sum = prepare(connection, "SELECT coalesce(sum(length(locks)), 0) FROM _sheaf_prepared", error);
    if (!sum)
        return NULL;
    uint8_t *block = NULL;
    if (sqlite3_step(sum) != SQLITE_ROW)
        failed(connection, error);
    else if (!(block = malloc((size_t)sqlite3_column_int64(sum, 0) + 1)))
        error_set(error, ERROR_INTERNAL, "out of memory");
    sqlite3_finalize(sum);
    return block;
}

static bool describe_prepared(sqlite3 *connection, struct description *description, struct error *error)
{
    sqlite3_stmt *row = prepare(connection, "SELECT txn, home, ops, locks FROM _sheaf_prepared ORDER BY txn", error);
    if (!row)
        return false;
    int result = SQLITE_DONE;
    bool ok = true;
    while (ok && (result = sqlite3_step(row)) == SQLITE_ROW)
        ok = describe_one(description, row, error);
    if (ok && result != SQLITE_DONE)
        ok = failed(connection, error);
    sqlite3_finalize(row);
    return ok;
}

static bool describe_decided(sqlite3 *connection, struct wire_hello_answer *answer, struct error *error)
{
    sqlite3_stmt *row = prepare(connection, "SELECT txn FROM _sheaf_decision ORDER BY txn", error);
    if (!row)
        return false;
    int result = SQLITE_DONE;
    bool ok = true;
    while (ok && (result = sqlite3_step(row)) == SQLITE_ROW) {
        uint64_t *larger = grown(answer->decided, answer->decided_count, sizeof *larger);
        ok = larger || error_set(error, ERROR_INTERNAL, "out of memory");
        if (!ok)
            break;
        answer->decided = larger;
        larger[answer->decided_count++] = (uint64_t)sqlite3_column_int64(row, 0);
    }
    if (ok && result != SQLITE_DONE)
        ok = failed(connection, error);
    sqlite3_finalize(row);
    return ok;
}

bool prepared_describe(sqlite3 *connection, const struct schema *schema, struct wire_hello_answer *answer,
                       struct error *error)
{
    if (!(answer->locks_block = block_for_locks(connection, error)))
        return false;
    struct description description = {.schema = schema, .answer = answer, .locks = answer->locks_block};
    description.values = calloc(LIMIT_COLUMNS_MAX, sizeof *description.values);
    if (!description.values)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    description.scratch = affinity_open(error);
    bool ok = description.scratch && describe_prepared(connection, &description, error);
    affinity_close(description.scratch);
    free(description.values);
    return ok && describe_decided(connection, answer, error);
}
