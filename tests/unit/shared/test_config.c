/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct config config;
static struct error error;
static char directory[] = "config-test-XXXXXX";
static char path[64];

static bool read_text(const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    return config_read(&config, path, &error);
}

static int setup(void **state)
{
    (void)state;
    config_init(&config);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    config_release(&config);
    unlink(path);
    return 0;
}

/* What follows it in its line would be cut off. */
static void a_nul_is_refused(void **state)
{
    (void)state;
    static const char bytes[] = "[coordinator]\ncluster = sh\0op\n";
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, sizeof bytes - 1, file), sizeof bytes - 1);
    fclose(file);
    assert_false(config_read(&config, path, &error));
    assert_int_equal(error.code, ERROR_PARSE);
    assert_non_null(strstr(error.text, ":2: a NUL is in the line"));
}

static void every_setting_is_read(void **state)
{
    (void)state;
    if (!read_text("; a comment\n[coordinator]\ndata = /var/lib/sheaf\ncluster = shop\nschema = schema.sql\n"
                   "# another\n[limits]\nanswer_ms = 500\nbatches_in_flight=32\n"
                   "[http]\nlisten = 127.0.0.1:8080\ntoken_file = secret/token\n"
                   "[database orders]\ntables = orders , \"order lines\",x\naddress = tls+tcp://db2.example:7401\n"
                   "[database rest]\ntables=users\n[database later]\naddress = tcp://127.0.0.1:7402\n"))
        fail_msg("%s", error.text);
    char expected[128];
    assert_string_equal(config.file, path);
    assert_string_equal(config.data, "/var/lib/sheaf");
    assert_string_equal(config.cluster, "shop");
    snprintf(expected, sizeof expected, "%s/schema.sql", directory);
    assert_string_equal(config.schema, expected);
    snprintf(expected, sizeof expected, "%s/secret/token", directory);
    assert_string_equal(config.http_token_file, expected);
    assert_string_equal(config.http_listen, "127.0.0.1:8080");
    assert_int_equal(config.limits.answer_ms, 500);
    assert_int_equal(config.limits.batches_in_flight, 32);
    assert_int_equal(config.limits.mute_ms, limits_default().mute_ms);
    assert_int_equal(config.database_count, 3);
    assert_int_equal(config.databases[0].table_count, 3);
    assert_string_equal(config.databases[0].tables[1], "\"order lines\"");
    assert_string_equal(config.databases[0].tables[2], "x");
    assert_string_equal(config_address(&config, "orders"), "tls+tcp://db2.example:7401");
    assert_string_equal(config_address(&config, "later"), "tcp://127.0.0.1:7402");
    assert_null(config_address(&config, "rest"));
    assert_null(config_address(&config, "ORDERS"));
}

static void the_placement_is_what_the_databases_say(void **state)
{
    (void)state;
    struct schema_placement placement = {0};
    assert_true(config_placement(&config, &placement, &error)); /* none */
    assert_int_equal(placement.count, 0);
    schema_placement_release(&placement);
    assert_true(read_text("[database a b]\ntables = t, u\n[database c]\ntables = v\n"));
    assert_true(config_placement(&config, &placement, &error));
    assert_int_equal(placement.count, 3);
    assert_string_equal(placement.entries[1].database, "a b");
    assert_string_equal(placement.entries[1].table, "u");
    assert_string_equal(placement.entries[2].database, "c");
    schema_placement_release(&placement);
}

static void an_empty_file_gives_the_defaults(void **state)
{
    (void)state;
    const struct limits standard = limits_default();
    assert_true(read_text(""));
    assert_null(config.data);
    assert_memory_equal(&config.limits, &standard, sizeof standard);
    assert_int_equal(config.database_count, 0);
}

static void what_is_wrong_is_refused_with_file_and_line(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned line;
        const char *about;
    } cases[] = {
        {"[coordinator]\nport = 5\n", 2, "[coordinator] has no setting called port"},
        {"[server]\nport = 5\n", 1, "there is no section [server]"},
        {"[http]\n\n[nope]\n[coordinator]\n", 3, "there is no section [nope]"},
        {"[http]\n[limits] x\n", 2, "behind [limits] stands something"},
        {"[limits] ; a comment\n", 1, "behind [limits] stands something"},
        {"[limits]\nanswer_ms = 500 ; a comment\n", 2, "answer_ms = 500 ; a comment is not a whole number"},
        {"data = x\n", 1, "settings belong into a section"},
        {"[coordinator]\ndata = a\n[http]\nlisten = b\n[coordinator]\ndata = c\n", 6, "data is given twice"},
        {"[limits]\nanswer_ms = 500\nanswer_ms = 500\n", 3, "answer_ms is given twice"},
        {"[limits]\nanswer_ms = soon\n", 2, "answer_ms = soon is not a whole number"},
        {"[limits]\nanswer_ms = 5s\n", 2, "is not a whole number"},
        {"[limits]\nanswer_ms =\n", 2, "is not a whole number"},
        {"[limits]\nanswer_ms = 99999999999999999999\n", 2, "is not a whole number"},
        {"[limits]\nanswer_ms = 99\n", 2, "answer_ms = 99 is not within 100 and 3600000 ms"},
        {"[limits]\nanswer_ms = 3600001\n", 2, "is not within"},
        {"[limits]\nanswer_s = 1\n", 2, "there is no limit called answer_s"},
        {"[http]\nport = 80\n", 2, "[http] has no setting called port"},
        {"[database a]\nsize = 5\n", 2, "[database a] has no setting called size"},
        {"[database a]\ntables = t\n[database b]\ntables = u, T\n", 4, "table T is placed twice (database a)"},
        {"[database a]\ntables = t\ntables = u\n", 3, "tables is given twice"},
        {"[database a]\naddress = x\naddress = y\n", 3, "address is given twice"},
        {"[database a]\ntables = t,,u\n", 2, "a name is missing between commas"},
        {"[database a]\ntables =\n", 2, "no table is named"},
        {"[database a]\ntables = t\n[database A]\ntables = u\n", 4, "databases a and A differ only in case"},
        {"[database ]\ntables = t\n", 2, "a name of none"},
        {"[coordinator]\nwhat is this\n", 2, "not a [section], a name = value, or a comment"},
        {"[coordinator\ndata = x\n", 1, "not a [section]"},
        {"[http]\nlisten = x\nnonsense\nlisten = y\n", 3, "not a [section]"},
        {"[http]\nlisten = x\nlisten = y\nnonsense\n", 3, "listen is given twice"},
        {"[http]\nlisten = x\n  y\n", 3, "listen is given twice"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char place[128];
        if (read_text(cases[i].text))
            fail_msg("accepted: %s", cases[i].text);
        snprintf(place, sizeof place, "%s:%u: ", path, cases[i].line);
        if (strncmp(error.text, place, strlen(place)) || !strstr(error.text, cases[i].about))
            fail_msg("%s is refused with: %s", cases[i].text, error.text);
        assert_null(config.data); /* nothing of it was taken */
        assert_int_equal(config.database_count, 0);
    }
}

static void a_value_is_all_of_its_line(void **state)
{
    (void)state;
    assert_true(read_text("\xEF\xBB\xBF[coordinator] \r\ndata = /a ;b # c\r\n ; a comment\n[http]\nlisten = x\n"));
    assert_string_equal(config.data, "/a ;b # c");
    assert_string_equal(config.http_listen, "x");
}

static void the_smallest_and_the_largest_of_each_limit_are_accepted(void **state)
{
    (void)state;
    struct buffer smallest_text = {0}, largest_text = {0};
    assert_true(buffer_put_text(&smallest_text, "[limits]\n") && buffer_put_text(&largest_text, "[limits]\n"));
#define X(name, standard, smallest, largest, unit, why)                                   \
    assert_true(buffer_format(&smallest_text, #name " = %lld\n", (long long)(smallest))); \
    assert_true(buffer_format(&largest_text, #name " = %lld\n", (long long)(largest)));   \
    assert_true((standard) >= (smallest) && (standard) <= (largest));
    LIMITS_SETTABLE(X)
#undef X
    assert_true(buffer_put(&smallest_text, "", 1) && buffer_put(&largest_text, "", 1));
    assert_true(read_text((const char *)smallest_text.bytes));
#define X(name, standard, smallest, largest, unit, why) assert_true(config.limits.name == (smallest));
    LIMITS_SETTABLE(X)
#undef X
    assert_true(read_text((const char *)largest_text.bytes));
#define X(name, standard, smallest, largest, unit, why) assert_true(config.limits.name == (largest));
    LIMITS_SETTABLE(X)
#undef X
    buffer_release(&smallest_text);
    buffer_release(&largest_text);
}

static void more_databases_than_there_may_be_are_refused(void **state)
{
    (void)state;
    struct buffer text = {0};
    for (int i = 0; i <= LIMIT_DATABASES_MAX; i++)
        assert_true(buffer_format(&text, "[database d%d]\naddress = a\n", i));
    size_t len = text.len;
    assert_true(buffer_put(&text, "", 1));
    assert_false(read_text((const char *)text.bytes));
    assert_int_equal(error.code, ERROR_TOO_LARGE);
    text.bytes[len - strlen("[database d64]\naddress = a\n")] = '\0';
    assert_true(read_text((const char *)text.bytes));
    assert_int_equal(config.database_count, LIMIT_DATABASES_MAX);
    buffer_release(&text);
}

static void a_failure_leaves_what_was_read_before(void **state)
{
    (void)state;
    assert_true(read_text("[coordinator]\ndata = /a\n"));
    assert_false(read_text("[coordinator]\ndata = /b\nnonsense = 1\n"));
    assert_string_equal(config.data, "/a");
    assert_true(read_text("[coordinator]\ndata = /c\n"));
    assert_string_equal(config.data, "/c");
}

static void a_long_list_of_tables_goes_on_in_indented_lines(void **state)
{
    (void)state;
    struct buffer text = {0};
    assert_true(buffer_put_text(&text, "[database a]\ntables = t0,"));
    for (int i = 1; i < 1000; i++)
        assert_true(buffer_format(&text, "%stable_%d,", i % 10 ? " " : "\n\t", i));
    assert_true(buffer_put_text(&text, "\n[database b]\naddress = x\n") && buffer_put(&text, "", 1));
    if (!read_text((const char *)text.bytes))
        fail_msg("%s", error.text);
    assert_int_equal(config.databases[0].table_count, 1000);
    assert_string_equal(config.databases[0].tables[999], "table_999");
    assert_string_equal(config_address(&config, "b"), "x");
    buffer_release(&text);
}

/* inih reads lines into 200 bytes, and would take what is behind them for a line of its own. */
static void a_line_that_is_too_long_is_refused_and_never_cut(void **state)
{
    (void)state;
    char text[1000], value[600], place[128];
    for (size_t len = 150; len < sizeof value; len++) {
        memset(value, 'v', len);
        value[len] = '\0';
        snprintf(text, sizeof text, "[http]\nlisten=%s\n[limits]\nanswer_ms=500\n", value);
        if (read_text(text)) {
            assert_string_equal(config.http_listen, value);
            assert_int_equal(config.limits.answer_ms, 500);
            assert_true(len + strlen("listen=") <= 199);
        } else {
            assert_int_equal(error.code, ERROR_TOO_LARGE);
            snprintf(place, sizeof place, "%s:2: a line has at most 199 bytes", path);
            assert_memory_equal(error.text, place, strlen(place));
            assert_true(len + strlen("listen=") > 199);
        }
        /* a part that would read as a setting, and a comment of any length */
        memcpy(value + len - 12, ";answer_ms=5", 12);
        snprintf(text, sizeof text, " \t# %s\n[limits]\nanswer_ms=600\n", value);
        assert_true(read_text(text));
        assert_int_equal(config.limits.answer_ms, 600);
        snprintf(text, sizeof text, "[http]\nlisten=%s", value); /* the last line, without an end */
        assert_int_equal(read_text(text), len + strlen("listen=") <= 199);
    }
}

static void a_file_that_cannot_be_read_is_an_error(void **state)
{
    (void)state;
    assert_false(config_read(&config, "no/such/file", &error));
    assert_int_equal(error.code, ERROR_IO);
    assert_non_null(strstr(error.text, "no/such/file: "));
    assert_false(config_read(&config, ".", &error));
    assert_int_equal(error.code, ERROR_IO);
}

static int make_directory(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof path, "%s/sheaf.conf", directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    return rmdir(directory);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(every_setting_is_read),
        TEST(a_nul_is_refused),
        TEST(the_placement_is_what_the_databases_say),
        TEST(an_empty_file_gives_the_defaults),
        TEST(what_is_wrong_is_refused_with_file_and_line),
        TEST(a_value_is_all_of_its_line),
        TEST(the_smallest_and_the_largest_of_each_limit_are_accepted),
        TEST(more_databases_than_there_may_be_are_refused),
        TEST(a_failure_leaves_what_was_read_before),
        TEST(a_long_list_of_tables_goes_on_in_indented_lines),
        TEST(a_line_that_is_too_long_is_refused_and_never_cut),
        TEST(a_file_that_cannot_be_read_is_an_error),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
