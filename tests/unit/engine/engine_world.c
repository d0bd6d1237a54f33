/* SPDX-License-Identifier: Apache-2.0 */
#include "engine_world.h"

#include "row.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

#define ROUNDS 6      /* of the loop, until an answer's answer has been acted on */
#define DEADLINE_S 60 /* nothing takes so long */
#define COLUMNS_MAX 8
#define TEXT_MAX 700000 /* bytes of a text *N */

static const char ddl[] = "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT UNIQUE);\n"
                          "CREATE TABLE notes (id INTEGER PRIMARY KEY, person INTEGER REFERENCES people,\n"
                          " author TEXT REFERENCES people (name));\n"
                          "CREATE TABLE things (id INTEGER PRIMARY KEY, body TEXT);\n"
                          "CREATE TABLE staff (id INTEGER PRIMARY KEY, boss INTEGER REFERENCES staff);\n"
                          "CREATE TABLE places (a TEXT, b INTEGER, PRIMARY KEY (a, b));\n"
                          "CREATE TABLE visits (id INTEGER PRIMARY KEY, a TEXT, b INTEGER,\n"
                          " FOREIGN KEY (a, b) REFERENCES places);\n"
                          "CREATE TABLE letters (id INTEGER PRIMARY KEY, body TEXT,\n"
                          " person INTEGER DEFAULT 7 REFERENCES people, reader INTEGER REFERENCES people);\n";

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct buffer log; /* a line each */
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* ---- a thread of its own for what waits ---- */

struct background {
    pthread_t thread;
    struct world *world;
    struct engine *engine; /* of a start: what it gave */
    bool over;
};

static void is_over(struct background *background)
{
    pthread_mutex_lock(&shared.lock);
    background->over = true;
    pthread_cond_broadcast(&shared.changed);
    pthread_mutex_unlock(&shared.lock);
}

/* Waits until `*flag`, which the lock guards. */
static void wait_for(const bool *flag, const char *what)
{
    struct timespec until;
    int result = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DEADLINE_S;
    pthread_mutex_lock(&shared.lock);
    while (!*flag && result == 0)
        result = pthread_cond_timedwait(&shared.changed, &shared.lock, &until);
    bool fine = *flag;
    pthread_mutex_unlock(&shared.lock);
    if (!fine)
        panic("%s takes more than %d s", what, DEADLINE_S);
}

static bool is_set(const bool *flag)
{
    pthread_mutex_lock(&shared.lock);
    bool set = *flag;
    pthread_mutex_unlock(&shared.lock);
    return set;
}

static struct background *begin(struct world *world, void *(*run)(void *))
{
    struct background *background = calloc(1, sizeof *background);
    if (!background)
        panic("out of memory");
    background->world = world;
    background->engine = world->engine;
    if (pthread_create(&background->thread, NULL, run, background) != 0)
        panic("no thread");
    return background;
}

static void join(struct background *background, const char *what)
{
    wait_for(&background->over, what);
    pthread_join(background->thread, NULL);
    free(background);
}

/* ---- life ---- */

static void log_line(void *context, int level, database_id database, const char *text)
{
    (void)context;
    (void)level;
    (void)database;
    pthread_mutex_lock(&shared.lock);
    if (!buffer_put_text(&shared.log, text) || !buffer_put_text(&shared.log, "\n"))
        panic("out of memory");
    pthread_mutex_unlock(&shared.lock);
}

unsigned world_logged_times(const char *text)
{
    unsigned times = 0;
    pthread_mutex_lock(&shared.lock);
    const uint8_t *at = shared.log.bytes, *end = at + shared.log.len;
    for (; at < end && (at = memmem(at, (size_t)(end - at), text, strlen(text))); at += strlen(text))
        times++;
    pthread_mutex_unlock(&shared.lock);
    return times;
}

bool world_logged(const char *text)
{
    return world_logged_times(text) > 0;
}

int world_open(void **state)
{
    struct world *world = *state = calloc(1, sizeof *world);
    if (!world)
        return -1;
    world->schema = schema_load(ddl, strlen(ddl), "test", NULL, &world->error);
    if (!world->schema)
        fail_msg("%s", world->error.text);
    world->options = (struct engine_options){
        .schema = world->schema, .limits = limits_default(), .cluster = "test", .patient = true, .log = log_line};
    fake_open(world->schema);
    return 0;
}

static void forget_sent(struct world *world)
{
    for (struct asked *asked = world->asked, *next; asked; asked = next) {
        next = asked->next;
        buffer_release(&asked->query.ask);
        buffer_release(&asked->query.answer);
        free(asked);
    }
    for (struct sent *sent = world->sent, *next; sent; sent = next) {
        next = sent->next;
        submission_free(sent->submission);
        free(sent);
    }
}

int world_close(void **state)
{
    struct world *world = *state;
    fake_let_go();
    if (world->starting)
        world_started(world);
    if (world->stopping)
        world_stopped(world);
    world_stop(world);
    fake_close();
    forget_sent(world);
    schema_free(world->schema);
    free(world);
    buffer_release(&shared.log);
    return 0;
}

static void *start(void *context)
{
    struct background *background = context;
    background->engine = engine_start(&background->world->options, &background->world->error);
    is_over(background);
    return NULL;
}

void world_start_beside(struct world *world)
{
    world->starting = begin(world, start);
}

bool world_started(struct world *world)
{
    wait_for(&world->starting->over, "a start");
    world->engine = world->starting->engine;
    join(world->starting, "a start");
    world->starting = NULL;
    return world->engine != NULL;
}

void world_start(struct world *world)
{
    world_start_beside(world);
    if (!world_started(world))
        fail_msg("%s", world->error.text);
}

static void *stop(void *context)
{
    struct background *background = context;
    engine_stop(background->engine);
    is_over(background);
    return NULL;
}

void world_stop_beside(struct world *world)
{
    world->stopping = begin(world, stop);
    world->engine = NULL;
}

void world_stopped(struct world *world)
{
    join(world->stopping, "a stop");
    world->stopping = NULL;
}

void world_stop(struct world *world)
{
    if (!world->engine)
        return;
    world_stop_beside(world);
    world_stopped(world);
}

void world_settle(struct world *world)
{
    for (int i = 0; i < ROUNDS; i++) {
        struct engine_metrics metrics;
        if (!engine_metrics(world->engine, &metrics, &world->error))
            panic("%s", world->error.text);
        engine_metrics_release(&metrics);
    }
}

void world_reconnect(struct world *world, database_id database)
{
    fake_connect(database);
    world_settle(world);
}

/* ---- submissions ---- */

static void finished(struct submission *submission)
{
    struct sent *sent = submission->context;
    pthread_mutex_lock(&shared.lock);
    sent->answered = true;
    pthread_cond_broadcast(&shared.changed);
    pthread_mutex_unlock(&shared.lock);
}

static const char *read_value(const char *at, struct value *ret_value)
{
    static char many[TEXT_MAX];
    char *end = NULL;
    if (*at == '\'') {
        const char *quote = strchr(at + 1, '\'');
        *ret_value = value_text(at + 1, (size_t)(quote - at - 1));
        return quote + 1;
    }
    if (*at == '*') {
        memset(many, 'x', sizeof many);
        *ret_value = value_text(many, strtoul(at + 1, &end, 10));
        return end;
    }
    if (!strncmp(at, "NULL", 4)) {
        *ret_value = value_null();
        return at + 4;
    }
    if (*at == '-' && (at[1] == ',' || at[1] == ')')) {
        *ret_value = value_absent();
        return at + 1;
    }
    *ret_value = value_integer(strtoll(at, &end, 10));
    return end;
}

static void add_op(struct submission *submission, const struct schema *schema, table_id table,
                   const struct value *values)
{
    struct op *op = &submission->ops[submission->count++];
    op->table = table;
    op->row_at = (uint32_t)submission->rows.len;
    if (!row_write(&schema->tables[table], values, &submission->rows))
        panic("out of memory");
    op->row_len = (uint32_t)submission->rows.len - op->row_at;
}

static void add_key_op(struct submission *submission, enum op_kind kind, table_id table, const struct value *values,
                       uint16_t count)
{
    struct op *op = &submission->ops[submission->count++];
    op->kind = kind;
    op->table = table;
    op->key.at = (uint32_t)submission->rows.len;
    bool ok = pack_array(&submission->rows, count);
    for (uint16_t i = 0; ok && i < count; i++)
        ok = pack_value(&submission->rows, &values[i]);
    if (!ok)
        panic("out of memory");
    op->key.len = (uint32_t)submission->rows.len - op->key.at;
}

static const char *read_row(const char *at, const struct schema *schema, struct submission *submission)
{
    struct value values[COLUMNS_MAX];
    uint16_t count = 0;
    enum op_kind kind = *at == '?' ? OP_READ : *at == '-' ? OP_DELETE : *at == '!' ? OP_NOTHING : OP_INSERT;
    at += kind != OP_INSERT;
    size_t name = strcspn(at, "(");
    table_id table = schema_find_table(schema, at, name);
    if (table == SCHEMA_NONE)
        panic("no such table: %s", at);
    at += name;
    while (*at != ')')
        at = read_value(at + 1, &values[count++]);
    if (kind != OP_INSERT) {
        add_key_op(submission, kind, table, values, count);
        return at + 1;
    }
    if (count != schema->tables[table].column_count)
        panic("%u values", count);
    add_op(submission, schema, table, values);
    at++;
    if (*at == '~')
        submission->ops[submission->count - 1].same_is_fine = true;
    return *at == '~' ? at + 1 : at;
}

static struct sent *submit(struct world *world, struct submission *submission)
{
    struct sent *sent = calloc(1, sizeof *sent);
    if (!sent)
        panic("out of memory");
    sent->submission = submission;
    sent->next = world->sent;
    world->sent = sent;
    submission->finished = finished;
    submission->context = sent;
    engine_submit(world->engine, submission);
    return sent;
}

static struct submission *read_rows(const struct world *world, const char *rows)
{
    struct submission *submission = submission_new(64);
    if (!submission)
        panic("out of memory");
    while (*rows) {
        rows = read_row(rows, world->schema, submission);
        rows += strspn(rows, " ");
    }
    return submission;
}

struct sent *world_submit(struct world *world, const char *rows)
{
    return submit(world, read_rows(world, rows));
}

struct sent *world_submit_atomic(struct world *world, const char *rows)
{
    struct submission *submission = read_rows(world, rows);
    submission->atomic = true;
    return submit(world, submission);
}

static struct submission *keyed_rows(const struct world *world, const char *key, const char *rows, bool atomic)
{
    struct submission *submission = read_rows(world, rows);
    struct error error;
    table_id table = atomic ? SCHEMA_NONE : submission->ops[0].table;
    submission->atomic = atomic;
    for (uint32_t i = 1; i < submission->count; i++)
        if (submission->ops[i].table != table)
            table = SCHEMA_NONE;
    const char *path = table == SCHEMA_NONE ? "/batch" : world->schema->tables[table].name;
    if (!submission_set_key(submission, path, table, key, strlen(key), "", rows, strlen(rows), &error))
        panic("%s", error.text);
    return submission;
}

struct sent *world_submit_keyed(struct world *world, const char *key, const char *rows)
{
    return submit(world, keyed_rows(world, key, rows, false));
}

struct sent *world_submit_keyed_atomic(struct world *world, const char *key, const char *rows)
{
    return submit(world, keyed_rows(world, key, rows, true));
}

static struct submission *many_rows(const struct world *world, table_id table, int64_t from, uint32_t count,
                                    struct value second)
{
    struct submission *submission = submission_new(count);
    if (!submission)
        panic("out of memory");
    for (uint32_t i = 0; i < count; i++) {
        const struct value values[COLUMNS_MAX] = {value_integer(from + i), second, value_null(), value_null(),
                                                  value_null()};
        add_op(submission, world->schema, table, values);
    }
    return submission;
}

struct sent *world_submit_many(struct world *world, table_id table, int64_t from, uint32_t count, struct value second)
{
    return submit(world, many_rows(world, table, from, count, second));
}

struct sent *world_submit_many_atomic(struct world *world, table_id table, int64_t from, uint32_t count,
                                      struct value second)
{
    struct submission *submission = many_rows(world, table, from, count, second);
    submission->atomic = true;
    return submit(world, submission);
}

struct sent *world_submit_many_keyed(struct world *world, const char *key, table_id table, uint32_t count)
{
    struct submission *submission = many_rows(world, table, 1, count, value_null());
    struct error error;
    submission->atomic = true;
    if (!submission_set_key(submission, "/batch", SCHEMA_NONE, key, strlen(key), "", "many", 4, &error))
        panic("%s", error.text);
    return submit(world, submission);
}

bool sent_is_answered(const struct sent *sent)
{
    return is_set(&sent->answered);
}

bool sent_is_replayed(const struct sent *sent)
{
    bool all = true;
    for (uint32_t i = 0; i < sent->submission->count; i++)
        all = all && sent->submission->ops[i].replayed;
    return all;
}

static const char *word_of(const struct op *op)
{
    static const char *const words[] = {"pending", "done", "same", "-"};
    return op->error ? error_code_name(op->error->code) : words[op->result];
}

static void query_finished(struct query *query)
{
    struct asked *asked = query->context;
    pthread_mutex_lock(&shared.lock);
    asked->answered = true;
    pthread_cond_broadcast(&shared.changed);
    pthread_mutex_unlock(&shared.lock);
}

static struct asked *ask(struct world *world, database_id database, enum wire_kind kind, struct buffer *body)
{
    struct asked *asked = calloc(1, sizeof *asked);
    if (!asked)
        panic("out of memory");
    asked->query = (struct query){.kind = kind, .database = database, .finished = query_finished, .context = asked};
    buffer_move(&asked->query.ask, body);
    asked->next = world->asked;
    world->asked = asked;
    engine_ask(world->engine, &asked->query);
    return asked;
}

struct asked *world_ask(struct world *world, database_id database)
{
    struct buffer nothing = {0};
    return ask(world, database, WIRE_STATS, &nothing);
}

struct asked *world_scan(struct world *world, table_id table)
{
    struct buffer body = {0};
    if (!wire_put_scan(&body, table, 100, NULL, 0, NULL, 0))
        panic("out of memory");
    return ask(world, world->schema->tables[table].database, WIRE_SCAN, &body);
}

bool asked_is_answered(const struct asked *asked)
{
    return is_set(&asked->answered);
}

void asked_wait(const struct asked *asked)
{
    wait_for(&asked->answered, "a question");
}

static bool all_alike(const struct submission *submission)
{
    for (uint32_t i = 1; i < submission->count; i++)
        if (strcmp(word_of(&submission->ops[i]), word_of(&submission->ops[0])) != 0)
            return false;
    return submission->count > 0;
}

const char *sent_outcome(struct sent *sent)
{
    const struct submission *submission = sent->submission;
    size_t len = 0;
    wait_for(&sent->answered, "a submission");
    for (uint32_t i = 0; i < submission->count; i++)
        if (submission->ops[i].error && submission->ops[i].result != OP_REFUSED)
            panic("an error of an operation that was not refused");
    bool one_for_all = submission->count > 8 && all_alike(submission);
    sent->outcome[0] = '\0';
    for (uint32_t i = 0; i < (one_for_all ? 1 : submission->count) && len < sizeof sent->outcome; i++)
        len += (size_t)snprintf(sent->outcome + len, sizeof sent->outcome - len, "%s%s", i ? " " : "",
                                word_of(&submission->ops[i]));
    if (one_for_all)
        snprintf(sent->outcome + len, sizeof sent->outcome - len, " …");
    return sent->outcome;
}

const char *sent_text(const struct sent *sent)
{
    for (uint32_t i = 0; i < sent->submission->count; i++)
        if (sent->submission->ops[i].error)
            return sent->submission->ops[i].error->text;
    return "";
}

/* ---- a server ---- */

int world_open_server(void **state)
{
    if (world_open(state) != 0)
        return -1;
    struct world *world = *state;
    world->options.patient = false;
    world->options.limits.answer_ms = world->options.limits.lock_ms = 3600000;
    return 0;
}

void world_assert_at_once(struct world *world, struct sent *sent, const char *outcome)
{
    world_settle(world);
    if (!sent_is_answered(sent))
        fail_msg("not answered at once: %s", outcome);
    assert_outcome(sent, outcome);
}

void world_assert_refused_at_once(struct world *world, const struct asked *asked)
{
    world_settle(world);
    assert_true(asked_is_answered(asked));
    assert_false(asked->query.ok);
    assert_int_equal(asked->query.error.code, ERROR_UNAVAILABLE);
    assert_says(asked->query.error.text, "is not available: ");
}

/* ---- what shards are asked ---- */

struct fake_request *world_expect(database_id database, const char *line, const char *file, int at)
{
    struct fake_request *request = fake_next(database);
    size_t len = strlen(line), more = strlen("…");
    bool begins = len > more && !strcmp(line + len - more, "…") && !strncmp(request->line, line, len - more);
    if (!begins)
        _assert_string_equal(request->line, line, file, at);
    return request;
}
