/* SPDX-License-Identifier: Apache-2.0 */
#include "schema.h"

#include "limits.h"
#include "schema_load.h"
#include "schema_read.h"
#include "sql_token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

static bool no_memory(struct error *error)
{
    return error_set(error, ERROR_INTERNAL, "out of memory");
}

/* ---- databases ---- */

#define FILE_NAME_BYTES_MAX 255 /* NAME_MAX of Linux' file systems */

static database_id add_database(struct schema *schema, const char *name, struct error *error)
{
    for (database_id i = 0; i < schema->database_count; i++) {
        if (!strcmp(schema->databases[i].name, name))
            return i;
        if (!strcasecmp(schema->databases[i].name, name)) {
            error_set(error, ERROR_PARSE, "databases %s and %s differ only in case", schema->databases[i].name, name);
            return SCHEMA_NONE;
        }
    }
    char file[FILE_NAME_BYTES_MAX - sizeof "-journal" + 2];
    if (!schema_file_name(name, file, sizeof file)) {
        error_set(error, ERROR_PARSE, "database %s: its files would have names longer than %d bytes", name,
                  FILE_NAME_BYTES_MAX);
        return SCHEMA_NONE;
    }
    if (schema->database_count == LIMIT_DATABASES_MAX) {
        error_set(
            error, ERROR_TOO_LARGE,
            "more than %d databases: in the configuration [database NAME] tables = … puts several tables into one",
            LIMIT_DATABASES_MAX);
        return SCHEMA_NONE;
    }
    struct schema_database *larger =
        realloc(schema->databases, (schema->database_count + 1u) * sizeof *schema->databases);
    if (larger) {
        schema->databases = larger;
        larger[schema->database_count] = (struct schema_database){.name = strdup(name)};
        if (larger[schema->database_count++].name)
            return (database_id)(schema->database_count - 1);
    }
    no_memory(error);
    return SCHEMA_NONE;
}

static const char *placed_in(const struct schema_placement *placement, const struct schema_table *table)
{
    for (size_t i = 0; placement && i < placement->count; i++)
        if (!strcasecmp(placement->entries[i].table, table->name))
            return placement->entries[i].database;
    return table->name;
}

static bool place_tables(struct schema *schema, const struct schema_placement *placement, struct error *error)
{
    for (size_t i = 0; placement && i < placement->count; i++)
        if (schema_find_table(schema, placement->entries[i].table, strlen(placement->entries[i].table)) == SCHEMA_NONE)
            return error_set(error, ERROR_UNKNOWN_TABLE, "database %s: table %s is not in the schema",
                             placement->entries[i].database, placement->entries[i].table);
    for (table_id id = 0; id < schema->table_count; id++) {
        struct schema_table *table = &schema->tables[id];
        table->database = add_database(schema, placed_in(placement, table), error);
        if (table->database == SCHEMA_NONE)
            return false;
        struct schema_database *database = &schema->databases[table->database];
        table_id *larger = realloc(database->tables, (database->table_count + 1u) * sizeof *larger);
        if (!larger)
            return no_memory(error);
        database->tables = larger;
        larger[database->table_count++] = id;
    }
    return true;
}

static bool give_statement(struct schema_database *database, const char *sql, struct error *error)
{
    char **larger = realloc(database->statements, (database->statement_count + 1u) * sizeof *larger);
    if (!larger)
        return no_memory(error);
    database->statements = larger;
    larger[database->statement_count] = strdup(sql);
    return larger[database->statement_count++] ? true : no_memory(error);
}

/* The one database of the tables that a view or a trigger touches. */
static bool home_of_touch(const struct schema *schema, const struct statement *statement,
                          const struct schema_touch *touch, database_id *ret_database, struct error *error)
{
    bool trigger = statement->kind == STATEMENT_TRIGGER;
    const char *what = trigger ? "trigger" : "view";
    database_id home = SCHEMA_NONE;
    if (trigger)
        home = schema->tables[schema_find_table(schema, statement->table, strlen(statement->table))].database;
    if (touch->writes[0])
        return error_set(error, ERROR_PARSE,
                         "%s %s writes table %s: Sheaf checks what users write, not what triggers do", what,
                         statement->name, touch->writes);
    if (touch->raises)
        return error_set(error, ERROR_PARSE,
                         "%s %s uses RAISE(%s): of these only RAISE(ABORT) says no to one row and has no other effect",
                         what, statement->name, touch->raises);
    for (table_id id = 0; id < schema->table_count; id++) {
        if (!touch->reads[id])
            continue;
        if (home != SCHEMA_NONE && schema->tables[id].database != home)
            return error_set(error, ERROR_PARSE, "%s %s reads table %s, which lives in another database (%s)", what,
                             statement->name, schema->tables[id].name,
                             schema->databases[schema->tables[id].database].name);
        home = schema->tables[id].database;
    }
    *ret_database = home == SCHEMA_NONE ? 0 : home;
    return true;
}

/* Hands each statement to the database of its table. */
static bool share_out(struct schema *schema, sqlite3 *memory, const struct statements *statements, const char *file,
                      struct error *error)
{
    struct schema_touch *touch = malloc(sizeof *touch);
    bool ok = touch != NULL || no_memory(error);
    for (size_t i = 0; ok && i < statements->count; i++) {
        const struct statement *statement = &statements->items[i];
        database_id home = SCHEMA_NONE;
        if (statement->kind == STATEMENT_TABLE || statement->kind == STATEMENT_INDEX) {
            table_id table = schema_find_table(schema, statement->table, strlen(statement->table));
            home = schema->tables[table].database;
        } else {
            ok = schema_touch_of(memory, schema, statement, touch, error) &&
                 home_of_touch(schema, statement, touch, &home, error);
            if (!ok)
                error_prefix(error, "%s:%u: ", file, statement->line);
        }
        ok = ok && give_statement(&schema->databases[home], statement->sql, error);
    }
    free(touch);
    return ok;
}

/* ---- identity ---- */

/* A statement without its blanks and comments. */
static bool put_canonical(struct buffer *text, const char *sql)
{
    const char *at = sql, *end = sql + strlen(sql);
    bool ok = true;
    for (struct sql_token token = sql_token_next(&at, end); ok && token.len; token = sql_token_next(&at, end))
        ok = buffer_put(text, token.text, token.len) && buffer_put(text, " ", 1);
    return ok;
}

static bool make_identity(struct schema *schema, struct error *error)
{
    struct buffer text = {0};
    bool ok = true;
    for (database_id i = 0; ok && i < schema->database_count; i++) {
        ok = buffer_format(&text, "database %s\n", schema->databases[i].name);
        for (uint16_t s = 0; ok && s < schema->databases[i].statement_count; s++)
            ok = put_canonical(&text, schema->databases[i].statements[s]) && buffer_put(&text, "\n", 1);
    }
    ok = ok && buffer_put(&text, "", 1);
    schema->identity = (char *)text.bytes;
    return ok || no_memory(error);
}

/* ---- loading ---- */

/* An error about a table gets the line of that table's statement. */
static bool with_line(const struct statements *statements, const char *file, struct error *error)
{
    for (size_t i = 0; i < statements->count; i++) {
        size_t len = strlen(statements->items[i].name);
        if (statements->items[i].kind == STATEMENT_TABLE && !strncmp(error->text, "table ", 6) &&
            !strncmp(error->text + 6, statements->items[i].name, len) && error->text[6 + len] == ':')
            return error_prefix(error, "%s:%u: ", file, statements->items[i].line);
    }
    return error_prefix(error, "%s: ", file);
}

static bool build(struct schema *schema, sqlite3 *memory, const char *text, size_t len, const char *file,
                  const struct schema_placement *placement, struct error *error)
{
    struct statements statements = {0};
    if (!schema_execute(memory, text, len, file, &statements, error))
        return false;
    bool ok = schema_read_tables(schema, memory, error) && schema_read_references(schema, memory, error);
    if (ok && schema->table_count == 0)
        ok = error_set(error, ERROR_PARSE, "the schema has no table");
    if (!ok)
        with_line(&statements, file, error);
    ok = ok && place_tables(schema, placement, error) && share_out(schema, memory, &statements, file, error) &&
         make_identity(schema, error);
    statements_release(&statements);
    return ok;
}

struct schema *schema_load(const char *text, size_t len, const char *file, const struct schema_placement *placement,
                           struct error *error)
{
    static const char bom[] = "\xef\xbb\xbf";
    if (len >= 3 && !memcmp(text, bom, 3)) {
        text += 3;
        len -= 3;
    }
    if (len > LIMIT_SCHEMA_BYTES_MAX || !value_text_is_valid(text, len)) {
        error_set(error, len > LIMIT_SCHEMA_BYTES_MAX ? ERROR_TOO_LARGE : ERROR_PARSE,
                  len > LIMIT_SCHEMA_BYTES_MAX ? "%s: a schema is at most 4 MiB"
                                               : "%s: a schema is UTF-8 text without NUL",
                  file);
        return NULL;
    }
    struct schema *schema = calloc(1, sizeof *schema);
    if (!schema || !(schema->text = strndup(text, len))) {
        free(schema);
        no_memory(error);
        return NULL;
    }
    const struct schema_bound before = schema_bound_begin();
    sqlite3 *memory = schema_memory_open(error);
    if (!memory || !build(schema, memory, schema->text, len, file, placement, error)) {
        schema_free(schema);
        schema = NULL;
    }
    sqlite3_close(memory);
    schema_bound_end(before);
    return schema;
}

static bool read_whole(int fd, const char *path, struct buffer *text, struct error *error)
{
    for (;;) {
        if (text->len > LIMIT_SCHEMA_BYTES_MAX)
            return error_set(error, ERROR_TOO_LARGE, "%s: a schema is at most 4 MiB", path);
        if (!buffer_reserve(text, 65536))
            return no_memory(error);
        ssize_t got = read(fd, text->bytes + text->len, 65536);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
        if (got == 0)
            return true;
        text->len += (size_t)got;
    }
}

struct schema *schema_load_file(const char *path, const struct schema_placement *placement, struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
        return NULL;
    }
    struct buffer text = {0};
    struct schema *schema = NULL;
    if (read_whole(fd, path, &text, error))
        schema = schema_load((const char *)text.bytes, text.len, path, placement, error);
    buffer_release(&text);
    close(fd);
    return schema;
}

static void table_release(struct schema_table *table)
{
    for (uint16_t i = 0; i < table->column_count; i++) {
        free(table->columns[i].name);
        free(table->columns[i].declared_type);
        free(table->columns[i].default_text);
    }
    for (uint16_t i = 0; i < table->key_count; i++) {
        free(table->keys[i].columns);
        free(table->keys[i].collations);
        free(table->keys[i].index_name);
    }
    free(table->name);
    free(table->columns);
    free(table->keys);
    free(table->references);
    free(table->children);
}

void schema_free(struct schema *schema)
{
    if (!schema)
        return;
    for (table_id i = 0; i < schema->table_count; i++)
        table_release(&schema->tables[i]);
    for (reference_id i = 0; i < schema->reference_count; i++) {
        free(schema->references[i].child_columns);
        free(schema->references[i].parent_columns);
        free(schema->references[i].key_order);
        free(schema->references[i].constraint);
    }
    for (database_id i = 0; i < schema->database_count; i++) {
        for (uint16_t s = 0; s < schema->databases[i].statement_count; s++)
            free(schema->databases[i].statements[s]);
        free(schema->databases[i].statements);
        free(schema->databases[i].tables);
        free(schema->databases[i].name);
    }
    free(schema->tables);
    free(schema->references);
    free(schema->databases);
    free(schema->text);
    free(schema->identity);
    free(schema);
}

/* ---- looking things up ---- */

static bool same_name(const char *name, const char *given, size_t len)
{
    return strlen(name) == len && !strncasecmp(name, given, len);
}

table_id schema_find_table(const struct schema *schema, const char *name, size_t len)
{
    for (table_id i = 0; i < schema->table_count; i++)
        if (same_name(schema->tables[i].name, name, len))
            return i;
    return SCHEMA_NONE;
}

uint16_t schema_find_column(const struct schema_table *table, const char *name, size_t len)
{
    for (uint16_t i = 0; i < table->column_count; i++)
        if (same_name(table->columns[i].name, name, len))
            return i;
    return SCHEMA_NONE;
}

database_id schema_find_database(const struct schema *schema, const char *name)
{
    for (database_id i = 0; i < schema->database_count; i++)
        if (!strcmp(schema->databases[i].name, name))
            return i;
    return SCHEMA_NONE;
}

uint16_t schema_key_columns(const struct schema_table *table)
{
    return table->primary_key == SCHEMA_NONE ? 1 : table->keys[table->primary_key].column_count;
}

void schema_columns_joined(const struct schema_table *table, const uint16_t *columns, uint16_t count, char *text,
                           size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (uint16_t i = 0; i < count && used < size; i++) {
        int put = snprintf(text + used, size - used, "%s%s", i ? "," : "", table->columns[columns[i]].name);
        used += put < 0 ? 0 : (size_t)put;
    }
}

bool schema_file_name(const char *database, char *name, size_t size)
{
    size_t used = 0;
    for (const unsigned char *c = (const unsigned char *)database; *c; c++) {
        bool plain =
            (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '_' || *c == '-';
        if (used + (plain ? 1 : 3) >= size)
            return false;
        used += (size_t)snprintf(name + used, size - used, plain ? "%c" : "%%%02X", *c);
    }
    int put = snprintf(name + used, size - used, ".db");
    return put == 3 && used + 3 < size;
}

/* ---- differences ---- */

static bool statement_is_in(const struct schema_database *database, const char *canonical, struct buffer *scratch)
{
    for (uint16_t i = 0; i < database->statement_count; i++) {
        buffer_clear(scratch);
        if (put_canonical(scratch, database->statements[i]) && scratch->len == strlen(canonical) &&
            !memcmp(scratch->bytes, canonical, scratch->len))
            return true;
    }
    return false;
}

/* The first statement of `from` that `other`'s database of the same name lacks. */
static bool put_lacking(const struct schema *from, const struct schema *other, const char *which, struct buffer *text)
{
    struct buffer canonical = {0}, scratch = {0};
    bool ok = true;
    for (database_id i = 0; ok && !text->len && i < from->database_count; i++) {
        const struct schema_database *database = &from->databases[i];
        database_id twin = schema_find_database(other, database->name);
        for (uint16_t s = 0; ok && !text->len && s < database->statement_count; s++) {
            buffer_clear(&canonical);
            ok = put_canonical(&canonical, database->statements[s]) && buffer_put(&canonical, "", 1);
            if (ok && (twin == SCHEMA_NONE ||
                       !statement_is_in(&other->databases[twin], (const char *)canonical.bytes, &scratch)))
                ok = buffer_format(text, "database %s: only the %s schema has: %.200s", database->name, which,
                                   (const char *)canonical.bytes);
        }
    }
    buffer_release(&canonical);
    buffer_release(&scratch);
    return ok;
}

bool schema_difference(const struct schema *stored, const struct schema *given, struct buffer *text)
{
    buffer_clear(text);
    if (!strcmp(stored->identity, given->identity))
        return buffer_put(text, "", 1) && (text->len = 0, true);
    for (table_id i = 0; i < given->table_count; i++) {
        const struct schema_table *table = &given->tables[i];
        table_id twin = schema_find_table(stored, table->name, strlen(table->name));
        if (twin == SCHEMA_NONE)
            return buffer_format(text, "table %s is not in the stored schema", table->name) && buffer_put(text, "", 1);
        const char *there = stored->databases[stored->tables[twin].database].name;
        const char *here = given->databases[table->database].name;
        if (strcmp(there, here))
            return buffer_format(text, "table %s is stored in database %s and now placed in %s", table->name, there,
                                 here) &&
                   buffer_put(text, "", 1);
    }
    for (table_id i = 0; i < stored->table_count; i++)
        if (schema_find_table(given, stored->tables[i].name, strlen(stored->tables[i].name)) == SCHEMA_NONE)
            return buffer_format(text, "the stored table %s is not in the given schema", stored->tables[i].name) &&
                   buffer_put(text, "", 1);
    bool ok = put_lacking(given, stored, "given", text) && (text->len || put_lacking(stored, given, "stored", text));
    if (ok && !text->len)
        ok = buffer_put_text(text, "the statements stand in another order");
    return ok && buffer_put(text, "", 1);
}

/* ---- placement ---- */

bool schema_placement_text(const struct schema *schema, struct buffer *text)
{
    bool ok = true;
    for (table_id i = 0; ok && i < schema->table_count; i++) {
        const char *database = schema->databases[schema->tables[i].database].name;
        ok = buffer_format(text, "%s\t%s\n", database, schema->tables[i].name);
    }
    return ok;
}

bool schema_placement_read(const char *text, size_t len, struct schema_placement *ret_placement, struct error *error)
{
    struct schema_placement placement = {0};
    const char *at = text, *end = len ? text + len : text; /* NULL: of no bytes */
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        const char *tab = memchr(at, '\t', (size_t)(end - at));
        if (!line_end || !tab || tab > line_end) {
            schema_placement_release(&placement);
            return error_set(error, ERROR_PARSE, "a placement is lines of database, tab, table");
        }
        struct schema_placement_entry *larger =
            realloc(placement.entries, (placement.count + 1) * sizeof *placement.entries);
        if (larger) {
            placement.entries = larger;
            larger[placement.count] = (struct schema_placement_entry){strndup(at, (size_t)(tab - at)),
                                                                      strndup(tab + 1, (size_t)(line_end - tab) - 1)};
            placement.count++;
        }
        if (!larger || !larger[placement.count - 1].database || !larger[placement.count - 1].table) {
            schema_placement_release(&placement);
            return no_memory(error);
        }
        at = line_end + 1;
    }
    *ret_placement = placement;
    return true;
}

void schema_placement_release(struct schema_placement *placement)
{
    for (size_t i = 0; i < placement->count; i++) {
        free(placement->entries[i].database);
        free(placement->entries[i].table);
    }
    free(placement->entries);
    *placement = (struct schema_placement){0};
}
