/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct options_own own[] = {
    {"rejects", "FILE", "refused rows go there, a line of JSON each, with a help text that is too long for one line"},
    {"stop-on-error", NULL, "stop at the first refused row"},
};

static const char *rejects;
static bool stop;

static bool take(void *context, size_t which, const char *argument, struct error *error)
{
    (void)context;
    if (which == 0 && strcmp(argument, "bad") == 0)
        return error_set(error, ERROR_PARSE, "--rejects=%s: it is an input", argument);
    if (which == 0)
        rejects = argument;
    else
        stop = true;
    return true;
}

static struct options_spec spec = {.verb = "load",
                                   .usage = "[OPTION]... TABLE=FILE...",
                                   .about = "About.\n",
                                   .examples = "  coordinator load\n",
                                   .own = own,
                                   .own_count = 2,
                                   .take = take,
                                   .operands = true};

static struct options options;
static int operands;
static char told[8192]; /* what came out of stdout and stderr */

/* Reads the words (up to NULL) as a command line. */
static enum options_result read_words(const char *const *words)
{
    static char storage[16][64];
    static char *argv[17];
    FILE *file = tmpfile();
    int kept[2] = {dup(1), dup(2)};
    enum options_result result;
    int argc = 0;
    size_t len;

    for (; words[argc]; argc++) {
        strcpy(storage[argc], words[argc]);
        argv[argc] = storage[argc];
    }
    argv[argc] = NULL;
    fflush(stdout);
    dup2(fileno(file), 1);
    dup2(fileno(file), 2);
    result = options_read(&spec, argc, argv, &options, &operands);
    dup2(kept[0], 1);
    dup2(kept[1], 2);
    close(kept[0]);
    close(kept[1]);
    rewind(file);
    len = fread(told, 1, sizeof told - 1, file);
    told[len] = '\0';
    fclose(file);
    return result;
}
#define READ(...) read_words((const char *const[]){"load", __VA_ARGS__, NULL})

static void options_and_operands_come_in_any_order(void **state)
{
    (void)state;
    assert_int_equal(READ("a=1", "--data", "d", "--rejects=r", "b=2", "--metrics=json", "--stop-on-error", "--", "--c"),
                     OPTIONS_GO);
    assert_string_equal(options.data, "d");
    assert_true(options.data_given);
    assert_int_equal(options.metrics, METRICS_JSON);
    assert_string_equal(options.log_format, "logfmt");
    assert_string_equal(rejects, "r");
    assert_true(stop);
    assert_int_equal(operands,
                     7); /* load, six words of options and "--" come first: three operands stand behind them */
    assert_string_equal(told, "");
}

static void nothing_given_is_told_apart_from_something(void **state)
{
    (void)state;
    assert_int_equal(READ("--quiet"), OPTIONS_GO);
    assert_null(options.data);
    assert_false(options.data_given);
    assert_int_equal(options.metrics, METRICS_UNSET);
    assert_true(options.quiet);
}

static void what_is_wrong_is_named_with_a_hint(void **state)
{
    static const char *const cases[][3] = {
        {"--nonsense", NULL, "--nonsense"},
        {"-x", NULL, "-x"},
        {"--metrics=xml", NULL, "xml"},
        {"--log-level=loud", NULL, "loud"},
        {"--log-format=csv", NULL, "csv"},
        {"--quiet=yes", NULL, "--quiet=yes"},
        {"--data", NULL, "--data"},
        {"--data=", NULL, "--data"},
        {"--rejects=bad", NULL, "is an input"},
        {"--stop-on-error=1", NULL, "--stop-on-error=1"},
        {"--non\033sense", NULL, "non\\x1bsense"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(READ(cases[i][0]), OPTIONS_WRONG);
        assert_memory_equal(told, "coordinator load: ", 18);
        assert_non_null(strstr(told, cases[i][2]));
        assert_non_null(strstr(told, "Try 'coordinator load --help'.\n"));
    }
    assert_int_equal(options_leave(OPTIONS_WRONG), 2);
}

static void operands_are_refused_where_none_belong(void **state)
{
    (void)state;
    spec.operands = false;
    assert_int_equal(READ("extra"), OPTIONS_WRONG);
    assert_non_null(strstr(told, "'extra'"));
    spec.operands = true;
}

static void help_names_every_option_in_80_columns(void **state)
{
    static const char *const names[] = {"--data=",         "--schema=",     "--config=",      "--metrics=",
                                        "--metrics-file=", "--log-format=", "--log-level=",   "--quiet",
                                        "--help",          "--rejects=",    "--stop-on-error"};
    char *line, *rest;

    (void)state;
    assert_int_equal(READ("--quiet", "--help", "--nonsense"), OPTIONS_HELP);
    assert_int_equal(options_leave(OPTIONS_HELP), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_non_null(strstr(told, names[i]));
    for (line = strtok_r(told, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        assert_true(strlen(line) <= 80);
        assert_true(line[strlen(line) - 1] != ' ');
    }
}

static void errors_become_exit_statuses(void **state)
{
    (void)state;
    assert_int_equal(options_status_of(&(struct error){.code = ERROR_PARSE}), 2);
    assert_int_equal(options_status_of(&(struct error){.code = ERROR_UNAVAILABLE}), 3);
    assert_int_equal(options_status_of(&(struct error){.code = ERROR_BUSY}), 3);
    assert_int_equal(options_status_of(&(struct error){.code = ERROR_UNKNOWN}), 3);
    assert_int_equal(options_status_of(&(struct error){.code = ERROR_IO}), 3);
    assert_int_equal(options_status_of(&(struct error){.code = ERROR_INTERNAL}), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_and_operands_come_in_any_order),
        cmocka_unit_test(nothing_given_is_told_apart_from_something),
        cmocka_unit_test(what_is_wrong_is_named_with_a_hint),
        cmocka_unit_test(operands_are_refused_where_none_belong),
        cmocka_unit_test(help_names_every_option_in_80_columns),
        cmocka_unit_test(errors_become_exit_statuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
