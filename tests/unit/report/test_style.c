/* SPDX-License-Identifier: Apache-2.0 */
#include "style.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void durations_have_three_digits_that_count(void **state)
{
    static const struct {
        uint64_t ns;
        const char *text;
    } cases[] = {
        {0, "0"},
        {1, "1 ns"},
        {999, "999 ns"},
        {1000, "1.00 µs"},
        {1234, "1.23 µs"},
        {9994, "9.99 µs"},
        {9996, "10.0 µs"},
        {99949, "99.9 µs"},
        {99960, "100 µs"},
        {350000, "350 µs"},
        {999499, "999 µs"},
        {999500, "1.00 ms"},
        {1200000, "1.20 ms"},
        {999499999, "999 ms"},
        {999500000, "1.00 s"},
        {59949999999, "59.9 s"},
        {59950000000, "1 min 0 s"},
        {200000000000, "3 min 20 s"},
        {7500000000000, "2 h 5 min"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[STYLE_SHORT];

        assert_string_equal(style_duration(cases[i].ns, text), cases[i].text);
    }
    char text[STYLE_SHORT];
    assert_true(strlen(style_duration(UINT64_MAX, text)) < STYLE_SHORT);
}

static void sizes_and_rates_change_unit_where_people_expect_it(void **state)
{
    char text[STYLE_SHORT];

    (void)state;
    assert_string_equal(style_bytes(0, text), "0 B");
    assert_string_equal(style_bytes(1023, text), "1023 B");
    assert_string_equal(style_bytes(1024, text), "1.00 KiB");
    assert_string_equal(style_bytes(1048576, text), "1.00 MiB");
    assert_string_equal(style_bytes(1048575, text), "1.00 MiB");
    assert_string_equal(style_bytes(40000000, text), "38.1 MiB");
    assert_string_equal(style_bytes(UINT64_MAX, text), "16.0 EiB");
    assert_string_equal(style_rate(0, text), "0");
    assert_string_equal(style_rate(4.25, text), "4.2");
    assert_string_equal(style_rate(12, text), "12");
    assert_string_equal(style_rate(999.6, text), "1.00k");
    assert_string_equal(style_rate(311000, text), "311k");
    assert_string_equal(style_rate(1250000, text), "1.25M");
}

static void assert_escaped(const char *text, const char *expected)
{
    struct buffer out = {0};

    assert_true(style_escape(&out, text, strlen(text)));
    assert_true(buffer_put(&out, "", 1));
    assert_string_equal((const char *)out.bytes, expected);
    buffer_release(&out);
}

static void nothing_that_moves_the_cursor_comes_through(void **state)
{
    (void)state;
    assert_escaped("plain é 山", "plain é 山");
    assert_escaped("a\033[2Jb", "a\\x1b[2Jb");
    assert_escaped("a\r\n\tb\x7f", "a\\x0d\\x0a\\x09b\\x7f");
    assert_escaped("\xc2\x9b", "\\u{9b}");
    assert_escaped("a\u202eb", "a\\u{202e}b");
    assert_escaped("\xff", "\\xff");
    assert_escaped("\xc0\xaf", "\\xc0\\xaf");          /* an overlong slash */
    assert_escaped("\xe0\x80\xaf", "\\xe0\\x80\\xaf"); /* and a longer one */
    assert_escaped("\xed\xa0\x80", "\\xed\\xa0\\x80"); /* a surrogate */
    assert_escaped("\xe5\xb1", "\\xe5\\xb1");          /* cut */
}

static void columns_are_counted_as_a_terminal_shows_them(void **state)
{
    (void)state;
    assert_int_equal(style_columns("", 0), 0);
    assert_int_equal(style_columns("abc", 3), 3);
    assert_int_equal(style_columns("é", 2), 1);
    assert_int_equal(style_columns("e\u0301", 3), 1);
    assert_int_equal(style_columns("山田", 6), 4);
    assert_int_equal(style_columns("😀", 4), 2);
}

static void a_prefix_never_ends_inside_a_character(void **state)
{
    (void)state;
    assert_int_equal(style_fit("abc", 3, 2), 2);
    assert_int_equal(style_fit("山田", 6, 3), 3);
    assert_int_equal(style_fit("山田", 6, 1), 0);
    assert_int_equal(style_fit("e\u0301x", 4, 1), 3); /* with its accent */
    assert_int_equal(style_fit("abc", 3, 10), 3);
}

static void colour_is_off_where_there_is_no_terminal_or_no_wish(void **state)
{
    struct buffer out = {0};
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
    assert_false(style_colour(fds[1]));
    close(fds[0]);
    close(fds[1]);
    assert_true(style_put(&out, STYLE_RED, false, "x", 1));
    assert_int_equal(out.len, 1);
    buffer_clear(&out);
    assert_true(style_put(&out, STYLE_RED, true, "x", 1));
    assert_memory_equal(out.bytes, "\033[31mx\033[0m", out.len);
    buffer_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_have_three_digits_that_count),
        cmocka_unit_test(sizes_and_rates_change_unit_where_people_expect_it),
        cmocka_unit_test(nothing_that_moves_the_cursor_comes_through),
        cmocka_unit_test(columns_are_counted_as_a_terminal_shows_them),
        cmocka_unit_test(a_prefix_never_ends_inside_a_character),
        cmocka_unit_test(colour_is_off_where_there_is_no_terminal_or_no_wish),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
