/* SPDX-License-Identifier: Apache-2.0 */
#include "table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct table_column two[] = {{"name", TABLE_LEFT, TABLE_CUT}, {"n", TABLE_RIGHT, TABLE_WHOLE}};

/* The table as a string; freed by the caller. */
static char *put(struct table *table, unsigned width, bool colour)
{
    struct buffer out = {0};

    assert_true(table_put(table, width, colour, &out));
    assert_true(buffer_put(&out, "", 1));
    return (char *)out.bytes;
}

static void assert_put(struct table *table, unsigned width, const char *expected)
{
    char *text = put(table, width, false);

    assert_string_equal(text, expected);
    free(text);
}

static void columns_are_as_wide_as_they_need(void **state)
{
    struct table *table = table_new(two, 2);

    (void)state;
    assert_true(table_cell_text(table, "users") && table_cell_format(table, "%d", 7));
    assert_true(table_cell_text(table, "山") && table_cell_format(table, "%d", 1234));
    assert_true(table_rule(table));
    assert_true(table_cell_text(table, "all")); /* and no second cell */
    assert_put(table, 80,
               "name      n\n"
               "───────────\n"
               "users     7\n"
               "山     1234\n"
               "───────────\n"
               "all\n");
    table_free(table);
}

static void what_does_not_fit_is_cut_with_an_ellipsis(void **state)
{
    struct table *table = table_new(two, 2);

    (void)state;
    assert_true(table_cell_text(table, "abcdefghijklmnop") && table_cell_text(table, "123456"));
    assert_true(table_cell_text(table, "山田花子山田花子") && table_cell_text(table, "1"));
    assert_put(table, 14,
               "name         n\n"
               "──────────────\n"
               "abcde…  123456\n"
               "山田…        1\n");
    table_free(table);
}

static void a_long_text_goes_on_below_at_blanks(void **state)
{
    static const struct table_column columns[] = {
        {"#", TABLE_RIGHT, TABLE_WHOLE}, {"why", TABLE_LEFT, TABLE_WRAP}, {"end", TABLE_LEFT, TABLE_WHOLE}};
    struct table *table = table_new(columns, 3);

    (void)state;
    assert_true(table_cell_text(table, "1") && table_cell_text(table, "one two three four") &&
                table_cell_text(table, "x"));
    assert_true(table_cell_text(table, "2") && table_cell_text(table, "abcdefghijklmnopq") &&
                table_cell_text(table, "y"));
    assert_put(table, 16,
               "#  why       end\n"
               "────────────────\n"
               "1  one two   x\n"
               "   three\n"
               "   four\n"
               "2  abcdefgh  y\n"
               "   ijklmnop\n"
               "   q\n");
    table_free(table);
}

static void no_line_is_wider_than_allowed(void **state)
{
    static const struct table_column columns[] = {
        {"database", TABLE_LEFT, TABLE_CUT}, {"步骤", TABLE_LEFT, TABLE_WRAP}, {"rows", TABLE_RIGHT, TABLE_WHOLE}};

    (void)state;
    srand(7);
    for (int round = 0; round < 300; round++) {
        struct table *table = table_new(columns, 3);
        char *text, *line, *rest;
        unsigned width = 30 + (unsigned)rand() % 60;

        for (int cell = 0; cell < 30; cell++) {
            static const char *const pieces[] = {"word ", "山", "é", "\t", "longerword", " ", "\xff", "e\u0301"};
            char content[200] = "";

            for (int i = rand() % 20; i > 0; i--)
                strcat(content, pieces[rand() % 8]);
            assert_true(table_cell_text(table, content));
        }
        text = put(table, width, false);
        for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
            assert_true(style_columns(line, strlen(line)) <= width);
            assert_true(line[strlen(line) - 1] != ' ');
        }
        free(text);
        table_free(table);
    }
}

static void colour_changes_no_width(void **state)
{
    struct table *table = table_new(two, 2);
    char *text;

    (void)state;
    assert_true(table_cell(table, STYLE_GREEN, "ok", 2) && table_cell(table, STYLE_RED, "1", 1));
    text = put(table, 80, true);
    assert_non_null(strstr(text, "\033[32mok\033[0m    \033[31m1\033[0m\n"));
    free(text);
    table_free(table);
}

static void a_cell_cannot_move_the_cursor(void **state)
{
    struct table *table = table_new(two, 2);

    (void)state;
    assert_true(table_cell_text(table, "a\033[2J\nb") && table_cell_text(table, "1"));
    assert_put(table, 80,
               "name           n\n"
               "────────────────\n"
               "a\\x1b[2J\\x0ab  1\n");
    table_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_as_wide_as_they_need),
        cmocka_unit_test(what_does_not_fit_is_cut_with_an_ellipsis),
        cmocka_unit_test(a_long_text_goes_on_below_at_blanks),
        cmocka_unit_test(no_line_is_wider_than_allowed),
        cmocka_unit_test(colour_changes_no_width),
        cmocka_unit_test(a_cell_cannot_move_the_cursor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
