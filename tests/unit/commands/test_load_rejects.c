/* SPDX-License-Identifier: Apache-2.0 */
#include "load_rejects.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "load_rejects_XXXXXX";
static struct schema *schema;

static int make(void **state)
{
    struct error error;

    (void)state;
    schema = schema_load(schema_shop, strlen(schema_shop), "shop", NULL, &error);
    return schema && mkdtemp(folder) && chdir(folder) == 0 && mkdir("data", 0700) == 0 ? 0 : -1;
}

static int take_away(void **state)
{
    (void)state;
    schema_free(schema);
    return system("rm -r input.csv link rejects data") == 0 && chdir("..") == 0 ? rmdir(folder) : -1;
}

static void put_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static char *content(const char *path)
{
    static char text[4096];
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    return text;
}

static const struct loader_input input = {.table = 0, .path = "input.csv", .format = INPUT_FORMAT_CSV};
static const struct loader_input packed = {.table = 0, .path = "in.msgpack", .format = INPUT_FORMAT_MSGPACK};

static const char *const files[] = {"input.csv", NULL};
static const struct outputs outputs = {.data = "data", .files = files, .count = 2};

static void an_input_is_never_overwritten(void **state)
{
    (void)state;
    struct error error;

    put_file("input.csv", "id\n1\n");
    put_file("data/users.db", "rows");
    assert_int_equal(symlink("input.csv", "link"), 0);
    assert_null(load_rejects_open("input.csv", &outputs, schema, &error));
    assert_int_equal(error.code, ERROR_PARSE);
    assert_null(load_rejects_open("link", &outputs, schema, &error));
    assert_null(load_rejects_open("./data/../input.csv", &outputs, schema, &error));
    assert_null(load_rejects_open("data/users.db", &outputs, schema, &error));
    assert_null(load_rejects_open("absent/rejects", &outputs, schema, &error));
    assert_string_equal(content("input.csv"), "id\n1\n");
    assert_string_equal(content("data/users.db"), "rows");
}

static void take(struct load_rejects *rejects, const struct loader_input *from, uint64_t line, const char *constraint,
                 const char *raw, size_t len, bool truncated)
{
    struct error why = {0}, error;
    struct loader_reject reject = {from, line, &why, (const uint8_t *)raw, len, truncated};

    error_set(&why, ERROR_CHECK, "it \"is\" wrong");
    error_about(&why, "users", constraint);
    assert_true(load_rejects_take(rejects, &reject, &error));
}

static void a_reject_is_a_line_that_can_be_mended(void **state)
{
    (void)state;
    struct error error;

    put_file("rejects", "what was here before, and longer than what comes");
    struct load_rejects *rejects = load_rejects_open("rejects", &outputs, schema, &error);
    assert_non_null(rejects);
    assert_true(load_rejects_begin(rejects, &error));
    take(rejects, &input, 3, "a,b", "1,\"x\ny\"", 7, false);
    take(rejects, &input, 9, "", "\xff\x01", 2, false);
    take(rejects, &packed, 2, "", "ab", 2, false);
    take(rejects, &input, 10, "", "a\0b", 3, false);
    take(rejects, &input, 11, "", "a\xc3\xa4\xc3", 4, true); /* cut inside a character */
    size_t count;
    const struct load_reason *reasons = load_rejects_reasons(rejects, &count);
    assert_int_equal(count, 2);
    assert_int_equal(reasons[0].rows, 1);
    assert_int_equal(reasons[1].rows, 4);
    assert_true(load_rejects_close(rejects, &error));
    assert_string_equal(
        content("rejects"),
        "{\"file\":\"input.csv\",\"line\":3,\"table\":\"users\",\"code\":\"check\",\"constraint\":\"a,b\","
        "\"message\":\"it \\\"is\\\" wrong\",\"raw\":\"1,\\\"x\\ny\\\"\"}\n"
        "{\"file\":\"input.csv\",\"line\":9,\"table\":\"users\",\"code\":\"check\",\"constraint\":null,"
        "\"message\":\"it \\\"is\\\" wrong\",\"raw\":{\"hex\":\"ff01\"}}\n"
        "{\"file\":\"in.msgpack\",\"line\":2,\"table\":\"users\",\"code\":\"check\",\"constraint\":null,"
        "\"message\":\"it \\\"is\\\" wrong\",\"raw\":{\"hex\":\"6162\"}}\n"
        "{\"file\":\"input.csv\",\"line\":10,\"table\":\"users\",\"code\":\"check\",\"constraint\":null,"
        "\"message\":\"it \\\"is\\\" wrong\",\"raw\":\"a\\u0000b\"}\n"
        "{\"file\":\"input.csv\",\"line\":11,\"table\":\"users\",\"code\":\"check\",\"constraint\":null,"
        "\"message\":\"it \\\"is\\\" wrong\",\"raw\":\"aä\",\"truncated\":true}\n");
}

static void what_was_there_stays_until_the_load_begins(void **state)
{
    (void)state;
    struct error error;

    put_file("rejects", "being mended");
    struct load_rejects *rejects = load_rejects_open("rejects", &outputs, schema, &error);
    assert_non_null(rejects);
    assert_true(load_rejects_close(rejects, &error));
    assert_string_equal(content("rejects"), "being mended");
    rejects = load_rejects_open("rejects", &outputs, schema, &error);
    assert_true(load_rejects_begin(rejects, &error));
    assert_string_equal(content("rejects"), "");
    assert_true(load_rejects_close(rejects, &error));
}

static void reasons_stay_bounded(void **state)
{
    (void)state;
    struct error error;
    char constraint[32];
    uint64_t rows = 0;
    size_t count;

    struct load_rejects *rejects = load_rejects_open("rejects", &outputs, schema, &error);
    assert_true(load_rejects_begin(rejects, &error));
    for (int i = 0; i < LOAD_REASONS_MAX * 2; i++) {
        snprintf(constraint, sizeof constraint, "c%d", i);
        take(rejects, &input, 1, constraint, "", 0, false);
    }
    const struct load_reason *reasons = load_rejects_reasons(rejects, &count);
    assert_int_equal(count, LOAD_REASONS_MAX + 1);
    for (size_t i = 0; i < count; i++)
        rows += reasons[i].rows;
    assert_int_equal(rows, LOAD_REASONS_MAX * 2);
    assert_true(load_rejects_close(rejects, &error));
}

static void a_full_disk_is_told(void **state)
{
    (void)state;
    struct error error = {0};
    struct load_rejects *rejects = load_rejects_open("/dev/full", &outputs, schema, &error);

    assert_non_null(rejects);
    assert_true(load_rejects_begin(rejects, &error));
    take(rejects, &input, 3, "", "x", 1, false);
    assert_false(load_rejects_close(rejects, &error));
    assert_int_equal(error.code, ERROR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_input_is_never_overwritten),
        cmocka_unit_test(a_reject_is_a_line_that_can_be_mended),
        cmocka_unit_test(what_was_there_stays_until_the_load_begins),
        cmocka_unit_test(reasons_stay_bounded),
        cmocka_unit_test(a_full_disk_is_told),
    };
    return cmocka_run_group_tests(tests, make, take_away);
}
