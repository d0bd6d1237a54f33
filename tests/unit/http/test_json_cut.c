/* SPDX-License-Identifier: Apache-2.0 */
#include "json_cut.h"

#include "limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The members joined by '|', then '.' at a good end or '!'. The text stands in memory of exactly its size. */
static void gives(const char *text, const char *expected)
{
    char joined[512] = "";
    size_t used = 0, len = strlen(text);
    char *exact = malloc(len ? len : 1);
    struct json_member member;
    struct error error;
    enum json_cut_result result;

    memcpy(exact, text, len);
    struct json_cut cut = json_cut_open(exact, len);
    while ((result = json_cut_next(&cut, &member, &error)) == JSON_CUT_MEMBER)
        used += (size_t)snprintf(joined + used, sizeof joined - used, "%.*s%s%.*s|", (int)member.name_len,
                                 member.name ? member.name : "", member.name ? "=" : "", (int)member.len, member.value);
    strcat(joined, result == JSON_CUT_END ? "." : "!");
    assert_string_equal(joined, expected);
    free(exact);
}

static void members_are_cut_where_they_end(void **state)
{
    (void)state;
    gives(" [ ] ", ".");
    gives("{}", ".");
    gives("[1,\"a,]\\\"\",{\"x\":[1,2]} ]", "1|\"a,]\\\"\"|{\"x\":[1,2]} |.");
    gives("{\"a\" : [1,2] , \"b\\\"\":true}", "\"a\"=[1,2] |\"b\\\"\"=true|.");
}

static void what_has_no_shape_is_wrong(void **state)
{
    (void)state;
    const char *const none[] = {"[",       "{",        "[,1]",  "[}",    "{]",   "{1:2}",
                                "{\"a\"}", "{\"a\":}", "[\"a]", "[\"\\", "[] x", "[[]"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        gives(none[i], "!");
    gives("[1,]", "1|!");
    gives("[1}", "1|!");
    gives("[1] 2", "1|!");
    gives("[1", "!");
}

static void depth_has_its_bound(void **state)
{
    (void)state;
    char text[4 * LIMIT_JSON_DEPTH_MAX];

    for (int depth = LIMIT_JSON_DEPTH_MAX; depth <= LIMIT_JSON_DEPTH_MAX + 1; depth++) {
        struct json_member member;
        struct error error;
        size_t len = 2 * ((size_t)depth + 1);

        memset(text, '[', len / 2);
        memset(text + len / 2, ']', len / 2);
        struct json_cut cut = json_cut_open(text, len);
        assert_int_equal(json_cut_next(&cut, &member, &error),
                         depth == LIMIT_JSON_DEPTH_MAX ? JSON_CUT_MEMBER : JSON_CUT_WRONG);
    }
}

static void the_kind_is_told(void **state)
{
    (void)state;
    assert_int_equal(json_cut_kind(" \n{", 3), '{');
    assert_int_equal(json_cut_kind("[", 1), '[');
    assert_int_equal(json_cut_kind("1", 1), 0);
    assert_int_equal(json_cut_kind(" ", 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_cut_where_they_end),
        cmocka_unit_test(what_has_no_shape_is_wrong),
        cmocka_unit_test(depth_has_its_bound),
        cmocka_unit_test(the_kind_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
