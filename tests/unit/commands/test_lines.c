/* SPDX-License-Identifier: Apache-2.0 */
#include "lines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Feeds `text` in pieces of at most `step` bytes and writes down what is told: "2:abc|3:!|" (! is too long). */
static void tell(const char *text, size_t len, size_t step, size_t line_max, char *told)
{
    struct lines *lines = lines_new(line_max);
    bool ended = false;

    assert_non_null(lines);
    for (*told = '\0'; !ended;) {
        size_t room, some = len < step ? len : step;
        void *at = lines_room(lines, &room);
        enum lines_result result;
        const char *line;
        uint64_t number;
        size_t line_len;

        assert_true(room > 0);
        if (some > room)
            some = room;
        memcpy(at, text, some);
        text += some;
        len -= some;
        lines_filled(lines, some);
        while ((result = lines_next(lines, &line, &line_len, &number)) == LINES_LINE || result == LINES_TOO_LONG) {
            told += sprintf(told, "%d:", (int)number);
            if (result == LINES_LINE)
                told += sprintf(told, "%.*s|", (int)line_len, line);
            else
                told += sprintf(told, "!|");
        }
        ended = result == LINES_END;
        assert_true(ended == (some == 0));
    }
    lines_free(lines);
}

static void assert_told(const char *text, size_t line_max, const char *expected)
{
    char told[1024];

    for (size_t step = 1; step <= strlen(text) + 1; step++) {
        tell(text, strlen(text), step, line_max, told);
        assert_string_equal(told, expected);
    }
}

static void lines_are_told_whatever_the_pieces(void **state)
{
    (void)state;
    assert_told("", 10, "");
    assert_told("a\nbc\n", 10, "1:a|2:bc|");
    assert_told("a\nbc", 10, "1:a|2:bc|"); /* the last one needs no end */
}

static void blank_lines_are_counted_and_passed_over(void **state)
{
    (void)state;
    assert_told("\n \t\r\na\n\n\nb\n \n", 10, "3:a|6:b|");
    assert_told("\r\n", 10, "");
}

static void a_line_too_long_is_told_once_and_the_next_goes_on(void **state)
{
    (void)state;
    assert_told("12345\n123456\n1\n", 5, "1:12345|2:!|3:1|");
    assert_told("1234567890123456789\n\n1\n123456", 5, "1:!|3:1|4:!|");
    assert_told("123456\n", 5, "1:!|");
    assert_told("123456\n123456\n", 5, "1:!|2:!|");
}

static void a_huge_line_takes_no_more_memory(void **state)
{
    size_t len = 3000000;
    char *text = malloc(len + 3);
    char told[64];

    (void)state;
    assert_non_null(text);
    memset(text, 'x', len);
    memcpy(text + len, "\na", 3);
    tell(text, len + 2, len, 1000, told);
    assert_string_equal(told, "1:!|2:a|");
    free(text);
}

static void a_byte_order_mark_at_the_beginning_is_passed_over(void **state)
{
    (void)state;
    assert_told("\xef\xbb\xbf"
                "a\nb\n",
                10, "1:a|2:b|");
    assert_told("\xef\xbb\xbf\n\xef\xbb\xbf"
                "b\n",
                10,
                "2:\xef\xbb\xbf"
                "b|");
    assert_told("\xef\xbb"
                "a\n",
                10,
                "1:\xef\xbb"
                "a|");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_byte_order_mark_at_the_beginning_is_passed_over),
        cmocka_unit_test(lines_are_told_whatever_the_pieces),
        cmocka_unit_test(blank_lines_are_counted_and_passed_over),
        cmocka_unit_test(a_line_too_long_is_told_once_and_the_next_goes_on),
        cmocka_unit_test(a_huge_line_takes_no_more_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
