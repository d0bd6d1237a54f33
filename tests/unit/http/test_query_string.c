/* SPDX-License-Identifier: Apache-2.0 */
#include "query_string.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct expected {
    const char *name, *value;
};

/* Reads `text` to its end, or to its first error, and compares what comes. */
static enum error_code read_all(const char *text, const struct expected *expected, size_t count)
{
    struct query_string query = {.at = text};
    struct buffer decoded = {0};
    struct query_part parts[8];
    struct error error = {0};
    size_t got = 0;

    assert_true(buffer_reserve(&decoded, text ? 2 * strlen(text) + 2 : 1));
    while (got < 8 && query_string_next(&query, &decoded, &parts[got], &error))
        got++;
    assert_int_equal(got, count);
    for (size_t i = 0; i < count; i++) { /* after all were read: none has moved */
        assert_string_equal(parts[i].name, expected[i].name);
        assert_string_equal(parts[i].value, expected[i].value);
        assert_int_equal(parts[i].name_len, strlen(expected[i].name));
        assert_int_equal(parts[i].value_len, strlen(expected[i].value));
    }
    buffer_release(&decoded);
    return error.code;
}

#define READ(text, ...)                                    \
    read_all(text, (const struct expected[]){__VA_ARGS__}, \
             sizeof((const struct expected[]){__VA_ARGS__}) / sizeof(struct expected))

static void parts_come_decoded_in_their_order(void **state)
{
    (void)state;
    assert_int_equal(READ("a=1&b=2&a=3", {"a", "1"}, {"b", "2"}, {"a", "3"}), ERROR_NONE);
    assert_int_equal(READ("%61+b=%26+%3D%2B&x=%C3%BC", {"a b", "& =+"}, {"x", "\xc3\xbc"}), ERROR_NONE);
    assert_int_equal(READ("a=", {"a", ""}), ERROR_NONE);
    assert_int_equal(READ("a=b=c=d", {"a", "b=c=d"}), ERROR_NONE);
}

static void an_equals_sign_that_begins_a_name_is_part_of_it(void **state)
{
    (void)state;
    assert_int_equal(READ("=limit=5", {"=limit", "5"}), ERROR_NONE);
    assert_int_equal(READ("%3Dlimit=5", {"=limit", "5"}), ERROR_NONE);
    assert_int_equal(READ("==5", {"=", "5"}), ERROR_NONE);
    assert_int_equal(READ("==x=y", {"=", "x=y"}), ERROR_NONE);
}

static void nothing_is_nothing(void **state)
{
    (void)state;
    assert_int_equal(read_all(NULL, NULL, 0), ERROR_NONE);
    assert_int_equal(read_all("", NULL, 0), ERROR_NONE);
    assert_int_equal(read_all("&&&", NULL, 0), ERROR_NONE);
    assert_int_equal(READ("&&a=1&&b=2&", {"a", "1"}, {"b", "2"}), ERROR_NONE);
}

static void what_is_no_part_ends_it(void **state)
{
    (void)state;
    const char *const wrong[] = {"a", "=", "=a", "%zz=1", "a=%4", "a=%00", "a=%ff", "%ff=a"};

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(read_all(wrong[i], NULL, 0), ERROR_PARSE);
    assert_int_equal(READ("a=1&b&c=2", {"a", "1"}), ERROR_PARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_come_decoded_in_their_order),
        cmocka_unit_test(an_equals_sign_that_begins_a_name_is_part_of_it),
        cmocka_unit_test(nothing_is_nothing),
        cmocka_unit_test(what_is_no_part_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
