/* SPDX-License-Identifier: Apache-2.0 */
#include "rows.h"

#include "insert.h"
#include "sql_name.h"

static bool put_key(struct buffer *sql, const struct schema_table *table, int *ret_count)
{
    const struct schema_key *key = &table->keys[table->primary_key];
    bool ok = true;
    for (uint16_t i = 0; ok && i < key->column_count; i++)
        ok = sql_put_name(sql, table->columns[key->columns[i]].name) && buffer_put_text(sql, ", ");
    *ret_count = key->column_count;
    return ok;
}

static bool put_rowid(struct buffer *sql, const char *rowid, int *ret_count)
{
    *ret_count = 1;
    return sql_put_name(sql, rowid) && buffer_put_text(sql, ", ");
}

bool rows_put_locator(struct buffer *sql, const struct schema_table *table, int *ret_count)
{
    const char *rowid = sql_rowid_name(table);
    *ret_count = 0;
    if (rowid)
        return put_rowid(sql, rowid, ret_count);
    return table->primary_key == SCHEMA_NONE || put_key(sql, table, ret_count);
}

bool rows_put_shown(struct buffer *sql, const struct schema_table *table, int *ret_count)
{
    return table->primary_key == SCHEMA_NONE ? rows_put_locator(sql, table, ret_count) : put_key(sql, table, ret_count);
}

bool rows_describe(sqlite3_stmt *row, int first, int count, struct buffer *text)
{
    bool ok = true;
    for (int i = 0; ok && i < count; i++) {
        struct value value = insert_stored(row, first + i);
        ok = (i == 0 || buffer_put_text(text, ", ")) && value_describe(&value, text);
    }
    return ok && buffer_put(text, "", 1);
}
