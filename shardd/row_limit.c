/* SPDX-License-Identifier: Apache-2.0 */
#include "row_limit.h"

#include "change.h"
#include "insert.h"
#include "pack.h"
#include "row.h"
#include "sql_name.h"

#include <stdlib.h>

/* What one column, and the array's head, may take more in the wire form than in a record: a key that is the rowid, or a
 * 0.0, is nothing there and eight bytes here. */
#define MORE_PER_COLUMN 8

int row_limit_narrow(sqlite3 *connection, const struct schema_table *table)
{
    return sqlite3_limit(connection, SQLITE_LIMIT_LENGTH,
                         LIMIT_ROW_BYTES_MAX - MORE_PER_COLUMN * (table->column_count + 1));
}

void row_limit_wide(sqlite3 *connection)
{
    sqlite3_limit(connection, SQLITE_LIMIT_LENGTH, LIMIT_MESSAGE_BYTES_MAX);
}

void row_limit_end(sqlite3 *connection, int before)
{
    sqlite3_limit(connection, SQLITE_LIMIT_LENGTH, before);
}

/* ---- measuring ---- */

static bool put_select(struct buffer *sql, const struct schema_table *table)
{
    bool ok = buffer_put_text(sql, "SELECT NULL");
    for (uint16_t i = 0; ok && i < table->column_count; i++)
        if (!table->columns[i].generated)
            ok = buffer_put(sql, ",", 1) && sql_put_name(sql, table->columns[i].name);
    return ok && buffer_put_text(sql, " FROM main.") && sql_put_name(sql, table->name) && change_put_where(sql, table);
}

/* The name that the row has now: what the write gave, else what it was called before. */
static int bind_name(sqlite3 *connection, sqlite3_stmt *look, const struct schema_table *table,
                     const struct wire_op *op, const struct value *given)
{
    const struct schema_key *key = table->primary_key == SCHEMA_NONE ? NULL : &table->keys[table->primary_key];
    struct cursor names = cursor_over(op->key, op->key_len);
    uint32_t count = 0;
    if (op->kind == WIRE_ENTRY_INSERT && (!key || key->rowid))
        return sqlite3_bind_int64(look, 1, sqlite3_last_insert_rowid(connection));
    if (op->kind == WIRE_ENTRY_UPDATE && (!cursor_array(&names, &count) || count != schema_key_columns(table)))
        return SQLITE_ERROR;
    int result = SQLITE_OK;
    for (uint32_t i = 0; result == SQLITE_OK && i < schema_key_columns(table); i++) {
        struct value value = value_null();
        if (op->kind == WIRE_ENTRY_UPDATE && !cursor_value(&names, &value))
            return SQLITE_ERROR;
        if (key && given[key->columns[i]].type != VALUE_ABSENT)
            value = given[key->columns[i]];
        result = insert_bind(look, (int)i + 1, &value);
    }
    return result;
}

static bool pack_stored(const struct schema_table *table, sqlite3_stmt *row, struct buffer *bytes)
{
    int at = 1;
    bool ok = pack_array(bytes, table->column_count);
    for (uint16_t i = 0; ok && i < table->column_count; i++) {
        struct value value = table->columns[i].generated ? value_absent() : insert_stored(row, at++);
        ok = pack_value(bytes, &value);
    }
    return ok;
}

bool row_limit_keeps(sqlite3 *connection, const struct schema *schema, const struct wire_op *op, struct error *error)
{
    const struct schema_table *table = &schema->tables[op->table];
    struct buffer sql = {0}, bytes = {0};
    sqlite3_stmt *look = NULL;
    struct value *given = calloc((size_t)table->column_count + 1, sizeof *given);
    bool ok = (given && put_select(&sql, table)) || error_set(error, ERROR_INTERNAL, "out of memory");
    ok = ok && row_read(table, op->row, op->row_len, given, error);
    if (ok && (sqlite3_prepare_v2(connection, (const char *)sql.bytes, (int)sql.len, &look, NULL) != SQLITE_OK ||
               bind_name(connection, look, table, op, given) != SQLITE_OK || sqlite3_step(look) != SQLITE_ROW))
        ok = error_set(error, ERROR_INTERNAL, "%s: the row that was written cannot be measured: %s", table->name,
                       sqlite3_errmsg(connection));
    ok = ok && (pack_stored(table, look, &bytes) || error_set(error, ERROR_INTERNAL, "out of memory"));
    if (ok && bytes.len > LIMIT_ROW_BYTES_MAX)
        ok = error_set(error, ERROR_TOO_LARGE, "%s: the row would have %zu bytes, more than %d", table->name, bytes.len,
                       LIMIT_ROW_BYTES_MAX);
    if (!ok)
        error_about(error, table->name, NULL);
    sqlite3_finalize(look);
    buffer_release(&sql);
    buffer_release(&bytes);
    free(given);
    return ok;
}
