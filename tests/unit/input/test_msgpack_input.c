/* SPDX-License-Identifier: Apache-2.0 */
#include "feed.h"

#include "msgpack_measure.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#define MSGPACK INPUT_FORMAT_MSGPACK
#define MIB ((size_t)1048576)
#define ONE "\x81\xa2id\x01" /* {"id": 1} */

static const char table[] = "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b BLOB, g AS (id + 1));";

static void a_map_is_a_row_and_its_line_is_its_number(void **state)
{
    (void)state;
    feed_text(table, MSGPACK,
              ONE "\x83\xa2ID\xd3\x00\x20\x00\x00\x00\x00\x00\x01\xa1"
                  "b\xc4\x02\x00\xff\xa1"
                  "a\xa2\xc3\xa9\x80"
                  "\x82\xa2id\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\xa1"
                  "a\xc0\xde\x00\x01\xd9\x01"
                  "a\xda\x00\x01x",
              "1: 1|-|-|-\n2: 9007199254740993|'\xc3\xa9'|x'00ff'|-\n3: -|-|-|-\n4: 1.5|NULL|-|-\n5: -|'x'|-|-\n");
    feed_text(table, MSGPACK, "", "");
}

static void what_is_no_map_is_refused_whole_and_the_next_is_read(void **state)
{
    (void)state;
    feed_text(table, MSGPACK, "\x92\x01\x91\xa1x" ONE "\x05" ONE "\xa1y\xc0\xd5\x01\x02\x03" ONE,
              "1: parse t.: expected a map, found an array [\\92\\01\\91\\a1x]\n2: 1|-|-|-\n"
              "3: parse t.: expected a map, found an integer [\\05]\n4: 1|-|-|-\n"
              "5: parse t.: expected a map, found a text [\\a1y]\n6: parse t.: expected a map, found nil [\\c0]\n"
              "7: parse t.: expected a map, found an extension [\\d5\\01\\02\\03]\n8: 1|-|-|-\n");
}

static void what_is_no_value_is_refused(void **state)
{
    (void)state;
    feed_text(table, MSGPACK,
              "\x81\xa1"
              "a\xc3\x81\xa1"
              "a\xc2\x81\xa1"
              "a\x90\x81\xa1"
              "a\x81\x01\x02\x81\xa1"
              "a\xd4\x01\x02\x81\xa1"
              "a\xcf\x80\x00\x00\x00\x00\x00\x00\x00\x81\xa1"
              "a\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00\x81\x01\x02" ONE,
              "1: parse t.: column a: a boolean is not a value [\\81\\a1a\\c3]\n"
              "2: parse t.: column a: a boolean is not a value [\\81\\a1a\\c2]\n"
              "3: parse t.: column a: an array is not a value [\\81\\a1a\\90]\n"
              "4: parse t.: column a: a map is not a value [\\81\\a1a\\81\\01\\02]\n"
              "5: parse t.: column a: an extension is not a value [\\81\\a1a\\d4\\01\\02]\n"
              "6: parse t.: column a: the integer is beyond 9223372036854775807 "
              "[\\81\\a1a\\cf\\80\\00\\00\\00\\00\\00\\00\\00]\n"
              "7: parse t.: column a: the float is not a number [\\81\\a1a\\cb\\7f\\f8\\00\\00\\00\\00\\00\\00]\n"
              "8: parse t.: a column's name is a text, not an integer [\\81\\01\\02]\n9: 1|-|-|-\n");
}

static void columns_are_known_and_given_once_and_text_is_utf8(void **state)
{
    (void)state;
    feed_text(table, MSGPACK,
              "\x81\xa1x\x01\x81\xa1g\x01\x82\xa2id\x01\xa2Id\xc0\x81\xa1"
              "a\xa1\xff\x81\xa1"
              "a\xa1\x00" ONE,
              "1: unknown_column t.: table t has no column \"x\" [\\81\\a1x\\01]\n"
              "2: parse t.: column g of table t is generated: it takes no value [\\81\\a1g\\01]\n"
              "3: parse t.: column id: it is given twice [\\82\\a2id\\01\\a2Id\\c0]\n"
              "4: parse t.: column a: the text is not UTF-8 [\\81\\a1a\\a1\\ff]\n"
              "5: parse t.: column a: U+0000 is in the text [\\81\\a1a\\a1\\00]\n6: 1|-|-|-\n");
}

static void the_files_end_inside_a_record_refuses_that_one(void **state)
{
    (void)state;
    feed_text(table, MSGPACK, ONE "\x82\xa2id",
              "1: 1|-|-|-\n2: parse t.: the file ends inside this record "
              "[\\82\\a2id]\n");
    feed_text(table, MSGPACK, "\xdf\xff", "1: parse t.: the file ends inside this record [\\df\\ff]\n");
}

static void after_a_byte_that_is_not_msgpack_no_record_can_be_found(void **state)
{
    (void)state;
    feed_text(table, MSGPACK, ONE "\x81\xc1" ONE,
              "1: 1|-|-|-\n2: parse t.: byte 2 of the record is not msgpack [\\81\\c1]\n"
              "failed: io .: FILE:2: this is not msgpack, and where the next record begins is not known\n");
}

static long peak_kib(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

static void a_promise_of_four_billion_items_takes_no_memory(void **state)
{
    long before = peak_kib();

    (void)state;
    feed_text(table, MSGPACK, "\xdf\xff\xff\xff\xff\xa2id\x01",
              "1: parse t.: the file ends inside this record [\\df\\ff\\ff\\ff\\ff\\a2id\\01]\n");
    feed_text(table, MSGPACK, "\xdd\xff\xff\xff\xff\x01",
              "1: parse t.: the file ends inside this record [\\dd\\ff\\ff\\ff\\ff\\01]\n");
    feed_text(table, MSGPACK, "\x81\xa2id\xdb\xff\xff\xff\xffx",
              "1: parse t.: the file ends inside this record [\\81\\a2id\\db\\ff\\ff\\ff\\ffx]\n");
    assert_true(peak_kib() - before < 64 * 1024);
}

static void a_big_record_is_too_large_and_the_next_is_read(void **state)
{
    static const char head[] = "\x81\xa1"
                               "b\xc6\x01\x40\x00\x00"; /* 20 MiB of binary */
    size_t len = sizeof head - 1 + 20 * MIB + sizeof ONE - 1;
    char *bytes = calloc(1, len);

    (void)state;
    assert_non_null(bytes);
    memcpy(bytes, head, sizeof head - 1);
    memcpy(bytes + sizeof head - 1 + 20 * MIB, ONE, sizeof ONE - 1);
    char *whole = feed(table, MSGPACK, bytes, len, len, FEED_WHOLE);
    char *pieces = feed(table, MSGPACK, bytes, len, 5, 4093);
    assert_memory_equal(whole, "1: too_large t.: the record is longer than 1048576 bytes [\\81\\a1b", 64);
    assert_non_null(strstr(whole, " of 1048576...]\n2: 1|-|-|-\n"));
    assert_string_equal(whole, pieces);
    free(whole);
    free(pieces);
    free(bytes);
}

static void a_record_of_a_mebibyte_is_read_and_one_byte_more_is_too_large(void **state)
{
    static const char head[] = "\x82\xa2id\xd3\0\0\0\0\0\0\0\x07\xa1"
                               "b\xc6"; /* then a length of 32 bits */
    size_t head_len = sizeof head - 1;
    char *bytes = calloc(1, MIB + 1 + sizeof ONE);

    (void)state;
    assert_non_null(bytes);
    memcpy(bytes, head, head_len);
    for (size_t over = 0; over <= 1; over++) {
        size_t len = MIB + over, body = len - head_len - 4;
        for (size_t i = 0; i < 4; i++)
            bytes[head_len + i] = (char)(body >> (24 - 8 * i));
        memcpy(bytes + len, ONE, sizeof ONE - 1);
        char *got = feed(table, MSGPACK, bytes, len + sizeof ONE - 1, len, FEED_WHOLE);
        assert_memory_equal(got, over ? "1: too_large t.: the record is" : "1: 7|-|x'000000000000000000000", 30);
        assert_non_null(strstr(got, "\n2: 1|-|-|-\n"));
        free(got);
    }
    free(bytes);
}

/* Every item of a million nested arrays is one byte: depth takes no memory either. */
static void deep_nesting_is_refused_and_the_next_record_is_read(void **state)
{
    size_t depth = 3 * MIB, len = depth + 1 + sizeof ONE - 1;
    char *bytes = malloc(len);

    (void)state;
    assert_non_null(bytes);
    memset(bytes, 0x91, depth);
    bytes[depth] = 0x01;
    memcpy(bytes + depth + 1, ONE, sizeof ONE - 1);
    char *got = feed(table, MSGPACK, bytes, len, len, FEED_WHOLE);
    assert_memory_equal(got, "1: too_large", 12);
    assert_non_null(strstr(got, "\n2: 1|-|-|-\n"));
    free(got);
    got = feed(table, MSGPACK, bytes + depth - 500, len - (depth - 500), 1, 1);
    assert_memory_equal(got, "1: parse t.: expected a map, found an array", 43);
    assert_non_null(strstr(got, "\n2: 1|-|-|-\n"));
    free(got);
    free(bytes);
}

/* One item of every head, its last byte told apart from the next item. */
static void every_head_is_measured(void **state)
{
    static const struct {
        const char *bytes;
        size_t head;
        size_t whole;
    } items[] = {
        {"\x00", 1, 1},
        {"\x7f", 1, 1},
        {"\x80", 1, 1},
        {"\x90", 1, 1},
        {"\xa0", 1, 1},
        {"\xbf", 1, 32},
        {"\xc0", 1, 1},
        {"\xc2", 1, 1},
        {"\xc3", 1, 1},
        {"\xc4\x03", 2, 5},
        {"\xc5\0\x03", 3, 6},
        {"\xc6\0\0\0\x03", 5, 8},
        {"\xc7\x03", 2, 6},
        {"\xc8\0\x03", 3, 7},
        {"\xc9\0\0\0\x03", 5, 9},
        {"\xca", 1, 5},
        {"\xcb", 1, 9},
        {"\xcc", 1, 2},
        {"\xcd", 1, 3},
        {"\xce", 1, 5},
        {"\xcf", 1, 9},
        {"\xd0", 1, 2},
        {"\xd1", 1, 3},
        {"\xd2", 1, 5},
        {"\xd3", 1, 9},
        {"\xd4", 1, 3},
        {"\xd5", 1, 4},
        {"\xd6", 1, 6},
        {"\xd7", 1, 10},
        {"\xd8", 1, 18},
        {"\xd9\x03", 2, 5},
        {"\xda\0\x03", 3, 6},
        {"\xdb\0\0\0\x03", 5, 8},
        {"\xdc\0\x03", 3, 6},
        {"\xdd\0\0\0\x03", 5, 8},
        {"\xde\0\x03", 3, 9},
        {"\xdf\0\0\0\x03", 5, 11},
        {"\xe0", 1, 1},
        {"\xff", 1, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        uint8_t bytes[64] = {0};
        size_t used;
        struct msgpack_measure measure = {.items = 1};
        memcpy(bytes, items[i].bytes, items[i].head);
        assert_int_equal(msgpack_measure_on(&measure, bytes, sizeof bytes, &used), MSGPACK_WHOLE);
        assert_int_equal(used, items[i].whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_is_a_row_and_its_line_is_its_number),
        cmocka_unit_test(what_is_no_map_is_refused_whole_and_the_next_is_read),
        cmocka_unit_test(what_is_no_value_is_refused),
        cmocka_unit_test(columns_are_known_and_given_once_and_text_is_utf8),
        cmocka_unit_test(the_files_end_inside_a_record_refuses_that_one),
        cmocka_unit_test(after_a_byte_that_is_not_msgpack_no_record_can_be_found),
        cmocka_unit_test(a_promise_of_four_billion_items_takes_no_memory),
        cmocka_unit_test(a_big_record_is_too_large_and_the_next_is_read),
        cmocka_unit_test(a_record_of_a_mebibyte_is_read_and_one_byte_more_is_too_large),
        cmocka_unit_test(deep_nesting_is_refused_and_the_next_record_is_read),
        cmocka_unit_test(every_head_is_measured),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
