/* SPDX-License-Identifier: Apache-2.0 */
/* Idempotency keys on real shards: every kind of write, over restarts, and with processes killed between commit and
 * answer. */
#include "engine.h"
#include "row.h"

#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#define says assert_string_equal
#define COLUMNS_MAX 3
#define KEYS 120     /* of a run that is killed */
#define KILLS 5      /* of one */
#define WINDOW 8     /* under way at a time */
#define SOON_MS 1500 /* an op's wait, where shards are killed */

static const char ddl[] =
    "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT UNIQUE CHECK (name <> ''));\n"
    "CREATE TABLE notes (id INTEGER PRIMARY KEY, person INTEGER REFERENCES people ON DELETE CASCADE ON UPDATE CASCADE,"
    " text TEXT);\n"
    "CREATE TABLE things (id INTEGER PRIMARY KEY, body TEXT);\n";
enum { PEOPLE, NOTES, THINGS };

/* nng may lose sight of a message that it has taken when the shard is killed in that instant. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:link_send\n";
}

static char folder[64];
static struct schema *schema;

static struct engine *started(int64_t answer_ms, int64_t kept_keys)
{
    struct engine_options options = {.schema = schema,
                                     .limits = limits_default(),
                                     .data = folder,
                                     .addresses = calloc(schema->database_count, sizeof(char *)),
                                     .cluster = "test",
                                     .first_use = true,
                                     .log_format = "logfmt",
                                     .log_level = "error"};
    struct error error;
    if (answer_ms)
        options.limits.answer_ms = answer_ms;
    if (kept_keys)
        options.limits.kept_keys = kept_keys;
    struct engine *engine = engine_start(&options, &error);
    free((void *)(uintptr_t)options.addresses);
    if (!engine)
        panic("%s", error.text);
    return engine;
}

/* ---- submissions ---- */

static struct submission *blank(bool atomic)
{
    struct submission *submission = submission_new(8);
    if (!submission)
        panic("out of memory");
    submission->atomic = atomic;
    return submission;
}

/* A row: "5|a|-", NULL, integer, text, not given. */
static void add(struct submission *submission, enum op_kind kind, table_id table, const char *key, const char *row)
{
    struct value values[COLUMNS_MAX];
    struct op *op = &submission->ops[submission->count++];
    op->kind = kind;
    op->table = table;
    for (uint16_t c = 0; row && c < schema->tables[table].column_count; c++) {
        size_t len = strcspn(row, "|");
        char *end;
        values[c] = value_integer(strtoll(row, &end, 10));
        if (len == 1 && *row == '-')
            values[c] = value_absent();
        else if (!len || end != row + len)
            values[c] = value_text(row, len);
        row += len + (row[len] == '|');
    }
    op->row_at = (uint32_t)submission->rows.len;
    if (row && !row_write(&schema->tables[table], values, &submission->rows))
        panic("out of memory");
    op->row_len = (uint32_t)submission->rows.len - op->row_at;
    op->key.at = (uint32_t)submission->rows.len;
    if (key && (!pack_array(&submission->rows, 1) || !pack_int(&submission->rows, strtoll(key, NULL, 10))))
        panic("out of memory");
    op->key.len = (uint32_t)submission->rows.len - op->key.at;
}

static void set_key(struct submission *submission, const char *key, table_id table)
{
    struct error error;
    const char *path = table == SCHEMA_NONE ? "/batch" : schema->tables[table].name;
    if (!submission_set_key(submission, path, table, key, strlen(key), "", submission->rows.bytes, submission->rows.len,
                            &error))
        panic("%s", error.text);
}

/* What it came to: "done id=5 inserted key=7; unique". */
static const char *outcome_of(const struct submission *submission)
{
    static char texts[2][512];
    static unsigned turn;
    char *text = texts[turn++ % 2];
    size_t len = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < submission->count; i++) {
        const struct op *op = &submission->ops[i];
        const char *word = op->error ? error_code_name(op->error->code) : op->result == OP_DONE ? "done" : "-";
        len += (size_t)snprintf(text + len, sizeof texts[0] - len, "%s%s", i ? "; " : "", word);
        if (op->result == OP_DONE && op->key_assigned)
            len += (size_t)snprintf(text + len, sizeof texts[0] - len, " id=%lld", (long long)op->rowid);
        if (op->result == OP_DONE && op->inserted && op->kind == OP_UPSERT)
            len += (size_t)snprintf(text + len, sizeof texts[0] - len, " inserted");
        if (op->new_key.len)
            len += (size_t)snprintf(text + len, sizeof texts[0] - len, " key=%d",
                                    submission->rows.bytes[op->new_key.at + 1]);
        if (op->error && op->error->constraint[0])
            len += (size_t)snprintf(text + len, sizeof texts[0] - len, " (%s)", op->error->constraint);
    }
    return text;
}

/* One request, as it may come again. */
struct request {
    const char *key;
    bool atomic;
    table_id table;
    struct {
        enum op_kind kind;
        table_id table;
        const char *key, *row;
    } ops[4];
    const char *outcome;
};

static struct submission *made(const struct request *request)
{
    struct submission *submission = blank(request->atomic);
    for (size_t i = 0; i < 4 && (request->ops[i].key || request->ops[i].row); i++)
        add(submission, request->ops[i].kind, request->ops[i].table, request->ops[i].key, request->ops[i].row);
    if (request->key)
        set_key(submission, request->key, request->table);
    return submission;
}

static void runs(struct engine *engine, const struct request *request, bool replayed)
{
    struct submission *submission = made(request);
    engine_submit_and_wait(engine, submission);
    if (strcmp(outcome_of(submission), request->outcome) != 0)
        fail_msg("%s: %s instead of %s", request->key, outcome_of(submission), request->outcome);
    for (uint32_t i = 0; i < submission->count; i++)
        if (submission->ops[i].replayed != replayed)
            fail_msg("%s is %s", request->key, replayed ? "not replayed" : "replayed");
    submission_free(submission);
}

/* ---- files ---- */

static const char *sql(table_id database, const char *statement)
{
    static char text[8192];
    char path[128];
    sqlite3 *connection = NULL;
    sqlite3_stmt *row = NULL;
    size_t len = 0;
    snprintf(path, sizeof path, "%s/%s.db", folder, schema->tables[database].name);
    assert_int_equal(sqlite3_open_v2(path, &connection, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(connection, statement, -1, &row, NULL), SQLITE_OK);
    text[0] = '\0';
    while (sqlite3_step(row) == SQLITE_ROW)
        for (int c = 0; c < sqlite3_column_count(row); c++)
            len += (size_t)snprintf(text + len, sizeof text - len, "%s%s",
                                    c     ? "|"
                                    : len ? ";"
                                          : "",
                                    (const char *)sqlite3_column_text(row, c));
    sqlite3_finalize(row);
    sqlite3_close(connection);
    return text;
}

/* ---- every kind of write ---- */

static const struct request requests[] = {
    {"insert", false, PEOPLE, {{OP_INSERT, PEOPLE, NULL, "-|Ann"}}, "done id=1"},
    {"given", false, PEOPLE, {{OP_INSERT, PEOPLE, NULL, "5|Bob"}}, "done"},
    {"taken", false, PEOPLE, {{OP_INSERT, PEOPLE, NULL, "6|Bob"}}, "unique (name)"},
    {"blank", false, PEOPLE, {{OP_INSERT, PEOPLE, NULL, "7|"}}, "check (name <> '')"},
    {"child", false, NOTES, {{OP_INSERT, NOTES, NULL, "1|5|hello"}}, "done"},
    {"orphan", false, NOTES, {{OP_INSERT, NOTES, NULL, "2|8|hello"}}, "reference_missing (person)"},
    {"upsert", false, THINGS, {{OP_UPSERT, THINGS, NULL, "1|one"}}, "done inserted"},
    {"upsert2", false, THINGS, {{OP_UPSERT, THINGS, NULL, "1|two"}}, "done"},
    {"patch", false, THINGS, {{OP_UPDATE, THINGS, "1", "-|three"}}, "done"},
    {"rekey", false, PEOPLE, {{OP_UPDATE, PEOPLE, "5", "9|-"}}, "done key=9"},
    {"absent", false, THINGS, {{OP_UPDATE, THINGS, "77", "-|x"}}, "not_found"},
    {"array",
     false,
     THINGS,
     {{OP_INSERT, THINGS, NULL, "-|a"}, {OP_INSERT, THINGS, NULL, "1|b"}, {OP_INSERT, THINGS, NULL, "-|c"}},
     "done id=2; unique (id); done id=3"},
    {"batch",
     true,
     SCHEMA_NONE,
     {{OP_INSERT, NOTES, NULL, "-|9|x"}, {OP_INSERT, PEOPLE, NULL, "-|Cid"}, {OP_UPDATE, THINGS, "2", "-|aa"}},
     "done id=2; done id=10; done"}, /* 2 was an orphan's */
    {"batch2",
     true,
     SCHEMA_NONE,
     {{OP_INSERT, THINGS, NULL, "50|x"}, {OP_DELETE, PEOPLE, "88", NULL}, {OP_INSERT, NOTES, NULL, "-|9|x"}},
     "-; not_found; -"},
    {"each",
     false,
     SCHEMA_NONE,
     {{OP_INSERT, PEOPLE, NULL, "20|Dan"}, {OP_INSERT, NOTES, NULL, "30|20|x"}, {OP_DELETE, THINGS, "3", NULL}},
     "done; done; done"},
    {"three",
     true,
     SCHEMA_NONE,
     {{OP_INSERT, THINGS, NULL, "61|x"}, {OP_INSERT, THINGS, NULL, "62|x"}, {OP_INSERT, THINGS, NULL, "-|x"}},
     "done; done; done id=63"},
    {"three again",
     true,
     SCHEMA_NONE,
     {{OP_INSERT, THINGS, NULL, "71|x"}, {OP_INSERT, THINGS, NULL, "72|x"}, {OP_INSERT, THINGS, NULL, "-|x"}},
     "done; done; done id=73"},
    {"delete", false, PEOPLE, {{OP_DELETE, PEOPLE, "9", NULL}}, "done"}, /* and its children */
};
#define REQUESTS (sizeof requests / sizeof *requests)

static const struct request afterwards = {
    NULL,
    true,
    SCHEMA_NONE,
    {{OP_UPDATE, THINGS, "1", "-|changed"}, {OP_DELETE, PEOPLE, "1", NULL}, {OP_INSERT, PEOPLE, NULL, "9|Eve"}},
    "done; done; done"};

static void files_are_as_after_the_first_time(void)
{
    says(sql(PEOPLE, "SELECT * FROM people"), "9|Eve;10|Cid;20|Dan");
    says(sql(NOTES, "SELECT * FROM notes"), "30|20|x");
    says(sql(THINGS, "SELECT * FROM things"), "1|changed;2|aa;61|x;62|x;63|x;71|x;72|x;73|x");
}

static void every_write_has_one_effect_and_one_answer_over_restarts(void **state)
{
    (void)state;
    struct engine *engine = started(0, 0);
    for (size_t i = 0; i < REQUESTS; i++)
        runs(engine, &requests[i], false);
    runs(engine, &afterwards, false); /* done again, they would do something else now */
    for (int life = 0; life < 3; life++) {
        for (size_t i = 0; i < REQUESTS; i++)
            runs(engine, &requests[(i * 7 + 3) % REQUESTS], true);
        files_are_as_after_the_first_time();
        engine_stop(engine);
        engine = started(0, 0);
    }
    struct request other = requests[0];
    other.ops[0].row = "-|Ann2";
    other.outcome = "key_reused";
    runs(engine, &other, false);
    engine_stop(engine);
    files_are_as_after_the_first_time();
}

static void the_limit_of_kept_keys_reaches_the_shards(void **state)
{
    (void)state;
    struct engine *engine = started(0, 2);
    runs(engine, &(struct request){"1", false, THINGS, {{OP_INSERT, THINGS, NULL, "1|x"}}, "done"}, false);
    runs(engine, &(struct request){"2", false, THINGS, {{OP_INSERT, THINGS, NULL, "1|x"}}, "unique (id)"}, false);
    runs(engine, &(struct request){"3", false, THINGS, {{OP_INSERT, THINGS, NULL, "3|x"}}, "busy"}, false);
    runs(engine, &(struct request){"4", false, PEOPLE, {{OP_INSERT, PEOPLE, NULL, "3|x"}}, "done"}, false);
    runs(engine, &(struct request){"1", false, THINGS, {{OP_INSERT, THINGS, NULL, "1|x"}}, "done"}, true);
    engine_stop(engine);
    says(sql(THINGS, "SELECT id FROM things"), "1");
}

/* ---- killed ---- */

/* Request number i: rows without keys of their own, so that a second effect would be another row. */
static struct submission *numbered(unsigned i)
{
    char key[16], row[32];
    struct submission *submission = blank(i % 3 == 2);
    snprintf(key, sizeof key, "key %u", i);
    snprintf(row, sizeof row, "-|%u", i);
    if (i % 3 == 2) { /* three: things decides, also where the outcome is kept elsewhere */
        for (int more = 0; more < 3; more++)
            add(submission, OP_INSERT, THINGS, NULL, row);
        add(submission, OP_INSERT, PEOPLE, NULL, row);
        add(submission, OP_INSERT, NOTES, NULL, "-|-|x");
    } else if (i % 3 == 1) {
        add(submission, OP_INSERT, NOTES, NULL, "-|-|x");
        add(submission, OP_INSERT, NOTES, NULL, "-|1000000|x"); /* nobody */
    } else
        add(submission, OP_INSERT, THINGS, NULL, row);
    set_key(submission, key, i % 3 == 2 ? SCHEMA_NONE : submission->ops[0].table);
    return submission;
}

static bool is_final(const struct submission *submission)
{
    for (uint32_t i = 0; i < submission->count; i++)
        if (submission->ops[i].error &&
            (submission->ops[i].error->code == ERROR_UNKNOWN || submission->ops[i].error->code == ERROR_UNAVAILABLE))
            return false;
    return true;
}

static void numbers_are_there_once(void)
{
    says(sql(THINGS, "SELECT count(*), count(DISTINCT body) FROM things"), "160|80");
    says(sql(PEOPLE, "SELECT count(*), count(DISTINCT name) FROM people"), "40|40");
    says(sql(NOTES, "SELECT count(*) FROM notes"), "80");
    for (table_id t = 0; t < 3; t++) {
        says(sql(t, "SELECT count(*) FROM _sheaf_prepared"), "0");
        says(sql(t, "SELECT count(*) FROM _sheaf_decision"), "0");
    }
}

struct sent {
    unsigned number;
    sem_t *window;
};

static void finished(struct submission *submission)
{
    struct sent *sent = submission->context;
    dprintf(STDOUT_FILENO, "%u %s\n", sent->number, outcome_of(submission));
    sem_post(sent->window);
    submission_free(submission);
}

/* The other process: sends all, several at a time, and writes what each came to. */
static int coordinate(const char *in)
{
    struct sent sent[KEYS];
    struct error error;
    sem_t window;
    snprintf(folder, sizeof folder, "%s", in);
    schema = schema_load(ddl, strlen(ddl), "ddl", NULL, &error);
    if (!schema || sem_init(&window, 0, WINDOW) != 0)
        panic("%s", error.text);
    struct engine *engine = started(0, 0);
    for (unsigned i = 0; i < KEYS; i++) {
        struct submission *submission = numbered(i);
        while (sem_wait(&window) != 0)
            ;
        sent[i] = (struct sent){i, &window};
        submission->finished = finished;
        submission->context = &sent[i];
        engine_submit(engine, submission);
    }
    engine_stop(engine);
    schema_free(schema);
    return 0;
}

static pid_t start_other(FILE **ret_lines)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        execl("/proc/self/exe", "coordinate", folder, (char *)NULL);
        _exit(1);
    }
    close(ends[1]);
    assert_non_null(*ret_lines = fdopen(ends[0], "r"));
    return child;
}

static void a_killed_coordinator_costs_no_second_effect(void **state)
{
    (void)state;
    static char first[KEYS][128];
    for (unsigned turn = 0; turn <= KILLS; turn++) {
        char line[128];
        FILE *lines;
        unsigned number, answers = 0;
        pid_t child = start_other(&lines);
        while (fgets(line, sizeof line, lines) && sscanf(line, "%u", &number) == 1) {
            assert_true(number < KEYS);
            if (!first[number][0])
                strcpy(first[number], line);
            says(line, first[number]); /* the same answer in every life */
            if (turn < KILLS && ++answers == (turn + 1) * KEYS / (KILLS + 2))
                kill(child, SIGKILL); /* with what is under way */
        }
        fclose(lines);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(WIFSIGNALED(status), turn < KILLS);
    }
    for (unsigned i = 0; i < KEYS; i++)
        assert_true(first[i][0]);
    numbers_are_there_once();
}

static pid_t pid_of(table_id database)
{
    char path[128];
    long pid = 0;
    snprintf(path, sizeof path, "%s/%s.db.lock", folder, schema->tables[database].name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    int got = fscanf(file, "%ld", &pid);
    fclose(file);
    return got == 1 ? (pid_t)pid : 0;
}

static void killed_shards_cost_no_second_effect(void **state)
{
    (void)state;
    struct engine *engine = started(SOON_MS, 0);
    for (unsigned i = 0; i < KEYS; i++) {
        struct submission *submission = numbered(i);
        if (i % 8 == 7) {
            pid_t pid = pid_of((table_id)(i / 8 % 3));
            if (pid > 0)
                kill(pid, SIGKILL);
        }
        engine_submit_and_wait(engine, submission);
        while (!is_final(submission)) { /* a client sends it again; each waits for its outcome */
            submission_free(submission);
            submission = numbered(i);
            engine_submit_and_wait(engine, submission);
        }
        submission_free(submission);
    }
    engine_stop(engine);
    numbers_are_there_once();
}

static int begin_test(void **state)
{
    struct error error;
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/sheaf-keyed-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    schema = schema_load(ddl, strlen(ddl), "ddl", NULL, &error);
    return schema ? 0 : -1;
}

static int end_test(void **state)
{
    (void)state;
    char command[128];
    schema_free(schema);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

int main(int count, char **arguments)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_test, end_test)
    char path[4096];
    snprintf(path, sizeof path, "%s:%s", SHARDD_FOLDER, getenv("PATH") ? getenv("PATH") : "");
    setenv("PATH", path, 1); /* where shards are looked for */
    if (count > 1)
        return coordinate(arguments[1]);
    const struct CMUnitTest tests[] = {
        TEST(every_write_has_one_effect_and_one_answer_over_restarts),
        TEST(the_limit_of_kept_keys_reaches_the_shards),
        TEST(a_killed_coordinator_costs_no_second_effect),
        TEST(killed_shards_cost_no_second_effect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
