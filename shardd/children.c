/* SPDX-License-Identifier: Apache-2.0 */
#include "children.h"

#include "failpoint.h"
#include "insert.h"
#include "limits.h"
#include "read.h"
#include "sql_name.h"

#include <stdlib.h>
#include <string.h>

#define ANSWER_BYTES_MAX ((size_t)LIMIT_MESSAGE_BYTES_MAX - 65536u)

struct of_reference {
    bool indexed;       /* the index is there */
    sqlite3_stmt *find; /* as it was last asked: its text depends on the values' types */
};

struct children {
    struct store *store;
    struct of_reference *references;
    struct value *values; /* the parent's */
};

struct children *children_new(struct store *store, struct error *error)
{
    struct children *children = calloc(1, sizeof *children);
    if (children) {
        children->store = store;
        children->references = calloc((size_t)store_schema(store)->reference_count + 1, sizeof *children->references);
        children->values = calloc(LIMIT_COLUMNS_MAX, sizeof *children->values);
        if (children->references && children->values)
            return children;
    }
    children_free(children);
    error_set(error, ERROR_INTERNAL, "out of memory");
    return NULL;
}

void children_free(struct children *children)
{
    if (!children)
        return;
    for (reference_id r = 0; children->references && r < store_schema(children->store)->reference_count; r++)
        sqlite3_finalize(children->references[r].find);
    free(children->references);
    free(children->values);
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
    bool ok = buffer_format(sql, "CREATE INDEX main._sheaf_ix_%u ON ", id) && sql_put_name(sql, table->name) &&
              buffer_put_text(sql, " (");
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
    bool has;
    if (children->references[id].indexed)
        return true;
    bool ok = has_index(children, &schema->references[id], &has, error);
    if (ok && !has) {
        if (!store_wal_has_room(children->store, error))
            return false;
        ok = put_index(&sql, schema, id) || out_of_memory(error);
        FAILPOINT("index.before", NULL);
        ok = ok &&
             (sqlite3_exec(store_connection(children->store), (const char *)sql.bytes, NULL, NULL, NULL) == SQLITE_OK ||
              failed(children, error));
        FAILPOINT("index.after", NULL);
    }
    children->references[id].indexed = ok;
    buffer_release(&sql);
    return ok;
}

/* ---- the rows ---- */

static bool is_number(const struct value *value)
{
    return value->type == VALUE_INTEGER || value->type == VALUE_REAL;
}

/* Which numbers a text could be, as SQLite writes numbers. */
enum numbers { NUMBERS_NONE, NUMBERS_NEAR /* such as are about what it says */, NUMBERS_ANY };

static enum numbers numbers_of(const struct value *text)
{
    size_t sign = text->len && text->bytes[0] == '-';
    if (text->len >= sign + 3 && !sqlite3_strnicmp(text->bytes + sign, "inf", 3))
        return NUMBERS_ANY;
    bool exponent = false;
    for (size_t i = 0; i < text->len; i++)
        if (!memchr("0123456789.+-eE ", text->bytes[i], 16))
            return NUMBERS_NONE;
        else
            exponent |= text->bytes[i] == 'e' || text->bytes[i] == 'E';
    return !text->len ? NUMBERS_NONE : exponent ? NUMBERS_ANY : NUMBERS_NEAR;
}

/* One column of the reference against one value of the parent, parameter `number`. */
struct side {
    const char *column; /* the child's */
    enum affinity child, parent;
    const char *collation;
    const struct value *value;
    unsigned number;
};

/* What a row names is found as SQLite looks a parent up: the parent's affinity is applied to the child's value. A CAST
 * has that affinity, and leaves a value alone that the column has stored. */
static bool put_operand(struct buffer *sql, const struct side *side)
{
    const char *format = "?%u COLLATE %s";
    if (side->parent >= AFFINITY_NUMERIC && is_number(side->value))
        format = "CAST(?%u AS NUMERIC) COLLATE %s";
    else if (side->parent == AFFINITY_TEXT && side->value->type == VALUE_TEXT)
        format = "CAST(?%u AS TEXT) COLLATE %s";
    return buffer_format(sql, format, side->number, side->collation);
}

/* Where the child's column has an affinity of its own that is in the way: without it no index serves (and SQLite reads
 * the whole table), with it other rows are found. */
static bool is_mixed(const struct side *side)
{
    if (side->value->type == VALUE_BLOB)
        return false; /* nothing is ever converted */
    if (side->parent >= AFFINITY_NUMERIC)
        return side->child == AFFINITY_BLOB && is_number(side->value);
    return side->child != side->parent;
}

/* More rows than the right ones, which an index finds: texts that could be this number, numbers that could be this
 * text (SQLite writes 15 digits of them). */
static bool put_candidates(struct buffer *sql, const struct side *side)
{
    enum numbers numbers = side->parent == AFFINITY_TEXT ? numbers_of(side->value) : NUMBERS_NONE;
    if (numbers == NUMBERS_ANY)
        return true; /* the whole table is read */
    bool ok =
        buffer_format(sql, "(?%u COLLATE %s = ", side->number, side->collation) && sql_put_name(sql, side->column);
    if (ok && side->parent >= AFFINITY_NUMERIC)
        ok = buffer_put_text(sql, " OR ") && sql_put_name(sql, side->column) &&
             buffer_format(sql, " COLLATE %s BETWEEN '' AND x''", side->collation);
    else if (ok && numbers == NUMBERS_NEAR)
        ok = buffer_put_text(sql, " OR ") && sql_put_name(sql, side->column) &&
             buffer_format(sql,
                           " COLLATE %1$s BETWEEN CAST(?%2$u AS REAL) - abs(CAST(?%2$u AS REAL)) * 1e-14"
                           " AND CAST(?%2$u AS REAL) + abs(CAST(?%2$u AS REAL)) * 1e-14",
                           side->collation, side->number);
    return ok && buffer_put_text(sql, ") AND ");
}

static bool put_equal(struct buffer *sql, const struct side *side)
{
    bool mixed = is_mixed(side);
    return (!mixed || put_candidates(sql, side)) && put_operand(sql, side) &&
           buffer_put_text(sql, mixed ? " = +" : " = ") && sql_put_name(sql, side->column);
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
    for (uint16_t i = 0; ok && i < reference->column_count; i++) {
        const struct schema_column *column = &child->columns[reference->child_columns[i]];
        const struct side side = {.column = column->name,
                                  .child = column->affinity,
                                  .parent = parent->columns[reference->parent_columns[i]].affinity,
                                  .collation = sql_collation_name(collation_of(schema, reference, i)),
                                  .value = &values[i],
                                  .number = i + 1u};
        ok = buffer_put_text(sql, i ? " AND " : " WHERE ") && put_equal(sql, &side);
    }
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

/* The statement for these values, which were bound. */
static sqlite3_stmt *find_statement(struct children *children, reference_id id, struct error *error)
{
    const struct schema *schema = store_schema(children->store);
    const struct schema_reference *reference = &schema->references[id];
    sqlite3_stmt **find = &children->references[id].find;
    struct buffer sql = {0};
    bool ok = (put_find(&sql, schema, reference, children->values) && buffer_put(&sql, "", 1)) || out_of_memory(error);
    if (ok && (!*find || strcmp(sqlite3_sql(*find), (const char *)sql.bytes) != 0)) {
        sqlite3_finalize(*find);
        *find = NULL;
        ok = sqlite3_prepare_v3(store_connection(children->store), (const char *)sql.bytes, -1,
                                SQLITE_PREPARE_PERSISTENT, find, NULL) == SQLITE_OK ||
             failed(children, error);
    }
    buffer_release(&sql);
    for (uint16_t i = 0; ok && i < reference->column_count; i++)
        ok = insert_bind(*find, i + 1, &children->values[i]) == SQLITE_OK || failed(children, error);
    return ok ? *find : NULL;
}

bool children_find(struct children *children, const struct wire_children_ask *ask_for, struct buffer *answer,
                   struct error *error)
{
    const struct schema *schema = store_schema(children->store);
    const struct schema_reference *reference = &schema->references[ask_for->reference];
    const struct schema_table *child = &schema->tables[reference->child];
    struct cursor cursor = ask_for->values;
    if (strcmp(schema->databases[child->database].name, store_database(children->store)) != 0)
        return error_set(error, ERROR_INTERNAL, "table %s is not one of database %s", child->name,
                         store_database(children->store));
    for (uint16_t i = 0; i < reference->column_count; i++)
        if (!cursor_value(&cursor, &children->values[i]))
            return error_set(error, ERROR_PARSE, "children of what is no key");
    if (!ensure_index(children, ask_for->reference, error))
        return false;
    sqlite3_stmt *rows = find_statement(children, ask_for->reference, error);
    if (!rows)
        return false;
    bool ok = put_rows(children, child, rows, answer, error);
    sqlite3_reset(rows);
    sqlite3_clear_bindings(rows);
    return ok;
}
