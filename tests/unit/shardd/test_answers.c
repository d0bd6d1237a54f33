/* SPDX-License-Identifier: Apache-2.0 */
#include "shard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define says assert_string_equal
#define NOW 1700000000000
#define KEPT_MS ((int64_t)LIMIT_KEPT_MS)

/* A group of one row and what is kept of it. */
static void row_and_keep(struct shard *s, int id, const char *key, uint32_t index, int64_t at_ms, const char *outcome)
{
    char row[64];
    snprintf(row, sizeof row, "%d|'Ann|NULL|-", id);
    shard_group(s, 2);
    shard_op(s, PEOPLE, row);
    shard_op_keep(s, key, index, at_ms, outcome);
}

static void only_keep(struct shard *s, const char *key, uint32_t index, int64_t at_ms, const char *outcome)
{
    shard_group(s, 1);
    shard_op_keep(s, key, index, at_ms, outcome);
}

static const char *how_many(struct shard *s)
{
    return shard_sql(s, "SELECT count(*) FROM _sheaf_answers");
}

static void what_is_kept_is_told_to_its_key(void **state)
{
    struct shard *s = *state;
    row_and_keep(s, 1, "one", 0, NOW, "first");
    only_keep(s, "one", UINT32_MAX, NOW, "last");
    only_keep(s, "one", 7, NOW, "");
    only_keep(s, "two", 7, NOW, "another's");
    says(shard_write(s, 1), "applied");
    says(shard_sql(s, "SELECT id FROM people"), "1");
    says(shard_kept(s, "one", 0, NOW), "0:first 7: 4294967295:last");
    says(shard_kept(s, "one", 1, NOW), "7: 4294967295:last");
    says(shard_kept(s, "one", UINT32_MAX, NOW), "4294967295:last");
    says(shard_kept(s, "two", 0, NOW), "7:another's");
    says(shard_kept(s, "on", 0, NOW), "");
    says(shard_kept(s, "one ", 0, NOW), "");
    says(shard_kept(s, "ONE", 0, NOW), "");
    assert_int_equal(batch_counts(s->batch)->accepted, 1); /* what is kept is no row */
    shard_close(s);
    shard_start(s, 2);
    says(shard_kept(s, "one", 0, NOW), "0:first 7: 4294967295:last");
}

static void a_group_that_is_undone_keeps_nothing_and_counts_nothing(void **state)
{
    struct shard *s = *state;
    s->options.kept_keys = 2;
    shard_close(s);
    shard_start(s, 2);
    row_and_keep(s, 1, "one", 0, NOW, "fine");
    for (int i = 0; i < 3; i++) {
        shard_group(s, 2);
        shard_op_keep(s, "two", 0, NOW, "never");
        shard_op(s, PEOPLE, "1|'Bob|NULL|-");
    }
    row_and_keep(s, 2, "three", 0, NOW, "fine");
    says(shard_write(s, 1), "applied; 1.1 unique people(id); 2.1 unique people(id); 3.1 unique people(id)");
    says(shard_kept(s, "two", 0, NOW), "");
    says(shard_kept(s, "three", 0, NOW), "0:fine");
    assert_int_equal(batch_counts(s->batch)->refused, 3);
}

static void beyond_the_limit_a_write_is_refused_as_busy(void **state)
{
    struct shard *s = *state;
    s->options.kept_keys = 2;
    shard_close(s);
    shard_start(s, 2);
    row_and_keep(s, 1, "one", 0, NOW, "");
    row_and_keep(s, 2, "two", 0, NOW, "");
    row_and_keep(s, 3, "three", 0, NOW, "");
    shard_insert(s, PEOPLE, "4|'Ann|NULL|-");
    says(shard_write(s, 1), "applied; 2.1 busy ()");
    says(shard_sql(s, "SELECT id FROM people"), "1;2;4");
    shard_close(s);
    shard_start(s, 3); /* they are counted when the first comes */
    row_and_keep(s, 5, "four", 0, NOW, "");
    says(shard_write(s, 2), "applied; 0.1 busy ()");
    says(how_many(s), "2");
    s->options.kept_keys = 3;
    shard_close(s);
    shard_start(s, 4);
    row_and_keep(s, 5, "four", 0, NOW, "");
    row_and_keep(s, 6, "five", 0, NOW, "");
    says(shard_write(s, 3), "applied; 1.1 busy ()");
}

static void a_transaction_that_was_given_up_counts_nothing(void **state)
{
    struct shard *s = *state;
    s->options.kept_keys = 1;
    shard_close(s);
    shard_start(s, 2);
    row_and_keep(s, 1, "one", 0, NOW, "");
    says(shard_apply(s, 1), "applied");
    batch_abandon(s->batch);
    says(how_many(s), "0");
    row_and_keep(s, 1, "one", 0, NOW, "");
    says(shard_write(s, 1), "applied");
}

static void what_was_promised_is_kept_also_beyond_the_limit(void **state)
{
    struct shard *s = *state;
    s->options.kept_keys = 2;
    shard_close(s);
    shard_start(s, 2);
    only_keep(s, "one", 0, NOW, "");
    for (int txn = 9; txn <= 11; txn++) {
        char key[8];
        snprintf(key, sizeof key, "txn%d", txn);
        shard_prepare(s, (uint64_t)txn, "", 1);
        shard_op_keep(s, key, 0, NOW, "promised");
    }
    says(shard_write(s, 1), "applied");
    says(how_many(s), "1"); /* nothing of a promise is there before it is decided */
    shard_resolve(s, 9, true);
    shard_resolve(s, 10, true);
    shard_resolve(s, 11, false);
    says(shard_write(s, 2), "applied");
    says(shard_kept(s, "txn9", 0, NOW), "0:promised");
    says(shard_kept(s, "txn10", 0, NOW), "0:promised");
    says(shard_kept(s, "txn11", 0, NOW), "");
    shard_prepare(s, 12, "", 1);
    shard_op_keep(s, "txn12", 0, NOW, "");
    shard_decide(s, 13, 1);
    shard_op_keep(s, "txn13", 0, NOW, "");
    says(shard_write(s, 3), "applied; 0.0 busy (); 1.0 busy ()");
    says(shard_sql(s, "SELECT count(*) FROM _sheaf_prepared"), "0");
    assert_int_equal(batch_counts(s->batch)->accepted, 0);
}

static void a_promise_is_described_with_what_it_keeps(void **state)
{
    struct shard *s = *state;
    shard_prepare(s, 9, "locks", 3);
    shard_op_keep(s, "one", 0, NOW, "outcome");
    shard_op(s, PEOPLE, "5|'Ann|NULL|-");
    shard_op_keep(s, "one", 1, NOW, "outcome");
    says(shard_write(s, 1), "applied");
    shard_close(s);
    shard_start(s, 2);
    says(shard_describe(s), "fresh=0 epoch=2 last=1 prepared=[9:home:locks] decided=[] "
                            "tables=[0:1:5 1:0:- 2:0:- 3:0:- 4:0:- 5:0:-]");
    shard_resolve(s, 9, true);
    says(shard_write(s, 2), "applied");
    says(shard_kept(s, "one", 0, NOW), "0:outcome 1:outcome");
    assert_int_equal(batch_counts(s->batch)->accepted, 1);
}

static void the_latest_time_is_described(void **state)
{
    struct shard *s = *state;
    row_and_keep(s, 1, "one", 0, NOW + 5, "later");
    row_and_keep(s, 2, "two", 0, NOW, "earlier");
    says(shard_write(s, 1), "applied");
    assert_non_null(strstr(shard_describe(s), "last=1 kept=1700000000005 prepared"));
    says(shard_sql(s, "SELECT count(*) FROM _sheaf_answers"), "2");
}

static void what_is_kept_is_not_kept_twice(void **state)
{
    struct shard *s = *state;
    row_and_keep(s, 1, "one", 0, NOW, "first");
    says(shard_write(s, 1), "applied");
    row_and_keep(s, 2, "one", 0, NOW + KEPT_MS - 1, "second");
    says(shard_write(s, 2), "applied; 0.1 internal ()");
    says(shard_kept(s, "one", 0, NOW), "0:first");
    says(shard_sql(s, "SELECT id FROM people"), "1");
}

static void after_a_day_it_is_gone(void **state)
{
    struct shard *s = *state;
    only_keep(s, "one", 0, NOW, "first");
    says(shard_write(s, 1), "applied");
    says(shard_kept(s, "one", 0, NOW + KEPT_MS - 1), "0:first");
    says(shard_kept(s, "one", 0, NOW + KEPT_MS), "");
    says(shard_kept(s, "one", 0, INT64_MIN), "0:first");
    only_keep(s, "one", 0, NOW + KEPT_MS, "second"); /* the first is removed for it */
    says(shard_write(s, 2), "applied");
    says(shard_kept(s, "one", 0, NOW + KEPT_MS), "0:second");
    says(how_many(s), "1");
}

static void a_few_that_are_gone_leave_with_each_that_comes(void **state)
{
    struct shard *s = *state;
    s->options.kept_keys = 12;
    shard_close(s);
    shard_start(s, 2);
    for (uint32_t i = 0; i < 11; i++)
        only_keep(s, "old", i, NOW + i, "");
    only_keep(s, "young", 0, NOW + 100, "");
    says(shard_write(s, 1), "applied");
    only_keep(s, "old", 10, NOW + KEPT_MS + 10, "again"); /* all of them are gone; this one is not swept yet */
    says(shard_write(s, 2), "applied");
    says(shard_sql(s,
                   "SELECT group_concat(idx) FROM (SELECT idx FROM _sheaf_answers WHERE key = x'6f6c64' ORDER BY idx)"),
         "4,5,6,7,8,9,10");
    says(shard_kept(s, "old", 0, NOW + KEPT_MS + 10), "10:again");
    for (int i = 0; i < 4; i++) /* 8, and there is room for 12 */
        only_keep(s, "new", (uint32_t)i, NOW + KEPT_MS + 5, "");
    says(shard_write(s, 3), "applied");
    says(shard_sql(s, "SELECT count(*) FROM _sheaf_answers WHERE at < 1700000050000"), "5"); /* 6 to 9 had not gone */
    says(shard_kept(s, "young", 0, NOW + KEPT_MS + 99), "0:");
}

static void more_than_a_page_is_told_in_pages(void **state)
{
    struct shard *s = *state;
    size_t len = 3000000;
    char *outcome = calloc(1, len + 1);
    assert_non_null(outcome);
    memset(outcome, 'x', len);
    for (uint32_t i = 0; i < 5; i++) {
        outcome[0] = (char)('a' + i);
        only_keep(s, "big", i, NOW, outcome);
        says(shard_write(s, i + 1), "applied");
    }
    free(outcome);
    says(shard_kept(s, "big", 0, NOW), "0:axxxxxxxxxxxxxxxxxxx 1:bxxxxxxxxxxxxxxxxxxx …");
    says(shard_kept(s, "big", 2, NOW), "2:cxxxxxxxxxxxxxxxxxxx 3:dxxxxxxxxxxxxxxxxxxx …");
    says(shard_kept(s, "big", 4, NOW), "4:exxxxxxxxxxxxxxxxxxx");
}

static void an_older_file_gets_the_table_with_its_claim(void **state)
{
    struct shard *s = *state;
    says(shard_sql(s, "DROP INDEX _sheaf_answers_at"), "");
    says(shard_sql(s, "DROP TABLE _sheaf_answers"), "");
    shard_close(s);
    assert_true(shard_open(s));
    says(shard_sql(s, "SELECT count(*) FROM sqlite_schema WHERE name LIKE '\\_sheaf\\_answers%' ESCAPE '\\'"), "0");
    shard_close(s);
    shard_start(s, 2);
    row_and_keep(s, 1, "one", 0, NOW, "first");
    says(shard_write(s, 1), "applied");
    says(shard_kept(s, "one", 0, NOW), "0:first");
    says(shard_sql(s, "SELECT value FROM _sheaf_meta WHERE name = 'epoch'"), "2");
}

#define shard_test(name) cmocka_unit_test_setup_teardown(name, shard_setup, shard_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        shard_test(what_is_kept_is_told_to_its_key),
        shard_test(a_group_that_is_undone_keeps_nothing_and_counts_nothing),
        shard_test(beyond_the_limit_a_write_is_refused_as_busy),
        shard_test(a_transaction_that_was_given_up_counts_nothing),
        shard_test(what_was_promised_is_kept_also_beyond_the_limit),
        shard_test(a_promise_is_described_with_what_it_keeps),
        shard_test(the_latest_time_is_described),
        shard_test(what_is_kept_is_not_kept_twice),
        shard_test(after_a_day_it_is_gone),
        shard_test(a_few_that_are_gone_leave_with_each_that_comes),
        shard_test(more_than_a_page_is_told_in_pages),
        shard_test(an_older_file_gets_the_table_with_its_claim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
