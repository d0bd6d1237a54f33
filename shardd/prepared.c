/* SPDX-License-Identifier: Apache-2.0 */
#include "prepared.h"

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

static bool finish(sqlite3 *connection, sqlite3_stmt *statement, struct error *error)
{
    bool ok = sqlite3_step(statement) == SQLITE_DONE;
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
        sqlite3_bind_text(insert, 3, entry->home, (int)entry->home_len, SQLITE_STATIC);
        sqlite3_bind_blob64(insert, 4, ops.bytes, ops.len, SQLITE_STATIC);
        sqlite3_bind_blob64(insert, 5, entry->locks_len ? (const void *)entry->locks : "", entry->locks_len,
                            SQLITE_STATIC);
        ok = finish(connection, insert, error);
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
    return finish(connection, statement, error);
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
        sqlite3_bind_text(insert, 2, names.len ? (const char *)names.bytes : "", (int)names.len, SQLITE_STATIC);
        ok = finish(connection, insert, error);
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

/* A key that a prepared insert will take must not be assigned to another row. */
static void raise_rowids(const struct schema *schema, struct wire_hello_answer *answer, struct cursor ops)
{
    uint32_t count;
    struct wire_op op;
    struct value *values = calloc(LIMIT_COLUMNS_MAX, sizeof *values);
    if (!values || !cursor_array(&ops, &count))
        count = 0;
    for (uint32_t i = 0; i < count && wire_get_op(&ops, &op, NULL); i++) {
        if (op.table >= schema->table_count)
            continue;
        const struct schema_table *table = &schema->tables[op.table];
        if (table->rowid_column == SCHEMA_NONE || !row_read(table, op.row, op.row_len, values, NULL) ||
            values[table->rowid_column].type != VALUE_INTEGER)
            continue;
        for (uint32_t t = 0; t < answer->table_count; t++)
            if (answer->tables[t].table == op.table) {
                answer->tables[t].has_rows = true;
                if (values[table->rowid_column].integer > answer->tables[t].rowid_max)
                    answer->tables[t].rowid_max = values[table->rowid_column].integer;
            }
    }
    free(values);
}

/* All locks are copied into one block, which begins at `*locks` here and is large enough for all of them. */
static bool describe_one(const struct schema *schema, struct wire_hello_answer *answer, sqlite3_stmt *row,
                         uint8_t **locks)
{
    struct wire_prepared *larger = grown(answer->prepared, answer->prepared_count, sizeof *larger);
    if (!larger)
        return false;
    answer->prepared = larger;
    struct wire_prepared *prepared = &larger[answer->prepared_count];
    *prepared = (struct wire_prepared){.txn = (uint64_t)sqlite3_column_int64(row, 0)};
    snprintf(prepared->home, sizeof prepared->home, "%s", (const char *)sqlite3_column_text(row, 1));
    answer->prepared_count++;
    prepared->locks = *locks;
    prepared->locks_len = (size_t)sqlite3_column_bytes(row, 3);
    if (prepared->locks_len)
        memcpy(*locks, sqlite3_column_blob(row, 3), prepared->locks_len);
    *locks += prepared->locks_len;
    raise_rowids(schema, answer, cursor_over(sqlite3_column_blob(row, 2), (size_t)sqlite3_column_bytes(row, 2)));
    return true;
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

static bool describe_prepared(sqlite3 *connection, const struct schema *schema, struct wire_hello_answer *answer,
                              struct error *error)
{
    if (!(answer->locks_block = block_for_locks(connection, error)))
        return false;
    uint8_t *locks = answer->locks_block;
    sqlite3_stmt *row = prepare(connection, "SELECT txn, home, ops, locks FROM _sheaf_prepared ORDER BY txn", error);
    if (!row)
        return false;
    int result = SQLITE_DONE;
    bool ok = true;
    while (ok && (result = sqlite3_step(row)) == SQLITE_ROW)
        ok = describe_one(schema, answer, row, &locks) || error_set(error, ERROR_INTERNAL, "out of memory");
    if (ok && result != SQLITE_DONE)
        ok = failed(connection, error);
    sqlite3_finalize(row);
    return ok;
}

bool prepared_describe(sqlite3 *connection, const struct schema *schema, struct wire_hello_answer *answer,
                       struct error *error)
{
    if (!describe_prepared(connection, schema, answer, error))
        return false;
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
