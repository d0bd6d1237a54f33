/* SPDX-License-Identifier: Apache-2.0 */
#include "schema_read.h"

#include "limits.h"
#include "schema_load.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool no_memory(struct error *error)
{
    return error_set(error, ERROR_INTERNAL, "out of memory");
}

static bool sqlite_failed(sqlite3 *memory, struct error *error)
{
    return error_set(error, sqlite3_errcode(memory) == SQLITE_NOMEM ? ERROR_TOO_LARGE : ERROR_INTERNAL,
                     "reading the schema back: %s", schema_why(memory));
}

static sqlite3_stmt *prepare(sqlite3 *memory, const char *sql, const char *name, struct error *error)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(memory, sql, -1, &statement, NULL) != SQLITE_OK ||
        (name && sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC) != SQLITE_OK)) {
        sqlite_failed(memory, error);
        sqlite3_finalize(statement);
        return NULL;
    }
    return statement;
}

/* After its last step, which may have failed. */
static bool finish(sqlite3 *memory, sqlite3_stmt *statement, bool ok, struct error *error)
{
    return (sqlite3_finalize(statement) == SQLITE_OK || !ok || sqlite_failed(memory, error)) && ok;
}

static char *copy_text(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    return strdup(text ? text : "");
}

/* Makes `*items` one element longer, zeroed, and gives that element. */
static void *grown(void **items, uint16_t *count, size_t size)
{
    void *larger = *count == UINT16_MAX - 1 ? NULL : realloc(*items, (*count + 1u) * size);
    if (!larger)
        return NULL;
    *items = larger;
    return memset((char *)larger + (*count)++ * size, 0, size);
}

/* https://sqlite.org/datatype3.html section 3.1, in its order. */
static enum affinity affinity_of(const char *declared, bool strict)
{
    if (strict && !strcasecmp(declared, "ANY"))
        return AFFINITY_BLOB; /* in a STRICT table ANY converts nothing; elsewhere it is NUMERIC */
    if (strcasestr(declared, "INT"))
        return AFFINITY_INTEGER;
    if (strcasestr(declared, "CHAR") || strcasestr(declared, "CLOB") || strcasestr(declared, "TEXT"))
        return AFFINITY_TEXT;
    if (!*declared || strcasestr(declared, "BLOB"))
        return AFFINITY_BLOB;
    if (strcasestr(declared, "REAL") || strcasestr(declared, "FLOA") || strcasestr(declared, "DOUB"))
        return AFFINITY_REAL;
    return AFFINITY_NUMERIC;
}

static bool collation_of(const char *name, enum collation *ret_collation)
{
    static const char *const names[] = {"BINARY", "NOCASE", "RTRIM"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (name && !strcasecmp(name, names[i])) {
            *ret_collation = (enum collation)i;
            return true;
        }
    return false;
}

static bool read_column(struct schema_table *table, sqlite3 *memory, sqlite3_stmt *info, struct error *error)
{
    struct schema_column *column = grown((void **)&table->columns, &table->column_count, sizeof *column);
    if (!column || !(column->name = copy_text(info, 1)) || !(column->declared_type = copy_text(info, 2)))
        return no_memory(error);
    column->affinity = affinity_of(column->declared_type, table->strict);
    column->not_null = sqlite3_column_int(info, 3) != 0;
    column->has_default = sqlite3_column_type(info, 4) != SQLITE_NULL;
    if (column->has_default && !(column->default_text = copy_text(info, 4)))
        return no_memory(error);
    column->key_position = (uint16_t)sqlite3_column_int(info, 5);
    column->generated = sqlite3_column_int(info, 6) > 1; /* hidden: 2 virtual, 3 stored */
    column->declared_blob = strcasestr(column->declared_type, "BLOB") != NULL;
    const char *collation = NULL;
    int autoincrement = 0;
    if (sqlite3_table_column_metadata(memory, "main", table->name, column->name, NULL, &collation, NULL, NULL,
                                      &autoincrement) != SQLITE_OK)
        return sqlite_failed(memory, error);
    if (!collation_of(collation, &column->collation))
        return error_set(error, ERROR_PARSE, "table %s: column %s has collation %s, which is not built into SQLite",
                         table->name, column->name, collation);
    table->autoincrement |= autoincrement != 0;
    return true;
}

static bool read_columns(struct schema_table *table, sqlite3 *memory, struct error *error)
{
    sqlite3_stmt *info = prepare(memory, "SELECT * FROM pragma_table_xinfo(?1)", table->name, error);
    bool ok = info != NULL;
    while (ok && sqlite3_step(info) == SQLITE_ROW)
        ok = read_column(table, memory, info, error);
    return finish(memory, info, ok, error);
}

/* The columns of a key from its index: [seqno, cid, name, desc, coll, key]; cid -2 is an expression. */
static bool read_key_columns(struct schema_key *key, sqlite3 *memory, struct error *error)
{
    sqlite3_stmt *info = prepare(memory, "SELECT cid, coll FROM pragma_index_xinfo(?1) WHERE key = 1 ORDER BY seqno",
                                 key->index_name, error);
    bool ok = info != NULL;
    while (ok && sqlite3_step(info) == SQLITE_ROW) {
        int column = sqlite3_column_int(info, 0);
        uint16_t collations = key->column_count;
        if (column < 0) {
            key->expression = true;
            continue;
        }
        uint16_t *place = grown((void **)&key->columns, &key->column_count, sizeof *key->columns);
        enum collation *collation = grown((void **)&key->collations, &collations, sizeof *key->collations);
        if (!place || !collation)
            ok = no_memory(error);
        else if (!collation_of((const char *)sqlite3_column_text(info, 1), collation))
            ok = error_set(error, ERROR_PARSE, "index %s has a collation that is not built into SQLite",
                           key->index_name);
        else
            *place = (uint16_t)column;
    }
    return finish(memory, info, ok, error);
}

/* Behind the rowid key, in order of declaration (index_list has the latest first). */
static bool read_keys(struct schema_table *table, sqlite3 *memory, struct error *error)
{
    sqlite3_stmt *list = prepare(memory,
                                 "SELECT name, origin, partial FROM pragma_index_list(?1) WHERE \"unique\" = 1 "
                                 "ORDER BY seq DESC",
                                 table->name, error);
    bool ok = list != NULL;
    while (ok && sqlite3_step(list) == SQLITE_ROW) {
        struct schema_key *key = grown((void **)&table->keys, &table->key_count, sizeof *key);
        if (!key || !(key->index_name = copy_text(list, 0))) {
            ok = no_memory(error);
            break;
        }
        key->primary = !strcmp((const char *)sqlite3_column_text(list, 1), "pk");
        key->partial = sqlite3_column_int(list, 2) != 0;
        if (key->primary)
            table->primary_key = (uint16_t)(table->key_count - 1);
        ok = read_key_columns(key, memory, error);
    }
    return finish(memory, list, ok, error);
}

/* Whether the primary key has an index of its own: then it is not the rowid. */
static bool primary_key_has_index(const struct schema_table *table, sqlite3 *memory, bool *ret_has, struct error *error)
{
    sqlite3_stmt *list = prepare(memory, "SELECT 1 FROM pragma_index_list(?1) WHERE origin = 'pk'", table->name, error);
    if (!list)
        return false;
    *ret_has = sqlite3_step(list) == SQLITE_ROW;
    return finish(memory, list, true, error);
}

/* A primary key without an index of its own in a rowid table is the rowid. It stands first in keys, as SQLite checks it
 * first. */
static bool read_rowid_key(struct schema_table *table, sqlite3 *memory, struct error *error)
{
    uint16_t column = SCHEMA_NONE;
    for (uint16_t i = 0; i < table->column_count; i++)
        if (table->columns[i].key_position)
            column = i;
    bool has_index = false;
    if (column == SCHEMA_NONE || table->without_rowid)
        return true;
    if (!primary_key_has_index(table, memory, &has_index, error))
        return false;
    if (has_index)
        return true;
    struct schema_key *key = grown((void **)&table->keys, &table->key_count, sizeof *key);
    if (!key)
        return no_memory(error);
    key->primary = key->rowid = true;
    key->column_count = 1;
    key->index_name = strdup("");
    key->columns = malloc(sizeof *key->columns);
    key->collations = calloc(1, sizeof *key->collations);
    if (!key->index_name || !key->columns || !key->collations)
        return no_memory(error);
    key->columns[0] = column;
    table->rowid_column = column;
    table->primary_key = 0;
    return true;
}

static bool read_table(struct schema *schema, sqlite3 *memory, sqlite3_stmt *list, struct error *error)
{
    if (schema->table_count == LIMIT_TABLES_MAX)
        return error_set(error, ERROR_TOO_LARGE, "more than %d tables", LIMIT_TABLES_MAX);
    struct schema_table *table = grown((void **)&schema->tables, &schema->table_count, sizeof *table);
    if (!table || !(table->name = copy_text(list, 0)))
        return no_memory(error);
    table->rowid_column = table->primary_key = SCHEMA_NONE;
    table->without_rowid = sqlite3_column_int(list, 1) != 0;
    table->strict = sqlite3_column_int(list, 2) != 0;
    table->has_trigger = sqlite3_column_int(list, 3) != 0;
    if (strlen(table->name) > LIMIT_NAME_BYTES_MAX)
        return error_set(error, ERROR_TOO_LARGE, "table %.40s…: its name is longer than %d bytes", table->name,
                         LIMIT_NAME_BYTES_MAX);
    return read_columns(table, memory, error) && read_rowid_key(table, memory, error) &&
           read_keys(table, memory, error);
}

bool schema_read_tables(struct schema *schema, sqlite3 *memory, struct error *error)
{
    sqlite3_stmt *list = prepare(memory,
                                 "SELECT s.name, l.wr, l.strict, EXISTS (SELECT 1 FROM sqlite_schema t WHERE t.type = "
                                 "'trigger' AND t.tbl_name = s.name) FROM sqlite_schema s JOIN pragma_table_list l ON "
                                 "l.schema = 'main' AND l.name = s.name WHERE s.type = 'table' AND s.name NOT LIKE "
                                 "'sqlite\\_%' ESCAPE '\\' ORDER BY s.rowid",
                                 NULL, error);
    bool ok = list != NULL;
    while (ok && sqlite3_step(list) == SQLITE_ROW)
        ok = read_table(schema, memory, list, error);
    return finish(memory, list, ok, error);
}

/* ---- references ---- */

static bool key_is_made_of(const struct schema_table *parent, const struct schema_key *key, const uint16_t *columns,
                           uint16_t count)
{
    if (key->column_count != count || key->expression || key->partial)
        return false;
    for (uint16_t i = 0; i < count; i++) {
        uint16_t at = 0;
        while (at < count && key->columns[at] != columns[i])
            at++;
        /* SQLite wants each column's own default collation: https://sqlite.org/foreignkeys.html section 3 */
        if (at == count || key->collations[at] != parent->columns[columns[i]].collation)
            return false;
    }
    return true;
}

static bool no_such_key(const struct schema *schema, const struct schema_reference *reference, struct error *error)
{
    const struct schema_table *parent = &schema->tables[reference->parent];
    const struct schema_key *key = parent->primary_key == SCHEMA_NONE ? NULL : &parent->keys[parent->primary_key];
    char named[256], primary[256] = "";
    schema_columns_joined(parent, reference->parent_columns, reference->column_count, named, sizeof named);
    if (key)
        schema_columns_joined(parent, key->columns, key->column_count, primary, sizeof primary);
    return error_set(error, ERROR_PARSE, "table %s: its reference (%s) names (%s) of %s, which is no key there%s%s%s",
                     schema->tables[reference->child].name, reference->constraint, named, parent->name,
                     key ? "; its primary key is (" : "", primary, key ? ")" : "");
}

static bool find_parent_key(const struct schema *schema, struct schema_reference *reference, struct error *error)
{
    const struct schema_table *parent = &schema->tables[reference->parent];
    for (uint16_t key = 0; key < parent->key_count; key++) {
        if (!key_is_made_of(parent, &parent->keys[key], reference->parent_columns, reference->column_count))
            continue;
        reference->parent_key = key;
        parent->keys[key].referenced = true;
        reference->key_order = calloc(reference->column_count, sizeof *reference->key_order);
        if (!reference->key_order)
            return no_memory(error);
        for (uint16_t k = 0; k < reference->column_count; k++)
            for (uint16_t c = 0; c < reference->column_count; c++)
                if (parent->keys[key].columns[k] == reference->parent_columns[c])
                    reference->key_order[k] = c;
        return true;
    }
    return no_such_key(schema, reference, error);
}

static enum reference_action action_of(const char *text)
{
    static const char *const names[] = {"NO ACTION", "RESTRICT", "SET NULL", "SET DEFAULT", "CASCADE"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(text, names[i]))
            return (enum reference_action)i;
    return ACTION_NONE;
}

/* One line of foreign_key_list: id, seq, table, from, to, on_update, on_delete. */
static bool add_reference_column(struct schema *schema, struct schema_reference *reference, sqlite3_stmt *list,
                                 struct error *error)
{
    const struct schema_table *child = &schema->tables[reference->child];
    const struct schema_table *parent = &schema->tables[reference->parent];
    const char *from = (const char *)sqlite3_column_text(list, 3);
    const char *to = (const char *)sqlite3_column_text(list, 4);
    uint16_t from_column = schema_find_column(child, from, strlen(from));
    uint16_t to_column = SCHEMA_NONE;
    if (to)
        to_column = schema_find_column(parent, to, strlen(to));
    else if (parent->primary_key != SCHEMA_NONE &&
             reference->column_count < parent->keys[parent->primary_key].column_count)
        to_column = parent->keys[parent->primary_key].columns[reference->column_count];
    if (from_column == SCHEMA_NONE || to_column == SCHEMA_NONE)
        return error_set(error, ERROR_PARSE, "table %s: column %s refers to %s%s%s, which %s", child->name, from,
                         parent->name, to ? "." : "", to ? to : "",
                         to ? "is not a column there" : "has no primary key of as many columns");
    uint16_t count = reference->column_count;
    uint16_t *child_place = grown((void **)&reference->child_columns, &count, sizeof *child_place);
    count = reference->column_count;
    uint16_t *parent_place = grown((void **)&reference->parent_columns, &count, sizeof *parent_place);
    if (!child_place || !parent_place)
        return no_memory(error);
    *child_place = from_column;
    *parent_place = to_column;
    reference->column_count = count;
    return true;
}

static bool begin_reference(struct schema *schema, table_id child, sqlite3_stmt *list, struct error *error)
{
    const char *name = (const char *)sqlite3_column_text(list, 2);
    table_id parent = schema_find_table(schema, name, strlen(name));
    if (parent == SCHEMA_NONE)
        return error_set(error, ERROR_PARSE, "table %s: refers to table %s, which is not in the schema",
                         schema->tables[child].name, name);
    struct schema_reference *reference =
        grown((void **)&schema->references, &schema->reference_count, sizeof *reference);
    if (!reference)
        return no_memory(error);
    reference->child = child;
    reference->parent = parent;
    reference->on_update = action_of((const char *)sqlite3_column_text(list, 5));
    reference->on_delete = action_of((const char *)sqlite3_column_text(list, 6));
    return true;
}

static bool finish_reference(struct schema *schema, reference_id id, struct error *error)
{
    struct schema_reference *reference = &schema->references[id];
    const struct schema_table *parent = &schema->tables[reference->parent];
    char columns[1024];
    schema_columns_joined(&schema->tables[reference->child], reference->child_columns, reference->column_count, columns,
                          sizeof columns);
    reference->constraint = strdup(columns);
    if (!reference->constraint)
        return no_memory(error);
    if (parent->key_count == 0)
        return error_set(error, ERROR_PARSE, "table %s: its reference (%s) names table %s, which has no key",
                         schema->tables[reference->child].name, columns, parent->name);
    return find_parent_key(schema, reference, error);
}

/* foreign_key_list numbers the references of a table from its last one. */
static bool read_references_of(struct schema *schema, table_id child, sqlite3 *memory, struct error *error)
{
    sqlite3_stmt *list = prepare(memory,
                                 "SELECT id, seq, \"table\", \"from\", \"to\", on_update, on_delete FROM "
                                 "pragma_foreign_key_list(?1) ORDER BY id DESC, seq",
                                 schema->tables[child].name, error);
    bool ok = list != NULL;
    uint16_t first = schema->reference_count;
    while (ok && sqlite3_step(list) == SQLITE_ROW) {
        if (sqlite3_column_int(list, 1) == 0)
            ok = begin_reference(schema, child, list, error);
        ok = ok && add_reference_column(schema, &schema->references[schema->reference_count - 1], list, error);
    }
    ok = finish(memory, list, ok, error);
    for (reference_id id = first; ok && id < schema->reference_count; id++) {
        struct schema_table *table = &schema->tables[child];
        reference_id *place = grown((void **)&table->references, &table->reference_count, sizeof *place);
        if (!place)
            return no_memory(error);
        *place = id;
        ok = finish_reference(schema, id, error);
    }
    return ok;
}

bool schema_read_references(struct schema *schema, sqlite3 *memory, struct error *error)
{
    for (table_id child = 0; child < schema->table_count; child++)
        if (!read_references_of(schema, child, memory, error))
            return false;
    for (reference_id id = 0; id < schema->reference_count; id++) {
        struct schema_table *parent = &schema->tables[schema->references[id].parent];
        reference_id *place = grown((void **)&parent->children, &parent->child_count, sizeof *place);
        if (!place)
            return no_memory(error);
        *place = id;
    }
    return true;
}
