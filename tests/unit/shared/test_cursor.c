/* SPDX-License-Identifier: Apache-2.0 */
#include "cursor.h"
#include "pack.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct value samples[] = {
    {.type = VALUE_NULL},
    {.type = VALUE_ABSENT},
    {.type = VALUE_INTEGER, .integer = 0},
    {.type = VALUE_INTEGER, .integer = 127},
    {.type = VALUE_INTEGER, .integer = 128},
    {.type = VALUE_INTEGER, .integer = -1},
    {.type = VALUE_INTEGER, .integer = -33},
    {.type = VALUE_INTEGER, .integer = 65536},
    {.type = VALUE_INTEGER, .integer = 4294967296},
    {.type = VALUE_INTEGER, .integer = INT64_MAX},
    {.type = VALUE_INTEGER, .integer = INT64_MIN},
    {.type = VALUE_REAL, .real = 0.1},
    {.type = VALUE_REAL, .real = -INFINITY},
    {.type = VALUE_TEXT, .len = 0, .bytes = ""},
    {.type = VALUE_TEXT, .len = 5, .bytes = "h\xc3\xa9llo"},
    {.type = VALUE_TEXT, .len = 40, .bytes = "0123456789012345678901234567890123456789"},
    {.type = VALUE_BLOB, .len = 0, .bytes = ""},
    {.type = VALUE_BLOB, .len = 3, .bytes = "\0\xff\1"},
};
#define SAMPLES (sizeof samples / sizeof *samples)

static void what_is_packed_is_read_back(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    for (size_t i = 0; i < SAMPLES; i++)
        assert_true(pack_value(&buffer, &samples[i]));
    struct cursor cursor = cursor_over(buffer.bytes, buffer.len);
    for (size_t i = 0; i < SAMPLES; i++) {
        struct value value;
        assert_true(cursor_value(&cursor, &value));
        assert_true(value_same(&value, &samples[i]));
    }
    assert_true(cursor_at_end(&cursor));
    buffer_release(&buffer);
}

static void a_cut_item_is_refused_and_the_cursor_stays(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        struct buffer buffer = {0};
        assert_true(pack_value(&buffer, &samples[i]));
        for (size_t len = 0; len < buffer.len; len++) {
            struct cursor cursor = cursor_over(buffer.bytes, len);
            const uint8_t *before = cursor.at;
            struct value value;
            assert_false(cursor_value(&cursor, &value));
            assert_ptr_equal(cursor.at, before);
            assert_false(cursor_skip(&cursor));
        }
        buffer_release(&buffer);
    }
}

static void a_count_is_believed_only_when_as_many_bytes_are_left(void **state)
{
    (void)state;
    const char *forged[] = {"\xdd\xff\xff\xff\xff\1\2\3", "\xdf\xff\xff\xff\xff\1\2\3", "\xdc\x00\x04\1\2\3",
                            "\x94\1\2\3", "\x82\1\2\3"};
    const size_t lengths[] = {8, 8, 6, 4, 4};
    for (size_t i = 0; i < sizeof forged / sizeof *forged; i++) {
        struct cursor cursor = cursor_over(forged[i], lengths[i]);
        uint32_t count;
        assert_false(cursor_array(&cursor, &count));
        assert_false(cursor_map(&cursor, &count));
        assert_false(cursor_skip(&cursor));
    }
    struct cursor text = cursor_over("\xdb\xff\xff\xff\xff"
                                     "abc",
                                     8);
    const char *bytes;
    size_t len;
    assert_false(cursor_text(&text, &bytes, &len));
}

static void an_array_of_unknown_count_is_closed_later(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    size_t at;
    assert_true(pack_array_open(&buffer, &at));
    assert_true(pack_uint(&buffer, 300) && pack_uint(&buffer, UINT64_MAX));
    pack_array_close(&buffer, at, 2);
    struct cursor cursor = cursor_over(buffer.bytes, buffer.len);
    uint32_t count;
    uint64_t first, second;
    int64_t too_large;
    assert_true(cursor_array(&cursor, &count));
    assert_int_equal(count, 2);
    assert_true(cursor_uint(&cursor, &first));
    assert_int_equal(first, 300);
    assert_false(cursor_int(&cursor, &too_large));
    assert_true(cursor_uint(&cursor, &second));
    assert_true(second == UINT64_MAX);
    buffer_release(&buffer);
}

static void nesting_is_followed_only_so_deep(void **state)
{
    (void)state;
    uint8_t nested[CURSOR_DEPTH_MAX + 2];
    memset(nested, 0x91, sizeof nested);
    nested[CURSOR_DEPTH_MAX] = 0;
    struct cursor deep = cursor_over(nested, CURSOR_DEPTH_MAX + 1);
    assert_true(cursor_skip(&deep));
    nested[CURSOR_DEPTH_MAX] = 0x91;
    nested[CURSOR_DEPTH_MAX + 1] = 0;
    struct cursor deeper = cursor_over(nested, CURSOR_DEPTH_MAX + 2);
    assert_false(cursor_skip(&deeper));
}

static void a_string_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    char text[6];
    assert_true(pack_text(&buffer, "12345", 5) && pack_text(&buffer, "123456", 6) && pack_text(&buffer, "a\0b", 3) &&
                pack_string(&buffer, NULL));
    struct cursor cursor = cursor_over(buffer.bytes, buffer.len);
    assert_true(cursor_string(&cursor, text, sizeof text));
    assert_string_equal(text, "12345");
    assert_false(cursor_string(&cursor, text, sizeof text));
    assert_true(cursor_skip(&cursor));
    assert_false(cursor_string(&cursor, text, sizeof text));
    assert_true(cursor_skip(&cursor));
    assert_true(cursor_string(&cursor, text, sizeof text));
    assert_string_equal(text, "");
    buffer_release(&buffer);
}

static void an_error_is_read_back_whole_or_not_at_all(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    struct error error, found = {.code = ERROR_IO};
    error_set(&error, ERROR_CHECK, "a price is not negative");
    error_about(&error, "products", NULL);
    assert_true(pack_error(&buffer, &error));
    for (size_t len = 0; len < buffer.len; len++) {
        struct cursor cut = cursor_over(buffer.bytes, len);
        assert_false(cursor_error(&cut, &found));
        assert_ptr_equal(cut.at, buffer.bytes);
        assert_int_equal(found.code, ERROR_IO);
    }
    struct cursor cursor = cursor_over(buffer.bytes, buffer.len);
    assert_true(cursor_error(&cursor, &found) && cursor_at_end(&cursor));
    assert_int_equal(found.code, ERROR_CHECK);
    assert_string_equal(found.table, "products");
    assert_string_equal(found.constraint, "");
    assert_string_equal(found.text, error.text);
    buffer.bytes[0] = 99; /* no code of the list */
    cursor = cursor_over(buffer.bytes, buffer.len);
    assert_false(cursor_error(&cursor, &found));
    buffer_release(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_packed_is_read_back),
        cmocka_unit_test(a_cut_item_is_refused_and_the_cursor_stays),
        cmocka_unit_test(a_count_is_believed_only_when_as_many_bytes_are_left),
        cmocka_unit_test(an_array_of_unknown_count_is_closed_later),
        cmocka_unit_test(nesting_is_followed_only_so_deep),
        cmocka_unit_test(a_string_that_does_not_fit_is_refused),
        cmocka_unit_test(an_error_is_read_back_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
