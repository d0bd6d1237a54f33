/* SPDX-License-Identifier: Apache-2.0 */
#include "insert.h"

#include "insert_explain.h"
#include "limits.h"
#include "sql_name.h"

#include <stdlib.h>
#include <string.h>

#define STATEMENTS_PER_TABLE 8u /* sets of columns given; a file has one, a program a few */

/* One INSERT for one set of columns given. */
struct prepared_insert {
    sqlite3_stmt *statement;
    uint64_t given; /* hash of which columns; 0 when unused */
};

struct table_statements {
    struct prepared_insert inserts[STATEMENTS_PER_TABLE];
    sqlite3_stmt *stored; /* every column of the row with a primary key */
    sqlite3_stmt **taken; /* per key: whether a row has it */
};

struct insert {
    sqlite3 *connection;
    const struct schema *schema;
    struct affinity_scratch *scratch;
    struct table_statements *tables;
    struct value *values; /* of the row at hand */
};

struct insert *insert_new(sqlite3 *connection, const struct schema *schema, struct error *error)
{
    struct insert *insert = calloc(1, sizeof *insert);
    if (!insert) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    insert->connection = connection;
    insert->schema = schema;
    insert->tables = calloc(schema->table_count, sizeof *insert->tables);
    insert->values = calloc(LIMIT_COLUMNS_MAX, sizeof *insert->values);
    insert->scratch = affinity_open(error);
    if (!insert->tables || !insert->values || !insert->scratch) {
        if (insert->scratch)
            error_set(error, ERROR_INTERNAL, "out of memory");
        insert_free(insert);
        return NULL;
    }
    return insert;
}

void insert_free(struct insert *insert)
{
    if (!insert)
        return;
    for (table_id t = 0; insert->tables && t < insert->schema->table_count; t++) {
        for (unsigned i = 0; i < STATEMENTS_PER_TABLE; i++)
            sqlite3_finalize(insert->tables[t].inserts[i].statement);
        sqlite3_finalize(insert->tables[t].stored);
        for (uint16_t k = 0; insert->tables[t].taken && k < insert->schema->tables[t].key_count; k++)
            sqlite3_finalize(insert->tables[t].taken[k]);
        free(insert->tables[t].taken);
    }
    affinity_close(insert->scratch);
    free(insert->tables);
    free(insert->values);
    free(insert);
}

int insert_bind(sqlite3_stmt *statement, int position, const struct value *value)
{
    switch (value->type) {
    case VALUE_INTEGER:
        return sqlite3_bind_int64(statement, position, value->integer);
    case VALUE_REAL:
        return sqlite3_bind_double(statement, position, value->real);
    case VALUE_TEXT:
        return sqlite3_bind_text(statement, position, value->len ? value->bytes : "", (int)value->len, SQLITE_STATIC);
    case VALUE_BLOB:
        return value->len ? sqlite3_bind_blob(statement, position, value->bytes, (int)value->len, SQLITE_STATIC)
                          : sqlite3_bind_zeroblob(statement, position, 0);
    case VALUE_NULL:
    case VALUE_ABSENT:
        break;
    }
    return sqlite3_bind_null(statement, position);
}

struct value insert_stored(sqlite3_stmt *row, int column)
{
    switch (sqlite3_column_type(row, column)) {
    case SQLITE_INTEGER:
        return value_integer(sqlite3_column_int64(row, column));
    case SQLITE_FLOAT:
        return value_real(sqlite3_column_double(row, column));
    case SQLITE_TEXT: {
        const char *text = (const char *)sqlite3_column_text(row, column);
        return value_text(text, (size_t)sqlite3_column_bytes(row, column));
    }
    case SQLITE_BLOB: {
        const void *blob = sqlite3_column_blob(row, column);
        return value_blob(blob, (size_t)sqlite3_column_bytes(row, column));
    }
    default:
        return value_null();
    }
}

/* ---- statements ---- */

static bool put_insert(struct buffer *sql, const struct schema_table *table, const struct value *values)
{
    bool ok = buffer_put_text(sql, "INSERT OR ABORT INTO main.") && sql_put_name(sql, table->name);
    unsigned given = 0;
    for (uint16_t i = 0; ok && i < table->column_count; i++)
        if (values[i].type != VALUE_ABSENT)
            ok = buffer_put(sql, given++ ? "," : "(", 1) && sql_put_name(sql, table->columns[i].name);
    if (ok && !given)
        return buffer_put_text(sql, " DEFAULT VALUES");
    ok = ok && buffer_put_text(sql, ") VALUES (");
    for (unsigned i = 0; ok && i < given; i++)
        ok = buffer_put(sql, i ? ",?" : "?", i ? 2 : 1);
    return ok && buffer_put(sql, ")", 1);
}

static bool put_stored(struct buffer *sql, const struct schema_table *table)
{
    const struct schema_key *key = &table->keys[table->primary_key];
    bool ok = buffer_put_text(sql, "SELECT ");
    for (uint16_t i = 0; ok && i < table->column_count; i++)
        ok = (!i || buffer_put(sql, ",", 1)) && sql_put_name(sql, table->columns[i].name);
    ok = ok && buffer_put_text(sql, " FROM main.") && sql_put_name(sql, table->name);
    for (uint16_t i = 0; ok && i < key->column_count; i++)
        ok = buffer_put_text(sql, i ? " AND " : " WHERE ") && sql_put_name(sql, table->columns[key->columns[i]].name) &&
             buffer_put(sql, "=?", 2);
    return ok;
}

static sqlite3_stmt *prepare(struct insert *insert, const struct buffer *sql, bool put, struct error *error)
{
    sqlite3_stmt *statement = NULL;
    if (!put)
        error_set(error, ERROR_INTERNAL, "out of memory");
    else if (sqlite3_prepare_v3(insert->connection, (const char *)sql->bytes, (int)sql->len, SQLITE_PREPARE_PERSISTENT,
                                &statement, NULL) != SQLITE_OK)
        error_set(error, ERROR_INTERNAL, "%s", sqlite3_errmsg(insert->connection));
    return statement;
}

static uint64_t given_columns(const struct schema_table *table, const struct value *values)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (uint16_t i = 0; i < table->column_count; i++)
        hash = (hash ^ (values[i].type != VALUE_ABSENT) ^ ((uint64_t)i << 1)) * 0x100000001b3u;
    return hash | 1u;
}

static sqlite3_stmt *insert_statement(struct insert *insert, table_id id, struct error *error)
{
    const struct schema_table *table = &insert->schema->tables[id];
    uint64_t given = given_columns(table, insert->values);
    struct prepared_insert *slot = &insert->tables[id].inserts[(given >> 32) % STATEMENTS_PER_TABLE];
    if (slot->given == given)
        return slot->statement;
    struct buffer sql = {0};
    sqlite3_stmt *statement = prepare(insert, &sql, put_insert(&sql, table, insert->values), error);
    buffer_release(&sql);
    if (statement) {
        sqlite3_finalize(slot->statement);
        *slot = (struct prepared_insert){statement, given};
    }
    return statement;
}

/* ---- the same row again ---- */

/* The given value is what is stored, once the column's affinity is applied. */
static bool is_stored_so(struct insert *insert, const struct schema_column *column, const struct value *given,
                         const struct value *stored)
{
    struct value converted;
    if (value_same(given, stored))
        return true;
    return affinity_apply(insert->scratch, column->affinity, given, &converted, NULL) && value_same(&converted, stored);
}

/* 1: a row with this primary key has the same values in the columns given; 0: it has not, or there is none; -1: failed.
 */
static int same_is_there(struct insert *insert, table_id id, struct error *error)
{
    const struct schema_table *table = &insert->schema->tables[id];
    const struct schema_key *key = &table->keys[table->primary_key];
    sqlite3_stmt **stored = &insert->tables[id].stored;
    if (!*stored) {
        struct buffer sql = {0};
        *stored = prepare(insert, &sql, put_stored(&sql, table), error);
        buffer_release(&sql);
        if (!*stored)
            return -1;
    }
    int result = SQLITE_OK;
    for (uint16_t i = 0; result == SQLITE_OK && i < key->column_count; i++)
        result = insert_bind(*stored, i + 1, &insert->values[key->columns[i]]);
    if (result == SQLITE_OK)
        result = sqlite3_step(*stored);
    int same = result == SQLITE_ROW;
    for (uint16_t i = 0; same && i < table->column_count; i++) {
        struct value there = insert_stored(*stored, i);
        same = insert->values[i].type == VALUE_ABSENT || insert->values[i].filled ||
               is_stored_so(insert, &table->columns[i], &insert->values[i], &there);
    }
    if (result != SQLITE_ROW && result != SQLITE_DONE) {
        insert_explain(insert->connection, insert->schema, id, result, error);
        same = -1;
    }
    sqlite3_reset(*stored);
    sqlite3_clear_bindings(*stored);
    return same;
}

/* ---- which key is taken ---- */

static bool put_taken(struct buffer *sql, const struct schema_table *table, const struct schema_key *key)
{
    bool ok = buffer_put_text(sql, "SELECT 1 FROM main.") && sql_put_name(sql, table->name);
    for (uint16_t i = 0; ok && i < key->column_count; i++)
        ok = buffer_put_text(sql, i ? " AND " : " WHERE ") && sql_put_name(sql, table->columns[key->columns[i]].name) &&
             buffer_format(sql, "=? COLLATE %s", sql_collation_name(key->collations[i]));
    return ok;
}

/* Whether a row has this key's values; false too where that cannot be told (a default, an expression, a partial index).
 */
static bool is_taken(struct insert *insert, table_id id, uint16_t k)
{
    const struct schema_table *table = &insert->schema->tables[id];
    const struct schema_key *key = &table->keys[k];
    for (uint16_t i = 0; i < key->column_count; i++)
        if (insert->values[key->columns[i]].type == VALUE_ABSENT)
            return false;
    if (key->expression || key->partial)
        return false;
    sqlite3_stmt ***taken = &insert->tables[id].taken;
    if (!*taken && !(*taken = calloc(table->key_count, sizeof **taken)))
        return false;
    if (!(*taken)[k]) {
        struct buffer sql = {0};
        (*taken)[k] = prepare(insert, &sql, put_taken(&sql, table, key), NULL);
        buffer_release(&sql);
    }
    sqlite3_stmt *look = (*taken)[k];
    if (!look)
        return false;
    int result = SQLITE_OK;
    for (uint16_t i = 0; result == SQLITE_OK && i < key->column_count; i++)
        result = insert_bind(look, i + 1, &insert->values[key->columns[i]]);
    bool found = result == SQLITE_OK && sqlite3_step(look) == SQLITE_ROW;
    sqlite3_reset(look);
    sqlite3_clear_bindings(look);
    return found;
}

/* SQLite names the key that it happens to check first; an error names the first in declaration order. */
static void name_first_key(struct insert *insert, table_id id, struct error *error)
{
    const struct schema_table *table = &insert->schema->tables[id];
    for (uint16_t k = 0; k < table->key_count; k++)
        if (is_taken(insert, id, k)) {
            insert_explain_unique(table, &table->keys[k], insert->values, error);
            return;
        }
}

/* ---- one row ---- */

static bool gives_generated(const struct schema_table *table, const struct value *values, struct error *error)
{
    for (uint16_t i = 0; i < table->column_count; i++)
        if (table->columns[i].generated && values[i].type != VALUE_ABSENT && !values[i].filled) {
            error_set(error, ERROR_PARSE, "column %s of table %s is generated: it takes no value",
                      table->columns[i].name, table->name);
            error_about(error, table->name, table->columns[i].name);
            return true;
        }
    return false;
}

/* The coordinator needed them; here SQLite computes them itself. */
static void drop_generated(const struct schema_table *table, struct value *values)
{
    for (uint16_t i = 0; i < table->column_count; i++)
        if (table->columns[i].generated)
            values[i] = value_absent();
}

/* SQLite allows NULL in a primary key that is not the rowid, unless the table is WITHOUT ROWID; Sheaf does not. */
static bool null_in_key(const struct schema_table *table, const struct value *values, struct error *error)
{
    if (table->primary_key == SCHEMA_NONE || table->keys[table->primary_key].rowid)
        return false;
    const struct schema_key *key = &table->keys[table->primary_key];
    for (uint16_t i = 0; i < key->column_count; i++) {
        const struct schema_column *column = &table->columns[key->columns[i]];
        const struct value *value = &values[key->columns[i]];
        if (value->type == VALUE_NULL || (value->type == VALUE_ABSENT && !column->has_default && !column->generated)) {
            error_set(error, ERROR_NOT_NULL, "%s.%s is part of the primary key and may not be NULL", table->name,
                      column->name);
            error_about(error, table->name, column->name);
            return true;
        }
    }
    return false;
}

bool insert_is_environment(int result)
{
    switch (result & 0xff) {
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
    case SQLITE_ERROR: /* an expression of the schema that fails for this row, such as an integer overflow */
        return false;
    default:
        return true;
    }
}

static enum insert_result refused(struct insert *insert, table_id id, int result, bool same_is_fine,
                                  struct error *error)
{
    const struct schema_table *table = &insert->schema->tables[id];
    insert_explain(insert->connection, insert->schema, id, result, error);
    if (insert_is_environment(result))
        return INSERT_FAILED;
    if (error->code != ERROR_UNIQUE)
        return INSERT_REFUSED;
    if (same_is_fine && row_key_is_given(table, insert->values)) {
        struct error failed;
        int same = same_is_there(insert, id, &failed);
        if (same < 0) {
            *error = failed;
            return INSERT_FAILED;
        }
        if (same)
            return INSERT_SAME;
    }
    name_first_key(insert, id, error);
    return INSERT_REFUSED;
}

enum insert_result insert_row(struct insert *insert, table_id id, const uint8_t *row, size_t len, bool same_is_fine,
                              int64_t *ret_rowid, struct error *error)
{
    const struct schema_table *table = &insert->schema->tables[id];
    if (!row_read(table, row, len, insert->values, error) || null_in_key(table, insert->values, error) ||
        gives_generated(table, insert->values, error))
        return INSERT_REFUSED;
    drop_generated(table, insert->values);
    sqlite3_stmt *statement = insert_statement(insert, id, error);
    if (!statement)
        return INSERT_FAILED;
    int result = SQLITE_OK, position = 1;
    for (uint16_t i = 0; result == SQLITE_OK && i < table->column_count; i++)
        if (insert->values[i].type != VALUE_ABSENT)
            result = insert_bind(statement, position++, &insert->values[i]);
    if (result == SQLITE_OK)
        result = sqlite3_step(statement);
    enum insert_result outcome = INSERT_DONE;
    if (result != SQLITE_DONE) {
        result = sqlite3_extended_errcode(insert->connection);
        outcome = refused(insert, id, result, same_is_fine, error);
    } else if (sqlite3_changes(insert->connection) != 1) {
        error_set(error, ERROR_INTERNAL, "%s: SQLite inserted no row and gave no reason", table->name);
        error_about(error, table->name, NULL);
        outcome = INSERT_REFUSED;
    } else if (ret_rowid && !table->without_rowid) {
        *ret_rowid = sqlite3_last_insert_rowid(insert->connection);
    }
    sqlite3_reset(statement);
    return outcome;
}
