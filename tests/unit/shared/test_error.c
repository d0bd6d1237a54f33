/* SPDX-License-Identifier: Apache-2.0 */
#include "error.h"
#include "value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void every_code_has_a_name_that_leads_back(void **state)
{
    (void)state;
    for (unsigned code = 1; code < ERROR_CODE_COUNT; code++) {
        assert_true(error_code_valid(code));
        assert_int_equal(error_code_of(error_code_name((enum error_code)code)), code);
    }
    assert_int_equal(error_code_of("nonsense"), ERROR_NONE);
    assert_false(error_code_valid(0));
    assert_false(error_code_valid(ERROR_CODE_COUNT));
}

static void a_text_is_always_one_clean_line(void **state)
{
    (void)state;
    struct error error;
    assert_false(error_set(&error, ERROR_CHECK, "%s", "a\nb\x1b[31m\x7f\xff \xc2\x9b ok é"));
    assert_string_equal(error.text, "a\\x0ab\\x1b[31m\\x7f\\xff \\xc2\\x9b ok é");
    char longer[4000];
    memset(longer, '\n', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    error_set(&error, ERROR_CHECK, "%s", longer);
    assert_true(strlen(error.text) < sizeof error.text);
    error_prefix(&error, "%s:%d: ", "orders.csv", 17);
    assert_memory_equal(error.text, "orders.csv:17: \\x0a", 19);
}

static void an_error_forgets_what_it_was_about(void **state)
{
    (void)state;
    struct error error;
    error_set(&error, ERROR_UNIQUE, "first");
    error_about(&error, "users", "email");
    assert_string_equal(error.constraint, "email");
    error_set(&error, ERROR_IO, "second");
    assert_string_equal(error.table, "");
    assert_string_equal(error.constraint, "");
    assert_false(error_set(NULL, ERROR_IO, "nobody asks"));
}

static void text_is_utf8_without_nul(void **state)
{
    (void)state;
    const char *valid[] = {
        "", "plain ascii, longer than eight", "é", "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf", "12345678\xc3\xa9"};
    const char *invalid[] = {"\xff",     "\xc0\xaf",     "\xed\xa0\x80",        "\xf4\x90\x80\x80",
                             "\xe2\x82", "12345678\x80", "\xf8\x88\x80\x80\x80"};
    for (size_t i = 0; i < sizeof valid / sizeof *valid; i++)
        assert_true(value_text_is_valid(valid[i], strlen(valid[i])));
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++)
        assert_false(value_text_is_valid(invalid[i], strlen(invalid[i])));
    for (size_t at = 0; at < 20; at++) {
        char text[20];
        memset(text, 'x', sizeof text);
        text[at] = '\0';
        assert_false(value_text_is_valid(text, sizeof text));
    }
}

static void a_value_is_described_as_a_person_reads_it(void **state)
{
    (void)state;
    const struct {
        struct value value;
        const char *text;
    } cases[] = {
        {value_null(), "NULL"},   {value_integer(-5), "-5"},          {value_real(1.0), "1.0"},
        {value_real(0.1), "0.1"}, {value_text("it's", 4), "'it''s'"}, {value_blob("\0\xff", 2), "x'00ff'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer text = {0};
        assert_true(value_describe(&cases[i].value, &text));
        assert_int_equal(text.len, strlen(cases[i].text));
        assert_memory_equal(text.bytes, cases[i].text, text.len);
        buffer_release(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_a_name_that_leads_back),     cmocka_unit_test(a_text_is_always_one_clean_line),
        cmocka_unit_test(an_error_forgets_what_it_was_about),        cmocka_unit_test(text_is_utf8_without_nul),
        cmocka_unit_test(a_value_is_described_as_a_person_reads_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
