/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include "wire.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct task {
    struct submission *submission;
    struct query *query;
};

struct engine {
    struct world *world;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct task *tasks;
    size_t from, to, capacity;
    bool stop;
};

static struct world *the_world; /* input_open is given no context */

static void sql(sqlite3 *db, const char *text)
{
    char *message = NULL;

    if (sqlite3_exec(db, text, NULL, NULL, &message) != SQLITE_OK)
        panic("%s: %s", text, message);
}

/* ---- submissions ---- */

/* SQLite's own count is quick, but a row that names itself by a value that is equal only after the parent's affinity
 * counts as unresolved; foreign_key_check knows better, and looks at everything. */
static bool unresolved(const struct world *world)
{
    int now = 0, highest = 0;

    if (world->thorough)
        return world_ask(world, "SELECT count(*) FROM pragma_foreign_key_check") > 0;
    sqlite3_db_status(world->db, SQLITE_DBSTATUS_DEFERRED_FKS, &now, &highest, 0);
    return now > 0;
}

static enum insert_result write_op(struct world *world, const struct submission *submission, struct op *op,
                                   bool check_now, struct error *error)
{
    int64_t rowid;

    sql(world->db, "SAVEPOINT op");
    enum insert_result result = insert_row(world->insert, op->table, submission->rows.bytes + op->row_at, op->row_len,
                                           op->same_is_fine, &rowid, error);
    if (result == INSERT_DONE && check_now && unresolved(world)) {
        error_set(error, ERROR_REFERENCE_MISSING, "the engine found no parent");
        error_about(error, world->schema->tables[op->table].name, "?");
        result = INSERT_REFUSED;
    }
    if (result == INSERT_FAILED)
        panic("%s", error->text);
    sql(world->db, result == INSERT_REFUSED ? "ROLLBACK TO op; RELEASE op" : "RELEASE op");
    return result;
}

static void run_submission(struct world *world, struct submission *submission)
{
    struct error error = {0};
    bool refused = false;

    sql(world->db, "BEGIN; PRAGMA defer_foreign_keys=ON");
    if (world->outage != ERROR_NONE && world->submissions >= world->outage_after) {
        error_set(&error, world->outage, "an outage");
        for (uint32_t i = 0; i < submission->count; i++)
            op_refuse(&submission->ops[i], &error);
        refused = true;
    } else if (submission->atomic && world->conflicts > 0) {
        world->conflicts--;
        error_set(&error, ERROR_CONFLICT, "another came first");
        op_refuse(&submission->ops[0], &error);
        refused = true;
    }
    for (uint32_t i = 0; !(refused && submission->atomic) && i < submission->count; i++) {
        struct op *op = &submission->ops[i];
        if (op->result == OP_REFUSED)
            continue;
        enum insert_result result = write_op(world, submission, op, !submission->atomic, &error);
        op->result = result == INSERT_DONE ? OP_DONE : OP_SAME;
        if (result == INSERT_REFUSED) {
            op_refuse(op, &error);
            refused = true;
        }
    }
    if (submission->atomic && !refused && unresolved(world)) {
        error_set(&error, ERROR_REFERENCE_MISSING, "the engine found no parent at the end");
        op_refuse(&submission->ops[0], &error);
        refused = true;
    }
    if (submission->atomic && refused)
        for (uint32_t i = 0; i < submission->count; i++)
            submission->ops[i].result = OP_REFUSED;
    sql(world->db, submission->atomic && refused ? "ROLLBACK" : "COMMIT");
    world->submissions++;
    if (submission->atomic) {
        world->atomics++;
        if (submission->count > world->largest_atomic)
            world->largest_atomic = submission->count;
    }
}

/* ---- queries ---- */

static void run_exists(struct world *world, struct query *query)
{
    struct cursor body = cursor_over(query->ask.bytes, query->ask.len);
    struct wire_exists ask;
    struct error error;
    uint8_t *there;

    assert_true(wire_get_exists(&body, world->schema, &ask, &error));
    const struct schema_table *table = &world->schema->tables[ask.table];
    const struct schema_key *key = &table->keys[ask.key];
    char text[1024];
    int len = snprintf(text, sizeof(text), "SELECT 1 FROM \"%s\" WHERE 1", table->name);
    for (uint16_t i = 0; i < key->column_count; i++)
        len += snprintf(text + len, sizeof(text) - (size_t)len, " AND \"%s\" = ?%d",
                        table->columns[key->columns[i]].name, i + 1);
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_prepare_v2(world->db, text, -1, &statement, NULL), SQLITE_OK);
    there = calloc(ask.count + 1, 1);
    for (uint32_t k = 0; k < ask.count; k++) {
        for (uint16_t i = 0; i < key->column_count; i++) {
            struct value value;
            assert_true(cursor_value(&ask.values, &value));
            insert_bind(statement, i + 1, &value);
        }
        there[k] = sqlite3_step(statement) == SQLITE_ROW;
        sqlite3_reset(statement);
    }
    sqlite3_finalize(statement);
    wire_put_exists_answer(&query->answer, there, ask.count);
    free(there);
    world->exists++;
}

/* Limit 1 is all that the loader asks for. */
static void run_scan(struct world *world, struct query *query)
{
    struct cursor body = cursor_over(query->ask.bytes, query->ask.len);
    struct value values[8], after;
    struct wire_scan ask;
    struct error error;
    char text[512];

    assert_true(wire_get_scan(&body, world->schema, &ask, &error));
    assert_int_equal(ask.limit, 1);
    const struct schema_table *table = &world->schema->tables[ask.table];
    if (ask.after_count > 0) {
        assert_true(cursor_value(&ask.after, &after));
        snprintf(text, sizeof(text), "SELECT * FROM \"%s\" WHERE rowid > %lld ORDER BY rowid LIMIT 1", table->name,
                 (long long)after.integer);
    } else {
        snprintf(text, sizeof(text), "SELECT * FROM \"%s\" ORDER BY %s LIMIT 1", table->name,
                 table->without_rowid ? "1" : "rowid");
    }
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_prepare_v2(world->db, text, -1, &statement, NULL), SQLITE_OK);
    bool there = sqlite3_step(statement) == SQLITE_ROW;
    pack_array(&query->answer, 2);
    pack_array(&query->answer, there ? 1 : 0);
    for (int i = 0; i < table->column_count; i++)
        values[i] = there && sqlite3_column_type(statement, i) == SQLITE_INTEGER
                        ? value_integer(sqlite3_column_int64(statement, i))
                        : value_null();
    if (there)
        row_write(table, values, &query->answer);
    pack_array(&query->answer, 0);
    sqlite3_finalize(statement);
}

static void run_probe(struct world *world, struct query *query)
{
    struct cursor body = cursor_over(query->ask.bytes, query->ask.len), ops;
    struct wire_write_results results = {0};
    struct error error = {0};
    struct wire_op op;
    uint32_t count;

    assert_true(wire_get_probe(&body, &count, &ops, &error));
    sql(world->db, "BEGIN; PRAGMA defer_foreign_keys=ON");
    for (uint32_t i = 0; i < count; i++) {
        int64_t rowid;
        assert_true(wire_get_op(&ops, &op, &error));
        sql(world->db, "SAVEPOINT probe");
        enum insert_result result =
            insert_row(world->insert, op.table, op.row, op.row_len, op.flags & WIRE_FLAG_SAME_IS_FINE, &rowid, &error);
        sql(world->db, "ROLLBACK TO probe; RELEASE probe");
        if (result == INSERT_REFUSED)
            wire_results_failure(&results, i, 0, &error);
        if (result == INSERT_SAME)
            wire_results_same(&results, i, 0);
    }
    sql(world->db, "ROLLBACK");
    wire_put_write_answer(&query->answer, 0, 0, 0, 0, &results);
    wire_results_release(&results);
    world->probes++;
}

static void run_query(struct world *world, struct query *query)
{
    query->ok = true;
    if (query->kind == WIRE_EXISTS)
        run_exists(world, query);
    else if (query->kind == WIRE_SCAN)
        run_scan(world, query);
    else if (query->kind == WIRE_PROBE)
        run_probe(world, query);
    else
        panic("a query that the loader does not ask");
}

/* ---- the thread ---- */

static void *engine_main(void *context)
{
    struct engine *engine = context;

    for (;;) {
        pthread_mutex_lock(&engine->lock);
        while (engine->from == engine->to && !engine->stop)
            pthread_cond_wait(&engine->changed, &engine->lock);
        if (engine->from == engine->to) {
            pthread_mutex_unlock(&engine->lock);
            return NULL;
        }
        struct task task = engine->tasks[engine->from++];
        pthread_mutex_unlock(&engine->lock);
        if (task.submission) {
            run_submission(engine->world, task.submission);
            task.submission->finished(task.submission);
        } else {
            run_query(engine->world, task.query);
            task.query->finished(task.query);
        }
    }
}

static void post(struct engine *engine, struct task task)
{
    pthread_mutex_lock(&engine->lock);
    if (engine->to == engine->capacity) {
        engine->capacity = engine->capacity ? engine->capacity * 2 : 64;
        engine->tasks = realloc(engine->tasks, engine->capacity * sizeof(*engine->tasks));
    }
    engine->tasks[engine->to++] = task;
    pthread_cond_broadcast(&engine->changed);
    pthread_mutex_unlock(&engine->lock);
}

void engine_submit(struct engine *engine, struct submission *submission)
{
    post(engine, (struct task){.submission = submission});
}

void engine_ask(struct engine *engine, struct query *query)
{
    post(engine, (struct task){.query = query});
}

struct waiting {
    struct gate_like {
        pthread_mutex_t lock;
        pthread_cond_t changed;
    } gate;
    bool done;
};

static void wake(struct waiting *waiting)
{
    pthread_mutex_lock(&waiting->gate.lock);
    waiting->done = true;
    pthread_cond_broadcast(&waiting->gate.changed);
    pthread_mutex_unlock(&waiting->gate.lock);
}

static void wake_submission(struct submission *submission)
{
    wake(submission->context);
}

static void wake_query(struct query *query)
{
    wake(query->context);
}

static void wait_for(struct waiting *waiting)
{
    pthread_mutex_lock(&waiting->gate.lock);
    while (!waiting->done)
        pthread_cond_wait(&waiting->gate.changed, &waiting->gate.lock);
    pthread_mutex_unlock(&waiting->gate.lock);
}

void engine_submit_and_wait(struct engine *engine, struct submission *submission)
{
    struct waiting waiting = {.gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER}};

    submission->finished = wake_submission;
    submission->context = &waiting;
    engine_submit(engine, submission);
    wait_for(&waiting);
}

bool engine_ask_and_wait(struct engine *engine, struct query *query)
{
    struct waiting waiting = {.gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER}};

    query->finished = wake_query;
    query->context = &waiting;
    engine_ask(engine, query);
    wait_for(&waiting);
    return query->ok;
}

/* ---- inputs ---- */

struct input {
    const struct world_input *from;
    uint32_t next;
    char raw[32];
    bool hurried;
    uint32_t waited; /* for this record, as the hurried are told of every third */
};

struct input *input_open(const char *path, enum input_format format, const struct schema *schema, table_id table,
                         bool (*interrupted)(void), struct error *error)
{
    (void)format, (void)schema, (void)table, (void)interrupted;
    if (strcmp(path, "absent") == 0) {
        error_set(error, ERROR_IO, "%s: not there", path);
        return NULL;
    }
    struct input *input = calloc(1, sizeof(*input));
    input->from = &the_world->inputs[atoi(path)];
    return input;
}

void input_close(struct input *input)
{
    free(input);
}

enum input_result input_next(struct input *input, struct buffer *rows, struct input_record *ret_record,
                             struct error *error)
{
    if (input->next == input->from->count)
        return INPUT_END;
    if (the_world->inputs_wait && input->hurried && input->next % 3 == 2 && input->waited != input->next) {
        input->waited = input->next;
        return INPUT_WAITS;
    }
    const struct world_record *record = &input->from->records[input->next++];
    snprintf(input->raw, sizeof(input->raw), "raw %u", input->next);
    *ret_record = (struct input_record){
        .line = input->next, .row_at = rows->len, .raw = (const uint8_t *)input->raw, .raw_len = strlen(input->raw)};
    if (record->garbage) {
        error_set(error, ERROR_PARSE, "garbage");
        return INPUT_REFUSED;
    }
    row_write(&the_world->schema->tables[input->from->table], record->values, rows);
    ret_record->row_len = rows->len - ret_record->row_at;
    return INPUT_ROW;
}

void input_hurry(struct input *input, bool hurried)
{
    input->hurried = hurried;
}

void input_progress(const struct input *input, uint64_t *ret_read, uint64_t *ret_size)
{
    *ret_read = input->next;
    *ret_size = input->from->count;
}

/* ---- the world ---- */

static struct world *make(const char *ddl, bool thorough)
{
    struct world *world = calloc(1, sizeof(*world));
    struct error error = {0};

    world->schema = schema_load(ddl, strlen(ddl), "test.sql", NULL, &error);
    if (!world->schema)
        panic("%s", error.text);
    assert_int_equal(sqlite3_open(":memory:", &world->db), SQLITE_OK);
    world->thorough = thorough;
    sql(world->db, thorough ? "PRAGMA foreign_keys=OFF" : "PRAGMA foreign_keys=ON");
    sql(world->db, ddl);
    world->insert = insert_new(world->db, world->schema, &error);
    assert_non_null(world->insert);
    world->engine = calloc(1, sizeof(*world->engine));
    world->engine->world = world;
    pthread_mutex_init(&world->engine->lock, NULL);
    pthread_cond_init(&world->engine->changed, NULL);
    pthread_create(&world->engine->thread, NULL, engine_main, world->engine);
    the_world = world;
    return world;
}

struct world *world_new(const char *ddl)
{
    return make(ddl, false);
}

struct world *world_new_thorough(const char *ddl)
{
    return make(ddl, true);
}

void world_forget_inputs(struct world *world)
{
    for (uint32_t i = 0; i < world->input_count; i++) {
        free(world->inputs[i].records);
        free(world->inputs[i].verdicts);
    }
    world->input_count = 0;
}

void world_free(struct world *world)
{
    struct engine *engine = world->engine;

    pthread_mutex_lock(&engine->lock);
    engine->stop = true;
    pthread_cond_broadcast(&engine->changed);
    pthread_mutex_unlock(&engine->lock);
    pthread_join(engine->thread, NULL);
    free(engine->tasks);
    free(engine);
    insert_free(world->insert);
    sqlite3_close(world->db);
    schema_free(world->schema);
    world_forget_inputs(world);
    free(world);
}

struct world_input *world_input(struct world *world, const char *table, uint32_t records)
{
    struct world_input *input = &world->inputs[world->input_count++];

    input->table = schema_find_table(world->schema, table, strlen(table));
    if (input->table == SCHEMA_NONE)
        panic("no table %s", table);
    input->records = calloc(records + 1, sizeof(*input->records));
    input->verdicts = calloc(records + 1, sizeof(*input->verdicts));
    input->count = records;
    for (uint32_t i = 0; i < records; i++)
        for (int c = 0; c < 8; c++)
            input->records[i].values[c] = value_absent();
    return input;
}

static bool note_reject(void *context, const struct loader_reject *reject, struct error *error)
{
    struct world *world = context;
    int number = atoi(reject->input->path);
    struct world_verdict *verdict = &world->inputs[number].verdicts[reject->line - 1];

    (void)error;
    assert_int_equal(verdict->code, ERROR_NONE); /* one reject a record */
    assert_true(reject->line > world->last_line[number]);
    world->last_line[number] = reject->line;
    verdict->code = reject->error->code;
    snprintf(verdict->constraint, sizeof(verdict->constraint), "%.63s", reject->error->constraint);
    snprintf(verdict->text, sizeof(verdict->text), "%.255s", reject->error->text);
    snprintf(verdict->raw, sizeof(verdict->raw), "%.*s", (int)reject->raw_len, (const char *)reject->raw);
    return true;
}

void world_load(struct world *world)
{
    static const char *const names[WORLD_INPUTS] = {"0", "1", "2", "3", "4", "5", "6", "7"};
    struct loader_options options = {.engine = world->engine,
                                     .schema = world->schema,
                                     .inputs = world->loader_inputs,
                                     .input_count = world->input_count,
                                     .counts = world->counts,
                                     .stop_on_error = world->stop_on_error,
                                     .keep_raw = true,
                                     .scratch = ".",
                                     .reject = note_reject,
                                     .context = world};

    memset(world->counts, 0, sizeof(world->counts));
    memset(world->last_line, 0, sizeof(world->last_line));
    for (uint32_t i = 0; i < world->input_count; i++) {
        memset(world->inputs[i].verdicts, 0, world->inputs[i].count * sizeof(struct world_verdict));
        world->loader_inputs[i] = (struct loader_input){.table = world->inputs[i].table, .path = names[i]};
    }
    world->result = loader_run(&options, &world->error);
}

int64_t world_ask(const struct world *world, const char *text)
{
    sqlite3_stmt *statement;

    if (sqlite3_prepare_v2(world->db, text, -1, &statement, NULL) != SQLITE_OK)
        panic("%s: %s", text, sqlite3_errmsg(world->db));
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return number;
}

char *world_dump(const struct schema *schema, sqlite3 *db)
{
    struct buffer text = {0};

    for (table_id t = 0; t < schema->table_count; t++) {
        const struct schema_table *table = &schema->tables[t];
        char query[1024];
        int len = snprintf(query, sizeof(query), "SELECT ");
        for (uint16_t c = 0; c < table->column_count; c++)
            len += snprintf(query + len, sizeof(query) - (size_t)len, "%squote(\"%s\")", c ? "||','||" : "",
                            table->columns[c].name);
        snprintf(query + len, sizeof(query) - (size_t)len, " FROM \"%s\" ORDER BY 1", table->name);
        sqlite3_stmt *statement;
        assert_int_equal(sqlite3_prepare_v2(db, query, -1, &statement, NULL), SQLITE_OK);
        buffer_format(&text, "%s:\n", table->name);
        while (sqlite3_step(statement) == SQLITE_ROW)
            buffer_format(&text, "  %s\n", (const char *)sqlite3_column_text(statement, 0));
        sqlite3_finalize(statement);
    }
    buffer_put(&text, "", 1);
    return (char *)text.bytes;
}
