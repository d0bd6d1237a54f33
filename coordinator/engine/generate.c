/* SPDX-License-Identifier: Apache-2.0 */
#include "generate.h"

#include "insert.h"
#include "sql_name.h"

#include <sqlite3.h>
#include <stdlib.h>

struct generate {
    const struct schema *schema;
    bool *wanted;         /* per table */
    sqlite3 *memory;      /* every table, empty; NULL when none is wanted */
    sqlite3_stmt *result; /* of the last row: its values view it */
};

static bool is_wanted(const struct schema *schema, const struct schema_table *table, uint16_t column)
{
    if (!table->columns[column].generated)
        return false;
    for (uint16_t r = 0; r < table->reference_count; r++) {
        const struct schema_reference *reference = &schema->references[table->references[r]];
        for (uint16_t i = 0; i < reference->column_count; i++)
            if (reference->child_columns[i] == column)
                return true;
    }
    for (uint16_t k = 0; k < table->key_count; k++)
        for (uint16_t i = 0; table->keys[k].referenced && i < table->keys[k].column_count; i++)
            if (table->keys[k].columns[i] == column)
                return true;
    return false;
}

/* Rules are the shard's to judge, but for those that no INSERT can be rid of. */
static bool open_memory(struct generate *generate)
{
    return sqlite3_open_v2(":memory:", &generate->memory,
                           SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK &&
           sqlite3_db_config(generate->memory, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL) == SQLITE_OK &&
           sqlite3_exec(generate->memory, generate->schema->text, NULL, NULL, NULL) == SQLITE_OK &&
           sqlite3_exec(generate->memory, "PRAGMA ignore_check_constraints = ON", NULL, NULL, NULL) == SQLITE_OK;
}

struct generate *generate_new(const struct schema *schema, struct error *error)
{
    struct generate *generate = calloc(1, sizeof *generate);
    bool ok = generate && (generate->wanted = calloc((size_t)schema->table_count + 1, sizeof *generate->wanted));
    bool any = false;
    for (table_id t = 0; ok && t < schema->table_count; t++)
        for (uint16_t c = 0; c < schema->tables[t].column_count; c++)
            if (is_wanted(schema, &schema->tables[t], c))
                any = generate->wanted[t] = true;
    if (ok)
        generate->schema = schema;
    if (ok && (!any || open_memory(generate)))
        return generate;
    error_set(error, ERROR_INTERNAL, "generated columns: %s",
              ok && generate->memory ? sqlite3_errmsg(generate->memory) : "out of memory");
    generate_free(generate);
    return NULL;
}

void generate_free(struct generate *generate)
{
    if (!generate)
        return;
    sqlite3_finalize(generate->result);
    sqlite3_close(generate->memory);
    free(generate->wanted);
    free(generate);
}

bool generate_wanted(const struct generate *generate, table_id table)
{
    return generate->wanted[table];
}

static bool is_given(const struct schema_table *table, const struct value *values, uint16_t column)
{
    return !table->columns[column].generated && values[column].type != VALUE_ABSENT;
}

static bool put_insert(struct buffer *sql, const struct schema_table *table, const struct value *values)
{
    bool any = false;
    bool ok = buffer_put_text(sql, "INSERT INTO ") && sql_put_name(sql, table->name);
    for (uint16_t c = 0; ok && c < table->column_count; c++)
        if (is_given(table, values, c)) {
            ok = buffer_put_text(sql, any ? ", " : " (") && sql_put_name(sql, table->columns[c].name);
            any = true;
        }
    ok = ok && buffer_put_text(sql, any ? ") VALUES (?" : " DEFAULT VALUES");
    bool first = true;
    for (uint16_t c = 0; ok && c < table->column_count; c++)
        if (is_given(table, values, c)) {
            ok = first || buffer_put_text(sql, ", ?");
            first = false;
        }
    return ok && (!any || buffer_put_text(sql, ")")) && buffer_put(sql, "", 1);
}

static bool put_select(struct buffer *sql, const struct schema *schema, const struct schema_table *table)
{
    bool any = false;
    bool ok = buffer_put_text(sql, "SELECT ");
    for (uint16_t c = 0; ok && c < table->column_count; c++)
        if (is_wanted(schema, table, c)) {
            ok = (!any || buffer_put_text(sql, ", ")) && sql_put_name(sql, table->columns[c].name);
            any = true;
        }
    return ok && buffer_put_text(sql, " FROM ") && sql_put_name(sql, table->name) && buffer_put(sql, "", 1);
}

static sqlite3_stmt *prepare(sqlite3 *memory, const struct buffer *sql)
{
    sqlite3_stmt *statement = NULL;
    sqlite3_prepare_v2(memory, (const char *)sql->bytes, (int)sql->len, &statement, NULL);
    return statement;
}

/* Whether SQLite takes the row. */
static bool insert(const struct generate *generate, const struct schema_table *table, const struct value *values,
                   const struct buffer *sql)
{
    sqlite3_stmt *statement = prepare(generate->memory, sql);
    bool ok = statement != NULL;
    int position = 1;
    for (uint16_t c = 0; ok && c < table->column_count; c++)
        if (is_given(table, values, c))
            ok = insert_bind(statement, position++, &values[c]) == SQLITE_OK;
    ok = ok && sqlite3_step(statement) == SQLITE_DONE;
    sqlite3_finalize(statement);
    return ok;
}

static void take(const struct generate *generate, const struct schema_table *table, struct value *values)
{
    int column = 0;
    for (uint16_t c = 0; c < table->column_count; c++)
        if (is_wanted(generate->schema, table, c)) {
            values[c] = insert_stored(generate->result, column++);
            values[c].filled = true;
        }
}

bool generate_row(struct generate *generate, table_id id, struct value *values, struct error *error)
{
    const struct schema_table *table = &generate->schema->tables[id];
    struct buffer put = {0}, get = {0};
    sqlite3_finalize(generate->result);
    generate->result = NULL;
    if (!sqlite3_get_autocommit(generate->memory)) /* the row before goes */
        sqlite3_exec(generate->memory, "ROLLBACK", NULL, NULL, NULL);
    sqlite3_exec(generate->memory, "BEGIN", NULL, NULL, NULL);
    bool ok = put_insert(&put, table, values) && put_select(&get, generate->schema, table);
    if (!ok)
        error_set(error, ERROR_INTERNAL, "out of memory");
    else if (insert(generate, table, values, &put) && (generate->result = prepare(generate->memory, &get)) != NULL &&
             sqlite3_step(generate->result) == SQLITE_ROW)
        take(generate, table, values);
    buffer_release(&put);
    buffer_release(&get);
    return ok;
}
