/* SPDX-License-Identifier: Apache-2.0 */
#include "clock.h"
#include "shard.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define says assert_string_equal

static void a_batch_of_rows_is_in_the_file_once_committed(void **state)
{
    struct shard *s = *state;
    shard_insert(s, PEOPLE, "1|'Ann|'ann@x.org|30");
    shard_insert(s, PEOPLE, "2|'Bob|NULL|-");
    shard_insert(s, PAIRS, "1|'x|x00ff");
    says(shard_write(s, 1), "applied");
    says(shard_sql(s, "SELECT * FROM people"), "1|Ann|ann@x.org|30;2|Bob|NULL|NULL");
    says(shard_sql(s, "SELECT a, b, hex(c) FROM pairs"), "1|x|00FF");
    says(shard_sql(s, "SELECT batch FROM _sheaf_applied"), "1");
    assert_int_equal(store_last_batch(s->store), 1);
    assert_int_equal(batch_counts(s->batch)->accepted, 3);
}

static void a_batch_that_comes_again_gets_its_stored_answer_and_has_no_effect(void **state)
{
    struct shard *s = *state;
    shard_insert(s, PEOPLE, "1|'Ann|NULL|-");
    shard_insert(s, PEOPLE, "1|'Eve|NULL|-");
    shard_insert_again(s, PEOPLE, "1|'Ann|-|-");
    says(shard_write(s, 1), "applied; 1.0 unique people(id); same 2.0");
    struct buffer first = {0};
    assert_true(buffer_put(&first, s->answer.bytes, s->answer.len));
    says(shard_apply_again(s), "repeated; 1.0 unique people(id); same 2.0");
    assert_int_equal(first.len, s->answer.len);
    assert_memory_equal(first.bytes, s->answer.bytes, first.len);
    says(shard_sql(s, "SELECT count(*) FROM people"), "1");
    buffer_release(&first);
    assert_int_equal(batch_counts(s->batch)->batches, 1);
    /* the same after a restart */
    shard_close(s);
    shard_start(s, 2);
    says(shard_apply_again(s), "repeated; 1.0 unique people(id); same 2.0");
    says(shard_sql(s, "SELECT count(*) FROM people"), "1");
}

static void a_batch_that_comes_again_before_its_commit_is_answered_with_it(void **state)
{
    struct shard *s = *state;
    shard_insert(s, PEOPLE, "1|'Ann|NULL|-");
    shard_insert(s, PEOPLE, "1|'Eve|NULL|-");
    says(shard_apply(s, 1), "applied; 1.0 unique people(id)");
    says(shard_apply_again(s), "applied; 1.0 unique people(id)");
    assert_int_equal(store_last_batch(s->store), 0);
    shard_commit(s);
    assert_int_equal(store_last_batch(s->store), 1);
    says(shard_sql(s, "SELECT name FROM people"), "Ann");
    says(shard_sql(s, "SELECT batch FROM _sheaf_applied"), "1");
    says(shard_apply_again(s), "repeated; 1.0 unique people(id)");
}

static void a_batch_out_of_order_is_a_conflict_and_has_no_effect(void **state)
{
    struct shard *s = *state;
    shard_insert(s, PEOPLE, "1|'Ann|NULL|-");
    says(shard_apply(s, 2), "refused conflict");
    shard_insert(s, PEOPLE, "1|'Ann|NULL|-");
    says(shard_apply(s, 0), "refused conflict");
    shard_commit(s);
    says(shard_sql(s, "SELECT count(*) FROM people"), "0");
    says(shard_sql(s, "SELECT count(*) FROM _sheaf_applied"), "0");
    shard_insert(s, PEOPLE, "1|'Ann|NULL|-");
    says(shard_write(s, 1), "applied");
    shard_insert(s, PEOPLE, "2|'Bob|NULL|-");
    says(shard_apply(s, 3), "refused conflict");
    assert_int_equal(store_last_batch(s->store), 1);
}

static void several_batches_share_one_transaction(void **state)
{
    struct shard *s = *state;
    shard_insert(s, PEOPLE, "1|'Ann|NULL|-");
    says(shard_apply(s, 1), "applied");
    shard_insert(s, PEOPLE, "2|'Bob|NULL|-");
    says(shard_apply(s, 2), "applied");
    shard_insert(s, PEOPLE, "9|'Eve|NULL|-");
    says(shard_apply(s, 4), "refused conflict");
    assert_int_equal(store_last_batch(s->store), 0);
    shard_commit(s);
    assert_int_equal(store_last_batch(s->store), 2);
    says(shard_sql(s, "SELECT id FROM people"), "1;2");
}

static void abandoned_batches_leave_nothing_and_their_numbers_free(void **state)
{
    struct shard *s = *state;
    shard_insert(s, PEOPLE, "1|'Ann|NULL|-");
    says(shard_apply(s, 1), "applied");
    shard_insert(s, PEOPLE, "2|'Bob|NULL|-");
    says(shard_apply(s, 2), "applied");
    batch_abandon(s->batch);
    batch_abandon(s->batch); /* nothing is open: nothing happens */
    says(shard_sql(s, "SELECT count(*) FROM people"), "0");
    says(shard_sql(s, "SELECT count(*) FROM _sheaf_applied"), "0");
    shard_insert(s, PEOPLE, "3|'Eve|NULL|-");
    says(shard_write(s, 1), "applied");
    says(shard_sql(s, "SELECT id FROM people"), "3");
}

static void a_batch_that_is_not_committed_is_gone_after_a_restart(void **state)
{
    struct shard *s = *state;
    shard_insert(s, PEOPLE, "1|'Ann|NULL|-");
    says(shard_apply(s, 1), "applied");
    shard_close(s);
    shard_start(s, 2);
    assert_int_equal(store_last_batch(s->store), 0);
    says(shard_apply_again(s), "applied");
    shard_commit(s);
    says(shard_sql(s, "SELECT id FROM people"), "1");
}

static void a_refused_row_is_named_and_takes_no_other_with_it(void **state)
{
    struct shard *s = *state;
    shard_insert(s, PEOPLE, "1|'Ann|'a@x|-");
    shard_insert(s, PEOPLE, "2|NULL|NULL|-");    /* 1 */
    shard_insert(s, PEOPLE, "-5|'Bob|NULL|-");   /* 2 */
    shard_insert(s, PEOPLE, "3|'Bob|NULL|300");  /* 3: an unnamed CHECK is called by its text */
    shard_insert(s, PEOPLE, "4|'Bob|'A@X|-");    /* 4: NOCASE */
    shard_insert(s, PEOPLE, "5|'Bob|NULL|'old"); /* 5 */
    shard_insert(s, PEOPLE, "'six|'Bob|NULL|-"); /* 6 */
    shard_insert(s, PEOPLE, "1|'Eve|'a@x|-");    /* 7: two keys, the first in declaration order */
    shard_insert(s, PAIRS, "1|NULL|-");          /* 8 */
    shard_insert(s, WORDS, "-|1|-");             /* 9: SQLite would allow the NULL */
    shard_insert(s, PEOPLE, "7|'Zoe|NULL|-");
    says(shard_write(s, 1), "applied; 1.0 not_null people(name); 2.0 check people(id_positive);"
                            " 3.0 check people(age < 200); 4.0 unique people(email); 5.0 type people(age);"
                            " 6.0 type people(id); 7.0 unique people(id); 8.0 not_null pairs(b);"
                            " 9.0 not_null words(word)");
    says(shard_sql(s, "SELECT id FROM people ORDER BY id"), "1;7");
    assert_int_equal(batch_counts(s->batch)->refused, 9);
    assert_int_equal(batch_counts(s->batch)->accepted, 2);
}

static void a_composite_key_is_named_in_its_own_order(void **state)
{
    struct shard *s = *state;
    shard_insert(s, PAIRS, "1|'x|1");
    shard_insert(s, PAIRS, "1|'X|2");
    shard_insert(s, PAIRS, "2|'x|2");
    says(shard_write(s, 1), "applied; 1.0 unique pairs(b,a)");
}

static void a_row_that_is_there_is_the_same_only_with_the_same_values_in_the_columns_given(void **state)
{
    struct shard *s = *state;
    shard_insert(s, PEOPLE, "1|'Ann|'a@x|30");
    shard_insert(s, WORDS, "'one|1|-");
    shard_insert(s, NOTES, "'hello");
    says(shard_write(s, 1), "applied");
    shard_insert_again(s, PEOPLE, "1|'Ann|'a@x|30");
    shard_insert_again(s, PEOPLE, "1|'Ann|-|-");
    shard_insert_again(s, PEOPLE, "1|'ann|-|-"); /* another name */
    shard_insert_again(s, PEOPLE, "'1|'Ann|-|'30");
    shard_insert_again(s, PEOPLE, "2|'Ann|'a@x|30"); /* another key */
    shard_insert_again(s, WORDS, "'one|1.0|-");
    shard_insert_again(s, NOTES, "'hello"); /* no key: new each time */
    shard_insert(s, PEOPLE, "1|'Ann|'a@x|30");
    says(shard_write(s, 2), "applied; 2.0 unique people(id); 4.0 unique people(email); 7.0 unique people(id);"
                            " same 0.0 1.0 3.0 5.0");
    says(shard_sql(s, "SELECT count(*) FROM notes"), "2");
    assert_int_equal(batch_counts(s->batch)->same, 4);
}

static void a_group_is_all_or_nothing(void **state)
{
    struct shard *s = *state;
    shard_group(s, 2);
    shard_op(s, PEOPLE, "1|'Ann|NULL|-");
    shard_op(s, WORDS, "'one|1|-");
    shard_group(s, 3);
    shard_op_again(s, PEOPLE, "1|'Ann|-|-");
    shard_op(s, PEOPLE, "2|'Bob|NULL|-");
    shard_op(s, WORDS, "'one|2|-");
    shard_insert(s, PEOPLE, "2|'Eve|NULL|-"); /* the group's 2 is not there */
    shard_group(s, 2);
    shard_op_again(s, PEOPLE, "2|'Eve|-|-");
    shard_op(s, WORDS, "'two|2|-");
    shard_group(s, 0);
    says(shard_write(s, 1), "applied; 1.2 unique words(word); same 3.0");
    says(shard_sql(s, "SELECT id, name FROM people"), "1|Ann;2|Eve");
    says(shard_sql(s, "SELECT word, n, twice FROM words"), "one|1|2;two|2|4");
    assert_int_equal(batch_counts(s->batch)->accepted, 4);
    assert_int_equal(batch_counts(s->batch)->refused, 3);
    assert_int_equal(batch_counts(s->batch)->same, 1);
}

static void what_is_tried_stays_nowhere(void **state)
{
    struct shard *s = *state;
    shard_insert(s, WORDS, "'one|1|-");
    shard_try(s, 2);
    shard_op(s, PEOPLE, "1|'Ann|NULL|-");
    shard_op_delete(s, WORDS, "'one");
    shard_try(s, 3);
    shard_op(s, PEOPLE, "1|'Ann|NULL|-");
    shard_op(s, PEOPLE, "1|'Bob|NULL|-");
    shard_op(s, PEOPLE, "-1|'Cid|NULL|-");
    shard_insert(s, PEOPLE, "1|'Eve|NULL|-");
    says(shard_write(s, 1), "applied; 2.1 unique people(id)");
    says(shard_sql(s, "SELECT id, name FROM people"), "1|Eve");
    says(shard_sql(s, "SELECT word FROM words"), "one");
    assert_int_equal(batch_counts(s->batch)->accepted, 2);
}

static void rows_are_changed_and_deleted_each_on_its_own(void **state)
{
    struct shard *s = *state;
    shard_insert(s, PEOPLE, "1|'Ann|'a@x|30");
    shard_insert(s, PEOPLE, "2|'Bob|'b@x|-");
    shard_insert(s, PAIRS, "1|'x|1");
    shard_insert(s, NOTES, "'one");
    shard_insert(s, NOTES, "'two");
    says(shard_write(s, 1), "applied");
    shard_update(s, PEOPLE, "1", "-|'Eve|-|-");
    shard_update(s, PEOPLE, "2", "-|-|'A@X|-"); /* 1: taken */
    shard_delete(s, PEOPLE, "3");               /* 2 */
    shard_update(s, PEOPLE, "3", "-|'Cid|-|-"); /* 3 */
    shard_insert(s, PEOPLE, "3|'Cid|NULL|-");
    shard_update(s, PEOPLE, "3", "4|-|'c@x|-"); /* what came before in the batch is there */
    shard_update(s, PAIRS, "'X|1", "-|-|x00ff");
    shard_delete(s, NOTES, "1");
    shard_update(s, NOTES, "2", "'zwei");
    shard_update(s, PEOPLE, "1", "-|NULL|-|-"); /* 9 */
    says(shard_write(s, 2), "applied; 1.0 unique people(email); 2.0 not_found people(); 3.0 not_found people();"
                            " 9.0 not_null people(name)");
    says(shard_sql(s, "SELECT * FROM people"), "1|Eve|a@x|30;2|Bob|b@x|NULL;4|Cid|c@x|NULL");
    says(shard_sql(s, "SELECT a, b, hex(c) FROM pairs"), "1|x|00FF");
    says(shard_sql(s, "SELECT rowid, * FROM notes"), "2|zwei");
    assert_int_equal(batch_counts(s->batch)->accepted, 5 + 6);
    assert_int_equal(batch_counts(s->batch)->refused, 4);
    shard_delete(s, PEOPLE, "1");
    says(shard_write(s, 3), "applied");
    says(shard_apply_again(s), "repeated"); /* its row is gone, and yet */
}

static void a_row_without_a_key_is_named_by_the_op_that_inserted_it(void **state)
{
    struct shard *s = *state;
    shard_insert(s, NOTES, "'old");
    shard_group(s, 6);
    shard_op(s, NOTES, "'one");
    shard_op(s, PEOPLE, "1|'Ann|NULL|-");
    shard_op(s, NOTES, "'two");
    shard_op_update_made(s, NOTES, "0", "'eins");
    shard_op_delete_made(s, NOTES, "2");
    shard_op_update_made(s, NOTES, "0", "'un");
    shard_group(s, 1); /* each entry has its own */
    shard_op(s, NOTES, "'three");
    says(shard_write(s, 1), "applied");
    says(shard_sql(s, "SELECT rowid, * FROM notes"), "1|old;2|un;3|three");
}

static void a_row_that_nothing_before_it_inserted_is_refused(void **state)
{
    struct shard *s = *state;
    shard_insert(s, NOTES, "'old");
    for (unsigned i = 0; i < 4; i++) {
        shard_group(s, 3);
        shard_op(s, NOTES, "'new");
        shard_op(s, PEOPLE, "1|'Ann|NULL|-");
        shard_op_delete_made(s, i == 0 ? HIDDEN : NOTES, i == 0 ? "0" : i == 1 ? "1" : i == 2 ? "2" : "'0");
    }
    shard_delete(s, NOTES, "1");
    says(shard_write(s, 1), "applied; 1.2 internal (); 2.2 internal (); 3.2 internal (); 4.2 internal ()");
    says(shard_sql(s, "SELECT (SELECT count(*) FROM notes), (SELECT count(*) FROM people)"), "0|0");
    shard_group(s, 1);
    shard_op(s, NOTES, "'new");
    shard_op_delete_made(s, NOTES, "0"); /* an entry on its own */
    s->entry_count++;
    says(shard_write(s, 2), "applied; 1.0 internal ()");
    says(shard_sql(s, "SELECT * FROM notes"), "new");
}

static void a_group_of_changes_is_all_or_nothing(void **state)
{
    struct shard *s = *state;
    shard_insert(s, PEOPLE, "1|'Ann|'a@x|-");
    shard_insert(s, PEOPLE, "2|'Bob|'b@x|-");
    says(shard_write(s, 1), "applied");
    shard_group(s, 3); /* a key goes from one row to another */
    shard_op_update(s, PEOPLE, "1", "-|-|NULL|-");
    shard_op_update(s, PEOPLE, "2", "-|-|'a@x|-");
    shard_op(s, PEOPLE, "3|'Cid|'b@x|-");
    shard_group(s, 3);
    shard_op_delete(s, PEOPLE, "1");
    shard_op_update(s, PEOPLE, "2", "-|'Eve|-|-");
    shard_op_delete(s, PEOPLE, "1"); /* gone already */
    says(shard_write(s, 2), "applied; 1.2 not_found people()");
    says(shard_sql(s, "SELECT id, name, email FROM people"), "1|Ann|NULL;2|Bob|a@x;3|Cid|b@x");
}

static void a_change_that_is_none_is_refused_alone(void **state)
{
    struct shard *s = *state;
    shard_insert(s, PEOPLE, "1|'Ann|NULL|-");
    shard_update(s, PEOPLE, "1", "-|-|-|-");
    shard_update(s, PEOPLE, "1|2", "-|'Eve|-|-");
    shard_delete(s, PAIRS, "'x");
    shard_update(s, ELSEWHERE, "1", "2");
    shard_delete(s, 999, "1");
    shard_update(s, WORDS, "'one", "-|-|4"); /* generated */
    says(shard_write(s, 1), "applied; 1.0 parse (); 2.0 parse (); 3.0 parse (); 4.0 internal (); 5.0 internal ();"
                            " 6.0 parse words(twice)");
    says(shard_sql(s, "SELECT id, name FROM people"), "1|Ann");
}

static void a_row_for_a_table_of_another_database_or_none_is_refused(void **state)
{
    struct shard *s = *state;
    struct buffer row = {0};
    shard_insert(s, ELSEWHERE, "1");
    shard_row(s, ELSEWHERE, "1", &row);
    assert_true(wire_put_op(&s->entries, 999, 0, row.bytes, row.len));
    s->entry_count++;
    shard_insert(s, COUNTED, "-|5");
    says(shard_write(s, 1), "applied; 0.0 internal (); 1.0 internal ()");
    buffer_release(&row);
}

static void a_row_that_is_no_row_is_refused_alone(void **state)
{
    struct shard *s = *state;
    struct buffer row = {0};
    shard_row(s, ELSEWHERE, "1", &row); /* one value, where people have four */
    assert_true(wire_put_op(&s->entries, PEOPLE, 0, row.bytes, row.len));
    assert_true(wire_put_op(&s->entries, PEOPLE, 0, (const uint8_t *)"\xc3", 1)); /* true */
    s->entry_count += 2;
    shard_insert(s, PEOPLE, "1|'Ann|NULL|-");
    says(shard_write(s, 1), "applied; 0.0 parse (); 1.0 parse ()");
    says(shard_sql(s, "SELECT id FROM people"), "1");
    buffer_release(&row);
}

/* Each prefix, and each byte changed in each bit: refused as a whole or applied as a whole, and never a crash. */
static void a_batch_cut_or_changed_anywhere_has_no_effect_or_a_whole_one(void **state)
{
    struct shard *s = *state;
    shard_insert(s, PEOPLE, "1|'Ann|'a@x|30");
    shard_update(s, PEOPLE, "1", "-|'Eve|-|-");
    shard_delete(s, PEOPLE, "1");
    shard_group(s, 2);
    shard_op(s, WORDS, "'one|1.5|-");
    shard_op_update(s, WORDS, "'one", "-|2|-");
    shard_prepare(s, 9, "locks", 2);
    shard_op(s, PAIRS, "1|'x|x00ff");
    shard_op_delete(s, PAIRS, "'x|1");
    shard_decide(s, 10, 1);
    shard_op(s, COUNTED, "-|5");
    shard_resolve(s, 11, true);
    shard_forget(s, 12);
    says(shard_apply(s, 1), "applied");
    batch_abandon(s->batch);
    for (size_t len = 0; len < s->body.len; len++) {
        struct cursor body = cursor_over(s->body.bytes, len);
        buffer_clear(&s->answer);
        assert_int_equal(batch_apply(s->batch, &body, &s->answer, &s->error), BATCH_REFUSED);
        assert_int_equal(s->error.code, ERROR_PARSE);
    }
    for (size_t at = 0; at < s->body.len; at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            s->body.bytes[at] ^= (uint8_t)(1u << bit);
            struct cursor body = cursor_over(s->body.bytes, s->body.len);
            buffer_clear(&s->answer);
            enum batch_result result = batch_apply(s->batch, &body, &s->answer, &s->error);
            if (result != BATCH_REFUSED && result != BATCH_APPLIED)
                fail_msg("byte %zu, bit %u: %s", at, bit, s->error.text);
            batch_abandon(s->batch);
            s->body.bytes[at] ^= (uint8_t)(1u << bit);
        }
    says(shard_apply_again(s), "applied");
}

static void answers_are_kept_for_as_many_batches_as_may_be_in_flight_and_no_more(void **state)
{
    struct shard *s = *state;
    for (uint64_t n = 1; n <= LIMIT_MARKERS_KEPT + 10; n++) {
        char row[64];
        snprintf(row, sizeof row, "%llu|'Ann|NULL|-", (unsigned long long)n);
        shard_insert(s, PEOPLE, row);
        says(shard_write(s, n), "applied");
    }
    says(shard_sql(s, "SELECT min(batch), max(batch) FROM _sheaf_applied"), "11|74");
    says(shard_apply(s, 11), "repeated");
    says(shard_apply(s, 10), "refused conflict");
}

/* Refused it would be taken for one that was not applied. */
static void an_answer_that_cannot_be_read_is_none(void **state)
{
    struct shard *s = *state;
    shard_insert(s, PEOPLE, "1|'Ann|NULL|-");
    says(shard_write(s, 1), "applied");
    shard_sql(s, "ALTER TABLE _sheaf_applied RENAME TO away");
    says(shard_apply_again(s), "unknown io");
    shard_sql(s, "ALTER TABLE away RENAME TO _sheaf_applied");
    says(shard_apply_again(s), "repeated");
}

static void a_probe_says_what_each_row_would_meet_alone_and_changes_nothing(void **state)
{
    struct shard *s = *state;
    shard_insert(s, PEOPLE, "1|'Ann|NULL|-");
    says(shard_write(s, 1), "applied");
    shard_op(s, PEOPLE, "2|'Bob|'b@x|-");
    shard_op(s, PEOPLE, "2|'Bob|'b@x|-"); /* alone: nobody else has the key */
    shard_op(s, PEOPLE, "1|'Eve|NULL|-");
    shard_op_again(s, PEOPLE, "1|'Ann|-|-");
    shard_op(s, PEOPLE, "3|NULL|NULL|-");
    says(shard_probe(s, 5), "probed; 2.0 unique people(id); 4.0 not_null people(name); same 3.0");
    says(shard_sql(s, "SELECT id FROM people"), "1");
    says(shard_probe(s, 0), "probed");
    assert_int_equal(batch_counts(s->batch)->accepted, 1);
    assert_int_equal(batch_counts(s->batch)->refused, 0);
    shard_insert(s, PEOPLE, "2|'Bob|NULL|-");
    says(shard_write(s, 2), "applied");
}

static uint64_t wal_bytes_of(const struct shard *s)
{
    uint64_t file_bytes, wal_bytes;
    store_sizes(s->store, &file_bytes, &wal_bytes);
    return wal_bytes;
}

static void a_wal_beyond_its_limit_refuses_writes_until_the_reader_is_gone(void **state)
{
    struct shard *s = *state;
    shard_close(s);
    s->options.wal_bytes = 8192;
    s->options.wal_checkpoint_pages = 1;
    s->options.lock_file_ms = 5000; /* not waited for: a shard that waits looks mute */
    shard_start(s, 2);
    sqlite3 *reader;
    assert_int_equal(sqlite3_open(shard_path(s, "town.db"), &reader), SQLITE_OK);
    assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM people", NULL, NULL, NULL), SQLITE_OK);
    uint64_t n = 1, begun = clock_monotonic_ns(), before = 0;
    const char *said = "";
    for (; n < 1000; n++) {
        char row[64];
        before = wal_bytes_of(s);
        snprintf(row, sizeof row, "%llu|'Ann|NULL|-", (unsigned long long)n);
        shard_insert(s, PEOPLE, row);
        said = shard_apply(s, n);
        if (strcmp(said, "applied"))
            break;
        assert_true(before <= (uint64_t)s->options.wal_bytes); /* it grows past its limit by one batch at most */
        shard_commit(s);
    }
    says(said, "failed unavailable");
    assert_true(before > (uint64_t)s->options.wal_bytes);
    assert_non_null(strstr(s->error.text, "town.db holds back its checkpoint"));
    batch_abandon(s->batch);
    assert_int_equal(store_last_batch(s->store), n - 1);
    says(shard_apply_again(s), "failed unavailable");
    batch_abandon(s->batch);
    assert_true(clock_monotonic_ns() - begun < 2000000000u);
    assert_int_equal(sqlite3_close(reader), SQLITE_OK);
    says(shard_apply_again(s), "applied");
    shard_commit(s);
    assert_int_equal(store_last_batch(s->store), n);
}

/* A limit on the size of files stands in for a disk that is full. */
static enum batch_committed commit_within(struct shard *s, uint64_t bytes_max)
{
    struct rlimit before, limit;
    uint64_t commit_ns;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){bytes_max, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    enum batch_committed committed = batch_commit(s->batch, &commit_ns, &s->error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    return committed;
}

static void no_room_for_a_batch_is_told_before_its_commit(void **state)
{
    struct shard *s = *state;
    signal(SIGXFSZ, SIG_IGN);
    shard_insert(s, PEOPLE, "1|'Ann|NULL|-");
    shard_write(s, 1);
    shard_insert(s, PEOPLE, "2|'Bo|NULL|-");
    says(shard_apply(s, 2), "applied");
    assert_int_equal(commit_within(s, wal_bytes_of(s)), COMMIT_NOT_BEGUN);
    assert_int_equal(s->error.code, ERROR_IO);
    batch_abandon(s->batch);
    assert_int_equal(store_last_batch(s->store), 1);
    says(shard_apply_again(s), "applied"); /* it serves on, and the number is free */
    shard_commit(s);
    assert_int_equal(store_last_batch(s->store), 2);
    says(shard_sql(s, "SELECT count(*) FROM people"), "2");
}

/* A frame more each time: all but the last one are written before. */
static void only_the_last_frame_of_a_batch_can_miss_its_room_at_the_commit(void **state)
{
    struct shard *s = *state;
    enum batch_committed committed = COMMIT_NOT_BEGUN;
    uint64_t frame = 4096 + 24, frames = 0;
    signal(SIGXFSZ, SIG_IGN);
    shard_insert(s, PEOPLE, "1|'Ann|NULL|-");
    shard_write(s, 1);
    uint64_t from = wal_bytes_of(s);
    shard_insert(s, PEOPLE, "2|'Bo|'bo@x.org|-");
    says(shard_apply(s, 2), "applied");
    for (; (committed = commit_within(s, from + frames * frame)) == COMMIT_NOT_BEGUN; frames++) {
        batch_abandon(s->batch);
        says(shard_apply_again(s), "applied");
    }
    assert_int_equal(committed, COMMIT_UNKNOWN);
    assert_true(frames >= 2);
    shard_close(s); /* as the process would */
    shard_start(s, 2);
    assert_int_equal(store_last_batch(s->store), 1);
    says(shard_apply_again(s), "applied");
    assert_int_equal(commit_within(s, wal_bytes_of(s) + (frames + 1) * frame), COMMIT_DONE);
    assert_int_equal(store_last_batch(s->store), 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, shard_setup, shard_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_batch_of_rows_is_in_the_file_once_committed),
        TEST(a_batch_that_comes_again_gets_its_stored_answer_and_has_no_effect),
        TEST(a_batch_that_comes_again_before_its_commit_is_answered_with_it),
        TEST(a_batch_out_of_order_is_a_conflict_and_has_no_effect),
        TEST(several_batches_share_one_transaction),
        TEST(abandoned_batches_leave_nothing_and_their_numbers_free),
        TEST(a_batch_that_is_not_committed_is_gone_after_a_restart),
        TEST(a_refused_row_is_named_and_takes_no_other_with_it),
        TEST(a_composite_key_is_named_in_its_own_order),
        TEST(a_row_that_is_there_is_the_same_only_with_the_same_values_in_the_columns_given),
        TEST(a_group_is_all_or_nothing),
        TEST(what_is_tried_stays_nowhere),
        TEST(rows_are_changed_and_deleted_each_on_its_own),
        TEST(a_row_without_a_key_is_named_by_the_op_that_inserted_it),
        TEST(a_row_that_nothing_before_it_inserted_is_refused),
        TEST(a_group_of_changes_is_all_or_nothing),
        TEST(a_change_that_is_none_is_refused_alone),
        TEST(a_row_for_a_table_of_another_database_or_none_is_refused),
        TEST(a_row_that_is_no_row_is_refused_alone),
        TEST(a_batch_cut_or_changed_anywhere_has_no_effect_or_a_whole_one),
        TEST(answers_are_kept_for_as_many_batches_as_may_be_in_flight_and_no_more),
        TEST(an_answer_that_cannot_be_read_is_none),
        TEST(a_probe_says_what_each_row_would_meet_alone_and_changes_nothing),
        TEST(a_wal_beyond_its_limit_refuses_writes_until_the_reader_is_gone),
        TEST(no_room_for_a_batch_is_told_before_its_commit),
        TEST(only_the_last_frame_of_a_batch_can_miss_its_room_at_the_commit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
