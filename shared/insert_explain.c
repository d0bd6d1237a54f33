/* SPDX-License-Identifier: Apache-2.0 */
#include "insert_explain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *behind(const char *text, const char *prefix)
{
    size_t len = strlen(prefix);
    return strncmp(text, prefix, len) ? NULL : text + len;
}

/* "t.a, t.b" as SQLite writes a key's columns. */
static bool is_written_so(const struct schema_table *table, const struct schema_key *key, const char *written)
{
    for (uint16_t i = 0; i < key->column_count; i++) {
        const char *rest = written;
        if (i && !(rest = behind(rest, ", ")))
            return false;
        if (!(rest = behind(rest, table->name)) || !(rest = behind(rest, ".")) ||
            !(rest = behind(rest, table->columns[key->columns[i]].name)))
            return false;
        written = rest;
    }
    return *written == '\0';
}

/* Which key a "UNIQUE constraint failed: …" names; NULL for one with an expression. */
static const struct schema_key *key_of(const struct schema_table *table, const char *written)
{
    for (uint16_t i = 0; i < table->key_count; i++)
        if (!table->keys[i].expression && is_written_so(table, &table->keys[i], written))
            return &table->keys[i];
    return NULL;
}

static void explain_unique(const struct schema_table *table, const char *message, struct error *error)
{
    const char *written = behind(message, "UNIQUE constraint failed: ");
    const struct schema_key *key = written ? key_of(table, written) : NULL;
    char columns[sizeof error->constraint] = "";
    if (key)
        schema_columns_joined(table, key->columns, key->column_count, columns, sizeof columns);
    else if (written && behind(written, "index '"))
        snprintf(columns, sizeof columns, "%.*s", (int)strcspn(behind(written, "index '"), "'"),
                 behind(written, "index '"));
    error_set(error, ERROR_UNIQUE, "%s (%s): a row with this key is there already", table->name, columns);
    error_about(error, table->name, columns);
}

void insert_explain_unique(const struct schema_table *table, const struct schema_key *key, const struct value *values,
                           struct error *error)
{
    struct buffer text = {0};
    char columns[sizeof error->constraint];
    schema_columns_joined(table, key->columns, key->column_count, columns, sizeof columns);
    bool ok = buffer_format(&text, "%s (%s) ", table->name, columns);
    for (uint16_t i = 0; ok && i < key->column_count; i++)
        ok = (!i || buffer_put_text(&text, ", ")) && value_describe(&values[key->columns[i]], &text);
    if (ok && buffer_put(&text, "", 1)) {
        error_set(error, ERROR_UNIQUE, "%s: a row with this key is there already", (const char *)text.bytes);
        error_about(error, table->name, columns);
    }
    buffer_release(&text);
}

static void explain_check(const struct schema_table *table, const char *message, struct error *error)
{
    const char *name = behind(message, "CHECK constraint failed: ");
    error_set(error, ERROR_CHECK, "%s: the row does not meet the rule %s", table->name, name ? name : message);
    error_about(error, table->name, name ? name : "");
}

/* The column at the end of "… table.column". */
static const char *column_behind(const struct schema_table *table, const char *written)
{
    const char *rest = written ? behind(written, table->name) : NULL;
    return rest ? behind(rest, ".") : NULL;
}

static void explain_not_null(const struct schema_table *table, const char *message, struct error *error)
{
    const char *column = column_behind(table, behind(message, "NOT NULL constraint failed: "));
    error_set(error, ERROR_NOT_NULL, "%s.%s may not be NULL", table->name, column ? column : "?");
    error_about(error, table->name, column ? column : "");
}

/* STRICT: "cannot store TEXT value in INTEGER column t.c". */
static void explain_type(const struct schema_table *table, const char *message, struct error *error)
{
    const char *at = strstr(message, " column ");
    const char *column = at ? column_behind(table, at + strlen(" column ")) : NULL;
    error_set(error, ERROR_TYPE, "%s: %s", table->name, message);
    error_about(error, table->name, column ? column : "");
}

static void explain_mismatch(const struct schema_table *table, struct error *error)
{
    const char *column = table->rowid_column == SCHEMA_NONE ? "" : table->columns[table->rowid_column].name;
    error_set(error, ERROR_TYPE, "%s.%s must be an integer", table->name, column);
    error_about(error, table->name, column);
}

void insert_explain(sqlite3 *connection, const struct schema *schema, table_id id, int result, struct error *error)
{
    const struct schema_table *table = &schema->tables[id];
    const char *message = sqlite3_errmsg(connection);
    switch (result) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
        explain_unique(table, message, error);
        return;
    case SQLITE_CONSTRAINT_CHECK:
        explain_check(table, message, error);
        return;
    case SQLITE_CONSTRAINT_NOTNULL:
        explain_not_null(table, message, error);
        return;
    case SQLITE_CONSTRAINT_DATATYPE:
        explain_type(table, message, error);
        return;
    case SQLITE_MISMATCH:
        explain_mismatch(table, error);
        return;
    case SQLITE_TOOBIG:
        error_set(error, ERROR_TOO_LARGE, "%s: a value is too large for SQLite", table->name);
        error_about(error, table->name, NULL);
        return;
    default:
        break;
    }
    if ((result & 0xff) == SQLITE_CONSTRAINT ||
        (result & 0xff) == SQLITE_ERROR) /* RAISE in a trigger; an expression that fails */
        error_set(error, ERROR_CHECK, "%s: %s", table->name, message);
    else if ((result & 0xff) == SQLITE_NOMEM)
        error_set(error, ERROR_INTERNAL, "out of memory");
    else
        error_set(error, ERROR_IO, "%s: %s", table->name, message);
    error_about(error, table->name, NULL);
}
