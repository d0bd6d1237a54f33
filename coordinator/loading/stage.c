/* SPDX-License-Identifier: Apache-2.0 */
#include "insert.h"
#include "stage_inside.h"

#include "row.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char own_tables[] =
    "CREATE TABLE _sheaf_record(seq INTEGER PRIMARY KEY, input INTEGER, line INTEGER, row BLOB, raw BLOB, cut INTEGER);"
    "CREATE TABLE _sheaf_refusal(seq INTEGER PRIMARY KEY, code INTEGER, tbl TEXT, rule TEXT, text TEXT);"
    "CREATE TABLE _sheaf_repeat(seq INTEGER PRIMARY KEY, first INTEGER);"
    "CREATE TABLE _sheaf_edge(parent INTEGER, child INTEGER, ref INTEGER);"
    "CREATE TABLE _sheaf_missing(child INTEGER, ref INTEGER);";

static const char *const statement_texts[STAGE_STATEMENTS] = {
    [STAGE_PUT_RECORD] = "INSERT INTO _sheaf_record VALUES(?1,?2,?3,?4,?5,?6)",
    [STAGE_GET_RECORD] = "SELECT seq,input,line,row FROM _sheaf_record WHERE seq=?1",
    [STAGE_RECORDS] = "SELECT seq,input,line,raw,cut FROM _sheaf_record ORDER BY seq",
    [STAGE_PUT_REFUSAL] = "INSERT OR REPLACE INTO _sheaf_refusal VALUES(?1,?2,?3,?4,?5)",
    [STAGE_GET_REFUSAL] = "SELECT code,tbl,rule,text FROM _sheaf_refusal WHERE seq=?1",
    [STAGE_PUT_REPEAT] = "INSERT INTO _sheaf_repeat VALUES(?1,?2)",
    [STAGE_GET_REPEAT] = "SELECT first FROM _sheaf_repeat WHERE seq=?1",
    [STAGE_PUT_EDGE] = "INSERT INTO _sheaf_edge VALUES(?1,?2,?3)",
    [STAGE_EDGES] = "SELECT parent,child,ref FROM _sheaf_edge",
    [STAGE_CHILDREN] = "SELECT parent,child,ref FROM _sheaf_edge WHERE parent=?1",
    [STAGE_PUT_MISSING] = "INSERT INTO _sheaf_missing VALUES(?1,?2)",
    [STAGE_IS_MISSING] = "SELECT 1 FROM _sheaf_missing WHERE child=?1 AND ref=?2",
};

/* Both places are named: SQLite does not tell which of its files had no room. */
#define ABOUT "the temporary files for tables that refer to each other, in %s and $TMPDIR: "

bool stage_failed(const struct stage *stage, struct error *error)
{
    int code = sqlite3_errcode(stage->connection);

    return error_set(error, (code & 0xff) == SQLITE_NOMEM ? ERROR_INTERNAL : ERROR_IO, ABOUT "%s", stage->scratch,
                     sqlite3_errmsg(stage->connection));
}

bool stage_run_sql(const struct stage *stage, struct error *error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    char *sql = sqlite3_vmprintf(format, arguments);
    va_end(arguments);
    if (!sql)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    int code = sqlite3_exec(stage->connection, sql, NULL, NULL, NULL);
    sqlite3_free(sql);
    return code == SQLITE_OK || stage_failed(stage, error);
}

sqlite3_stmt *stage_prepared(const struct stage *stage, const char *sql, struct error *error)
{
    sqlite3_stmt *statement = NULL;

    if (!sql)
        error_set(error, ERROR_INTERNAL, "out of memory");
    else if (sqlite3_prepare_v3(stage->connection, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) != SQLITE_OK)
        stage_failed(stage, error);
    return statement;
}

void stage_append(char **text, const char *format, ...)
{
    va_list arguments;

    if (!*text)
        return;
    va_start(arguments, format);
    char *piece = sqlite3_vmprintf(format, arguments);
    va_end(arguments);
    char *longer = piece ? sqlite3_mprintf("%s%s", *text, piece) : NULL;
    sqlite3_free(piece);
    sqlite3_free(*text);
    *text = longer;
}

/* Makes the file, opens it with SQLite, and takes its name away again. */
static bool open_file(struct stage *stage, const char *scratch, struct error *error)
{
    char path[4096];

    if ((size_t)snprintf(path, sizeof(path), "%s/_sheaf_stage_XXXXXX", scratch) >= sizeof(path))
        return error_set(error, ERROR_IO, "%s: the path is too long", scratch);
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
    close(fd);
    int code = sqlite3_open_v2(path, &stage->connection, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    bool fine = code == SQLITE_OK
                    ? stage_run_sql(stage, error,
                                    "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA foreign_keys=OFF;"
                                    "PRAGMA locking_mode=EXCLUSIVE; PRAGMA cache_size=-%d;"
                                    "BEGIN EXCLUSIVE",
                                    STAGE_CACHE_KIB)
                    : stage_failed(stage, error);
    unlink(path);
    return fine;
}

/* Objects that decide nothing about a row. Triggers were asked by the shard's probe. */
static bool drop_the_rest(const struct stage *stage, struct error *error)
{
    static const char list[] = "SELECT type, name FROM sqlite_schema s WHERE type IN ('trigger','view') OR "
                               "(type='index' AND sql IS NOT NULL AND "
                               "NOT EXISTS (SELECT 1 FROM pragma_index_list(s.tbl_name) i WHERE i.name = s.name AND "
                               "i.\"unique\")) ORDER BY type";
    char *sql = sqlite3_mprintf("%s", "");
    sqlite3_stmt *statement = stage_prepared(stage, list, error);
    int code;

    if (!statement) {
        sqlite3_free(sql);
        return false;
    }
    while ((code = sqlite3_step(statement)) == SQLITE_ROW)
        stage_append(&sql, "DROP %s \"%w\";", (const char *)sqlite3_column_text(statement, 0),
                     (const char *)sqlite3_column_text(statement, 1));
    sqlite3_finalize(statement);
    bool fine = code == SQLITE_DONE ? sql != NULL || error_set(error, ERROR_INTERNAL, "out of memory")
                                    : stage_failed(stage, error);
    if (fine)
        fine = stage_run_sql(stage, error, "%s", sql);
    sqlite3_free(sql);
    return fine;
}

/* The statements of every database that holds one of the tables: names are unique over the whole schema. */
static bool make_tables(const struct stage *stage, const table_id *tables, uint16_t count, struct error *error)
{
    const struct schema *schema = stage->schema;
    bool *made = calloc((size_t)schema->database_count + 1, sizeof(*made));
    bool fine = made != NULL || error_set(error, ERROR_INTERNAL, "out of memory");

    for (uint16_t t = 0; fine && t < count; t++) {
        database_id id = schema->tables[tables[t]].database;
        const struct schema_database *database = &schema->databases[id];
        for (uint16_t s = 0; fine && !made[id] && s < database->statement_count; s++)
            fine = stage_run_sql(stage, error, "%s", database->statements[s]);
        if (made)
            made[id] = true;
    }
    free(made);
    return fine && drop_the_rest(stage, error);
}

/* A table WITHOUT ROWID finds the row just inserted through an index that holds no other. */
static bool prepare_number(const struct stage *stage, table_id id, struct error *error)
{
    const struct schema_table *table = &stage->schema->tables[id];
    char *sql;

    if (!stage_run_sql(stage, error, "ALTER TABLE \"%w\" ADD COLUMN _sheaf_seq INTEGER", table->name))
        return false;
    if (table->without_rowid) {
        if (!stage_run_sql(stage, error, "CREATE INDEX _sheaf_new_%u ON \"%w\"(_sheaf_seq) WHERE _sheaf_seq IS NULL",
                           id, table->name))
            return false;
        sql = sqlite3_mprintf("UPDATE \"%w\" INDEXED BY _sheaf_new_%u SET _sheaf_seq=?1 WHERE _sheaf_seq IS NULL",
                              table->name, id);
    } else {
        sql = sqlite3_mprintf("UPDATE \"%w\" SET _sheaf_seq=?1 WHERE rowid=?2", table->name);
    }
    stage->tables[id].number = stage_prepared(stage, sql, error);
    sqlite3_free(sql);
    return stage->tables[id].number != NULL;
}

static const char *collation_name(enum collation collation)
{
    return collation == COLLATION_NOCASE ? "NOCASE" : collation == COLLATION_RTRIM ? "RTRIM" : "BINARY";
}

static bool prepare_find(const struct stage *stage, table_id id, struct error *error)
{
    const struct schema_table *table = &stage->schema->tables[id];

    if (table->primary_key == SCHEMA_NONE)
        return true;
    const struct schema_key *key = &table->keys[table->primary_key];
    char *sql = sqlite3_mprintf("SELECT _sheaf_seq FROM \"%w\" WHERE", table->name);
    for (uint16_t i = 0; i < key->column_count; i++)
        stage_append(&sql, "%s \"%w\" = ?%d COLLATE %s", i ? " AND" : "", table->columns[key->columns[i]].name, i + 1,
                     collation_name(key->collations[i]));
    stage->tables[id].find = stage_prepared(stage, sql, error);
    sqlite3_free(sql);
    return stage->tables[id].find != NULL;
}

static bool prepare_all(struct stage *stage, const table_id *tables, uint16_t count, struct error *error)
{
    if (!stage_run_sql(stage, error, "%s", own_tables))
        return false;
    for (uint16_t t = 0; t < count; t++)
        if (!prepare_number(stage, tables[t], error))
            return false;
    for (uint16_t t = 0; t < count; t++)
        if (!prepare_find(stage, tables[t], error))
            return false;
    for (int i = 0; i < STAGE_STATEMENTS; i++)
        if (!(stage->statements[i] = stage_prepared(stage, statement_texts[i], error)))
            return false;
    return true;
}

struct stage *stage_open(const char *scratch, const struct schema *schema, const table_id *tables, uint16_t table_count,
                         struct error *error)
{
    struct stage *stage = calloc(1, sizeof(*stage));
    size_t columns = 1;

    if (!stage) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    for (uint16_t t = 0; t < table_count; t++)
        if (schema->tables[tables[t]].column_count > columns)
            columns = schema->tables[tables[t]].column_count;
    stage->scratch = scratch;
    stage->schema = schema;
    stage->tables = calloc((size_t)schema->table_count + 1, sizeof(*stage->tables));
    stage->values_of = calloc((size_t)schema->reference_count + 1, sizeof(sqlite3_stmt *));
    stage->values = calloc(columns, sizeof(*stage->values));
    if (!stage->tables || !stage->values_of || !stage->values) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        stage_close(stage);
        return NULL;
    }
    if (open_file(stage, scratch, error) && make_tables(stage, tables, table_count, error) &&
        prepare_all(stage, tables, table_count, error) &&
        (stage->insert = insert_new(stage->connection, schema, error)) != NULL)
        return stage;
    stage_close(stage);
    return NULL;
}

void stage_close(struct stage *stage)
{
    if (!stage)
        return;
    insert_free(stage->insert);
    for (int i = 0; i < STAGE_STATEMENTS; i++)
        sqlite3_finalize(stage->statements[i]);
    for (table_id t = 0; stage->tables && t < stage->schema->table_count; t++) {
        sqlite3_finalize(stage->tables[t].number);
        sqlite3_finalize(stage->tables[t].find);
    }
    for (reference_id r = 0; stage->values_of && r < stage->schema->reference_count; r++)
        sqlite3_finalize(stage->values_of[r]);
    sqlite3_finalize(stage->links);
    sqlite3_close(stage->connection);
    free(stage->tables);
    free(stage->values_of);
    free(stage->values);
    free(stage);
}

bool stage_finish(const struct stage *stage, sqlite3_stmt *statement, struct error *error)
{
    int code = sqlite3_step(statement);
    bool fine = code == SQLITE_DONE || stage_failed(stage, error);

    sqlite3_reset(statement);
    return fine;
}

int stage_next(const struct stage *stage, sqlite3_stmt *statement, struct error *error)
{
    int code = sqlite3_step(statement);

    if (code == SQLITE_ROW)
        return 1;
    if (code != SQLITE_DONE)
        stage_failed(stage, error);
    sqlite3_reset(statement);
    return code == SQLITE_DONE ? 0 : -1;
}

/* Rows of the staged file are found again by their key: SQLite has just said that the row is there. */
static bool find_first(struct stage *stage, table_id id, const uint8_t *row, size_t len, uint32_t *ret_first,
                       struct error *error)
{
    const struct schema_table *table = &stage->schema->tables[id];
    const struct schema_key *key = &table->keys[table->primary_key];
    sqlite3_stmt *find = stage->tables[id].find;

    if (!row_read(table, row, len, stage->values, error))
        return false;
    sqlite3_reset(find);
    for (uint16_t i = 0; i < key->column_count; i++)
        if (insert_bind(find, i + 1, &stage->values[key->columns[i]]) != SQLITE_OK)
            return stage_failed(stage, error);
    int found = stage_next(stage, find, error);
    if (found < 0)
        return false;
    if (found == 0)
        panic("table %s: a staged row is the same as one that is not there", table->name);
    *ret_first = (uint32_t)sqlite3_column_int64(find, 0);
    sqlite3_reset(find);
    sqlite3_clear_bindings(find); /* they point into the row */
    return true;
}

enum insert_result stage_insert(struct stage *stage, table_id table, uint32_t seq, const uint8_t *row, size_t len,
                                bool same_is_fine, uint32_t *ret_first, int64_t *ret_rowid, struct error *error)
{
    sqlite3_stmt *number = stage->tables[table].number;
    int64_t rowid = 0;
    enum insert_result result = insert_row(stage->insert, table, row, len, same_is_fine, &rowid, error);

    if (result == INSERT_SAME)
        return find_first(stage, table, row, len, ret_first, error) ? INSERT_SAME : INSERT_FAILED;
    if (result == INSERT_FAILED)
        error_prefix(error, ABOUT, stage->scratch);
    if (result != INSERT_DONE)
        return result;
    sqlite3_bind_int64(number, 1, seq);
    if (!stage->schema->tables[table].without_rowid)
        sqlite3_bind_int64(number, 2, rowid);
    if (!stage_finish(stage, number, error))
        return INSERT_FAILED;
    if (sqlite3_changes(stage->connection) != 1)
        panic("table %s: a staged row cannot be numbered", stage->schema->tables[table].name);
    *ret_rowid = rowid;
    return INSERT_DONE;
}
