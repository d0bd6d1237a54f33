/* SPDX-License-Identifier: Apache-2.0 */
#include "feed.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define NDJSON INPUT_FORMAT_NDJSON
#define MIB ((size_t)1048576)

static const char table[] = "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b BLOB, g AS (id + 1));";

/* One line, refused with the given start of a reason; the line behind it is read. */
static void expect_refused(const char *line, const char *reason)
{
    struct buffer bytes = {0};

    assert_true(buffer_format(&bytes, "%s\n{\"id\":1}\n", line));
    char *got = feed(table, NDJSON, bytes.bytes, bytes.len, bytes.len, FEED_WHOLE);
    if (strncmp(got + 3, reason, strlen(reason)) != 0 || !strstr(got, "\n2: 1|-|-|-\n"))
        fail_msg("%s gave %s, not %s", line, got, reason);
    free(got);
    buffer_release(&bytes);
}

static void an_object_a_line_is_a_row_and_blank_lines_are_skipped(void **state)
{
    (void)state;
    feed_text(table, NDJSON,
              "\xef\xbb\xbf{\"ID\":1,\"a\":\"x\"}\r\n\n \t\r\n{\"b\":null, \"a\":\"\\u00e9\",\"id\":\"2\"}\n{}",
              "1: 1|'x'|-|-\n4: 2|'\xc3\xa9'|NULL|-\n5: -|-|-|-\n");
    feed_text(table, NDJSON, "", "");
}

static void numbers_keep_their_value(void **state)
{
    (void)state;
    feed_text(table, NDJSON,
              "{\"id\":9007199254740993}\n{\"id\":-9223372036854775808}\n{\"id\":9223372036854775807}\n{\"a\":1.5}\n"
              "{\"a\":1e3}\n",
              "1: 9007199254740993|-|-|-\n2: -9223372036854775808|-|-|-\n3: 9223372036854775807|-|-|-\n4: -|1.5|-|-\n"
              "5: -|1000.0|-|-\n");
    expect_refused("{\"id\":9223372036854775808}", "parse t.: JSON, byte 25: too big integer");
    expect_refused("{\"id\":-9223372036854775809}", "parse t.: JSON, byte 26: too big negative integer");
    expect_refused("{\"id\":1e400}", "parse t.: JSON, byte 11: real number overflow");
}

static void hex_in_an_object_is_a_blob(void **state)
{
    (void)state;
    feed_text(table, NDJSON, "{\"b\":{\"hex\":\"00fF\"},\"a\":{\"hex\":\"\"}}\n", "1: -|x''|x'00ff'|-\n");
    expect_refused("{\"b\":{\"hex\":\"0\"}}", "type t.b: column b: a blob is an even number of hex digits");
    expect_refused("{\"b\":{\"hex\":\"0g\"}}", "type t.b: column b: a blob is an even number of hex digits");
    expect_refused("{\"b\":{\"hex\":1}}", "parse t.: column b: an object is not a value");
    expect_refused("{\"b\":{\"hex\":\"00\",\"x\":1}}", "parse t.: column b: an object is not a value");
    expect_refused("{\"b\":{}}", "parse t.: column b: an object is not a value");
}

static void what_is_no_value_is_refused(void **state)
{
    (void)state;
    expect_refused("{\"a\":true}", "parse t.: column a: a boolean is not a value");
    expect_refused("{\"a\":false}", "parse t.: column a: a boolean is not a value");
    expect_refused("{\"a\":[1]}", "parse t.: column a: an array is not a value");
    expect_refused("[1]", "parse t.: a record is a JSON object");
    expect_refused("7", "parse t.: a record is a JSON object");
    expect_refused("{\"id\":1", "parse t.: JSON, byte ");
    expect_refused("{\"id\":1} {\"id\":2}", "parse t.: JSON, byte ");
    expect_refused("nonsense", "parse t.: JSON, byte ");
}

static void columns_are_known_and_given_once(void **state)
{
    (void)state;
    expect_refused("{\"c\":1}", "unknown_column t.: table t has no column \"c\"");
    expect_refused("{\"table\":\"t\"}", "unknown_column t.: table t has no column \"table\"");
    expect_refused("{\"g\":1}", "parse t.: column g of table t is generated");
    expect_refused("{\"id\":1,\"id\":2}", "parse t.: JSON, byte 12: duplicate object key");
    expect_refused("{\"id\":1,\"ID\":2}", "parse t.: column id: it is given twice");
}

static void text_is_utf8_without_nul(void **state)
{
    (void)state;
    expect_refused("{\"a\":\"\\u0000\"}", "parse t.: JSON, byte ");
    expect_refused("{\"a\":\"\xff\"}", "parse t.: JSON, byte ");
    expect_refused("{\"a\":\"\\ud800\"}", "parse t.: JSON, byte ");
    feed_text(table, NDJSON, "{\"a\":\"\0\"}\n{\"id\":1}\n",
              "1: parse t.: JSON, byte 6: control character 0x0 near '\"' [{\"a\":\"\\00\"}]\n2: 1|-|-|-\n");
}

static void deep_nesting_is_refused(void **state)
{
    char deep[4096];

    (void)state;
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    expect_refused(deep, "parse t.: JSON nests more than 64 levels deep");
    expect_refused("{\"a\":[[[[[[[[]]]]]]]]}", "parse t.: column a: an array is not a value");
    memcpy(deep, "{\"a\":\"", 6);
    memcpy(deep + 100, "\"}\n", 4);
    char *got = feed(table, NDJSON, deep, 103, 103, FEED_WHOLE); /* brackets in a string nest nothing */
    assert_memory_equal(got, "1: -|'[[[", 9);
    free(got);
}

static void a_long_line_is_too_large_and_the_next_is_read(void **state)
{
    static const size_t sizes[] = {MIB + 1, MIB + 2, MIB + 3, 20 * MIB};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *bytes = malloc(sizes[i] + 16);
        assert_non_null(bytes);
        memset(bytes, 'x', sizes[i]);
        strcpy(bytes + sizes[i], "\n{\"id\":1}");
        size_t len = sizes[i] + 9;
        char *whole = feed(table, NDJSON, bytes, len, len, FEED_WHOLE);
        char *pieces = feed(table, NDJSON, bytes, len, 5, 4093);
        assert_string_equal(whole, "1: too_large t.: the record is longer than 1048576 bytes "
                                   "[xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx of 1048576...]\n"
                                   "2: 1|-|-|-\n");
        assert_string_equal(pieces, whole);
        free(whole);
        free(pieces);
        free(bytes);
    }
}

/* A reader asks this each time before it looks for bytes; one that waits for them asks again and again. */
static unsigned asked, looks;

static bool interrupted(void)
{
    return ++asked > looks;
}

static void a_hurried_reader_does_not_wait_for_the_first_bytes(void **state)
{
    (void)state;
    struct error error;
    struct input_record record = {0};
    struct buffer rows = {0};
    struct schema *schema = schema_load(table, strlen(table), "test", NULL, &error);
    char path[32];
    int fds[2];

    assert_non_null(schema);
    assert_int_equal(pipe(fds), 0);
    snprintf(path, sizeof path, "/dev/fd/%d", fds[0]);
    struct input *input = input_open(path, NDJSON, schema, 0, interrupted, &error);
    assert_non_null(input);
    input_hurry(input, true);
    looks = 1;
    assert_int_equal(input_next(input, &rows, &record, &error), INPUT_WAITS);
    assert_int_equal(write(fds[1], "\xef\xbb", 2), 2); /* a mark that has not come whole */
    looks = asked + 2;                                 /* for these, and for the third */
    assert_int_equal(input_next(input, &rows, &record, &error), INPUT_WAITS);
    assert_int_equal(write(fds[1], "\xbf{\"id\":1}\n", 10), 10);
    looks = asked + 2;
    input_hurry(input, false);
    assert_int_equal(input_next(input, &rows, &record, &error), INPUT_ROW);
    assert_int_equal(record.line, 1);
    input_close(input);
    close(fds[0]);
    close(fds[1]);
    buffer_release(&rows);
    schema_free(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_object_a_line_is_a_row_and_blank_lines_are_skipped),
        cmocka_unit_test(numbers_keep_their_value),
        cmocka_unit_test(hex_in_an_object_is_a_blob),
        cmocka_unit_test(what_is_no_value_is_refused),
        cmocka_unit_test(columns_are_known_and_given_once),
        cmocka_unit_test(text_is_utf8_without_nul),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(a_long_line_is_too_large_and_the_next_is_read),
        cmocka_unit_test(a_hurried_reader_does_not_wait_for_the_first_bytes),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
