/* SPDX-License-Identifier: Apache-2.0 */
#include "shard.h"

#include <stdio.h>
#include <string.h>

#define says assert_string_equal

static uint16_t key_number(const struct shard *s, table_id table, const char *column)
{
    for (uint16_t k = 0; k < s->schema->tables[table].key_count; k++) {
        const struct schema_key *key = &s->schema->tables[table].keys[k];
        if (!strcmp(s->schema->tables[table].columns[key->columns[0]].name, column))
            return k;
    }
    fail_msg("no key on %s", column);
    return 0;
}

static void integer_keys_exist_as_sqlite_compares_them(void **state)
{
    struct shard *s = *state;
    shard_insert(s, PEOPLE, "1|'Ann|'a@x|-");
    shard_insert(s, PEOPLE, "9223372036854775807|'Max|NULL|-");
    says(shard_write(s, 1), "applied");
    uint16_t id = key_number(s, PEOPLE, "id");
    says(shard_exists(s, PEOPLE, id, "1;2;'1;' 1.0 ;1.0;1.5;NULL;'one;x31;9223372036854775807"), "1011100001");
    says(shard_exists(s, PEOPLE, id, ""), "");
}

static void text_keys_exist_with_affinity_and_collation(void **state)
{
    struct shard *s = *state;
    shard_insert(s, PEOPLE, "1|'Ann|'Ann@x|-");
    shard_insert(s, PEOPLE, "2|'Bob|NULL|-");
    shard_insert(s, WORDS, "'one|1|-");
    shard_insert(s, WORDS, "'12|'2.5|-");
    says(shard_write(s, 1), "applied");
    says(shard_exists(s, PEOPLE, key_number(s, PEOPLE, "email"), "'ann@X;'Ann@x;'ann@y;NULL"), "1100");
    says(shard_exists(s, WORDS, key_number(s, WORDS, "word"), "'one;'One;'one ;12;12.0;x6f6e65"), "100100");
    says(shard_exists(s, WORDS, key_number(s, WORDS, "n"), "1;'1;'01.0;2.5;'2.50;'x"), "111110");
}

static void composite_keys_exist_as_a_whole(void **state)
{
    struct shard *s = *state;
    shard_insert(s, PAIRS, "1|'x|-");
    shard_insert(s, PAIRS, "2|'y|-");
    says(shard_write(s, 1), "applied");
    says(shard_exists(s, PAIRS, 0, "'x|1;'X|'1;'x|2;'y|2;NULL|1;'x|NULL"), "110100");
    says(shard_exists(s, PAIRS, 0, "'x|1;'x"), "parse"); /* a value is missing */
    says(shard_exists(s, PAIRS, 7, "'x|1"), "parse");
}

static void no_key_is_looked_up_by_reading_the_whole_table(void **state)
{
    struct shard *s = *state;
    shard_insert(s, PEOPLE, "1|'Ann|'a@x|-");
    shard_insert(s, PAIRS, "1|'x|-");
    shard_insert(s, WORDS, "'one|1|-");
    says(shard_write(s, 1), "applied");
    for (table_id t = PEOPLE; t <= WORDS; t++)
        for (uint16_t k = 0; k < s->schema->tables[t].key_count; k++)
            says(shard_exists(s, t, k, t == PAIRS ? "'y|7" : "7"), "0");
    unsigned looked = 0;
    sqlite3_stmt *statement = NULL;
    while ((statement = sqlite3_next_stmt(store_connection(s->store), statement)))
        if (strstr(sqlite3_sql(statement), "SELECT 1 FROM")) {
            assert_int_equal(sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_FULLSCAN_STEP, 0), 0);
            looked++;
        }
    assert_int_equal(looked, 5);
}

static void keys_come_in_chunks_in_ascending_order(void **state)
{
    struct shard *s = *state;
    const int64_t minus = -3, two = 2, four = 4, last = INT64_MAX;
    says(shard_keys(s, COUNTED, NULL, 10), "(complete, batch 0)");
    shard_insert(s, COUNTED, "4|-");
    shard_insert(s, COUNTED, "-3|-");
    shard_insert(s, COUNTED, "2|-");
    shard_insert(s, COUNTED, "3|-");
    says(shard_write(s, 1), "applied");
    says(shard_keys(s, COUNTED, NULL, 2), "-3 2 (more, batch 1)");
    says(shard_keys(s, COUNTED, &two, 2), "3 4 (more, batch 1)");
    says(shard_keys(s, COUNTED, &four, 2), "(complete, batch 1)");
    says(shard_keys(s, COUNTED, &minus, 4), "2 3 4 (complete, batch 1)");
    says(shard_keys(s, COUNTED, &last, 4), "(complete, batch 1)");
    says(shard_keys(s, PAIRS, NULL, 4), "internal");
}

static void a_column_called_rowid_does_not_hide_the_rowids(void **state)
{
    struct shard *s = *state;
    shard_insert(s, HIDDEN, "'z|1");
    shard_insert(s, HIDDEN, "'y|2");
    shard_insert(s, HIDDEN, "'y|3");
    says(shard_write(s, 1), "applied");
    says(shard_keys(s, HIDDEN, NULL, 10), "1 2 3 (complete, batch 1)");
    says(shard_scan(s, HIDDEN, 2, NULL), "'z'|1;'y'|2 -> 2");
    says(shard_scan(s, HIDDEN, 2, "2"), "'y'|3");
    assert_non_null(strstr(shard_describe(s), " 5:1:3]"));
}

static void rows_come_in_pages_in_key_order(void **state)
{
    struct shard *s = *state;
    says(shard_scan(s, PEOPLE, 2, NULL), "");
    shard_insert(s, PEOPLE, "30|'Cid|NULL|-");
    shard_insert(s, PEOPLE, "1|'Ann|'a@x|30");
    shard_insert(s, PEOPLE, "4|'Bob|NULL|-");
    says(shard_write(s, 1), "applied");
    says(shard_scan(s, PEOPLE, 2, NULL), "1|'Ann'|'a@x'|30;4|'Bob'|NULL|NULL -> 4");
    says(shard_scan(s, PEOPLE, 2, "4"), "30|'Cid'|NULL|NULL");
    says(shard_scan(s, PEOPLE, 3, NULL), "1|'Ann'|'a@x'|30;4|'Bob'|NULL|NULL;30|'Cid'|NULL|NULL");
    says(shard_scan(s, PEOPLE, 3, "30"), "");
    says(shard_scan(s, PEOPLE, 3, "1|2"), "parse");
    says(shard_scan(s, PEOPLE, 0, NULL), "parse");
}

static void pages_follow_a_composite_key_and_its_collation(void **state)
{
    struct shard *s = *state;
    shard_insert(s, PAIRS, "2|'B|1.5");
    shard_insert(s, PAIRS, "1|'b|x00ff");
    shard_insert(s, PAIRS, "9|'a|NULL");
    shard_insert(s, PAIRS, "3|'C|-");
    says(shard_write(s, 1), "applied");
    says(shard_scan(s, PAIRS, 2, NULL), "9|'a'|NULL;1|'b'|x'00ff' -> 'b'|1");
    says(shard_scan(s, PAIRS, 2, "'b|1"), "2|'B'|1.5;3|'C'|NULL");
    says(shard_scan(s, PAIRS, 2, "'C|3"), "");
}

static void a_table_without_a_key_is_read_in_rowid_order_with_its_generated_columns(void **state)
{
    struct shard *s = *state;
    shard_insert(s, NOTES, "'z");
    shard_insert(s, NOTES, "'a");
    shard_insert(s, WORDS, "'b|2|-");
    shard_insert(s, WORDS, "'a|-|-");
    says(shard_write(s, 1), "applied");
    says(shard_scan(s, NOTES, 1, NULL), "'z' -> 1");
    says(shard_scan(s, NOTES, 1, "1"), "'a'");
    says(shard_scan(s, NOTES, 1, "2"), "");
    says(shard_scan(s, WORDS, 9, NULL), "'a'|NULL|NULL;'b'|2|4");
}

static void a_scan_gives_the_rows_that_equal_its_filters(void **state)
{
    struct shard *s = *state;
    shard_insert(s, PEOPLE, "1|'Ann|'a@x|30");
    shard_insert(s, PEOPLE, "2|'Bob|'B@x|30");
    shard_insert(s, PEOPLE, "3|'Ann|'c@x|30");
    shard_insert(s, PEOPLE, "4|'ann|NULL|NULL");
    shard_insert(s, PAIRS, "1|'x|'5");
    shard_insert(s, PAIRS, "2|'X|5");
    shard_insert(s, WORDS, "'one|1|-");
    shard_insert(s, WORDS, "'two|2|-");
    shard_insert(s, NOTES, "'z");
    shard_insert(s, NOTES, "'y");
    shard_insert(s, NOTES, "'z");
    says(shard_write(s, 1), "applied");
    says(shard_filter(s, PEOPLE, 9, NULL, "1='Ann"), "1|'Ann'|'a@x'|30;3|'Ann'|'c@x'|30"); /* BINARY */
    says(shard_filter(s, PEOPLE, 9, NULL, "2='A@X"), "1|'Ann'|'a@x'|30");                  /* NOCASE */
    says(shard_filter(s, PEOPLE, 9, NULL, "3='30|1='Bob"), "2|'Bob'|'B@x'|30");            /* the column's affinity */
    says(shard_filter(s, PEOPLE, 9, NULL, "3=NULL"), "");
    says(shard_filter(s, PEOPLE, 9, NULL, "3=-"), "");
    says(shard_filter(s, PEOPLE, 9, NULL, "0=' 2.0 "), "2|'Bob'|'B@x'|30");
    says(shard_filter(s, PAIRS, 9, NULL, "1='x"), "1|'x'|'5';2|'X'|5");
    says(shard_filter(s, PAIRS, 9, NULL, "2=5"), "2|'X'|5");   /* no affinity, no conversion */
    says(shard_filter(s, WORDS, 9, NULL, "2=4"), "'two'|2|4"); /* generated */
    /* in pages */
    says(shard_filter(s, PEOPLE, 1, NULL, "1='Ann"), "1|'Ann'|'a@x'|30 -> 1");
    says(shard_filter(s, PEOPLE, 1, "1", "1='Ann"), "3|'Ann'|'c@x'|30");
    says(shard_filter(s, PEOPLE, 1, "3", "1='Ann"), "");
    says(shard_filter(s, PAIRS, 9, "'x|1", "1='x|2=5"), "2|'X'|5");
    says(shard_filter(s, NOTES, 1, "1", "0='z"), "'z'");
}

static void a_scan_bears_as_many_filters_as_the_wire(void **state)
{
    struct shard *s = *state;
    struct wire_filter filters[WIRE_FILTERS_MAX];
    struct buffer message = {0};
    struct wire_scan ask;
    struct wire_scan_answer answer;
    shard_insert(s, PEOPLE, "1|'Ann|'a@x|30");
    says(shard_write(s, 1), "applied");
    for (unsigned i = 0; i < WIRE_FILTERS_MAX; i++)
        filters[i] = (struct wire_filter){3, value_integer(30)};
    assert_true(wire_put_scan(&message, PEOPLE, 9, NULL, 0, filters, WIRE_FILTERS_MAX));
    struct cursor body = cursor_over(message.bytes, message.len);
    assert_true(wire_get_scan(&body, s->schema, &ask, &s->error));
    buffer_clear(&s->answer);
    if (!read_scan(s->read, &ask, &s->answer, &s->error))
        fail_msg("%s", s->error.text);
    body = cursor_over(s->answer.bytes, s->answer.len);
    assert_true(wire_get_scan_answer(&body, &answer, &s->error));
    assert_int_equal(answer.row_count, 1);
    buffer_release(&message);
}

static void rows_are_read_by_their_keys_in_the_order_asked(void **state)
{
    struct shard *s = *state;
    shard_insert(s, PEOPLE, "1|'Ann|'a@x|30");
    shard_insert(s, PEOPLE, "2|'Bob|NULL|-");
    shard_insert(s, PAIRS, "1|'x|x00ff");
    shard_insert(s, WORDS, "'12|2.5|-");
    shard_insert(s, NOTES, "'z");
    shard_insert(s, HIDDEN, "'no|7");
    says(shard_write(s, 1), "applied");
    says(shard_rows(s, PEOPLE, "2;7;1;2"), "2|'Bob'|NULL|NULL;none;1|'Ann'|'a@x'|30;2|'Bob'|NULL|NULL");
    says(shard_rows(s, PEOPLE, "'2; 1.0 ;2.0;1.5;NULL;'one;x32"),
         "2|'Bob'|NULL|NULL;1|'Ann'|'a@x'|30;2|'Bob'|NULL|NULL;none;none;none;none");
    says(shard_rows(s, PAIRS, "'X|'1;'x|2;'y|1;NULL|1"), "1|'x'|x'00ff';none;none;none"); /* collation, affinity */
    says(shard_rows(s, WORDS, "12;'12;'12 "), "'12'|2.5|5.0;'12'|2.5|5.0;none");
    says(shard_rows(s, NOTES, "1;2;'1"), "'z';none;'z'"); /* by the rowid */
    says(shard_rows(s, HIDDEN, "1;'no"), "'no'|7;none");
    says(shard_rows(s, PEOPLE, ""), "");
    says(shard_rows(s, PAIRS, "'x|1;'x"), "parse"); /* a value is missing */
}

static void rows_that_do_not_fit_one_message_are_too_large(void **state)
{
    struct shard *s = *state;
    char keys[200] = "";
    shard_sql(s, "INSERT INTO notes VALUES (CAST(zeroblob(1000000) AS TEXT))");
    for (unsigned i = 0; i < 34; i++)
        strcat(keys, "1;");
    shard_rows(s, NOTES, keys);
    assert_in_range(s->answer.len, 34000000, LIMIT_MESSAGE_BYTES_MAX);
    strcat(keys, "1");
    says(shard_rows(s, NOTES, keys), "too_large");
}

static void a_page_ends_at_its_bytes(void **state)
{
    struct shard *s = *state;
    static uint8_t large[1000000];
    memset(large, 'x', sizeof large);
    for (unsigned i = 0; i < 7; i++) {
        const struct value value = value_text((const char *)large, sizeof large);
        struct buffer row = {0};
        assert_true(row_write(&s->schema->tables[NOTES], &value, &row));
        assert_true(wire_put_op(&s->entries, NOTES, 0, row.bytes, row.len));
        s->entry_count++;
        buffer_release(&row);
    }
    says(shard_write(s, 1), "applied");
    shard_scan(s, NOTES, 1000, NULL);
    assert_in_range(s->answer.len, 4 * sizeof large, 6 * sizeof large);
    assert_non_null(strstr(s->text, " -> 5"));
    shard_scan(s, NOTES, 1000, "5");
    assert_null(strstr(s->text, "->"));
}

static void a_page_ends_before_a_row_that_does_not_fit_beside_the_others(void **state)
{
    struct shard *s = *state;
    shard_sql(s, "INSERT INTO notes VALUES ('a'), (CAST(zeroblob(3000000) AS TEXT)),"
                 " (replace(hex(zeroblob(16000000)), '0', 'x')), (replace(hex(zeroblob(16000000)), '0', 'x')), ('z'),"
                 " (replace(hex(zeroblob(18000000)), '0', 'x'))");
    shard_scan(s, NOTES, 1000, NULL);
    assert_non_null(strstr(s->text, " -> 2"));
    assert_in_range(s->answer.len, 3000000, 4000000);
    shard_scan(s, NOTES, 1000, "2");
    assert_in_range(s->answer.len, 32000000, LIMIT_MESSAGE_BYTES_MAX);
    shard_scan(s, NOTES, 1000, "3");
    assert_in_range(s->answer.len, 32000000, LIMIT_MESSAGE_BYTES_MAX);
    says(shard_scan(s, NOTES, 1000, "4"), "'z' -> 5");
    says(shard_scan(s, NOTES, 1000, "5"), "too_large"); /* no message bears it */
}

static void a_question_sees_committed_batches_only(void **state)
{
    struct shard *s = *state;
    shard_insert(s, PEOPLE, "1|'Ann|NULL|-");
    says(shard_write(s, 1), "applied");
    shard_insert(s, PEOPLE, "2|'Bob|NULL|-");
    says(shard_apply(s, 2), "applied");
    batch_abandon(s->batch);
    says(shard_keys(s, PEOPLE, NULL, 9), "1 (complete, batch 1)");
    says(shard_exists(s, PEOPLE, 0, "1;2"), "10");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, shard_setup, shard_teardown)
    const struct CMUnitTest tests[] = {
        TEST(integer_keys_exist_as_sqlite_compares_them),
        TEST(text_keys_exist_with_affinity_and_collation),
        TEST(composite_keys_exist_as_a_whole),
        TEST(no_key_is_looked_up_by_reading_the_whole_table),
        TEST(keys_come_in_chunks_in_ascending_order),
        TEST(a_column_called_rowid_does_not_hide_the_rowids),
        TEST(rows_come_in_pages_in_key_order),
        TEST(pages_follow_a_composite_key_and_its_collation),
        TEST(a_table_without_a_key_is_read_in_rowid_order_with_its_generated_columns),
        TEST(a_scan_gives_the_rows_that_equal_its_filters),
        TEST(a_scan_bears_as_many_filters_as_the_wire),
        TEST(rows_are_read_by_their_keys_in_the_order_asked),
        TEST(rows_that_do_not_fit_one_message_are_too_large),
        TEST(a_page_ends_at_its_bytes),
        TEST(a_page_ends_before_a_row_that_does_not_fit_beside_the_others),
        TEST(a_question_sees_committed_batches_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
