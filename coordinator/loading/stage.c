/* SPDX-License-Identifier: Apache-2.0 */
#include "stage.h"
#include "insert.h"

#include "row.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum statement {
    PUT_RECORD,
    GET_RECORD,
    RECORDS,
    PUT_REFUSAL,
    GET_REFUSAL,
    PUT_REPEAT,
    GET_REPEAT,
    PUT_EDGE,
    EDGES,
    CHILDREN,
    PUT_MISSING,
    IS_MISSING,
    STATEMENTS
};

static const char own_tables[] =
    "CREATE TABLE _sheaf_record(seq INTEGER PRIMARY KEY, input INTEGER, line INTEGER, row BLOB, raw BLOB, cut INTEGER);"
    "CREATE TABLE _sheaf_refusal(seq INTEGER PRIMARY KEY, code INTEGER, tbl TEXT, rule TEXT, text TEXT);"
    "CREATE TABLE _sheaf_repeat(seq INTEGER PRIMARY KEY, first INTEGER);"
    "CREATE TABLE _sheaf_edge(parent INTEGER, child INTEGER, ref INTEGER);"
    "CREATE TABLE _sheaf_missing(child INTEGER, ref INTEGER);";

static const char *const statement_texts[STATEMENTS] = {
    [PUT_RECORD] = "INSERT INTO _sheaf_record VALUES(?1,?2,?3,?4,?5,?6)",
    [GET_RECORD] = "SELECT seq,input,line,row FROM _sheaf_record WHERE seq=?1",
    [RECORDS] = "SELECT seq,input,line,raw,cut FROM _sheaf_record ORDER BY seq",
    [PUT_REFUSAL] = "INSERT OR REPLACE INTO _sheaf_refusal VALUES(?1,?2,?3,?4,?5)",
    [GET_REFUSAL] = "SELECT code,tbl,rule,text FROM _sheaf_refusal WHERE seq=?1",
    [PUT_REPEAT] = "INSERT INTO _sheaf_repeat VALUES(?1,?2)",
    [GET_REPEAT] = "SELECT first FROM _sheaf_repeat WHERE seq=?1",
    [PUT_EDGE] = "INSERT INTO _sheaf_edge VALUES(?1,?2,?3)",
    [EDGES] = "SELECT parent,child,ref FROM _sheaf_edge",
    [CHILDREN] = "SELECT parent,child,ref FROM _sheaf_edge WHERE parent=?1",
    [PUT_MISSING] = "INSERT INTO _sheaf_missing VALUES(?1,?2)",
    [IS_MISSING] = "SELECT 1 FROM _sheaf_missing WHERE child=?1 AND ref=?2",
};

struct staged_table {
    sqlite3_stmt *number; /* gives the row just inserted its sequence number */
    sqlite3_stmt *find;   /* the sequence number of the row with a primary key */
};

struct stage {
    const struct schema *schema;
    sqlite3 *connection;
    struct insert *insert;
    sqlite3_stmt *statements[STATEMENTS];
    struct staged_table *tables; /* by table */
    sqlite3_stmt *links;         /* of the reference being walked */
    reference_id links_reference;
    sqlite3_stmt **values_of; /* by reference; prepared when first asked for */
    struct value *values;     /* as many as any table has columns */
};

static bool failed(const struct stage *stage, struct error *error)
{
    int code = sqlite3_errcode(stage->connection);

    return error_set(error, (code & 0xff) == SQLITE_NOMEM ? ERROR_INTERNAL : ERROR_IO,
                     "the temporary file for tables that refer to each other: %s", sqlite3_errmsg(stage->connection));
}

static bool run_sql(const struct stage *stage, struct error *error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    char *sql = sqlite3_vmprintf(format, arguments);
    va_end(arguments);
    if (!sql)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    int code = sqlite3_exec(stage->connection, sql, NULL, NULL, NULL);
    sqlite3_free(sql);
    return code == SQLITE_OK || failed(stage, error);
}

static sqlite3_stmt *prepared(const struct stage *stage, const char *sql, struct error *error)
{
    sqlite3_stmt *statement = NULL;

    if (!sql)
        error_set(error, ERROR_INTERNAL, "out of memory");
    else if (sqlite3_prepare_v3(stage->connection, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) != SQLITE_OK)
        failed(stage, error);
    return statement;
}

/* Appends a piece of SQL; on failure *text becomes NULL and stays so. */
static void append(char **text, const char *format, ...)
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
    bool fine = code == SQLITE_OK ? run_sql(stage, error,
                                            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA foreign_keys=OFF;"
                                            "PRAGMA locking_mode=EXCLUSIVE; PRAGMA cache_size=-%d;"
                                            "BEGIN EXCLUSIVE",
                                            STAGE_CACHE_KIB)
                                  : failed(stage, error);
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
    sqlite3_stmt *statement = prepared(stage, list, error);
    int code;

    if (!statement) {
        sqlite3_free(sql);
        return false;
    }
    while ((code = sqlite3_step(statement)) == SQLITE_ROW)
        append(&sql, "DROP %s \"%w\";", (const char *)sqlite3_column_text(statement, 0),
               (const char *)sqlite3_column_text(statement, 1));
    sqlite3_finalize(statement);
    bool fine =
        code == SQLITE_DONE ? sql != NULL || error_set(error, ERROR_INTERNAL, "out of memory") : failed(stage, error);
    if (fine)
        fine = run_sql(stage, error, "%s", sql);
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
            fine = run_sql(stage, error, "%s", database->statements[s]);
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

    if (!run_sql(stage, error, "ALTER TABLE \"%w\" ADD COLUMN _sheaf_seq INTEGER", table->name))
        return false;
    if (table->without_rowid) {
        if (!run_sql(stage, error, "CREATE INDEX _sheaf_new_%u ON \"%w\"(_sheaf_seq) WHERE _sheaf_seq IS NULL", id,
                     table->name))
            return false;
        sql = sqlite3_mprintf("UPDATE \"%w\" INDEXED BY _sheaf_new_%u SET _sheaf_seq=?1 WHERE _sheaf_seq IS NULL",
                              table->name, id);
    } else {
        sql = sqlite3_mprintf("UPDATE \"%w\" SET _sheaf_seq=?1 WHERE rowid=?2", table->name);
    }
    stage->tables[id].number = prepared(stage, sql, error);
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
        append(&sql, "%s \"%w\" = ?%d COLLATE %s", i ? " AND" : "", table->columns[key->columns[i]].name, i + 1,
               collation_name(key->collations[i]));
    stage->tables[id].find = prepared(stage, sql, error);
    sqlite3_free(sql);
    return stage->tables[id].find != NULL;
}

static bool prepare_all(struct stage *stage, const table_id *tables, uint16_t count, struct error *error)
{
    if (!run_sql(stage, error, "%s", own_tables))
        return false;
    for (uint16_t t = 0; t < count; t++)
        if (!prepare_number(stage, tables[t], error))
            return false;
    for (uint16_t t = 0; t < count; t++)
        if (!prepare_find(stage, tables[t], error))
            return false;
    for (int i = 0; i < STATEMENTS; i++)
        if (!(stage->statements[i] = prepared(stage, statement_texts[i], error)))
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
    for (int i = 0; i < STATEMENTS; i++)
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

/* Runs a statement that gives no rows. */
static bool finish(const struct stage *stage, sqlite3_stmt *statement, struct error *error)
{
    int code = sqlite3_step(statement);
    bool fine = code == SQLITE_DONE || failed(stage, error);

    sqlite3_reset(statement);
    return fine;
}

/* The next row of a walk; at its end the statement is ready for another. */
static int next(const struct stage *stage, sqlite3_stmt *statement, struct error *error)
{
    int code = sqlite3_step(statement);

    if (code == SQLITE_ROW)
        return 1;
    if (code != SQLITE_DONE)
        failed(stage, error);
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
            return failed(stage, error);
    int found = next(stage, find, error);
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
    if (result != INSERT_DONE)
        return result;
    sqlite3_bind_int64(number, 1, seq);
    if (!stage->schema->tables[table].without_rowid)
        sqlite3_bind_int64(number, 2, rowid);
    if (!finish(stage, number, error))
        return INSERT_FAILED;
    if (sqlite3_changes(stage->connection) != 1)
        panic("table %s: a staged row cannot be numbered", stage->schema->tables[table].name);
    *ret_rowid = rowid;
    return INSERT_DONE;
}

bool stage_put_record(struct stage *stage, const struct stage_record *record, struct error *error)
{
    sqlite3_stmt *put = stage->statements[PUT_RECORD];

    sqlite3_bind_int64(put, 1, record->seq);
    sqlite3_bind_int64(put, 2, (int64_t)record->input);
    sqlite3_bind_int64(put, 3, (int64_t)record->line);
    sqlite3_bind_blob64(put, 4, record->row, record->row_len, SQLITE_STATIC);
    sqlite3_bind_blob64(put, 5, record->raw.bytes, record->raw.len, SQLITE_STATIC);
    sqlite3_bind_int(put, 6, record->raw.truncated);
    return finish(stage, put, error);
}

bool stage_get_record(struct stage *stage, uint32_t seq, struct stage_record *ret_record, struct error *error)
{
    sqlite3_stmt *get = stage->statements[GET_RECORD];

    sqlite3_reset(get);
    sqlite3_bind_int64(get, 1, seq);
    int found = next(stage, get, error);
    if (found == 0)
        panic("the staged record %u is not there", seq);
    if (found < 0)
        return false;
    *ret_record = (struct stage_record){.seq = seq,
                                        .input = (size_t)sqlite3_column_int64(get, 1),
                                        .line = (uint64_t)sqlite3_column_int64(get, 2),
                                        .row = sqlite3_column_blob(get, 3),
                                        .row_len = (size_t)sqlite3_column_bytes(get, 3)};
    return true;
}

bool stage_records_open(struct stage *stage, struct error *error)
{
    return sqlite3_reset(stage->statements[RECORDS]) == SQLITE_OK || failed(stage, error);
}

int stage_records_next(struct stage *stage, struct stage_record *ret_record, struct error *error)
{
    sqlite3_stmt *records = stage->statements[RECORDS];
    int found = next(stage, records, error);

    if (found == 1)
        *ret_record =
            (struct stage_record){.seq = (uint32_t)sqlite3_column_int64(records, 0),
                                  .input = (size_t)sqlite3_column_int64(records, 1),
                                  .line = (uint64_t)sqlite3_column_int64(records, 2),
                                  .raw = {sqlite3_column_blob(records, 3), (size_t)sqlite3_column_bytes(records, 3),
                                          sqlite3_column_int(records, 4) != 0}};
    return found;
}

bool stage_put_refusal(struct stage *stage, uint32_t seq, const struct error *refusal, struct error *error)
{
    sqlite3_stmt *put = stage->statements[PUT_REFUSAL];

    sqlite3_bind_int64(put, 1, seq);
    sqlite3_bind_int(put, 2, (int)refusal->code);
    sqlite3_bind_text(put, 3, refusal->table, -1, SQLITE_STATIC);
    sqlite3_bind_text(put, 4, refusal->constraint, -1, SQLITE_STATIC);
    sqlite3_bind_text(put, 5, refusal->text, -1, SQLITE_STATIC);
    return finish(stage, put, error);
}

static void copy_text(char *to, size_t size, sqlite3_stmt *statement, int column)
{
    const unsigned char *text = sqlite3_column_text(statement, column);

    snprintf(to, size, "%s", text ? (const char *)text : "");
}

/* The one row of a question about `seq`. */
static bool ask(struct stage *stage, enum statement which, uint32_t seq, struct error *error)
{
    sqlite3_reset(stage->statements[which]);
    sqlite3_bind_int64(stage->statements[which], 1, seq);
    int found = next(stage, stage->statements[which], error);
    if (found == 0)
        panic("nothing is kept of the staged record %u", seq);
    return found == 1;
}

bool stage_get_refusal(struct stage *stage, uint32_t seq, struct error *ret_refusal, struct error *error)
{
    sqlite3_stmt *get = stage->statements[GET_REFUSAL];

    if (!ask(stage, GET_REFUSAL, seq, error))
        return false;
    *ret_refusal = (struct error){.code = (enum error_code)sqlite3_column_int(get, 0)};
    copy_text(ret_refusal->table, sizeof(ret_refusal->table), get, 1);
    copy_text(ret_refusal->constraint, sizeof(ret_refusal->constraint), get, 2);
    copy_text(ret_refusal->text, sizeof(ret_refusal->text), get, 3);
    sqlite3_reset(get);
    return true;
}

bool stage_put_repeat(struct stage *stage, uint32_t seq, uint32_t first, struct error *error)
{
    sqlite3_bind_int64(stage->statements[PUT_REPEAT], 1, seq);
    sqlite3_bind_int64(stage->statements[PUT_REPEAT], 2, first);
    return finish(stage, stage->statements[PUT_REPEAT], error);
}

bool stage_get_repeat(struct stage *stage, uint32_t seq, uint32_t *ret_first, struct error *error)
{
    if (!ask(stage, GET_REPEAT, seq, error))
        return false;
    *ret_first = (uint32_t)sqlite3_column_int64(stage->statements[GET_REPEAT], 0);
    sqlite3_reset(stage->statements[GET_REPEAT]);
    return true;
}

static void read_values(sqlite3_stmt *statement, int from, uint16_t count, struct value *values)
{
    for (int i = 0; i < count; i++)
        values[i] = insert_stored(statement, from + i);
}

/* `parent = +child`: the parent's column on the left gives its collation, and the + takes the child's own affinity
 * away, so that the parent's is applied to the value, as SQLite's foreign keys do it. */
bool stage_links_open(struct stage *stage, reference_id id, struct error *error)
{
    const struct schema_reference *reference = &stage->schema->references[id];
    const struct schema_table *child = &stage->schema->tables[reference->child];
    const struct schema_table *parent = &stage->schema->tables[reference->parent];
    bool inside = stage->tables[reference->parent].number != NULL;
    char *sql = sqlite3_mprintf("SELECT c._sheaf_seq, %s", inside ? "p._sheaf_seq" : "NULL");

    for (uint16_t i = 0; i < reference->column_count; i++)
        append(&sql, ", c.\"%w\"", child->columns[reference->child_columns[i]].name);
    append(&sql, " FROM \"%w\" c", child->name);
    if (inside)
        append(&sql, " LEFT JOIN \"%w\" p ON", parent->name);
    for (uint16_t i = 0; inside && i < reference->column_count; i++)
        append(&sql, "%s p.\"%w\" = +c.\"%w\"", i ? " AND" : "", parent->columns[reference->parent_columns[i]].name,
               child->columns[reference->child_columns[i]].name);
    for (uint16_t i = 0; i < reference->column_count; i++)
        append(&sql, "%s c.\"%w\" IS NOT NULL", i ? " AND" : " WHERE",
               child->columns[reference->child_columns[i]].name);
    sqlite3_finalize(stage->links);
    stage->links = prepared(stage, sql, error);
    stage->links_reference = id;
    sqlite3_free(sql);
    return stage->links != NULL;
}

int stage_links_next(struct stage *stage, struct stage_link *ret_link, struct error *error)
{
    int found = next(stage, stage->links, error);

    if (found != 1)
        return found;
    read_values(stage->links, 2, stage->schema->references[stage->links_reference].column_count, stage->values);
    *ret_link = (struct stage_link){.child = (uint32_t)sqlite3_column_int64(stage->links, 0),
                                    .parent_is_staged = sqlite3_column_type(stage->links, 1) != SQLITE_NULL,
                                    .parent = (uint32_t)sqlite3_column_int64(stage->links, 1),
                                    .values = stage->values};
    return 1;
}

bool stage_put_edge(struct stage *stage, const struct stage_edge *edge, struct error *error)
{
    sqlite3_stmt *put = stage->statements[PUT_EDGE];

    sqlite3_bind_int64(put, 1, edge->parent);
    sqlite3_bind_int64(put, 2, edge->child);
    sqlite3_bind_int(put, 3, edge->reference);
    return finish(stage, put, error);
}

bool stage_edges_index(struct stage *stage, struct error *error)
{
    sqlite3_reset(stage->links); /* a walk that was given up */
    return run_sql(stage, error, "CREATE INDEX _sheaf_edge_parent ON _sheaf_edge(parent, child, ref)");
}

static int edge_next(struct stage *stage, enum statement which, struct stage_edge *ret_edge, struct error *error)
{
    sqlite3_stmt *edges = stage->statements[which];
    int found = next(stage, edges, error);

    if (found == 1)
        *ret_edge =
            (struct stage_edge){(uint32_t)sqlite3_column_int64(edges, 0), (uint32_t)sqlite3_column_int64(edges, 1),
                                (reference_id)sqlite3_column_int(edges, 2)};
    return found;
}

bool stage_edges_open(struct stage *stage, struct error *error)
{
    return sqlite3_reset(stage->statements[EDGES]) == SQLITE_OK || failed(stage, error);
}

int stage_edges_next(struct stage *stage, struct stage_edge *ret_edge, struct error *error)
{
    return edge_next(stage, EDGES, ret_edge, error);
}

bool stage_children_open(struct stage *stage, uint32_t parent, struct error *error)
{
    sqlite3_reset(stage->statements[CHILDREN]);
    return sqlite3_bind_int64(stage->statements[CHILDREN], 1, parent) == SQLITE_OK || failed(stage, error);
}

int stage_children_next(struct stage *stage, struct stage_edge *ret_edge, struct error *error)
{
    return edge_next(stage, CHILDREN, ret_edge, error);
}

bool stage_put_missing(struct stage *stage, uint32_t child, reference_id reference, struct error *error)
{
    sqlite3_bind_int64(stage->statements[PUT_MISSING], 1, child);
    sqlite3_bind_int(stage->statements[PUT_MISSING], 2, reference);
    return finish(stage, stage->statements[PUT_MISSING], error);
}

bool stage_missing_index(struct stage *stage, struct error *error)
{
    sqlite3_reset(stage->statements[GET_RECORD]); /* no table may be in use while an index is made */
    sqlite3_reset(stage->links);
    if (!run_sql(stage, error, "CREATE INDEX IF NOT EXISTS _sheaf_missing_child ON _sheaf_missing(child, ref)"))
        return false;
    for (table_id t = 0; t < stage->schema->table_count; t++)
        if (stage->tables[t].number &&
            !run_sql(stage, error, "CREATE INDEX IF NOT EXISTS _sheaf_seq_%u ON \"%w\"(_sheaf_seq)", t,
                     stage->schema->tables[t].name))
            return false;
    return true;
}

bool stage_is_missing(struct stage *stage, uint32_t child, reference_id reference, bool *ret_missing,
                      struct error *error)
{
    sqlite3_stmt *is_missing = stage->statements[IS_MISSING];

    sqlite3_reset(is_missing);
    sqlite3_bind_int64(is_missing, 1, child);
    sqlite3_bind_int(is_missing, 2, reference);
    int found = next(stage, is_missing, error);
    sqlite3_reset(is_missing);
    if (found < 0)
        return false;
    *ret_missing = found == 1;
    return true;
}

static sqlite3_stmt *prepare_values(const struct stage *stage, const struct schema_reference *reference,
                                    struct error *error)
{
    const struct schema_table *child = &stage->schema->tables[reference->child];
    char *sql = sqlite3_mprintf("SELECT _sheaf_seq");

    for (uint16_t i = 0; i < reference->column_count; i++)
        append(&sql, ", \"%w\"", child->columns[reference->child_columns[i]].name);
    append(&sql, " FROM \"%w\" WHERE _sheaf_seq=?1", child->name);
    sqlite3_stmt *statement = prepared(stage, sql, error);
    sqlite3_free(sql);
    return statement;
}

bool stage_values(struct stage *stage, uint32_t child, reference_id id, const struct value **ret_values,
                  struct error *error)
{
    const struct schema_reference *reference = &stage->schema->references[id];
    sqlite3_stmt **values_of = &stage->values_of[id];

    if (!*values_of && !(*values_of = prepare_values(stage, reference, error)))
        return false;
    sqlite3_reset(*values_of);
    sqlite3_bind_int64(*values_of, 1, child);
    int found = next(stage, *values_of, error);
    if (found == 0)
        panic("the staged row %u is not there", child);
    if (found < 0)
        return false;
    read_values(*values_of, 1, reference->column_count, stage->values);
    *ret_values = stage->values;
    return true;
}
