/* SPDX-License-Identifier: Apache-2.0 */
#include "one_file.h"

#include "insert.h"
#include "sql_name.h"

#include <stdlib.h>
#include <string.h>

static void written(bool ok)
{
    if (!ok)
        panic("out of memory");
}

static const char *end_text(struct buffer *text)
{
    written(buffer_put(text, "", 1));
    return (const char *)text->bytes;
}

static void execute(sqlite3 *connection, const char *sql)
{
    if (sqlite3_exec(connection, sql, NULL, NULL, NULL) != SQLITE_OK)
        panic("%s: %s", sql, sqlite3_errmsg(connection));
}

void one_file_open(struct one_file *one, const struct schema *schema)
{
    *one = (struct one_file){.schema = schema};
    if (sqlite3_open(":memory:", &one->connection) != SQLITE_OK)
        panic("no SQLite in memory");
    execute(one->connection, schema->text);
    execute(one->connection, "PRAGMA foreign_keys = ON");
}

void one_file_close(struct one_file *one)
{
    sqlite3_close(one->connection);
}

void one_answer_release(struct one_answer *answer)
{
    buffer_release(&answer->row);
}

/* ---- statements ---- */

struct statement {
    struct buffer sql;
    const struct value *values[SCRIPT_COLUMNS_MAX + SCRIPT_KEYS_MAX];
    int count;
};

static void put(struct statement *statement, const char *text)
{
    written(buffer_put_text(&statement->sql, text));
}

static void put_name(struct statement *statement, const char *before, const char *name)
{
    put(statement, before);
    written(sql_put_name(&statement->sql, name));
}

static void bind(struct statement *statement, const struct value *value)
{
    statement->values[statement->count++] = value;
}

static void put_where(struct statement *statement, const struct schema_table *table, const struct value *key)
{
    if (table->primary_key == SCHEMA_NONE) {
        put(statement, " WHERE rowid = ?");
        bind(statement, key);
        return;
    }
    const struct schema_key *primary = &table->keys[table->primary_key];
    for (uint16_t i = 0; i < primary->column_count; i++) {
        put_name(statement, i ? " AND " : " WHERE ", table->columns[primary->columns[i]].name);
        put(statement, " = ?");
        bind(statement, &key[i]);
    }
}

/* Ends the statement's text. The caller finalizes what it gets. */
static sqlite3_stmt *prepare(sqlite3 *connection, struct statement *statement)
{
    sqlite3_stmt *prepared;
    if (sqlite3_prepare_v2(connection, end_text(&statement->sql), -1, &prepared, NULL) != SQLITE_OK)
        panic("%s: %s", (const char *)statement->sql.bytes, sqlite3_errmsg(connection));
    for (int i = 0; i < statement->count; i++)
        insert_bind(prepared, i + 1, statement->values[i]);
    buffer_release(&statement->sql);
    return prepared;
}

static enum error_code code_of(sqlite3 *connection)
{
    int result = sqlite3_extended_errcode(connection);
    switch (result) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
        return ERROR_UNIQUE;
    case SQLITE_CONSTRAINT_NOTNULL:
        return ERROR_NOT_NULL;
    case SQLITE_CONSTRAINT_CHECK:
        return ERROR_CHECK;
    case SQLITE_CONSTRAINT_DATATYPE:
    case SQLITE_MISMATCH:
        return ERROR_TYPE;
    case SQLITE_CONSTRAINT_FOREIGNKEY:
    case SQLITE_CONSTRAINT_TRIGGER: /* RESTRICT */
        return ERROR_REFERENCED;
    default:
        if (strstr(sqlite3_errmsg(connection), "recursion"))
            return ERROR_TOO_LARGE;
        panic("one file: %s (%d)", sqlite3_errmsg(connection), result);
    }
}

static enum error_code run(struct one_file *one, struct statement *statement)
{
    sqlite3_stmt *prepared = prepare(one->connection, statement);
    enum error_code code = sqlite3_step(prepared) == SQLITE_DONE ? ERROR_NONE : code_of(one->connection);
    sqlite3_finalize(prepared);
    return code;
}

static void put_row(sqlite3_stmt *row, int from, struct buffer *text)
{
    for (int c = from; c < sqlite3_column_count(row); c++) {
        struct value value = insert_stored(row, c);
        written((c == from || buffer_put_text(text, ",")) && value_describe(&value, text));
    }
}

/* ---- which actions are met ---- */

static uint64_t children_of(struct one_file *one, const struct schema_reference *reference, const struct value *key)
{
    const struct schema_table *parent = &one->schema->tables[reference->parent];
    const struct schema_table *child = &one->schema->tables[reference->child];
    struct statement statement = {0};
    put_name(&statement, "SELECT count(*) FROM ", child->name);
    for (uint16_t i = 0; i < reference->column_count; i++) {
        put_name(&statement, i ? " AND (SELECT " : " WHERE (SELECT ",
                 parent->columns[reference->parent_columns[i]].name);
        put_name(&statement, " FROM ", parent->name);
        put_where(&statement, parent, key);
        put_name(&statement, ") = ", child->columns[reference->child_columns[i]].name);
    }
    sqlite3_stmt *prepared = prepare(one->connection, &statement);
    uint64_t count = sqlite3_step(prepared) == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(prepared, 0) : 0;
    sqlite3_finalize(prepared);
    return count;
}

static bool gives_key_of(const struct script_op *op, const struct schema_reference *reference)
{
    bool gives = op->kind == OP_DELETE;
    for (uint16_t i = 0; i < reference->column_count; i++)
        gives |= op->kind != OP_DELETE && op->row[reference->parent_columns[i]].type != VALUE_ABSENT;
    return gives;
}

/* What has children now, by position in the table's own list. */
static void look_at_children(struct one_file *one, const struct script_op *op, uint64_t *had)
{
    const struct schema_table *table = &one->schema->tables[op->table];
    for (uint16_t r = 0; r < table->child_count; r++) {
        const struct schema_reference *reference = &one->schema->references[table->children[r]];
        had[r] = gives_key_of(op, reference) ? children_of(one, reference, op->key) : 0;
    }
}

static void count_actions(struct one_file *one, const struct script_op *op, const uint64_t *had, enum error_code code)
{
    const struct schema_table *table = &one->schema->tables[op->table];
    for (uint16_t r = 0; r < table->child_count; r++) {
        const struct schema_reference *reference = &one->schema->references[table->children[r]];
        bool update = op->kind != OP_DELETE;
        enum reference_action action = update ? reference->on_update : reference->on_delete;
        bool refuses = action == ACTION_NONE || action == ACTION_RESTRICT;
        if (had[r] && (refuses ? code == ERROR_REFERENCED
                               : code == ERROR_NONE && (!update || !children_of(one, reference, op->key))))
            one->fired[update][action]++;
    }
}

/* ---- one operation ---- */

static bool may_be_null(const struct schema_table *table, uint16_t column, const struct value *value, bool inserting)
{
    if (!table->columns[column].key_position)
        return true;
    if (inserting &&
        (column == table->rowid_column || (value->type == VALUE_ABSENT && table->columns[column].has_default)))
        return true;
    return value->type != VALUE_NULL && !(inserting && value->type == VALUE_ABSENT);
}

static enum error_code insert(struct one_file *one, const struct script_op *op, const int64_t *assigned)
{
    const struct schema_table *table = &one->schema->tables[op->table];
    struct value key = value_integer(assigned ? *assigned : 0);
    struct statement statement = {0};
    put_name(&statement, "INSERT INTO ", table->name);
    for (uint16_t c = 0; c < table->column_count; c++) {
        const struct value *value = assigned && c == table->rowid_column ? &key : &op->row[c];
        if (!may_be_null(table, c, value, true)) {
            buffer_release(&statement.sql);
            return ERROR_NOT_NULL;
        }
        if (value->type == VALUE_ABSENT)
            continue;
        put_name(&statement, statement.count ? "," : "(", table->columns[c].name);
        bind(&statement, value);
    }
    put(&statement, statement.count ? ") VALUES (" : " DEFAULT VALUES");
    for (int i = 0; i < statement.count; i++)
        put(&statement, i ? ",?" : "?");
    put(&statement, statement.count ? ")" : "");
    return run(one, &statement);
}

static bool is_there(struct one_file *one, const struct script_op *op, int64_t *ret_rowid, struct buffer *ret_key)
{
    const struct schema_table *table = &one->schema->tables[op->table];
    struct statement statement = {0};
    put(&statement, table->without_rowid ? "SELECT 0" : "SELECT rowid");
    for (uint16_t k = 0; table->primary_key != SCHEMA_NONE && k < table->keys[table->primary_key].column_count; k++)
        put_name(&statement, ",", table->columns[table->keys[table->primary_key].columns[k]].name);
    put_name(&statement, " FROM ", table->name);
    if (ret_key && *ret_rowid) {
        written(buffer_format(&statement.sql, " WHERE rowid = %lld", (long long)*ret_rowid));
    } else {
        put_where(&statement, table, op->key);
    }
    sqlite3_stmt *prepared = prepare(one->connection, &statement);
    bool there = sqlite3_step(prepared) == SQLITE_ROW;
    *ret_rowid = there ? sqlite3_column_int64(prepared, 0) : 0;
    if (there && ret_key)
        put_row(prepared, 1, ret_key);
    sqlite3_finalize(prepared);
    return there;
}

static enum error_code update(struct one_file *one, const struct script_op *op)
{
    const struct schema_table *table = &one->schema->tables[op->table];
    struct statement statement = {0};
    put_name(&statement, "UPDATE ", table->name);
    for (uint16_t c = 0; c < table->column_count; c++) {
        if (op->row[c].type == VALUE_ABSENT || (op->kind == OP_UPSERT && table->columns[c].key_position))
            continue;
        if (!may_be_null(table, c, &op->row[c], false)) {
            buffer_release(&statement.sql);
            return ERROR_NOT_NULL;
        }
        put_name(&statement, statement.count ? ", " : " SET ", table->columns[c].name);
        put(&statement, " = ?");
        bind(&statement, &op->row[c]);
    }
    if (!statement.count) {
        buffer_release(&statement.sql);
        return ERROR_NONE;
    }
    put_where(&statement, table, op->key);
    return run(one, &statement);
}

static enum error_code delete (struct one_file *one, const struct script_op *op) {
    const struct schema_table *table = &one->schema->tables[op->table]; struct statement statement = {0};
    put_name(&statement, "DELETE FROM ", table->name);
    put_where(&statement, table, op->key);
    return run(one, &statement);
}

static enum error_code read_row(struct one_file *one, const struct script_op *op, struct buffer *text)
{
    const struct schema_table *table = &one->schema->tables[op->table];
    struct statement statement = {0};
    for (uint16_t c = 0; c < table->column_count; c++)
        put_name(&statement, c ? ", " : "SELECT ", table->columns[c].name);
    put_name(&statement, " FROM ", table->name);
    put_where(&statement, table, op->key);
    sqlite3_stmt *prepared = prepare(one->connection, &statement);
    bool there = sqlite3_step(prepared) == SQLITE_ROW;
    if (there)
        put_row(prepared, 0, text);
    sqlite3_finalize(prepared);
    return there ? ERROR_NONE : ERROR_NOT_FOUND;
}

/* An update of a row that is there, and what its key is afterwards: told by its rowid, which stays unless it is the
 * key. */
static enum error_code change(struct one_file *one, const struct script_op *op, struct one_answer *answer)
{
    const struct schema_table *table = &one->schema->tables[op->table];
    struct buffer before = {0};
    int64_t rowid = 0;
    if (!is_there(one, op, &rowid, &before)) {
        buffer_release(&before);
        return ERROR_NOT_FOUND;
    }
    enum error_code code = op->kind == OP_DELETE ? delete (one, op) : update(one, op);
    answer->knows_key = op->kind == OP_UPDATE && code == ERROR_NONE && table->rowid_column == SCHEMA_NONE &&
                        table->primary_key != SCHEMA_NONE && rowid;
    if (answer->knows_key && is_there(one, op, &rowid, &answer->row))
        answer->has_new_key = before.len != answer->row.len || memcmp(before.bytes, answer->row.bytes, before.len) != 0;
    buffer_release(&before);
    return code;
}

static enum error_code upsert(struct one_file *one, const struct script_op *op, const int64_t *assigned,
                              struct one_answer *answer)
{
    const struct schema_table *table = &one->schema->tables[op->table];
    struct script_op keyed = *op;
    int64_t rowid;
    const struct schema_key *key = table->primary_key == SCHEMA_NONE ? NULL : &table->keys[table->primary_key];
    for (uint16_t k = 0; key && k < key->column_count; k++)
        keyed.key[k] = op->row[key->columns[k]];
    if (key && !assigned && is_there(one, &keyed, &rowid, NULL))
        return change(one, &keyed, answer);
    answer->inserted = true;
    return insert(one, op, assigned);
}

static enum error_code do_op(struct one_file *one, const struct script_op *op, const int64_t *assigned,
                             struct one_answer *answer)
{
    uint64_t had[64] = {0};
    enum error_code code = ERROR_INTERNAL;
    if (op->kind == OP_UPDATE || op->kind == OP_DELETE)
        look_at_children(one, op, had);
    switch (op->kind) {
    case OP_INSERT:
        code = insert(one, op, assigned);
        break;
    case OP_UPDATE:
    case OP_DELETE:
        code = change(one, op, answer);
        count_actions(one, op, had, code);
        break;
    case OP_UPSERT:
        code = upsert(one, op, assigned, answer);
        break;
    case OP_READ:
        return read_row(one, op, &answer->row);
    case OP_NOTHING: /* no script has it */
        break;
    }
    return code;
}

void one_file_do(struct one_file *one, const struct script_line *line, const int64_t *const *assigned,
                 struct one_answer *answers)
{
    bool failed = false;
    if (line->atomic)
        execute(one->connection, "BEGIN; PRAGMA defer_foreign_keys = ON");
    for (uint32_t i = 0; i < line->count && !(line->atomic && failed); i++) {
        answers[i] = (struct one_answer){0};
        answers[i].code = do_op(one, &line->ops[i], assigned[i], &answers[i]);
        failed |= answers[i].code != ERROR_NONE;
        one->done += !line->atomic && answers[i].code == ERROR_NONE;
        one->refused += !line->atomic && answers[i].code != ERROR_NONE;
    }
    if (!line->atomic)
        return;
    if (!failed && sqlite3_exec(one->connection, "COMMIT", NULL, NULL, NULL) != SQLITE_OK) {
        failed = true;
        answers[line->count - 1].code = code_of(one->connection);
    }
    if (failed)
        execute(one->connection, "ROLLBACK");
    *(failed ? &one->refused : &one->done) += line->count;
}

void one_file_dump(sqlite3 *connection, const struct schema_table *table, struct buffer *text)
{
    struct statement statement = {0};
    for (uint16_t c = 0; c < table->column_count; c++)
        put_name(&statement, c ? ", " : "SELECT ", table->columns[c].name);
    put_name(&statement, " FROM main.", table->name);
    put(&statement, " ORDER BY 1");
    for (uint16_t c = 1; c < table->column_count; c++)
        written(buffer_format(&statement.sql, ", %d", c + 1));
    sqlite3_stmt *rows = prepare(connection, &statement);
    while (sqlite3_step(rows) == SQLITE_ROW) {
        written(buffer_put_text(text, table->name) && buffer_put_text(text, "("));
        put_row(rows, 0, text);
        written(buffer_put_text(text, ")\n"));
    }
    sqlite3_finalize(rows);
}
