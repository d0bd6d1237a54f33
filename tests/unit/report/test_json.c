/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

static void assert_string(const char *text, size_t len, const char *expected)
{
    struct buffer out = {0};

    assert_true(json_put_string(&out, text, len));
    assert_int_equal(out.len, strlen(expected));
    assert_memory_equal(out.bytes, expected, out.len);
    buffer_release(&out);
}

static void strings_are_escaped_as_json_wants(void **state)
{
    (void)state;
    assert_string("", 0, "\"\"");
    assert_string("a\"b\\c", 5, "\"a\\\"b\\\\c\"");
    assert_string("\n\r\t\x01\x7f\0", 6, "\"\\n\\r\\t\\u0001\\u007f\\u0000\"");
    assert_string("é山😀", 9, "\"é山😀\"");
    assert_string("a\xffz\xe5\xb1", 5, "\"a\uFFFDz\uFFFD\uFFFD\"");
}

/* Whatever bytes go in, jansson takes what comes out. */
static void every_string_is_valid_json(void **state)
{
    (void)state;
    srand(5);
    for (int round = 0; round < 2000; round++) {
        struct buffer out = {0};
        char text[24];
        json_t *read;

        for (size_t i = 0; i < sizeof text; i++)
            text[i] = (char)(rand() % 3 ? rand() : "\"\\\xc3\xa9\x80\n"[rand() % 6]);
        assert_true(json_put_string(&out, text, (size_t)rand() % sizeof text));
        read = json_loadb((const char *)out.bytes, out.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_non_null(read);
        json_decref(read);
        buffer_release(&out);
    }
}

static void numbers_reach_their_ends(void **state)
{
    struct buffer out = {0};

    (void)state;
    assert_true(json_put_integer(&out, INT64_MIN) && buffer_put(&out, " ", 1) && json_put_integer(&out, INT64_MAX) &&
                buffer_put(&out, " ", 1) && json_put_integer(&out, 0) && buffer_put(&out, " ", 1) &&
                json_put_unsigned(&out, UINT64_MAX) && buffer_put(&out, "", 1));
    assert_string_equal((const char *)out.bytes, "-9223372036854775808 9223372036854775807 0 18446744073709551615");
    buffer_release(&out);
}

static void an_error_says_null_for_what_it_has_not(void **state)
{
    struct buffer out = {0};
    struct error error;

    (void)state;
    error_set(&error, ERROR_REFERENCE_MISSING, "no users with id = %d", 5);
    error_about(&error, "orders", "user_id");
    assert_true(json_put_error(&out, &error) && buffer_put(&out, "", 1));
    assert_string_equal((const char *)out.bytes, "{\"code\":\"reference_missing\",\"table\":\"orders\","
                                                 "\"constraint\":\"user_id\",\"message\":\"no users with id = 5\"}");
    buffer_clear(&out);
    error_set(&error, ERROR_PARSE, "x");
    assert_true(json_put_error(&out, &error) && buffer_put(&out, "", 1));
    assert_string_equal((const char *)out.bytes,
                        "{\"code\":\"parse\",\"table\":null,\"constraint\":null,\"message\":\"x\"}");
    buffer_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_escaped_as_json_wants),
        cmocka_unit_test(every_string_is_valid_json),
        cmocka_unit_test(numbers_reach_their_ends),
        cmocka_unit_test(an_error_says_null_for_what_it_has_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
