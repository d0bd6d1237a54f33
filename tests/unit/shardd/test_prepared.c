/* SPDX-License-Identifier: Apache-2.0 */
#include "shard.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define says assert_string_equal
#define EMPTY "tables=[0:0:- 1:0:- 2:0:- 3:0:- 4:0:- 5:0:-]"

static void what_is_prepared_is_promised_and_not_yet_there(void **state)
{
    struct shard *s = *state;
    shard_prepare(s, 9, "locks of 9", 2);
    shard_op(s, PEOPLE, "5|'Ann|'a@x|-");
    shard_op(s, COUNTED, "-|1");
    says(shard_write(s, 1), "applied");
    says(shard_sql(s, "SELECT (SELECT count(*) FROM people), (SELECT count(*) FROM counted)"), "0|0");
    says(shard_describe(s), "fresh=0 epoch=1 last=1 prepared=[9:home:locks of 9] decided=[] "
                            "tables=[0:1:5 1:0:- 2:0:- 3:0:- 4:0:- 5:0:-]");
    says(shard_sql(s, "SELECT txn, epoch, home FROM _sheaf_prepared"), "9|1|home");
}

static void what_is_committed_is_applied_and_no_longer_prepared(void **state)
{
    struct shard *s = *state;
    shard_prepare(s, 9, "", 2);
    shard_op(s, PEOPLE, "5|'Ann|'a@x|-");
    shard_op(s, WORDS, "'one|1|-");
    says(shard_write(s, 1), "applied");
    shard_resolve(s, 9, true);
    says(shard_write(s, 2), "applied");
    says(shard_sql(s, "SELECT id, name FROM people"), "5|Ann");
    says(shard_sql(s, "SELECT word FROM words"), "one");
    says(shard_describe(s), "fresh=0 epoch=1 last=2 prepared=[] decided=[] "
                            "tables=[0:1:5 1:0:- 2:1:1 3:0:- 4:0:- 5:0:-]");
    shard_resolve(s, 9, true); /* done already */
    shard_resolve(s, 9, false);
    says(shard_write(s, 3), "applied");
    says(shard_sql(s, "SELECT count(*) FROM people"), "1");
    assert_int_equal(batch_counts(s->batch)->accepted, 2);
}

static void what_is_aborted_is_dropped(void **state)
{
    struct shard *s = *state;
    shard_prepare(s, 9, "", 1);
    shard_op(s, PEOPLE, "5|'Ann|'a@x|-");
    shard_resolve(s, 9, false);
    says(shard_write(s, 1), "applied");
    says(shard_sql(s, "SELECT count(*) FROM people"), "0");
    says(shard_describe(s), "fresh=0 epoch=1 last=1 prepared=[] decided=[] " EMPTY);
}

static void changes_are_prepared_decided_and_resolved_as_inserts_are(void **state)
{
    struct shard *s = *state;
    shard_insert(s, PEOPLE, "1|'Ann|'a@x|-");
    shard_insert(s, PEOPLE, "2|'Bob|'b@x|-");
    shard_insert(s, PEOPLE, "3|'Cid|'c@x|-");
    says(shard_write(s, 1), "applied");
    shard_prepare(s, 9, "locks", 2);
    shard_op_delete(s, PEOPLE, "1");
    shard_op_update(s, PEOPLE, "2", "7|-|'a@x|-");
    shard_prepare(s, 10, "", 1);
    shard_op_delete(s, PEOPLE, "4"); /* nothing is promised */
    shard_decide(s, 11, 1);
    shard_op_update(s, PEOPLE, "3", "-|'Eve|-|-");
    says(shard_write(s, 2), "applied; 1.0 not_found people()");
    says(shard_sql(s, "SELECT id, name, email FROM people"), "1|Ann|a@x;2|Bob|b@x;3|Eve|c@x");
    says(shard_describe(s), "fresh=0 epoch=1 last=2 prepared=[9:home:locks] decided=[11] "
                            "tables=[0:1:7 1:0:- 2:0:- 3:0:- 4:0:- 5:0:-]"); /* the key that the update takes counts */
    shard_close(s);
    shard_start(s, 2);
    shard_resolve(s, 9, true);
    says(shard_write(s, 3), "applied");
    says(shard_sql(s, "SELECT id, name, email FROM people"), "3|Eve|c@x;7|Bob|a@x");
    shard_resolve(s, 9, true); /* done already */
    says(shard_write(s, 4), "applied");
    shard_prepare(s, 12, "", 1);
    shard_op_delete(s, PEOPLE, "3");
    shard_resolve(s, 12, false);
    says(shard_write(s, 5), "applied");
    says(shard_sql(s, "SELECT id FROM people ORDER BY id"), "3;7");
}

static void a_promise_that_cannot_be_kept_is_not_made(void **state)
{
    struct shard *s = *state;
    shard_insert(s, PEOPLE, "1|'Ann|'a@x|-");
    shard_prepare(s, 9, "", 3);
    shard_op_again(s, PEOPLE, "1|'Ann|-|-");
    shard_op(s, WORDS, "'one|1|-");
    shard_op(s, PEOPLE, "2|'Bob|'A@X|-");
    says(shard_write(s, 1), "applied; 1.2 unique people(email)");
    says(shard_sql(s, "SELECT count(*) FROM _sheaf_prepared"), "0");
    says(shard_sql(s, "SELECT count(*) FROM words"), "0");
}

static void rows_that_are_there_are_told_when_they_are_prepared(void **state)
{
    struct shard *s = *state;
    shard_insert(s, PEOPLE, "1|'Ann|'a@x|-");
    shard_prepare(s, 9, "", 2);
    shard_op(s, WORDS, "'one|1|-");
    shard_op_again(s, PEOPLE, "1|'Ann|-|-");
    says(shard_write(s, 1), "applied; same 1.1");
    shard_resolve(s, 9, true);
    says(shard_write(s, 2), "applied");
    says(shard_sql(s, "SELECT word FROM words"), "one");
}

static void a_decision_is_in_the_file_with_the_homes_own_rows_or_not_at_all(void **state)
{
    struct shard *s = *state;
    shard_decide(s, 7, 1);
    shard_op(s, PEOPLE, "1|'Ann|'a@x|-");
    shard_decide(s, 8, 2);
    shard_op(s, PEOPLE, "2|'Bob|NULL|-");
    shard_op(s, PEOPLE, "1|'Eve|NULL|-");
    shard_decide(s, 6, 0);
    says(shard_write(s, 1), "applied; 1.1 unique people(id)");
    says(shard_sql(s, "SELECT id FROM people"), "1");
    says(shard_describe(s), "fresh=0 epoch=1 last=1 prepared=[] decided=[6 7] "
                            "tables=[0:1:1 1:0:- 2:0:- 3:0:- 4:0:- 5:0:-]");
    says(shard_sql(s, "SELECT hex(participants) FROM _sheaf_decision WHERE txn = 7"), "746F776E0A76696C6C6167650A");
    shard_forget(s, 7);
    shard_forget(s, 7);
    shard_forget(s, 99);
    says(shard_write(s, 2), "applied");
    says(shard_sql(s, "SELECT txn FROM _sheaf_decision"), "6");
}

static void promises_and_decisions_outlive_a_restart(void **state)
{
    struct shard *s = *state;
    shard_prepare(s, 9, "nine", 1);
    shard_op(s, PEOPLE, "5|'Ann|'a@x|-");
    shard_prepare(s, 11, "", 1);
    shard_op(s, WORDS, "'one|1|-");
    shard_prepare(s, 10, "ten", 1);
    shard_op(s, NOTES, "'hello");
    shard_decide(s, 7, 0);
    says(shard_write(s, 1), "applied");
    shard_close(s);
    shard_start(s, 2);
    says(shard_describe(s), "fresh=0 epoch=2 last=1 prepared=[9:home:nine 10:home:ten 11:home:] decided=[7] "
                            "tables=[0:1:5 1:0:- 2:0:- 3:0:- 4:0:- 5:0:-]");
    shard_resolve(s, 10, true);
    shard_resolve(s, 9, false);
    says(shard_write(s, 2), "applied");
    says(shard_sql(s, "SELECT (SELECT count(*) FROM notes), (SELECT count(*) FROM people)"), "1|0");
}

static void a_promise_that_was_damaged_is_told_and_not_skipped(void **state)
{
    static const char *const damages[] = {
        "ops = x'c0'",                         /* no list */
        "ops = x'91c0'",                       /* of no op */
        "ops = substr(ops, 1, length(ops)-1)", /* cut short */
        "ops = x'93' || substr(ops, 2)",       /* more than there are */
    };
    struct shard *s = *state;
    shard_prepare(s, 9, "", 1);
    shard_op(s, PEOPLE, "5|'Ann|'a@x|-");
    says(shard_write(s, 1), "applied");
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        char sql[128];
        shard_sql(s, "SAVEPOINT whole");
        snprintf(sql, sizeof sql, "UPDATE _sheaf_prepared SET %s", damages[i]);
        shard_sql(s, sql);
        const char *said = shard_describe(s);
        if (strcmp(said, "internal") != 0 && strcmp(said, "parse") != 0)
            fail_msg("%s: %s", damages[i], said);
        assert_non_null(strstr(s->error.text, "transaction 9: "));
        shard_sql(s, "ROLLBACK TO whole");
        shard_sql(s, "RELEASE whole");
    }
    says(shard_describe(s), "fresh=0 epoch=1 last=1 prepared=[9:home:] decided=[] "
                            "tables=[0:1:5 1:0:- 2:0:- 3:0:- 4:0:- 5:0:-]");
}

/* What it is called is known when it is resolved, and not before. */
static void a_promised_row_without_a_key_is_changed_wherever_it_comes_to_stand(void **state)
{
    struct shard *s = *state;
    shard_prepare(s, 9, "", 3);
    shard_op(s, NOTES, "'one");
    shard_op(s, NOTES, "'two");
    shard_op_update_made(s, NOTES, "0", "'eins");
    says(shard_write(s, 1), "applied");
    shard_insert(s, NOTES, "'first");
    says(shard_write(s, 2), "applied");
    shard_close(s);
    shard_start(s, 2);
    shard_resolve(s, 9, true);
    says(shard_write(s, 3), "applied");
    says(shard_sql(s, "SELECT rowid, * FROM notes"), "1|first;2|eins;3|two");
}

static void a_prepared_key_counts_as_taken_however_it_is_written(void **state)
{
    struct shard *s = *state;
    shard_prepare(s, 9, "", 2);
    shard_op(s, COUNTED, "'1234567890123456|1"); /* beyond the digits that are read as an integer early */
    shard_op(s, COUNTED, "-|1");
    shard_prepare(s, 10, "", 1);
    shard_op(s, PEOPLE, "5.0|'Ann|NULL|-");
    says(shard_write(s, 1), "applied");
    says(shard_describe(s), "fresh=0 epoch=1 last=1 prepared=[9:home: 10:home:] decided=[] "
                            "tables=[0:1:5 1:0:- 2:0:- 3:0:- 4:1:1234567890123456 5:0:-]");
}

/* The coordinator's locks make it impossible; a shard that meets it all the same commits nothing and ends. */
static void a_broken_promise_ends_the_process_with_nothing_committed(void **state)
{
    struct shard *s = *state;
    shard_prepare(s, 9, "", 1);
    shard_op(s, PEOPLE, "1|'Ann|NULL|-");
    shard_insert(s, PEOPLE, "1|'Eve|NULL|-");
    says(shard_write(s, 1), "applied");
    shard_close(s);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (!freopen("/dev/null", "w", stderr))
            _exit(1);
        signal(SIGABRT, SIG_DFL);
        shard_start(s, 2);
        shard_insert(s, WORDS, "'one|1|-");
        shard_resolve(s, 9, true);
        shard_write(s, 2);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    shard_start(s, 3);
    says(shard_sql(s, "SELECT count(*) FROM words"), "0");
    says(shard_sql(s, "SELECT name FROM people"), "Eve");
    says(shard_sql(s, "SELECT txn FROM _sheaf_prepared"), "9");
    assert_int_equal(store_last_batch(s->store), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, shard_setup, shard_teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_prepared_is_promised_and_not_yet_there),
        TEST(what_is_committed_is_applied_and_no_longer_prepared),
        TEST(what_is_aborted_is_dropped),
        TEST(changes_are_prepared_decided_and_resolved_as_inserts_are),
        TEST(a_promise_that_cannot_be_kept_is_not_made),
        TEST(a_promise_that_was_damaged_is_told_and_not_skipped),
        TEST(rows_that_are_there_are_told_when_they_are_prepared),
        TEST(a_decision_is_in_the_file_with_the_homes_own_rows_or_not_at_all),
        TEST(promises_and_decisions_outlive_a_restart),
        TEST(a_promised_row_without_a_key_is_changed_wherever_it_comes_to_stand),
        TEST(a_prepared_key_counts_as_taken_however_it_is_written),
        TEST(a_broken_promise_ends_the_process_with_nothing_committed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
