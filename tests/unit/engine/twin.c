/* SPDX-License-Identifier: Apache-2.0 */
#include "twin.h"

#include "cursor.h"
#include "row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void written(bool ok)
{
    if (!ok)
        panic("out of memory");
}

/* ---- life ---- */

static void find_shardd(void)
{
    char path[8192];
    const char *before = getenv("PATH");
    if (before && !strncmp(before, SHARDD_FOLDER, strlen(SHARDD_FOLDER)))
        return;
    snprintf(path, sizeof path, "%s:%s", SHARDD_FOLDER, before ? before : "");
    setenv("PATH", path, 1);
}

static struct schema *load(const char *ddl, bool together, struct error *error)
{
    struct schema *schema = schema_load(ddl, strlen(ddl), "test", NULL, error);
    if (!schema || !together)
        return schema;
    struct schema_placement_entry entries[LIMIT_DATABASES_MAX];
    struct schema_placement placement = {.count = schema->table_count, .entries = entries};
    for (table_id t = 0; t < schema->table_count; t++)
        entries[t] = (struct schema_placement_entry){.database = (char *)"all", .table = schema->tables[t].name};
    struct schema *placed = schema_load(ddl, strlen(ddl), "test", &placement, error);
    schema_free(schema);
    return placed;
}

bool twin_open(struct twin *twin, const char *ddl, bool together, struct error *error)
{
    const char *folder = getenv("TMPDIR");
    *twin = (struct twin){.schema = load(ddl, together, error)};
    if (!twin->schema)
        return false;
    one_file_open(&twin->one, twin->schema);
    find_shardd();
    snprintf(twin->data, sizeof twin->data, "%.40s/sheaf-twin-XXXXXX", folder ? folder : "/tmp");
    if (!mkdtemp(twin->data))
        panic("%s: no folder for the shards", twin->data);
    const struct engine_options options = {.schema = twin->schema,
                                           .limits = limits_default(),
                                           .data = twin->data,
                                           .addresses = (const char *const[LIMIT_DATABASES_MAX]){NULL},
                                           .cluster = "twin",
                                           .first_use = true,
                                           .log_format = "logfmt",
                                           .log_level = "error"};
    if (!(twin->engine = engine_start(&options, error)))
        panic("the engine does not start: %s\n%s", error->text, ddl);
    return true;
}

void twin_close(struct twin *twin)
{
    char command[128];
    engine_stop(twin->engine);
    one_file_close(&twin->one);
    schema_free(twin->schema);
    snprintf(command, sizeof command, "rm -rf %s", twin->data);
    if (system(command) != 0)
        panic("%s", command);
}

/* ---- one line ---- */

static bool is_about_references(enum error_code code)
{
    return code == ERROR_REFERENCED || code == ERROR_REFERENCE_MISSING;
}

/* Sheaf looks at references before a shard looks at the row; what a row brings about on several shards is refused by
 * any of them. */
static bool is_same_refusal(const struct twin *twin, const struct script_op *op, enum error_code sheaf,
                            enum error_code one)
{
    if (is_about_references(sheaf))
        return one != ERROR_NONE && one != ERROR_NOT_FOUND;
    bool alone = op->kind == OP_INSERT || twin->schema->tables[op->table].child_count == 0;
    if (alone || sheaf == ERROR_NOT_FOUND)
        return sheaf == one;
    return one != ERROR_NOT_FOUND && !is_about_references(one);
}

static bool is_refusal(enum error_code code)
{
    switch (code) {
    case ERROR_TYPE:
    case ERROR_NOT_NULL:
    case ERROR_CHECK:
    case ERROR_UNIQUE:
    case ERROR_REFERENCE_MISSING:
    case ERROR_REFERENCED:
    case ERROR_NOT_FOUND:
        return true;
    default:
        return false;
    }
}

static bool disagree(struct buffer *text, uint32_t i, const struct op *op, const struct one_answer *one,
                     const char *what)
{
    written(buffer_format(text, "operation %u: %s: Sheaf %s%s%s, one file %s", i, what,
                          op->error                  ? error_code_name(op->error->code)
                          : op->result == OP_REFUSED ? "refused"
                                                     : "done",
                          op->error ? ": " : "", op->error ? op->error->text : "",
                          one->code == ERROR_NONE ? "done" : error_code_name(one->code)));
    return false;
}

static void put_values(struct buffer *text, struct cursor cursor, uint32_t count)
{
    struct value value;
    for (uint32_t i = 0; i < count && cursor_value(&cursor, &value); i++) {
        written(!i || buffer_put_text(text, ","));
        script_put_value(text, &value);
    }
}

static bool is_text(const struct buffer *text, const struct submission *submission, const struct op_bytes *bytes)
{
    struct buffer told = {0};
    struct cursor cursor = cursor_over(submission->rows.bytes + bytes->at, bytes->len);
    uint32_t count;
    bool same = cursor_array(&cursor, &count);
    if (same)
        put_values(&told, cursor, count);
    same = same && told.len == text->len && !memcmp(told.bytes, text->bytes, told.len);
    buffer_release(&told);
    return same;
}

/* Of one that both did. */
static bool told_the_same(const struct submission *submission, uint32_t i, const struct one_answer *one,
                          struct buffer *text)
{
    const struct op *op = &submission->ops[i];
    if (op->kind == OP_READ && !is_text(&one->row, submission, &op->found))
        return disagree(text, i, op, one, "another row");
    if (op->kind == OP_UPSERT && op->inserted != one->inserted)
        return disagree(text, i, op, one, op->inserted ? "inserted" : "not inserted");
    if (op->kind == OP_UPDATE && one->knows_key &&
        (one->has_new_key != (op->new_key.len > 0) ||
         (one->has_new_key && !is_text(&one->row, submission, &op->new_key))))
        return disagree(text, i, op, one, "another new key");
    return true;
}

static bool agree_alone(const struct twin *twin, const struct script_line *line, const struct submission *submission,
                        const struct one_answer *answers, struct buffer *text)
{
    for (uint32_t i = 0; i < line->count; i++) {
        const struct op *op = &submission->ops[i];
        const struct one_answer *one = &answers[i];
        if ((op->result == OP_DONE) != (one->code == ERROR_NONE))
            return disagree(text, i, op, one, "done or not");
        if (op->result != OP_DONE &&
            (!is_refusal(op->error->code) || !is_same_refusal(twin, &line->ops[i], op->error->code, one->code)))
            return disagree(text, i, op, one, "refused otherwise");
        if (op->result == OP_DONE && !told_the_same(submission, i, one, text))
            return false;
    }
    return true;
}

static bool agree_together(const struct submission *submission, const struct one_answer *answers, struct buffer *text)
{
    const struct one_answer *failed = NULL;
    bool has_reason = false;
    uint32_t why = 0;
    while (why + 1 < submission->count && !submission->ops[why].error)
        why++;
    for (uint32_t i = 0; i < submission->count; i++)
        if (answers[i].code != ERROR_NONE)
            failed = &answers[i];
    for (uint32_t i = 0; i < submission->count; i++) {
        const struct op *op = &submission->ops[i];
        if ((op->result == OP_DONE) != !failed)
            return disagree(text, why, &submission->ops[why], failed ? failed : &answers[i], "done or not");
        if (op->error && !is_refusal(op->error->code))
            return disagree(text, i, op, failed ? failed : &answers[i], "refused otherwise");
        has_reason |= op->error != NULL;
        if (op->result == OP_DONE && !told_the_same(submission, i, &answers[i], text))
            return false;
    }
    if (failed && !has_reason)
        return disagree(text, 0, &submission->ops[0], failed, "refused without a reason");
    return true;
}

bool twin_do(struct twin *twin, const char *line_text, struct buffer *text)
{
    struct script_line line;
    struct one_answer answers[SCRIPT_OPS_MAX] = {0};
    const int64_t *assigned[SCRIPT_OPS_MAX] = {0};
    script_read(twin->schema, line_text, &line);
    struct submission *submission = script_submission(twin->schema, &line);
    engine_submit_and_wait(twin->engine, submission);
    for (uint32_t i = 0; i < line.count; i++)
        if (submission->ops[i].key_assigned)
            assigned[i] = &submission->ops[i].rowid;
    one_file_do(&twin->one, &line, assigned, answers);
    bool same =
        line.atomic ? agree_together(submission, answers, text) : agree_alone(twin, &line, submission, answers, text);
    for (uint32_t i = 0; i < line.count; i++)
        one_answer_release(&answers[i]);
    submission_free(submission);
    return same;
}

/* ---- the end ---- */

static sqlite3 *open_file(const struct twin *twin, database_id database)
{
    char path[512], name[256];
    sqlite3 *connection;
    if (!schema_file_name(twin->schema->databases[database].name, name, sizeof name))
        panic("no file name");
    snprintf(path, sizeof path, "%s/%s", twin->data, name);
    if (sqlite3_open_v2(path, &connection, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK)
        panic("%s: %s", path, sqlite3_errmsg(connection));
    return connection;
}

void twin_dump(const struct twin *twin, struct buffer *text)
{
    for (table_id t = 0; t < twin->schema->table_count; t++) {
        sqlite3 *connection = open_file(twin, twin->schema->tables[t].database);
        one_file_dump(connection, &twin->schema->tables[t], text);
        sqlite3_close(connection);
    }
}

bool twin_same_at_the_end(struct twin *twin, struct buffer *text)
{
    struct buffer files = {0}, one = {0};
    engine_stop(twin->engine);
    twin->engine = NULL;
    twin_dump(twin, &files);
    for (table_id t = 0; t < twin->schema->table_count; t++)
        one_file_dump(twin->one.connection, &twin->schema->tables[t], &one);
    bool same = files.len == one.len && (!files.len || !memcmp(files.bytes, one.bytes, files.len));
    if (!same)
        written(buffer_format(text, "the tables differ: Sheaf\n%.*sone file\n%.*s", (int)files.len,
                              files.len ? (const char *)files.bytes : "", (int)one.len,
                              one.len ? (const char *)one.bytes : ""));
    buffer_release(&files);
    buffer_release(&one);
    return same;
}
