/* SPDX-License-Identifier: Apache-2.0 */
#include "schema_load.h"

#include "sql_name.h"
#include "sql_token.h"
#include "trust.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What the authorizer has seen of the statement being prepared. */
struct watch {
    bool creates;
    enum statement_kind kind;
    char name[LIMIT_NAME_BYTES_MAX + 1];
    char table[LIMIT_NAME_BYTES_MAX + 1];
    bool selects;
    bool compiles;    /* an INSERT, of which only the functions are looked at */
    char denied[320]; /* why it was denied; "" when it was not */
};

static int deny(struct watch *watch, const char *what, const char *name)
{
    if (!watch->denied[0])
        snprintf(watch->denied, sizeof watch->denied, "%s%s%s", what, name ? " " : "", name ? name : "");
    return SQLITE_DENY;
}

static int creates(struct watch *watch, enum statement_kind kind, const char *name, const char *table)
{
    if (watch->creates) /* the index of a UNIQUE column, inside its CREATE TABLE */
        return SQLITE_OK;
    watch->creates = true;
    watch->kind = kind;
    snprintf(watch->name, sizeof watch->name, "%s", name);
    snprintf(watch->table, sizeof watch->table, "%s", table ? table : name);
    if (!*name)
        return deny(watch, "an empty name", NULL);
    if (strlen(name) > LIMIT_NAME_BYTES_MAX)
        return deny(watch, "a name longer than 200 bytes", NULL);
    for (const char *at = name; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f) /* placements are lines with tabs */
            return deny(watch, "a control character in a name", NULL);
    if (!strncasecmp(name, "_sheaf_", 7))
        return deny(watch, "names that begin with _sheaf_ are Sheaf's own:", name);
    return SQLITE_OK;
}

static const char temporary[] = "TEMP: temporary objects live in no database";

/* https://sqlite.org/c3ref/c_alter_table.html gives the arguments of each action. */
static int authorize(void *context, int action, const char *first, const char *second, const char *database,
                     const char *trigger)
{
    struct watch *watch = context;
    (void)trigger;
    if (watch->compiles && action != SQLITE_FUNCTION)
        return SQLITE_OK;
    switch (action) {
    case SQLITE_CREATE_TABLE:
        return creates(watch, STATEMENT_TABLE, first, NULL);
    case SQLITE_CREATE_INDEX:
        return creates(watch, STATEMENT_INDEX, first, second);
    case SQLITE_CREATE_VIEW:
        return creates(watch, STATEMENT_VIEW, first, NULL);
    case SQLITE_CREATE_TRIGGER:
        return creates(watch, STATEMENT_TRIGGER, first, second);
    case SQLITE_SELECT:
        watch->selects = true;
        return SQLITE_OK;
    case SQLITE_READ:
    case SQLITE_RECURSIVE:
    case SQLITE_REINDEX:
        return SQLITE_OK;
    case SQLITE_FUNCTION:
        return second && !strcasecmp(second, "load_extension") ? deny(watch, "load_extension is not allowed", NULL)
                                                               : SQLITE_OK;
    case SQLITE_INSERT:
    case SQLITE_UPDATE:
    case SQLITE_DELETE:
        /* SQLite's own bookkeeping while it creates */
        if (first && !strncasecmp(first, "sqlite_", 7) && database && !strcmp(database, "main"))
            return SQLITE_OK;
        if ((first && !strncasecmp(first, "sqlite_temp_", 12)) || (database && !strcmp(database, "temp")))
            return deny(watch, temporary, NULL);
        return deny(watch,
                    action == SQLITE_INSERT   ? "INSERT into"
                    : action == SQLITE_UPDATE ? "UPDATE of"
                                              : "DELETE from",
                    first);
    case SQLITE_CREATE_TEMP_INDEX:
    case SQLITE_CREATE_TEMP_TABLE:
    case SQLITE_CREATE_TEMP_TRIGGER:
    case SQLITE_CREATE_TEMP_VIEW:
        return deny(watch, temporary, NULL);
    case SQLITE_CREATE_VTABLE:
        return deny(watch, "CREATE VIRTUAL TABLE", first);
    case SQLITE_ATTACH:
    case SQLITE_DETACH:
        return deny(watch, "ATTACH and DETACH are not allowed", NULL);
    case SQLITE_PRAGMA:
        return deny(watch, "PRAGMA", first);
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
        return deny(watch, "transactions are not part of a schema:", first);
    default:
        return deny(watch, "only CREATE TABLE, INDEX, VIEW and TRIGGER make a schema", NULL);
    }
}

sqlite3 *schema_memory_open(struct error *error)
{
    sqlite3 *memory = NULL;
    if (sqlite3_open_v2(":memory:", &memory, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK) {
        error_set(error, ERROR_INTERNAL, "an in-memory database: %s", sqlite3_errmsg(memory));
        sqlite3_close(memory);
        return NULL;
    }
    sqlite3_limit(memory, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_db_config(memory, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    sqlite3_db_config(memory, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    if (!trust_functions(memory)) {
        error_set(error, ERROR_INTERNAL, "an in-memory database: %s", sqlite3_errmsg(memory));
        sqlite3_close(memory);
        return NULL;
    }
    return memory;
}

const char *schema_why(sqlite3 *memory)
{
    return sqlite3_errcode(memory) == SQLITE_NOMEM ? "it takes SQLite more memory than a schema may"
                                                   : sqlite3_errmsg(memory);
}

/* A hard limit brings the soft one down with it. https://sqlite.org/c3ref/hard_heap_limit64.html */
struct schema_bound schema_bound_begin(void)
{
    const struct schema_bound before = {sqlite3_hard_heap_limit64(-1), sqlite3_soft_heap_limit64(-1)};
    sqlite3_int64 most = sqlite3_memory_used() + LIMIT_SCHEMA_MEMORY_BYTES;
    if (before.hard == 0 || most < before.hard)
        sqlite3_hard_heap_limit64(most);
    return before;
}

void schema_bound_end(struct schema_bound before)
{
    sqlite3_hard_heap_limit64(before.hard);
    sqlite3_soft_heap_limit64(before.soft);
}

/* ---- statement by statement ---- */

static unsigned line_of(const char *text, const char *at)
{
    unsigned line = 1;
    for (; text < at; text++)
        line += *text == '\n';
    return line;
}

/* Where the statement's own first token stands: behind blanks, comments and empty statements. */
static const char *statement_start(const char *at, const char *end)
{
    for (;;) {
        const char *next = at;
        struct sql_token token = sql_token_next(&next, end);
        if (token.len != 1 || *token.text != ';')
            return token.text;
        at = next;
    }
}

/* The statement's end without its semicolon and what blanks stand before that. */
static const char *statement_end(const char *start, const char *tail)
{
    const char *at = start, *end = start;
    for (;;) {
        struct sql_token token = sql_token_next(&at, tail);
        if (!token.len)
            return end;
        if (token.len != 1 || *token.text != ';' || at < tail)
            end = at;
    }
}

static bool replaces_silently(const char *sql, size_t len, char *clause, size_t size)
{
    static const char *const silent[] = {"REPLACE", "IGNORE", "FAIL", "ROLLBACK"};
    const char *at = sql, *end = sql + len;
    struct sql_token before = {0}, token = sql_token_next(&at, end);
    while (token.len) {
        struct sql_token next = sql_token_next(&at, end);
        if (sql_token_is(&before, "ON") && sql_token_is(&token, "CONFLICT"))
            for (unsigned i = 0; i < sizeof silent / sizeof *silent; i++)
                if (sql_token_is(&next, silent[i])) {
                    snprintf(clause, size, "ON CONFLICT %s", silent[i]);
                    return true;
                }
        before = token;
        token = next;
    }
    return false;
}

static bool refuse(struct error *error, const char *file, unsigned line, const char *sql, size_t len, const char *why)
{
    int shown = (int)(len < 60 ? len : 60);
    while (shown > 0 && len > 60 && ((unsigned char)sql[shown] & 0xc0) == 0x80)
        shown--;
    const char *line_end = memchr(sql, '\n', (size_t)shown);
    if (line_end)
        shown = (int)(line_end - sql);
    return error_set(error, ERROR_PARSE, "%s:%u: %s (in: %.*s%s)", file, line, why, shown, sql,
                     (size_t)shown < len ? " …" : "");
}

static bool keep(struct statements *statements, const struct watch *watch, const char *sql, size_t len, unsigned line,
                 struct error *error)
{
    struct statement *items = realloc(statements->items, (statements->count + 1) * sizeof *items);
    if (!items)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    statements->items = items;
    struct statement *statement = &items[statements->count++];
    *statement = (struct statement){.kind = watch->kind,
                                    .sql = strndup(sql, len),
                                    .name = strdup(watch->name),
                                    .table = strdup(watch->table),
                                    .line = line};
    return (statement->sql && statement->name && statement->table) || error_set(error, ERROR_INTERNAL, "out of memory");
}

/* SQLite looks at a DEFAULT when it is first used. */
static bool defaults_work(sqlite3 *memory, struct watch *watch)
{
    struct buffer sql = {0};
    sqlite3_stmt *insert = NULL;
    watch->compiles = true;
    bool ok = buffer_put_text(&sql, "INSERT INTO ") && sql_put_name(&sql, watch->name) &&
              buffer_put_text(&sql, " DEFAULT VALUES") &&
              sqlite3_prepare_v2(memory, (const char *)sql.bytes, (int)sql.len, &insert, NULL) == SQLITE_OK;
    sqlite3_finalize(insert);
    buffer_release(&sql);
    return ok;
}

/* Prepares and runs the statement at *at; moves *at behind it. */
static bool execute_one(sqlite3 *memory, const char *text, const char **at, const char *end, const char *file,
                        struct statements *statements, struct error *error)
{
    const char *start = *at, *tail = end;
    struct watch watch = {0};
    char clause[40];
    sqlite3_stmt *prepared = NULL;
    sqlite3_set_authorizer(memory, authorize, &watch);
    int result = sqlite3_prepare_v2(memory, start, (int)(end - start), &prepared, &tail);
    if (tail <= start)
        tail = end;
    *at = tail;
    unsigned line = line_of(text, start);
    size_t len = (size_t)(statement_end(start, tail) - start);
    bool ok = false;
    if (result != SQLITE_OK)
        refuse(error, file, line, start, len, watch.denied[0] ? watch.denied : schema_why(memory));
    else if (!prepared || !watch.creates || sqlite3_stmt_isexplain(prepared))
        refuse(error, file, line, start, len, "only CREATE TABLE, INDEX, VIEW and TRIGGER make a schema");
    else if (watch.kind == STATEMENT_TABLE && watch.selects)
        refuse(error, file, line, start, len, "CREATE TABLE AS SELECT brings rows; name the columns instead");
    else if (replaces_silently(start, len, clause, sizeof clause))
        refuse(error, file, line, start, len, clause);
    else if (sqlite3_step(prepared) != SQLITE_DONE || (watch.kind == STATEMENT_TABLE && !defaults_work(memory, &watch)))
        refuse(error, file, line, start, len, watch.denied[0] ? watch.denied : schema_why(memory));
    else
        ok = keep(statements, &watch, start, len, line, error);
    sqlite3_finalize(prepared);
    sqlite3_set_authorizer(memory, NULL, NULL);
    return ok;
}

bool schema_execute(sqlite3 *memory, const char *text, size_t len, const char *file, struct statements *ret_statements,
                    struct error *error)
{
    struct statements statements = {0};
    const char *end = text + len;
    const char *at = statement_start(text, end);
    bool ok = true;
    while (ok && at < end) {
        ok = execute_one(memory, text, &at, end, file, &statements, error);
        at = statement_start(at, end);
    }
    if (!ok) {
        statements_release(&statements);
        return false;
    }
    *ret_statements = statements;
    return true;
}

void statements_release(struct statements *statements)
{
    for (size_t i = 0; i < statements->count; i++) {
        free(statements->items[i].sql);
        free(statements->items[i].name);
        free(statements->items[i].table);
    }
    free(statements->items);
    *statements = (struct statements){0};
}

/* ---- what views and triggers touch ---- */

struct touch_watch {
    const struct schema *schema;
    const char *trigger; /* only what happens inside it; NULL for a view */
    struct schema_touch *touch;
};

static int watch_touch(void *context, int action, const char *first, const char *second, const char *database,
                       const char *trigger)
{
    struct touch_watch *watch = context;
    (void)database;
    if (watch->trigger && (!trigger || strcasecmp(trigger, watch->trigger)))
        return SQLITE_OK;
    if (action == SQLITE_FUNCTION && second && !strcasecmp(second, "load_extension"))
        return SQLITE_DENY;
    if (!first)
        return SQLITE_OK;
    if (action == SQLITE_READ) {
        table_id table = schema_find_table(watch->schema, first, strlen(first));
        if (table != SCHEMA_NONE && second && *second)
            watch->touch->reads[table] = true;
        else if (table != SCHEMA_NONE) /* SQLite says so of a WITH of that name, too */
            watch->touch->names[table] = true;
    } else if (action == SQLITE_INSERT || action == SQLITE_UPDATE || action == SQLITE_DELETE) {
        snprintf(watch->touch->writes, sizeof watch->touch->writes, "%s", first);
    }
    return SQLITE_OK;
}

/* "UPDATE t SET a = a, …": every column that can be written, so that UPDATE OF triggers are compiled too. */
static bool put_update(struct buffer *sql, const struct schema_table *table)
{
    bool ok = buffer_put_text(sql, "UPDATE ") && sql_put_name(sql, table->name) && buffer_put_text(sql, " SET ");
    bool first = true;
    for (uint16_t i = 0; ok && i < table->column_count; i++) {
        if (table->columns[i].generated)
            continue;
        ok = (first || buffer_put(sql, ", ", 2)) && sql_put_name(sql, table->columns[i].name) &&
             buffer_put(sql, " = ", 3) && sql_put_name(sql, table->columns[i].name);
        first = false;
    }
    return ok;
}

/* The table that a program opens, itself or an index of it; SCHEMA_NONE: none of the schema's. */
static table_id opened_table(sqlite3 *memory, const struct schema *schema, int root_page)
{
    sqlite3_stmt *owner = NULL;
    table_id table = SCHEMA_NONE;
    if (sqlite3_prepare_v2(memory, "SELECT tbl_name FROM sqlite_schema WHERE rootpage = ?1", -1, &owner, NULL) ==
        SQLITE_OK) {
        sqlite3_bind_int(owner, 1, root_page);
        const char *name = sqlite3_step(owner) == SQLITE_ROW ? (const char *)sqlite3_column_text(owner, 0) : NULL;
        if (name)
            table = schema_find_table(schema, name, strlen(name));
    }
    sqlite3_finalize(owner);
    return table;
}

/* A table is opened where it is meant, a WITH of its name is not. */
static void look_for_table(sqlite3 *memory, const struct schema *schema, sqlite3_stmt *explain,
                           struct schema_touch *touch)
{
    const char *opcode = (const char *)sqlite3_column_text(explain, 1);
    if (!opcode || (strcmp(opcode, "OpenRead") != 0 && strcmp(opcode, "ReopenIdx") != 0))
        return;
    table_id table = opened_table(memory, schema, sqlite3_column_int(explain, 3));
    if (table != SCHEMA_NONE && touch->names[table])
        touch->reads[table] = true;
}

/* RAISE is a Halt whose P1 is the error (none for IGNORE) and whose P2 says what becomes of the statement: 1 rollback,
 * 2 abort, 3 fail, 4 ignore (OE_… in SQLite). */
static void look_for_raise(sqlite3_stmt *explain, struct schema_touch *touch)
{
    const char *opcode = (const char *)sqlite3_column_text(explain, 1);
    if (!opcode || strcmp(opcode, "Halt") != 0)
        return;
    int code = sqlite3_column_int(explain, 2), then = sqlite3_column_int(explain, 3);
    if (code == 0 && then == 4)
        touch->raises = "IGNORE";
    else if (code == SQLITE_CONSTRAINT_TRIGGER && then != 2)
        touch->raises = then == 1 ? "ROLLBACK" : "FAIL";
}

static bool compile(sqlite3 *memory, const struct schema *schema, const struct buffer *sql, const char *name,
                    struct schema_touch *touch, struct error *error)
{
    sqlite3_stmt *explain = NULL;
    if (sqlite3_prepare_v2(memory, (const char *)sql->bytes, (int)sql->len, &explain, NULL) != SQLITE_OK)
        return error_set(error, ERROR_PARSE, "%s: %s", name, schema_why(memory));
    while (sqlite3_step(explain) == SQLITE_ROW) {
        look_for_raise(explain, touch);
        look_for_table(memory, schema, explain, touch);
    }
    if (sqlite3_finalize(explain) != SQLITE_OK)
        return error_set(error, ERROR_PARSE, "%s: %s", name, schema_why(memory));
    return true;
}

bool schema_touch_of(sqlite3 *memory, const struct schema *schema, const struct statement *statement,
                     struct schema_touch *ret_touch, struct error *error)
{
    *ret_touch = (struct schema_touch){0};
    bool is_trigger = statement->kind == STATEMENT_TRIGGER;
    struct touch_watch watch = {schema, is_trigger ? statement->name : NULL, ret_touch};
    struct buffer sql = {0};
    table_id on = schema_find_table(schema, statement->table, strlen(statement->table));
    if (is_trigger && on == SCHEMA_NONE)
        return error_set(error, ERROR_PARSE, "trigger %s is on a view: Sheaf writes tables only", statement->name);
    sqlite3_set_authorizer(memory, watch_touch, &watch);
    bool ok = true;
    for (int form = 0; ok && form < (is_trigger ? 3 : 1); form++) {
        buffer_clear(&sql);
        bool put = buffer_put_text(&sql, "EXPLAIN ");
        if (!is_trigger)
            put = put && buffer_put_text(&sql, "SELECT * FROM ") && sql_put_name(&sql, statement->name);
        else if (form == 0)
            put = put && buffer_put_text(&sql, "INSERT INTO ") && sql_put_name(&sql, statement->table) &&
                  buffer_put_text(&sql, " DEFAULT VALUES");
        else if (form == 1)
            put = put && put_update(&sql, &schema->tables[on]);
        else
            put = put && buffer_put_text(&sql, "DELETE FROM ") && sql_put_name(&sql, statement->table);
        ok = put ? compile(memory, schema, &sql, statement->name, ret_touch, error)
                 : error_set(error, ERROR_INTERNAL, "out of memory");
    }
    sqlite3_set_authorizer(memory, NULL, NULL);
    buffer_release(&sql);
    return ok;
}
