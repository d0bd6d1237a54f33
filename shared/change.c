/* SPDX-License-Identifier: Apache-2.0 */
#include "change.h"

#include "insert.h"
#include "insert_explain.h"
#include "limits.h"
#include "sql_name.h"

#include <stdlib.h>
#include <string.h>

#define STATEMENTS_PER_TABLE 8u /* sets of columns changed */

struct prepared_update {
    sqlite3_stmt *statement;
    uint64_t given; /* hash of which columns; 0 when unused */
};

struct table_statements {
    struct prepared_update updates[STATEMENTS_PER_TABLE];
    sqlite3_stmt *delete;
};

struct change {
    sqlite3 *connection;
    const struct schema *schema;
    struct table_statements *tables;
    struct value *values; /* of the row at hand; */
    struct value *key;    /* and of its key */
};

struct change *change_new(sqlite3 *connection, const struct schema *schema, struct error *error)
{
    struct change *change = calloc(1, sizeof *change);
    if (change) {
        change->connection = connection;
        change->schema = schema;
        change->tables = calloc((size_t)schema->table_count + 1, sizeof *change->tables);
        change->values = calloc(LIMIT_COLUMNS_MAX, sizeof *change->values);
        change->key = calloc(LIMIT_COLUMNS_MAX, sizeof *change->key);
        if (change->tables && change->values && change->key)
            return change;
    }
    change_free(change);
    error_set(error, ERROR_INTERNAL, "out of memory");
    return NULL;
}

void change_free(struct change *change)
{
    if (!change)
        return;
    for (table_id t = 0; change->tables && t < change->schema->table_count; t++) {
        for (unsigned i = 0; i < STATEMENTS_PER_TABLE; i++)
            sqlite3_finalize(change->tables[t].updates[i].statement);
        sqlite3_finalize(change->tables[t].delete);
    }
    free(change->tables);
    free(change->values);
    free(change->key);
    free(change);
}

/* ---- statements ---- */

/* "id" = ? COLLATE …, its values to be bound in the key's order. */
static bool put_identity(struct buffer *sql, const struct schema_table *table)
{
    if (table->primary_key == SCHEMA_NONE) {
        const char *rowid = sql_rowid_name(table);
        return rowid && sql_put_name(sql, rowid) && buffer_put_text(sql, " = ?");
    }
    const struct schema_key *key = &table->keys[table->primary_key];
    bool ok = true;
    for (uint16_t i = 0; ok && i < key->column_count; i++) {
        ok = (!i || buffer_put_text(sql, " AND ")) && sql_put_name(sql, table->columns[key->columns[i]].name) &&
             buffer_put_text(sql, " = ?");
        if (ok && !key->rowid)
            ok = buffer_format(sql, " COLLATE %s", sql_collation_name(key->collations[i]));
    }
    return ok;
}

bool change_put_where(struct buffer *sql, const struct schema_table *table)
{
    return buffer_put_text(sql, " WHERE ") && put_identity(sql, table);
}

static bool put_update(struct buffer *sql, const struct schema_table *table, const struct value *values)
{
    bool ok = buffer_put_text(sql, "UPDATE OR ABORT main.") && sql_put_name(sql, table->name);
    bool first = true;
    for (uint16_t c = 0; ok && c < table->column_count; c++) {
        if (values[c].type == VALUE_ABSENT)
            continue;
        ok = buffer_put_text(sql, first ? " SET " : ", ") && sql_put_name(sql, table->columns[c].name) &&
             buffer_put_text(sql, " = ?");
        first = false;
    }
    return ok && change_put_where(sql, table);
}

static bool put_delete(struct buffer *sql, const struct schema_table *table)
{
    return buffer_put_text(sql, "DELETE FROM main.") && sql_put_name(sql, table->name) && change_put_where(sql, table);
}

static sqlite3_stmt *prepare(struct change *change, struct buffer *sql, bool put, struct error *error)
{
    sqlite3_stmt *statement = NULL;
    if (!put)
        error_set(error, ERROR_INTERNAL, "out of memory, or a table whose rows have no name");
    else if (sqlite3_prepare_v3(change->connection, (const char *)sql->bytes, (int)sql->len, SQLITE_PREPARE_PERSISTENT,
                                &statement, NULL) != SQLITE_OK)
        error_set(error, ERROR_INTERNAL, "%s", sqlite3_errmsg(change->connection));
    buffer_release(sql);
    return statement;
}

static uint64_t given_columns(const struct schema_table *table, const struct value *values)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (uint16_t c = 0; c < table->column_count; c++)
        hash = (hash ^ (values[c].type != VALUE_ABSENT) ^ ((uint64_t)c << 1)) * 0x100000001b3u;
    return hash | 1u;
}

static sqlite3_stmt *update_statement(struct change *change, table_id id, struct error *error)
{
    const struct schema_table *table = &change->schema->tables[id];
    uint64_t given = given_columns(table, change->values);
    struct prepared_update *slot = &change->tables[id].updates[(given >> 32) % STATEMENTS_PER_TABLE];
    struct buffer sql = {0};
    if (slot->given == given)
        return slot->statement;
    sqlite3_stmt *statement = prepare(change, &sql, put_update(&sql, table, change->values), error);
    if (statement) {
        sqlite3_finalize(slot->statement);
        *slot = (struct prepared_update){statement, given};
    }
    return statement;
}

static sqlite3_stmt *delete_statement(struct change *change, table_id id, struct error *error)
{
    struct buffer sql = {0};
    sqlite3_stmt **statement = &change->tables[id].delete;
    if (!*statement)
        *statement = prepare(change, &sql, put_delete(&sql, &change->schema->tables[id]), error);
    return *statement;
}

/* ---- what is given ---- */

static bool read_key(struct change *change, const struct schema_table *table, const uint8_t *key, size_t len,
                     uint32_t *ret_count, struct error *error)
{
    uint32_t expected = schema_key_columns(table);
    struct cursor cursor = cursor_over(key, len);
    bool ok = cursor_array(&cursor, ret_count) && *ret_count == expected;
    for (uint32_t i = 0; ok && i < expected; i++)
        ok = cursor_value(&cursor, &change->key[i]);
    return (ok && cursor_at_end(&cursor)) || error_set(error, ERROR_PARSE, "%s: what is no key", table->name);
}

/* What SQLite would not refuse by itself, or not in these words. */
static bool may_be_given(const struct schema_table *table, const struct value *values, struct error *error)
{
    uint16_t given = 0;
    for (uint16_t c = 0; c < table->column_count; c++) {
        const struct schema_column *column = &table->columns[c];
        if (values[c].type == VALUE_ABSENT)
            continue;
        given++;
        if (column->generated) {
            error_set(error, ERROR_PARSE, "column %s of table %s is generated: it takes no value", column->name,
                      table->name);
            return error_about(error, table->name, column->name);
        }
        if (values[c].type == VALUE_NULL && column->key_position) {
            error_set(error, ERROR_NOT_NULL, "%s.%s is part of the primary key and may not be NULL", table->name,
                      column->name);
            return error_about(error, table->name, column->name);
        }
    }
    return given > 0 || error_set(error, ERROR_PARSE, "%s: a change that changes no column", table->name);
}

static int bind_key(struct change *change, sqlite3_stmt *statement, int position, uint32_t key_count)
{
    int result = SQLITE_OK;
    for (uint32_t i = 0; result == SQLITE_OK && i < key_count; i++)
        result = insert_bind(statement, position++, &change->key[i]);
    return result;
}

/* ---- what was refused: rare enough to prepare for it each time ---- */

/* Stands at the row with the key, every column of it in order; NULL when there is none or it cannot be told. */
static sqlite3_stmt *row_at(struct change *change, table_id id, uint32_t key_count)
{
    const struct schema_table *table = &change->schema->tables[id];
    struct buffer sql = {0};
    bool put = buffer_put_text(&sql, "SELECT ");
    for (uint16_t c = 0; put && c < table->column_count; c++)
        put = (!c || buffer_put(&sql, ",", 1)) && sql_put_name(&sql, table->columns[c].name);
    put =
        put && buffer_put_text(&sql, " FROM main.") && sql_put_name(&sql, table->name) && change_put_where(&sql, table);
    sqlite3_stmt *row = prepare(change, &sql, put, NULL);
    if (row && bind_key(change, row, 1, key_count) == SQLITE_OK && sqlite3_step(row) == SQLITE_ROW)
        return row;
    sqlite3_finalize(row);
    return NULL;
}

/* The columns that the change leaves alone take what is stored; views into `row`. Generated ones follow the others and
 * stay ABSENT. */
static void fill_in(const struct schema_table *table, sqlite3_stmt *row, struct value *values)
{
    for (uint16_t c = 0; c < table->column_count; c++)
        if (values[c].type == VALUE_ABSENT && !table->columns[c].generated)
            values[c] = insert_stored(row, c);
}

static bool put_taken(struct buffer *sql, const struct schema_table *table, const struct schema_key *key)
{
    bool ok = buffer_put_text(sql, "SELECT 1 FROM main.") && sql_put_name(sql, table->name);
    for (uint16_t i = 0; ok && i < key->column_count; i++)
        ok = buffer_put_text(sql, i ? " AND " : " WHERE ") && sql_put_name(sql, table->columns[key->columns[i]].name) &&
             buffer_format(sql, " = ? COLLATE %s", sql_collation_name(key->collations[i]));
    return ok && buffer_put_text(sql, " AND NOT (") && put_identity(sql, table) && buffer_put(sql, ")", 1);
}

/* Whether another row has this key's values; false too where that cannot be told (an expression, a partial index). */
static bool is_taken(struct change *change, table_id id, const struct schema_key *key, uint32_t key_count)
{
    const struct schema_table *table = &change->schema->tables[id];
    struct buffer sql = {0};
    if (key->expression || key->partial)
        return false;
    for (uint16_t i = 0; i < key->column_count; i++)
        if (change->values[key->columns[i]].type == VALUE_ABSENT)
            return false;
    sqlite3_stmt *look = prepare(change, &sql, put_taken(&sql, table, key), NULL);
    int result = look ? SQLITE_OK : SQLITE_ERROR, position = 1;
    for (uint16_t i = 0; result == SQLITE_OK && i < key->column_count; i++)
        result = insert_bind(look, position++, &change->values[key->columns[i]]);
    bool taken = result == SQLITE_OK && bind_key(change, look, position, key_count) == SQLITE_OK &&
                 sqlite3_step(look) == SQLITE_ROW;
    sqlite3_finalize(look);
    return taken;
}

/* SQLite names the key that it happens to check first; an error names the first in declaration order (design 10). */
static void name_first_key(struct change *change, table_id id, uint32_t key_count, struct error *error)
{
    const struct schema_table *table = &change->schema->tables[id];
    sqlite3_stmt *row = row_at(change, id, key_count);
    if (!row)
        return;
    fill_in(table, row, change->values);
    for (uint16_t k = 0; k < table->key_count; k++)
        if (is_taken(change, id, &table->keys[k], key_count)) {
            insert_explain_unique(table, &table->keys[k], change->values, error);
            break;
        }
    sqlite3_finalize(row);
}

/* ---- one row ---- */

/* Binds the key from `position` on and runs the statement, unless `result` says that it has failed before. */
static enum change_result run(struct change *change, table_id id, sqlite3_stmt *statement, int result, int position,
                              uint32_t key_count, struct error *error)
{
    enum change_result outcome = CHANGE_DONE;
    if (result == SQLITE_OK)
        result = bind_key(change, statement, position, key_count);
    if (result == SQLITE_OK)
        result = sqlite3_step(statement);
    if (result != SQLITE_DONE) {
        result = sqlite3_extended_errcode(change->connection);
        insert_explain(change->connection, change->schema, id, result, error);
        outcome = insert_is_environment(result) ? CHANGE_FAILED : CHANGE_REFUSED;
    } else if (sqlite3_changes(change->connection) != 1) {
        const char *name = change->schema->tables[id].name;
        error_set(error, ERROR_NOT_FOUND, "%s has no row with this key", name);
        error_about(error, name, NULL);
        outcome = CHANGE_REFUSED;
    }
    sqlite3_reset(statement);
    if (outcome == CHANGE_REFUSED && error->code == ERROR_UNIQUE)
        name_first_key(change, id, key_count, error);
    sqlite3_clear_bindings(statement);
    return outcome;
}

enum change_result change_update(struct change *change, table_id id, const uint8_t *key, size_t key_len,
                                 const uint8_t *row, size_t row_len, struct error *error)
{
    const struct schema_table *table = &change->schema->tables[id];
    uint32_t key_count;
    if (!read_key(change, table, key, key_len, &key_count, error) ||
        !row_read(table, row, row_len, change->values, error) || !may_be_given(table, change->values, error))
        return CHANGE_REFUSED;
    sqlite3_stmt *statement = update_statement(change, id, error);
    if (!statement)
        return CHANGE_FAILED;
    int result = SQLITE_OK, position = 1;
    for (uint16_t c = 0; result == SQLITE_OK && c < table->column_count; c++)
        if (change->values[c].type != VALUE_ABSENT)
            result = insert_bind(statement, position++, &change->values[c]);
    return run(change, id, statement, result, position, key_count, error);
}

enum change_result change_delete(struct change *change, table_id id, const uint8_t *key, size_t key_len,
                                 struct error *error)
{
    uint32_t key_count;
    if (!read_key(change, &change->schema->tables[id], key, key_len, &key_count, error))
        return CHANGE_REFUSED;
    sqlite3_stmt *statement = delete_statement(change, id, error);
    return statement ? run(change, id, statement, SQLITE_OK, 1, key_count, error) : CHANGE_FAILED;
}
