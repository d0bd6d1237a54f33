/* SPDX-License-Identifier: Apache-2.0 */
#include "children.h"

#include "insert.h"
#include "read.h"
#include "sql_name.h"

#include <stdlib.h>
#include <string.h>

#define ANSWER_BYTES_MAX ((size_t)LIMIT_MESSAGE_BYTES_MAX - 65536u)

struct children {
    struct store *store;
    bool *indexed; /* per reference: the index is there */
};

struct children *children_new(struct store *store, struct error *error)
{
    struct children *children = calloc(1, sizeof *children);
    if (children &&
        (children->indexed = calloc((size_t)store_schema(store)->reference_count + 1, sizeof *children->indexed))) {
        children->store = store;
        return children;
    }
    free(children);
    error_set(error, ERROR_INTERNAL, "out of memory");
    return NULL;
}

void children_free(struct children *children)
{
    if (!children)
        return;
    free(children->indexed);
    free(children);
}

static bool failed(struct children *children, struct error *error)
{
    return error_set(error, ERROR_IO, "database %s: %s", store_database(children->store),
                     sqlite3_errmsg(store_connection(children->store)));
}

static bool out_of_memory(struct error *error)
{
    return error_set(error, ERROR_INTERNAL, "out of memory");
}

/* ---- the index ---- */

static enum collation collation_of(const struct schema *schema, const struct schema_reference *reference, uint16_t i)
{
    const struct schema_key *key = &schema->tables[reference->parent].keys[reference->parent_key];
    for (uint16_t k = 0; k < key->column_count; k++)
        if (reference->key_order[k] == i)
            return key->rowid ? COLLATION_BINARY : key->collations[k];
    return COLLATION_BINARY;
}

/* Whether the index begins with the reference's columns, in some order, each in the collation that it is looked up by.
 */
static bool serves(sqlite3_stmt *columns, const struct schema *schema, const struct schema_reference *reference)
{
    const struct schema_table *table = &schema->tables[reference->child];
    uint16_t found = 0;
    while (found < reference->column_count && sqlite3_step(columns) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(columns, 2);
        const char *collation = (const char *)sqlite3_column_text(columns, 4);
        bool fits = false;
        for (uint16_t i = 0; name && collation && i < reference->column_count; i++)
            fits |= !sqlite3_stricmp(name, table->columns[reference->child_columns[i]].name) &&
                    !sqlite3_stricmp(collation, sql_collation_name(collation_of(schema, reference, i)));
        if (!fits)
            break;
        found++;
    }
    return found == reference->column_count;
}

static sqlite3_stmt *ask(struct children *children, const char *format, const char *name, struct error *error)
{
    sqlite3_stmt *statement = NULL;
    char *sql = sqlite3_mprintf(format, name);
    if (!sql)
        out_of_memory(error);
    else if (sqlite3_prepare_v2(store_connection(children->store), sql, -1, &statement, NULL) != SQLITE_OK)
        failed(children, error);
    sqlite3_free(sql);
    return statement;
}

static bool has_index(struct children *children, const struct schema_reference *reference, bool *ret_has,
                      struct error *error)
{
    const struct schema *schema = store_schema(children->store);
    sqlite3_stmt *indexes = ask(children, "PRAGMA main.index_list(%Q)", schema->tables[reference->child].name, error);
    bool ok = indexes != NULL;
    *ret_has =
        reference->column_count == 1 && schema->tables[reference->child].rowid_column == reference->child_columns[0];
    while (ok && !*ret_has && sqlite3_step(indexes) == SQLITE_ROW) {
        if (sqlite3_column_int(indexes, 4)) /* partial */
            continue;
        sqlite3_stmt *columns =
            ask(children, "PRAGMA main.index_xinfo(%Q)", (const char *)sqlite3_column_text(indexes, 1), error);
        ok = columns != NULL;
        *ret_has = ok && serves(columns, schema, reference);
        sqlite3_finalize(columns);
    }
    sqlite3_finalize(indexes);
    return ok;
}

static bool put_index(struct buffer *sql, const struct schema *schema, reference_id id)
{
    const struct schema_reference *reference = &schema->references[id];
    const struct schema_table *table = &schema->tables[reference->child];
    bool ok = buffer_format(sql, "CREATE INDEX IF NOT EXISTS main._sheaf_ix_%u ON ", id) &&
              sql_put_name(sql, table->name) && buffer_put_text(sql, " (");
    for (uint16_t i = 0; ok && i < reference->column_count; i++)
        ok = buffer_put_text(sql, i ? ", " : "") &&
             sql_put_name(sql, table->columns[reference->child_columns[i]].name) &&
             buffer_format(sql, " COLLATE %s", sql_collation_name(collation_of(schema, reference, i)));
    return ok && buffer_put(sql, ")", 2); /* with its NUL */
}

static bool ensure_index(struct children *children, reference_id id, struct error *error)
{
    const struct schema *schema = store_schema(children->store);
    struct buffer sql = {0};
    bool has = children->indexed[id];
    if (has)
        return true;
    bool ok = has_index(children, &schema->references[id], &has, error);
    if (ok && !has) {
        ok = put_index(&sql, schema, id) || out_of_memory(error);
        ok = ok &&
             (sqlite3_exec(store_connection(children->store), (const char *)sql.bytes, NULL, NULL, NULL) == SQLITE_OK ||
              failed(children, error));
    }
    children->indexed[id] = ok;
    buffer_release(&sql);
    return ok;
}

/* ---- the rows ---- */

static bool is_number(const struct value *value)
{
    return value->type == VALUE_INTEGER || value->type == VALUE_REAL;
}

/* In SQLite the parent's column stands on the left, with its affinity and collation: a CAST has the same, and leaves
 * a value alone that the column has stored. */
static bool put_parent(struct buffer *sql, enum affinity affinity, enum collation collation, const struct value *value)
{
    const char *operand = "?";
    if (affinity >= AFFINITY_NUMERIC && is_number(value))
        operand = "CAST(? AS NUMERIC)";
    else if (affinity == AFFINITY_TEXT && value->type == VALUE_TEXT)
        operand = "CAST(? AS TEXT)";
    return buffer_format(sql, "%s COLLATE %s = ", operand, sql_collation_name(collation));
}

static bool put_find(struct buffer *sql, const struct schema *schema, const struct schema_reference *reference,
                     const struct value *values)
{
    const struct schema_table *child = &schema->tables[reference->child];
    const struct schema_table *parent = &schema->tables[reference->parent];
    bool ok = buffer_put_text(sql, "SELECT ") && read_put_columns(sql, child);
    if (ok && child->primary_key == SCHEMA_NONE && sql_rowid_name(child))
        ok = buffer_put_text(sql, ", ") && sql_put_name(sql, sql_rowid_name(child));
    ok = ok && buffer_put_text(sql, " FROM main.") && sql_put_name(sql, child->name);
    for (uint16_t i = 0; ok && i < reference->column_count; i++)
        ok = buffer_put_text(sql, i ? " AND " : " WHERE ") &&
             put_parent(sql, parent->columns[reference->parent_columns[i]].affinity, collation_of(schema, reference, i),
                        &values[i]) &&
             sql_put_name(sql, child->columns[reference->child_columns[i]].name);
    return ok;
}

static bool put_row(const struct schema_table *table, sqlite3_stmt *row, struct buffer *answer, struct error *error)
{
    const struct value none = value_null();
    struct value rowid = table->primary_key == SCHEMA_NONE && sql_rowid_name(table)
                             ? value_integer(sqlite3_column_int64(row, table->column_count))
                             : none;
    return (pack_value(answer, &rowid) && read_put_row(table, row, answer)) || out_of_memory(error);
}

static bool put_rows(struct children *children, const struct schema_table *table, sqlite3_stmt *rows,
                     struct buffer *answer, struct error *error)
{
    size_t at, begun = answer->len;
    uint32_t count = 0;
    int result;
    if (!pack_array(answer, 1) || !pack_array_open(answer, &at))
        return out_of_memory(error);
    while ((result = sqlite3_step(rows)) == SQLITE_ROW) {
        if (!put_row(table, rows, answer, error))
            return false;
        if (++count > LIMIT_BATCH_ROWS_MAX || answer->len - begun > ANSWER_BYTES_MAX) {
            error_set(error, ERROR_TOO_LARGE, "more rows of %s than one transaction can change", table->name);
            return error_about(error, table->name, NULL);
        }
    }
    pack_array_close(answer, at, 2 * count);
    return result == SQLITE_DONE || failed(children, error);
}

bool children_find(struct children *children, const struct wire_children_ask *ask_for, struct buffer *answer,
                   struct error *error)
{
    const struct schema *schema = store_schema(children->store);
    const struct schema_reference *reference = &schema->references[ask_for->reference];
    struct value values[LIMIT_REFERENCE_COLUMNS_MAX];
    struct cursor cursor = ask_for->values;
    struct buffer sql = {0};
    sqlite3_stmt *rows = NULL;
    if (reference->column_count > LIMIT_REFERENCE_COLUMNS_MAX)
        return error_set(error, ERROR_TOO_LARGE, "a reference of more than %d columns", LIMIT_REFERENCE_COLUMNS_MAX);
    if (!ensure_index(children, ask_for->reference, error))
        return false;
    for (uint16_t i = 0; i < reference->column_count; i++)
        if (!cursor_value(&cursor, &values[i]))
            return error_set(error, ERROR_PARSE, "children of what is no key");
    bool ok = put_find(&sql, schema, reference, values) || out_of_memory(error);
    ok = ok && (sqlite3_prepare_v2(store_connection(children->store), (const char *)sql.bytes, (int)sql.len, &rows,
                                   NULL) == SQLITE_OK ||
                failed(children, error));
    for (uint16_t i = 0; ok && i < reference->column_count; i++)
        ok = insert_bind(rows, i + 1, &values[i]) == SQLITE_OK || failed(children, error);
    ok = ok && put_rows(children, &schema->tables[reference->child], rows, answer, error);
    sqlite3_finalize(rows);
    buffer_release(&sql);
    return ok;
}
