/* SPDX-License-Identifier: Apache-2.0 */
#include "uri.h"

#include "cursor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct schema_key keys[] = {{.primary = true, .column_count = 2}};
static const struct schema_table two = {.name = "two", .primary_key = 0, .key_count = 1, .keys = keys};
static const struct schema_table none = {.name = "none", .primary_key = SCHEMA_NONE};

static void is_value(struct cursor *cursor, struct value expected)
{
    struct value value;

    assert_true(cursor_value(cursor, &value));
    assert_true(value_same(&value, &expected));
}

static void a_key_is_split_before_it_is_decoded(void **state)
{
    (void)state;
    struct buffer key = {0};
    struct error error;
    uint32_t count;

    assert_true(uri_key(&two, "a%2Cb%20+,x%2700fF'", 19, &key, &error));
    struct cursor cursor = cursor_over(key.bytes, key.len);
    assert_true(cursor_array(&cursor, &count) && count == 2);
    is_value(&cursor, value_text("a,b +", 5));
    is_value(&cursor, value_blob("\x00\xff", 2));
    assert_true(cursor_at_end(&cursor));
    buffer_clear(&key);
    assert_true(uri_key(&two, ",-5", 3, &key, &error));
    cursor = cursor_over(key.bytes, key.len);
    assert_true(cursor_array(&cursor, &count));
    is_value(&cursor, value_text("", 0));
    is_value(&cursor, value_integer(-5));
    buffer_release(&key);
}

static void wrong_keys_are_refused_and_leave_nothing(void **state)
{
    (void)state;
    const char *const wrong[] = {"a", "a,b,c", "a,%", "a,%4", "a,%zz", "a,%00", "%ff,b"};
    struct buffer key = {0};
    struct error error;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_false(uri_key(&two, wrong[i], strlen(wrong[i]), &key, &error));
        assert_int_equal(error.code, ERROR_PARSE);
        assert_int_equal(key.len, 0);
    }
    buffer_release(&key);
}

static void only_canonical_decimals_are_integers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t integer;
    } integers[] = {{"0", 0}, {"-1", -1}, {"9223372036854775807", INT64_MAX}, {"-9223372036854775808", INT64_MIN}};
    const char *const texts[] = {
        "",     "-",     "00",      "-0",   "+1", "1.0", " 1", "1x", "9223372036854775808", "-9223372036854775809",
        "x'0'", "x'0g'", "x'00&f'", "x''x", "x'"};
    char text[32];

    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        strcpy(text, integers[i].text);
        struct value value = uri_value(text, strlen(text));
        assert_int_equal(value.type, VALUE_INTEGER);
        assert_true(value.integer == integers[i].integer);
    }
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        strcpy(text, texts[i]);
        struct value value = uri_value(text, strlen(text));
        assert_int_equal(value.type, VALUE_TEXT);
        assert_int_equal(value.len, strlen(texts[i]));
        assert_memory_equal(value.bytes, texts[i], value.len);
    }
}

static void a_plus_is_a_blank_in_a_query_only(void **state)
{
    (void)state;
    struct buffer out = {0};
    struct error error;

    assert_true(uri_decode("a+b%2B", 6, true, &out, &error) && uri_decode("+", 1, false, &out, &error));
    assert_int_equal(out.len, 5);
    assert_memory_equal(out.bytes, "a b++", 5);
    buffer_release(&out);
}

static void a_cursor_comes_back_and_a_forged_one_does_not_pass(void **state)
{
    (void)state;
    struct buffer key = {0}, text = {0}, back = {0};
    struct error error;

    for (size_t len = 1; len <= 6; len++) {
        char path[16] = {0};
        memset(path, 'k', len);
        buffer_clear(&key);
        buffer_clear(&text);
        buffer_clear(&back);
        assert_true(uri_key(&none, path, len, &key, &error) && uri_put_cursor(&text, key.bytes, key.len));
        assert_true(uri_cursor(&none, (char *)text.bytes, text.len, &back, &error));
        assert_int_equal(back.len, key.len);
        assert_memory_equal(back.bytes, key.bytes, key.len);
        buffer_clear(&back);
        assert_false(uri_cursor(&two, (char *)text.bytes, text.len, &back, &error)); /* another table's */
        assert_false(uri_cursor(&none, (char *)text.bytes, text.len - 1, &back, &error));
        assert_int_equal(back.len, 0);
    }
    const char *const forged[] = {"", "A", "!!!!", "kQ", "kcI", "kcB", "kcMB"};
    /* empty, cut, no digits, no value, ABSENT, bits too many, true */
    for (size_t i = 0; i < sizeof forged / sizeof *forged; i++)
        assert_false(uri_cursor(&none, forged[i], strlen(forged[i]), &back, &error));
    buffer_release(&key);
    buffer_release(&text);
    buffer_release(&back);
}

static void assert_one_way(const char *key, const char *expected)
{
    struct buffer out = {0};

    assert_true(buffer_put(&out, "/", 1));
    assert_true(uri_encode_key(&out, key, strlen(key)));
    assert_int_equal(out.len, strlen(expected) + 1);
    assert_memory_equal(out.bytes + 1, expected, strlen(expected));
    buffer_release(&out);
}

static void a_key_has_one_spelling(void **state)
{
    (void)state;
    assert_one_way("1", "1");
    assert_one_way("%31", "1");
    assert_one_way("", "");
    assert_one_way("a,b", "a,b");
    assert_one_way("%61%2Cb,", "a%2Cb,");
    assert_one_way(",,", ",,");
    assert_one_way("x'00'", "x%2700%27");
    assert_one_way("x%2700%27", "x%2700%27");
    assert_one_way("\xc3\xa4%c3%a4~-._+", "%C3%A4%C3%A4~-._%2B");
    assert_one_way("%zz,%31", "%zz,1"); /* as it is */
    assert_one_way("%00", "%00");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_split_before_it_is_decoded),
        cmocka_unit_test(wrong_keys_are_refused_and_leave_nothing),
        cmocka_unit_test(only_canonical_decimals_are_integers),
        cmocka_unit_test(a_key_has_one_spelling),
        cmocka_unit_test(a_plus_is_a_blank_in_a_query_only),
        cmocka_unit_test(a_cursor_comes_back_and_a_forged_one_does_not_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
