/* SPDX-License-Identifier: Apache-2.0 */
/* The stream between a file and an engine that is played here: it finishes the newest submission first. */
#include "insert_stream.h"

#include "input.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

struct engine {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct submission *newest;
    unsigned held;
    unsigned held_max;
    uint64_t ops; /* ever submitted */
    bool over;
};

struct submission *submission_new(uint32_t ops)
{
    struct submission *submission = calloc(1, sizeof *submission);

    assert_non_null(submission);
    submission->ops = calloc(ops, sizeof *submission->ops);
    assert_non_null(submission->ops);
    return submission;
}

void submission_free(struct submission *submission)
{
    if (!submission)
        return;
    for (uint32_t i = 0; i < submission->count; i++)
        free(submission->ops[i].error);
    buffer_release(&submission->rows);
    free(submission->ops);
    free(submission);
}

void engine_submit(struct engine *engine, struct submission *submission)
{
    pthread_mutex_lock(&engine->mutex);
    submission->next = engine->newest;
    engine->newest = submission;
    engine->ops += submission->count;
    if (++engine->held > engine->held_max)
        engine->held_max = engine->held;
    pthread_cond_signal(&engine->changed);
    pthread_mutex_unlock(&engine->mutex);
}

/* A line's first byte says what becomes of it: o done, s there already, k done with key 42, r refused; b cannot be
 * read. */
bool input_json_line(const struct schema *schema, const char *line, size_t len, table_id *ret_table, struct buffer *row,
                     struct error *error)
{
    (void)schema;
    if (line[0] == 'b')
        return error_set(error, ERROR_PARSE, "no JSON");
    *ret_table = 0;
    return buffer_put(row, line, len);
}

static void judge(struct submission *submission)
{
    for (uint32_t i = 0; i < submission->count; i++) {
        struct op *op = &submission->ops[i];
        char verdict = (char)submission->rows.bytes[op->row_at];

        op->result = verdict == 's' ? OP_SAME : verdict == 'r' ? OP_REFUSED : OP_DONE;
        op->key_assigned = verdict == 'k';
        op->rowid = 42;
        if (op->result == OP_REFUSED) {
            op->error = malloc(sizeof *op->error);
            error_set(op->error, ERROR_CHECK, "not so");
            error_about(op->error, "t", "c");
        }
    }
}

static void *engine_run(void *context)
{
    struct engine *engine = context;

    pthread_mutex_lock(&engine->mutex);
    while (!engine->over || engine->newest) {
        struct submission *submission = engine->newest;

        if (!submission) {
            pthread_cond_wait(&engine->changed, &engine->mutex);
            continue;
        }
        engine->newest = submission->next;
        engine->held--;
        pthread_mutex_unlock(&engine->mutex);
        judge(submission);
        submission->finished(submission);
        pthread_mutex_lock(&engine->mutex);
    }
    pthread_mutex_unlock(&engine->mutex);
    return NULL;
}

static void engine_begin(struct engine *engine)
{
    *engine = (struct engine){.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    assert_int_equal(pthread_create(&engine->thread, NULL, engine_run, engine), 0);
}

static void engine_end(struct engine *engine)
{
    pthread_mutex_lock(&engine->mutex);
    engine->over = true;
    pthread_cond_signal(&engine->changed);
    pthread_mutex_unlock(&engine->mutex);
    pthread_join(engine->thread, NULL);
}

static struct schema_table the_table = {.name = "t"};
static const struct schema the_schema = {.table_count = 1, .database_count = 1, .tables = &the_table};

/* A run in a thread of its own, so that a test can play its user. */
struct play {
    struct engine engine;
    struct histogram parse;
    struct insert_stream stream;
    struct insert_outcome outcome;
    struct error error;
    bool fine;
    pthread_t thread;
};

static void *play_run(void *context)
{
    struct play *play = context;

    play->fine = insert_stream_run(&play->stream, &play->outcome, &play->error);
    return NULL;
}

static struct play *play_begin(int in_fd, int out_fd, int interrupt_fd, int64_t ops_max)
{
    struct play *play = calloc(1, sizeof *play);

    assert_non_null(play);
    engine_begin(&play->engine);
    play->stream = (struct insert_stream){.engine = &play->engine,
                                          .schema = &the_schema,
                                          .in_fd = in_fd,
                                          .out_fd = out_fd,
                                          .interrupt_fd = interrupt_fd,
                                          .ops_max = ops_max,
                                          .parse = &play->parse};
    assert_int_equal(pthread_create(&play->thread, NULL, play_run, play), 0);
    return play;
}

static void play_end(struct play *play)
{
    pthread_join(play->thread, NULL);
    engine_end(&play->engine);
}

static void every_line_is_answered_in_its_place(void **state)
{
    static const char *const kinds[] = {"o", "s", "k", "r", "b"};
    static const char *const answers[] = {
        "\"ok\":true}", "\"ok\":true,\"already_there\":true}", "\"ok\":true,\"id\":42}",
        "\"ok\":false,\"error\":{\"code\":\"check\",\"table\":\"t\",\"constraint\":\"c\",\"message\":\"not so\"}}",
        "\"ok\":false,\"error\":{\"code\":\"parse\",\"table\":null,\"constraint\":null,\"message\":\"no JSON\"}}"};
    enum { LINES = 40000 };
    FILE *in = tmpfile(), *out = tmpfile();
    struct play *play;
    char line[256], expected[256];

    (void)state;
    for (int i = 0; i < LINES; i++)
        fprintf(in, "%s%d\n", kinds[i * 7 % 5], i);
    fflush(in);
    rewind(in);
    play = play_begin(fileno(in), fileno(out), -1, 65536);
    play_end(play);
    assert_true(play->fine);
    assert_int_equal(play->outcome.accepted, LINES / 5 * 3);
    assert_int_equal(play->outcome.refused, LINES / 5 * 2);
    assert_int_equal(play->outcome.unparsed, LINES / 5);
    assert_int_equal(play->parse.count, LINES / 5 * 4);
    assert_true(play->engine.held_max <= INSERT_BLOCKS_MAX);
    rewind(out);
    for (int i = 0; i < LINES; i++) {
        assert_non_null(fgets(line, sizeof line, out));
        snprintf(expected, sizeof expected, "{\"line\":%d,%s\n", i + 1, answers[i * 7 % 5]);
        assert_string_equal(line, expected);
    }
    assert_null(fgets(line, sizeof line, out));
    fclose(in);
    fclose(out);
    free(play);
}

static void a_slow_writer_gets_each_answer_before_the_next_line(void **state)
{
    int in[2], out[2];
    struct play *play;
    char text[64];

    (void)state;
    assert_int_equal(pipe(in) | pipe(out), 0);
    play = play_begin(in[0], out[1], -1, 65536);
    alarm(20);
    for (int i = 1; i <= 3; i++) {
        char expected[64];
        ssize_t got;

        assert_int_equal(write(in[1], "o\n", 2), 2);
        got = read(out[0], text, sizeof text - 1);
        assert_true(got > 0);
        text[got] = '\0';
        snprintf(expected, sizeof expected, "{\"line\":%d,\"ok\":true}\n", i);
        assert_string_equal(text, expected);
    }
    close(in[1]);
    play_end(play);
    alarm(0);
    assert_true(play->fine);
    close(in[0]);
    close(out[0]);
    close(out[1]);
    free(play);
}

static void a_small_engine_is_not_flooded(void **state)
{
    FILE *in = tmpfile(), *out = tmpfile();
    struct play *play;

    (void)state;
    for (int i = 0; i < 5000; i++)
        fputs("o\n", in);
    fflush(in);
    rewind(in);
    play = play_begin(fileno(in), fileno(out), -1, 16);
    play_end(play);
    assert_int_equal(play->outcome.accepted, 5000);
    assert_true(play->engine.held_max <= 16);
    fclose(in);
    fclose(out);
    free(play);
}

static void an_interrupt_ends_it_and_what_was_taken_is_answered(void **state)
{
    int in[2], out[2], interrupt = eventfd(0, 0);
    struct play *play;
    char text[64];

    (void)state;
    assert_int_equal(pipe(in) | pipe(out), 0);
    play = play_begin(in[0], out[1], interrupt, 65536);
    alarm(20);
    assert_int_equal(write(in[1], "o\n", 2), 2);
    assert_true(read(out[0], text, sizeof text) > 0);
    assert_int_equal(eventfd_write(interrupt, 1), 0); /* stdin stays open */
    play_end(play);
    alarm(0);
    assert_true(play->fine);
    assert_int_equal(play->outcome.accepted, 1);
    close(interrupt);
    close(in[0]);
    close(in[1]);
    close(out[0]);
    close(out[1]);
    free(play);
}

static void a_reader_that_goes_away_ends_it_quietly(void **state)
{
    int in[2], out[2];
    struct play *play;

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe(in) | pipe(out), 0);
    close(out[0]);
    play = play_begin(in[0], out[1], -1, 65536);
    alarm(20);
    assert_int_equal(write(in[1], "o\no\n", 4), 4); /* stdin stays open */
    play_end(play);
    alarm(0);
    assert_true(play->fine);
    assert_true(play->outcome.broken_pipe);
    assert_int_equal(play->engine.held, 0);
    close(in[0]);
    close(in[1]);
    close(out[1]);
    free(play);
}

static void a_full_disk_is_named_and_everything_taken_is_finished(void **state)
{
    int full = open("/dev/full", O_WRONLY);
    FILE *in = tmpfile();
    struct play *play;

    (void)state;
    for (int i = 0; i < 20000; i++)
        fputs("r\n", in);
    fflush(in);
    rewind(in);
    play = play_begin(fileno(in), full, -1, 65536);
    play_end(play);
    assert_false(play->fine);
    assert_int_equal(play->error.code, ERROR_IO);
    assert_int_equal(play->engine.held, 0);
    fclose(in);
    close(full);
    free(play);
}

static void input_that_cannot_be_read_is_told_after_its_answers(void **state)
{
    int folder = open("/", O_RDONLY | O_DIRECTORY);
    FILE *out = tmpfile();
    struct play *play = play_begin(folder, fileno(out), -1, 65536);

    (void)state;
    play_end(play);
    assert_true(play->fine);
    assert_true(play->outcome.input_failed);
    assert_non_null(strstr(play->error.text, "stdin"));
    close(folder);
    fclose(out);
    free(play);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_line_is_answered_in_its_place),
        cmocka_unit_test(a_slow_writer_gets_each_answer_before_the_next_line),
        cmocka_unit_test(a_small_engine_is_not_flooded),
        cmocka_unit_test(an_interrupt_ends_it_and_what_was_taken_is_answered),
        cmocka_unit_test(a_reader_that_goes_away_ends_it_quietly),
        cmocka_unit_test(a_full_disk_is_named_and_everything_taken_is_finished),
        cmocka_unit_test(input_that_cannot_be_read_is_told_after_its_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
