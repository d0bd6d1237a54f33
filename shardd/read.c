/* SPDX-License-Identifier: Apache-2.0 */
#include "read.h"

#include "change.h"
#include "insert.h"
#include "sql_name.h"

#include <stdlib.h>
#include <string.h>

#define SCAN_BYTES_SOFT 4194304u                                  /* a page ends here */
#define PAGE_BYTES_MAX ((size_t)LIMIT_MESSAGE_BYTES_MAX - 65536u) /* a generated column may make any row huge */

struct read {
    struct store *store;
    sqlite3_stmt ***exists; /* [table][key], made when first asked */
    sqlite3_stmt **rows;    /* [table]; likewise */
};

static bool failed(struct read *read, struct error *error)
{
    return error_set(error, ERROR_IO, "database %s: %s", store_database(read->store),
                     sqlite3_errmsg(store_connection(read->store)));
}

struct read *read_new(struct store *store, struct error *error)
{
    struct read *read = calloc(1, sizeof *read);
    if (read && (read->exists = calloc(store_schema(store)->table_count, sizeof *read->exists)) &&
        (read->rows = calloc(store_schema(store)->table_count, sizeof *read->rows))) {
        read->store = store;
        return read;
    }
    if (read)
        free(read->exists);
    free(read);
    error_set(error, ERROR_INTERNAL, "out of memory");
    return NULL;
}

void read_free(struct read *read)
{
    if (!read)
        return;
    const struct schema *schema = store_schema(read->store);
    for (table_id t = 0; t < schema->table_count; t++) {
        for (uint16_t k = 0; read->exists[t] && k < schema->tables[t].key_count; k++)
            sqlite3_finalize(read->exists[t][k]);
        free(read->exists[t]);
        sqlite3_finalize(read->rows[t]);
    }
    free(read->rows);
    free(read->exists);
    free(read);
}

static sqlite3_stmt *prepare(struct read *read, struct buffer *sql, bool put, struct error *error)
{
    sqlite3_stmt *statement = NULL;
    if (!put)
        error_set(error, ERROR_INTERNAL, "out of memory");
    else if (sqlite3_prepare_v2(store_connection(read->store), (const char *)sql->bytes, (int)sql->len, &statement,
                                NULL) != SQLITE_OK)
        failed(read, error);
    buffer_release(sql);
    return statement;
}

/* ---- exists ---- */

/* column = ?: the parent's affinity is applied to the value, and the key's collation compares. */
static bool put_exists(struct buffer *sql, const struct schema_table *table, const struct schema_key *key)
{
    bool ok = buffer_put_text(sql, "SELECT 1 FROM main.") && sql_put_name(sql, table->name);
    for (uint16_t i = 0; ok && i < key->column_count; i++)
        ok = buffer_put_text(sql, i ? " AND " : " WHERE ") && sql_put_name(sql, table->columns[key->columns[i]].name) &&
             buffer_format(sql, " = ? COLLATE %s", sql_collation_name(key->collations[i]));
    return ok && buffer_put_text(sql, " LIMIT 1");
}

static sqlite3_stmt *exists_statement(struct read *read, table_id id, uint16_t key, struct error *error)
{
    const struct schema_table *table = &store_schema(read->store)->tables[id];
    if (!read->exists[id] && !(read->exists[id] = calloc(table->key_count, sizeof **read->exists))) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    if (!read->exists[id][key]) {
        struct buffer sql = {0};
        read->exists[id][key] = prepare(read, &sql, put_exists(&sql, table, &table->keys[key]), error);
    }
    return read->exists[id][key];
}

/* 1 there, 0 not, -1 failed. */
static int look(sqlite3_stmt *statement, struct cursor *values, uint16_t columns)
{
    int result = SQLITE_OK;
    for (uint16_t i = 0; i < columns; i++) {
        struct value value;
        if (!cursor_value(values, &value))
            return -1;
        if (result == SQLITE_OK)
            result = insert_bind(statement, i + 1, &value);
    }
    if (result == SQLITE_OK)
        result = sqlite3_step(statement);
    sqlite3_reset(statement);
    return result == SQLITE_ROW ? 1 : result == SQLITE_DONE ? 0 : -1;
}

bool read_exists(struct read *read, const struct wire_exists *ask, struct buffer *answer, struct error *error)
{
    sqlite3_stmt *statement = exists_statement(read, ask->table, ask->key, error);
    uint8_t *there = malloc((size_t)ask->count + 1);
    bool ok = statement && (there || error_set(error, ERROR_INTERNAL, "out of memory"));
    struct cursor values = ask->values;
    uint16_t columns = store_schema(read->store)->tables[ask->table].keys[ask->key].column_count;
    for (uint32_t i = 0; ok && i < ask->count; i++) {
        int found = look(statement, &values, columns);
        ok = found >= 0 || failed(read, error);
        there[i] = found > 0;
    }
    ok = ok && (wire_put_exists_answer(answer, there, ask->count) || error_set(error, ERROR_INTERNAL, "out of memory"));
    free(there);
    return ok;
}

/* ---- keys ---- */

static bool put_keys(struct buffer *sql, const struct schema_table *table, const char *rowid, bool after)
{
    bool ok = buffer_put_text(sql, "SELECT ") && sql_put_name(sql, rowid) && buffer_put_text(sql, " FROM main.") &&
              sql_put_name(sql, table->name);
    if (ok && after)
        ok = buffer_put_text(sql, " WHERE ") && sql_put_name(sql, rowid) && buffer_put_text(sql, " > ?1");
    return ok && buffer_put_text(sql, " ORDER BY ") && sql_put_name(sql, rowid) && buffer_put_text(sql, " LIMIT ?2");
}

bool read_keys(struct read *read, const struct wire_keys *ask, struct buffer *answer, struct error *error)
{
    const struct schema_table *table = &store_schema(read->store)->tables[ask->table];
    const char *rowid = sql_rowid_name(table);
    if (!rowid)
        return error_set(error, ERROR_INTERNAL, "table %s has no rowids", table->name);
    struct buffer sql = {0};
    sqlite3_stmt *rows = prepare(read, &sql, put_keys(&sql, table, rowid, ask->has_after), error);
    int64_t *keys = malloc(((size_t)ask->limit + 1) * sizeof *keys);
    uint32_t count = 0;
    int result = SQLITE_DONE;
    bool ok = rows && (keys || error_set(error, ERROR_INTERNAL, "out of memory"));
    if (ok) {
        if (ask->has_after)
            sqlite3_bind_int64(rows, 1, ask->after);
        sqlite3_bind_int64(rows, 2, ask->limit);
        while (count < ask->limit && (result = sqlite3_step(rows)) == SQLITE_ROW)
            keys[count++] = sqlite3_column_int64(rows, 0);
        ok = result == SQLITE_ROW || result == SQLITE_DONE || failed(read, error);
    }
    ok = ok && (wire_put_keys_answer(answer, store_last_batch(read->store), count < ask->limit, keys, count) ||
                error_set(error, ERROR_INTERNAL, "out of memory"));
    sqlite3_finalize(rows);
    free(keys);
    return ok;
}

/* ---- scan ---- */

/* The columns that order a table: its primary key, else the rowid (NULL key). */
static const struct schema_key *order_of(const struct schema_table *table)
{
    return table->primary_key == SCHEMA_NONE ? NULL : &table->keys[table->primary_key];
}

static bool put_key_columns(struct buffer *sql, const struct schema_table *table, const struct schema_key *key,
                            const char *between)
{
    if (!key)
        return sql_put_name(sql, sql_rowid_name(table));
    bool ok = true;
    for (uint16_t i = 0; ok && i < key->column_count; i++)
        ok = (!i || buffer_put_text(sql, between)) && sql_put_name(sql, table->columns[key->columns[i]].name) &&
             (key->rowid || buffer_format(sql, " COLLATE %s", sql_collation_name(key->collations[i])));
    return ok;
}

bool read_put_columns(struct buffer *sql, const struct schema_table *table)
{
    bool ok = true;
    for (uint16_t i = 0; ok && i < table->column_count; i++)
        ok = (!i || buffer_put(sql, ",", 1)) && sql_put_name(sql, table->columns[i].name);
    return ok;
}

/* A bound value has no affinity: the column's is applied to it, and the column's collation compares. */
static bool put_filters(struct buffer *sql, const struct schema_table *table, const struct wire_scan *ask)
{
    struct cursor filters = ask->filters;
    bool ok = true;
    for (uint32_t i = 0; ok && i < ask->filter_count; i++) {
        uint32_t column;
        struct value value;
        ok = cursor_uint32(&filters, &column) && cursor_value(&filters, &value) &&
             buffer_put_text(sql, i || ask->after_count ? " AND " : " WHERE ") &&
             sql_put_name(sql, table->columns[column].name) && buffer_put_text(sql, " = ?");
    }
    return ok;
}

static bool put_scan(struct buffer *sql, const struct schema_table *table, const struct schema_key *key,
                     const struct wire_scan *ask)
{
    uint32_t after = ask->after_count;
    bool ok = buffer_put_text(sql, "SELECT ") && read_put_columns(sql, table) &&
              (key || (buffer_put(sql, ",", 1) && sql_put_name(sql, sql_rowid_name(table)))) &&
              buffer_put_text(sql, " FROM main.") && sql_put_name(sql, table->name);
    if (ok && after) {
        ok = buffer_put_text(sql, " WHERE (") && put_key_columns(sql, table, key, ",") && buffer_put_text(sql, ") > (");
        for (uint32_t i = 0; ok && i < after; i++)
            ok = buffer_put_text(sql, i ? ",?" : "?");
        ok = ok && buffer_put(sql, ")", 1);
    }
    return ok && put_filters(sql, table, ask) && buffer_put_text(sql, " ORDER BY ") &&
           put_key_columns(sql, table, key, ",");
}

bool read_put_row(const struct schema_table *table, sqlite3_stmt *row, struct buffer *answer)
{
    bool ok = pack_array(answer, table->column_count);
    for (uint16_t i = 0; ok && i < table->column_count; i++) {
        struct value value = insert_stored(row, i);
        ok = pack_value(answer, &value);
    }
    return ok;
}

static bool put_next(const struct schema_table *table, const struct schema_key *key, sqlite3_stmt *row,
                     struct buffer *next)
{
    buffer_clear(next);
    struct value value;
    if (!key) {
        value = insert_stored(row, table->column_count);
        return pack_array(next, 1) && pack_value(next, &value);
    }
    bool ok = pack_array(next, key->column_count);
    for (uint16_t i = 0; ok && i < key->column_count; i++) {
        value = insert_stored(row, key->columns[i]);
        ok = pack_value(next, &value);
    }
    return ok;
}

/* Rows until the page is full; `next` is the last row's key when another follows. A row that does not fit beside the
 * others is the next page's first. */
static bool put_page(struct read *read, const struct wire_scan *ask, sqlite3_stmt *rows, struct buffer *answer,
                     struct buffer *next, struct error *error)
{
    const struct schema_table *table = &store_schema(read->store)->tables[ask->table];
    const struct schema_key *key = order_of(table);
    size_t at, begun = answer->len;
    uint32_t count = 0;
    int result;
    if (!pack_array(answer, 2) || !pack_array_open(answer, &at))
        return error_set(error, ERROR_INTERNAL, "out of memory");
    bool full = false;
    while ((result = sqlite3_step(rows)) == SQLITE_ROW && !full) {
        size_t before = answer->len;
        if (!read_put_row(table, rows, answer))
            return error_set(error, ERROR_INTERNAL, "out of memory");
        if (answer->len - begun > PAGE_BYTES_MAX && count) {
            answer->len = before;
            break;
        }
        if (answer->len - begun > PAGE_BYTES_MAX)
            return error_set(error, ERROR_TOO_LARGE, "a row of %s is too large to be sent", table->name);
        count++;
        full = count >= ask->limit || answer->len - begun >= SCAN_BYTES_SOFT;
        if (!put_next(table, key, rows, next))
            return error_set(error, ERROR_INTERNAL, "out of memory");
    }
    if (result != SQLITE_ROW && result != SQLITE_DONE)
        return failed(read, error);
    pack_array_close(answer, at, count);
    bool put = result == SQLITE_ROW ? pack_raw(answer, next->bytes, next->len) : pack_array(answer, 0);
    return put || error_set(error, ERROR_INTERNAL, "out of memory");
}

bool read_scan(struct read *read, const struct wire_scan *ask, struct buffer *answer, struct error *error)
{
    const struct schema_table *table = &store_schema(read->store)->tables[ask->table];
    const struct schema_key *key = order_of(table);
    uint32_t key_columns = key ? key->column_count : 1;
    if (ask->limit == 0 || (ask->after_count && ask->after_count != key_columns))
        return error_set(error, ERROR_PARSE, "a scan of %s needs a limit and a key of %u values", table->name,
                         key_columns);
    if (!key && !sql_rowid_name(table))
        return error_set(error, ERROR_INTERNAL, "table %s has neither a key nor a name for its rowid", table->name);
    struct buffer sql = {0}, next = {0};
    sqlite3_stmt *rows = prepare(read, &sql, put_scan(&sql, table, key, ask), error);
    struct cursor after = ask->after;
    bool ok = rows != NULL;
    for (uint32_t i = 0; ok && i < ask->after_count; i++) {
        struct value value;
        ok =
            (cursor_value(&after, &value) && insert_bind(rows, (int)i + 1, &value) == SQLITE_OK) || failed(read, error);
    }
    struct cursor filters = ask->filters;
    for (uint32_t i = 0; ok && i < ask->filter_count; i++) {
        uint32_t column;
        struct value value;
        ok = (cursor_uint32(&filters, &column) && cursor_value(&filters, &value) &&
              insert_bind(rows, (int)(ask->after_count + i) + 1, &value) == SQLITE_OK) ||
             failed(read, error);
    }
    ok = ok && put_page(read, ask, rows, answer, &next, error);
    sqlite3_finalize(rows);
    buffer_release(&next);
    return ok;
}

/* ---- rows ---- */

static sqlite3_stmt *rows_statement(struct read *read, table_id id, struct error *error)
{
    const struct schema_table *table = &store_schema(read->store)->tables[id];
    struct buffer sql = {0};
    if (read->rows[id])
        return read->rows[id];
    bool put = buffer_put_text(&sql, "SELECT ") && read_put_columns(&sql, table) &&
               buffer_put_text(&sql, " FROM main.") && sql_put_name(&sql, table->name) && change_put_where(&sql, table);
    return read->rows[id] = prepare(read, &sql, put, error);
}

/* Binds the next key and steps: SQLITE_ROW, SQLITE_DONE or an error. */
static int look_up(sqlite3_stmt *statement, struct cursor *values, uint32_t columns)
{
    int result = SQLITE_OK;
    for (uint32_t i = 0; result == SQLITE_OK && i < columns; i++) {
        struct value value;
        result = cursor_value(values, &value) ? insert_bind(statement, (int)i + 1, &value) : SQLITE_ERROR;
    }
    return result == SQLITE_OK ? sqlite3_step(statement) : result;
}

bool read_rows(struct read *read, const struct wire_read *ask, struct buffer *answer, struct error *error)
{
    const struct schema_table *table = &store_schema(read->store)->tables[ask->table];
    sqlite3_stmt *statement = rows_statement(read, ask->table, error);
    struct cursor values = ask->values;
    const struct value none = value_null();
    size_t begun = answer->len;
    bool ok = statement && ((pack_array(answer, 1) && pack_array(answer, ask->count)) ||
                            error_set(error, ERROR_INTERNAL, "out of memory"));
    for (uint32_t i = 0; ok && i < ask->count; i++) {
        int result = look_up(statement, &values, schema_key_columns(table));
        if (result == SQLITE_ROW || result == SQLITE_DONE)
            ok = (result == SQLITE_ROW ? read_put_row(table, statement, answer) : pack_value(answer, &none)) ||
                 error_set(error, ERROR_INTERNAL, "out of memory");
        else
            ok = failed(read, error);
        if (ok && answer->len - begun > PAGE_BYTES_MAX)
            ok = error_set(error, ERROR_TOO_LARGE, "rows of %s that are too large to be sent together", table->name);
        sqlite3_reset(statement);
        sqlite3_clear_bindings(statement);
    }
    return ok;
}
