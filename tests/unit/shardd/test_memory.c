/* SPDX-License-Identifier: Apache-2.0 */
/* What a shard does when memory runs out and when SQLite's calls fail: a script of everything that is asked of it, run
 * again and again. In run n each step meets a failure of the n-th allocation (or call) that it makes, and is then done
 * again without: it fails, or its answer is that of a run without failures, and in the end so is the file. */
#include "faults.h"
#include "shard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STEPS_MAX 64u
#define TEXT_BYTES 8192u /* shard.h */
#define EVERY_UNTIL 60u  /* each n up to this one, then by a PART more each time: a step may make thousands */
#define PART 3u

struct run {
    struct shard *shard;
    enum faults_of of;
    unsigned n;
    bool lasting;
    unsigned step, hits;
    uint64_t epoch;
    char (*texts)[TEXT_BYTES]; /* of the run without failures, by step */
};

/* What a step came to: "" is a failure, said in shard->error. */
typedef const char *step(struct run *run, uint64_t number);

static void failed_step(const struct run *run, const char *what, const char *said)
{
    fail_msg("failure %d.%u%s, step %u: %s: %s", (int)run->of, run->n, run->lasting ? " and all behind" : "", run->step,
             what, said);
}

/* Must succeed without failures, and says the same as in every other run. */
static void take(struct run *run, step *what, uint64_t number)
{
    char *expected = run->texts[run->step++];
    assert_true(run->step < STEPS_MAX);
    memset(&run->shard->error, 0, sizeof run->shard->error);
    const char *said = "";
    if (run->of) {
        faults_begin(run->of, run->n, run->lasting);
        said = what(run, number);
        run->hits += faults_end();
        if (!*said && !*run->shard->error.text)
            failed_step(run, "a failure", "without a word");
    }
    if (!*said)
        said = what(run, number);
    if (!*said)
        failed_step(run, "is not done again", run->shard->error.text);
    if (!run->of)
        snprintf(expected, sizeof run->texts[0], "%s", said);
    else if (strcmp(said, expected))
        failed_step(run, expected, said);
}

/* ---- life ---- */

static const char *open_it(struct run *run, uint64_t number)
{
    (void)number;
    return shard_open(run->shard) ? "open" : "";
}

static const char *claim(struct run *run, uint64_t epoch)
{
    run->epoch = epoch;
    return shard_claim(run->shard, epoch, SHARD_COORDINATOR) ? "claimed" : "";
}

static const char *ready(struct run *run, uint64_t number)
{
    struct shard *s = run->shard;
    (void)number;
    if ((!s->batch && !(s->batch = batch_new(s->store, &s->error))) ||
        (!s->children && !(s->children = children_new(s->store, &s->error))) ||
        (!s->read && !(s->read = read_new(s->store, &s->error))))
        return "";
    return "ready";
}

/* ---- writes ---- */

static void put_rows(struct shard *s)
{
    shard_insert(s, PEOPLE, "1|'Ann|'a@x|30");
    shard_insert(s, PEOPLE, "2|'Bob|'b@x|-");
    shard_insert_again(s, PEOPLE, "1|'Ann|-|-");
    shard_insert(s, PEOPLE, "3|'Cid|'A@X|-"); /* refused */
    shard_insert(s, PAIRS, "1|'one|x00ff");
    shard_insert(s, PAIRS, "2|'two|1.5");
    shard_insert(s, WORDS, "'word|1|-");
    shard_insert(s, COUNTED, "-|1");
    shard_insert(s, COUNTED, "-|2");
    shard_update(s, PEOPLE, "2", "-|'Bea|-|-");
    shard_update(s, PEOPLE, "2", "-|-|'a@x|-"); /* refused */
    shard_delete(s, PAIRS, "'two|2");
    shard_delete(s, PAIRS, "'two|2"); /* not there */
    shard_group(s, 4);
    shard_op(s, NOTES, "'made here");
    shard_op_update_made(s, NOTES, "0", "'and changed");
    shard_op_keep(s, "key", 0, 1000, "came to this");
    shard_op_again(s, PEOPLE, "2|'Bea|-|-");
    shard_group(s, 2); /* refused as a whole */
    shard_op(s, NOTES, "'not to stay");
    shard_op(s, PEOPLE, "1|'Eve|-|-");
    shard_try(s, 1);
    shard_op(s, NOTES, "'tried");
    shard_group(s, 2);
    shard_op(s, NOTES, "'gone");
    shard_op_delete_made(s, NOTES, "0");
}

static void put_promises(struct shard *s)
{
    shard_prepare(s, 9, "locks of nine", 3);
    shard_op(s, PEOPLE, "7|'Nina|'n@x|-");
    shard_op(s, COUNTED, "-|1");
    shard_op_keep(s, "nine", 0, 1000, "nine");
    shard_prepare(s, 10, "", 2);
    shard_op_delete(s, PEOPLE, "2");
    shard_op_update(s, PEOPLE, "1", "-|'Anna|-|-");
    shard_prepare(s, 11, "", 1);
    shard_op(s, PEOPLE, "1|'Eve|-|-"); /* refused */
    shard_decide(s, 8, 1);
    shard_op(s, WORDS, "'decided|8|-");
}

static void put_outcomes(struct shard *s)
{
    shard_resolve(s, 9, true);
    shard_resolve(s, 10, false);
    shard_forget(s, 8);
    shard_insert(s, COUNTED, "-|7");
}

static void put_more(struct shard *s)
{
    shard_insert(s, PEOPLE, "4|'Dan|'d@x|-");
    shard_group(s, 1);
    shard_op_keep(s, "key", 1, LIMIT_KEPT_MS + 2000, "sweeps"); /* what is older than a day */
}

static void put_number(struct shard *s, uint64_t number)
{
    static void (*const puts[])(struct shard *) = {put_rows, put_promises, put_outcomes, put_more};
    s->entry_count = 0;
    buffer_clear(&s->entries);
    puts[number - 1](s);
}

/* As a process that ends without an answer, and its successor that asks how far it came. */
static void start_anew(struct run *run)
{
    faults_end();
    shard_close(run->shard);
    shard_start(run->shard, run->epoch);
}

/* A batch and its commit. */
static const char *write_batch(struct run *run, uint64_t number)
{
    static char said[TEXT_BYTES];
    struct shard *s = run->shard;
    uint64_t commit_ns;
    put_number(s, number);
    snprintf(said, sizeof said, "%s", shard_apply(s, number));
    struct error error = s->error;
    if (!strncmp(said, "failed", 6)) {
        run->hits += faults_end();
        batch_abandon(s->batch);
        s->error = error;
        return "";
    }
    if (!strncmp(said, "unknown", 7)) {
        run->hits += faults_end();
        start_anew(run);
        s->error = error;
        return "";
    }
    switch (batch_commit(s->batch, &commit_ns, &s->error)) {
    case COMMIT_DONE:
        break;
    case COMMIT_NOT_BEGUN:
        batch_abandon(s->batch);
        return "";
    case COMMIT_UNKNOWN:
        error = s->error;
        run->hits += faults_end();
        start_anew(run);
        s->error = error;
        if (store_last_batch(s->store) < number)
            return "";
        put_number(s, number);
        snprintf(said, sizeof said, "applied%s", shard_apply(s, number) + strlen("repeated"));
    }
    assert_int_equal(store_last_batch(s->store), number);
    return said;
}

static const char *write_again(struct run *run, uint64_t number)
{
    struct shard *s = run->shard;
    put_number(s, number);
    const char *said = shard_apply(s, number);
    if (strncmp(said, "unknown", 7))
        return said;
    struct error error = s->error;
    run->hits += faults_end();
    start_anew(run);
    s->error = error;
    return "";
}

/* ---- questions ---- */

/* The name of an error's code is no answer. */
static const char *answered(struct run *run, const char *said)
{
    return *run->shard->error.text && !strcmp(said, error_code_name(run->shard->error.code)) ? "" : said;
}

#define QUESTION(name, call)                                  \
    static const char *name(struct run *run, uint64_t number) \
    {                                                         \
        struct shard *s = run->shard;                         \
        (void)number;                                         \
        memset(&s->error, 0, sizeof s->error);                \
        return answered(run, call);                           \
    }

QUESTION(exists, shard_exists(s, PEOPLE, 0, "1;99"))
QUESTION(exists_text, shard_exists(s, PEOPLE, 1, "'A@X;'nobody"))
QUESTION(keys, shard_keys(s, PEOPLE, &(int64_t){1}, 10))
QUESTION(scan, shard_scan(s, PEOPLE, 1, "0"))
QUESTION(scan_pairs, shard_scan(s, PAIRS, 5, "'a|0"))
QUESTION(scan_notes, shard_scan(s, NOTES, 1, NULL))
QUESTION(filter, shard_filter(s, PEOPLE, 5, NULL, "1='Ann"))
QUESTION(rows, shard_rows(s, PEOPLE, "1;99"))
QUESTION(rows_pairs, shard_rows(s, PAIRS, "'one|1"))
QUESTION(describe, shard_describe(s))
QUESTION(kept, shard_kept(s, "key", 0, 1000))
QUESTION(children, shard_children(s, 0, "1"))

static const char *probe(struct run *run, uint64_t number)
{
    struct shard *s = run->shard;
    (void)number;
    buffer_clear(&s->entries);
    shard_op(s, PEOPLE, "1|'Eve|-|-"); /* refused */
    shard_op(s, PEOPLE, "8|'Eve|-|-");
    shard_op_delete(s, PEOPLE, "2");
    return answered(run, shard_probe(s, 3));
}

/* ---- the script ---- */

static const char *contents(struct run *run, uint64_t number)
{
    static const char sql[] =
        "SELECT (SELECT group_concat(id || name || coalesce(email, '-') || coalesce(age, '-')) FROM people),"
        " (SELECT group_concat(a || b || hex(c)) FROM pairs), (SELECT group_concat(word || n) FROM words),"
        " (SELECT group_concat(\"the \"\"text\") FROM notes), (SELECT group_concat(id || ':' || x) FROM counted),"
        " (SELECT group_concat(txn || home || hex(ops)) FROM _sheaf_prepared),"
        " (SELECT group_concat(txn || participants) FROM _sheaf_decision),"
        " (SELECT group_concat(hex(key) || idx || hex(outcome)) FROM _sheaf_answers),"
        " (SELECT group_concat(batch) FROM _sheaf_applied)";
    (void)number;
    assert_string_equal(shard_sql(run->shard, "PRAGMA integrity_check"), "ok");
    return shard_sql(run->shard, sql);
}

static void ask_everything(struct run *run)
{
    static step *const questions[] = {describe, exists, exists_text, keys,     scan,  scan_pairs, scan_notes,
                                      filter,   rows,   rows_pairs,  children, probe, kept};
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++)
        take(run, questions[i], 0);
}

static void start(struct run *run, uint64_t epoch)
{
    take(run, open_it, 0);
    take(run, claim, epoch);
    take(run, ready, 0);
}

/* How many steps have met the failure. */
static unsigned play(struct run *run)
{
    void *shard;
    shard_setup_unopened(&shard);
    run->shard = shard;
    run->step = run->hits = 0;
    start(run, 1);
    take(run, describe, 0);
    take(run, write_batch, 1);
    take(run, write_batch, 2);
    take(run, write_again, 1);
    ask_everything(run);
    shard_close(run->shard);
    start(run, 2);
    take(run, write_batch, 3);
    take(run, contents, 0);
    shard_close(run->shard);
    start(run, 2);
    take(run, write_batch, 4);
    take(run, contents, 0);
    shard_teardown(&shard);
    return run->hits;
}

static void every_failure(enum faults_of of, bool lasting, unsigned every_until)
{
    static char texts[STEPS_MAX][TEXT_BYTES];
    struct run run = {.texts = texts};
    play(&run);
    run.of = of;
    run.lasting = lasting;
    run.n = 1;
    while (play(&run))
        run.n += run.n < every_until ? 1 : run.n / PART;
    print_message("up to %u\n", run.n);
}

static void memory_that_runs_out_is_an_error_and_no_lie(void **state)
{
    (void)state;
    every_failure(FAULTS_MEMORY, false, 24);
}

static void memory_that_is_out_for_longer_too(void **state)
{
    (void)state;
    every_failure(FAULTS_MEMORY, true, 8);
}

static void memory_of_sqlite_that_runs_out_too(void **state)
{
    (void)state;
    every_failure(FAULTS_SQLITE_MEMORY, false, 16);
}

static void calls_of_sqlite_that_fail_too(void **state)
{
    (void)state;
    every_failure(FAULTS_SQLITE_CALLS, false, 56);
}

/* SQLite rolls the whole transaction back when memory runs out, also while it only looks for the key that an error
 * should name: what follows would be written without a transaction, and all before it be lost. */
static void what_sqlite_gives_up_by_itself_is_not_applied(void **state)
{
    void *shard;
    uint64_t commit_ns;
    (void)state;
    shard_setup(&shard);
    struct shard *s = shard;
    shard_insert(s, PEOPLE, "1|'Ann|'a@x|-");
    shard_insert(s, PEOPLE, "2|'Bob|'b@x|-");
    shard_write(s, 1);
    uint64_t number = 2;
    unsigned failed = 0;
    for (unsigned n = 1, hit = 1; hit; n++) {
        char note[32];
        snprintf(note, sizeof note, "'%u", n);
        shard_insert(s, NOTES, note);
        shard_update(s, PEOPLE, "2", "-|-|'a@x|-"); /* refused */
        faults_begin(FAULTS_SQLITE_MEMORY, n, false);
        const char *said = shard_apply(s, number);
        hit = faults_end();
        if (!strcmp(said, "failed internal") || !strcmp(said, "failed io")) {
            batch_abandon(s->batch);
            failed++;
            continue;
        }
        assert_string_equal(said, "applied; 1.0 unique people(email)");
        if (batch_commit(s->batch, &commit_ns, &s->error) != COMMIT_DONE)
            fail_msg("failure %u: %s", n, s->error.text);
        number++;
    }
    assert_true(failed > 0);
    char expected[32];
    snprintf(expected, sizeof expected, "%u", (unsigned)number - 2);
    assert_string_equal(shard_sql(s, "SELECT count(*) FROM notes"), expected);
    shard_teardown(&shard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_that_runs_out_is_an_error_and_no_lie),
        cmocka_unit_test(memory_that_is_out_for_longer_too),
        cmocka_unit_test(memory_of_sqlite_that_runs_out_too),
        cmocka_unit_test(calls_of_sqlite_that_fail_too),
        cmocka_unit_test(what_sqlite_gives_up_by_itself_is_not_applied),
    };
    faults_prepare();
    if (chdir("/dev/shm") != 0) /* where there is one: no disk is tested here, and it is synced hundreds of times */
        print_message("no /dev/shm\n");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
