/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include "buffer.h"
#include "output.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HELP_COLUMN 26
#define HELP_WIDTH 80

enum common_option { DATA, SCHEMA, CONFIG, METRICS, METRICS_FILE, LOG_FORMAT, LOG_LEVEL, QUIET, HELP, COMMON_COUNT };

/* The numbers that getopt_long gives back: above every character. */
#define COMMON_FIRST 0x100
#define OWN_FIRST 0x200

static const struct options_own common[COMMON_COUNT] = {
    [DATA] = {"data", "DIR", "directory of the databases (else --config's, else $SHEAF_DATA, else ./sheaf-data)"},
    [SCHEMA] = {"schema", "FILE", "SQLite DDL; the built-in shop when the directory is new and none is given"},
    [CONFIG] = {"config", "FILE", "configuration (else DIR/sheaf.conf, if it is there)"},
    [METRICS] = {"metrics", "FORMAT", "text, json or none: times and counts at the end"},
    [METRICS_FILE] = {"metrics-file", "FILE", "write them there"},
    [LOG_FORMAT] = {"log-format", "FORMAT", "logfmt or json, on stderr"},
    [LOG_LEVEL] = {"log-level", "LEVEL", "error, warn, info or debug"},
    [QUIET] = {"quiet", NULL, "no progress"},
    [HELP] = {"help", NULL, "this help"},
};

int options_status_of(const struct error *error)
{
    switch (error->code) {
    case ERROR_BUSY:
    case ERROR_UNAVAILABLE:
    case ERROR_UNKNOWN:
    case ERROR_IO:
        return STATUS_UNAVAILABLE;
    case ERROR_INTERNAL:
        return STATUS_INTERNAL;
    default:
        return STATUS_USAGE;
    }
}

int options_usage_error(const char *verb, const char *format, ...)
{
    struct error error;
    va_list arguments;

    va_start(arguments, format);
    error_set_v(&error, ERROR_PARSE, format, arguments); /* escapes what came from outside */
    va_end(arguments);
    fprintf(stderr, "coordinator %s: %s\nTry 'coordinator %s --help'.\n", verb, error.text, verb);
    return STATUS_USAGE;
}

int options_complain(const char *verb, const struct error *error)
{
    fprintf(stderr, "coordinator %s: %s\n", verb, error->text);
    return options_status_of(error);
}

/* A help text, broken at blanks to stay right of HELP_COLUMN. */
static bool put_help(struct buffer *out, size_t column, const char *help)
{
    size_t room = HELP_WIDTH - HELP_COLUMN;
    bool fine = true;

    if (column + 2 > HELP_COLUMN) {
        fine = buffer_put_text(out, "\n");
        column = 0;
    }
    while (fine && *help) {
        size_t len = strlen(help);

        if (len > room)
            for (len = room; len > 0 && help[len] != ' ';)
                len--;
        fine = buffer_format(out, "%*s%.*s\n", (int)(HELP_COLUMN - column), "", (int)len, help);
        help += len;
        help += *help == ' ';
        column = 0;
    }
    return fine;
}

static bool put_option(struct buffer *out, const struct options_own *option)
{
    size_t before = out->len;

    return buffer_format(out, "  --%s%s%s", option->name, option->argument ? "=" : "",
                         option->argument ? option->argument : "") &&
           put_help(out, out->len - before, option->help);
}

static bool put_common(const struct options_spec *spec, enum common_option which, struct buffer *out)
{
    struct options_own option = common[which];

    if ((which == SCHEMA && spec->no_schema) || ((which == METRICS || which == METRICS_FILE) && spec->no_metrics))
        return true;
    if (which == DATA && spec->data_help)
        option.help = spec->data_help;
    return put_option(out, &option);
}

static enum options_result print_help(const struct options_spec *spec)
{
    struct buffer out = {0};
    struct error error;
    bool fine = buffer_format(&out, "Usage: coordinator %s %s\n\n%s\nOptions:\n", spec->verb, spec->usage, spec->about);

    for (size_t i = 0; i < spec->own_count && fine; i++)
        fine = put_option(&out, &spec->own[i]);
    for (size_t i = 0; i < COMMON_COUNT && fine; i++)
        fine = put_common(spec, (enum common_option)i, &out);
    if (spec->examples)
        fine = fine && buffer_format(&out, "\nExamples:\n%s", spec->examples);
    if (!fine)
        error_set(&error, ERROR_INTERNAL, "out of memory");
    fine = fine && output_write(STDOUT_FILENO, "stdout", out.bytes, out.len, NULL, &error);
    buffer_release(&out);
    if (!fine)
        options_complain(spec->verb, &error);
    return fine ? OPTIONS_HELP : OPTIONS_FAILED;
}

static bool is_one_of(const char *argument, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(argument, *words) == 0)
            return true;
    return false;
}

static bool take_common(struct options *options, enum common_option which, const char *argument, struct error *error)
{
    switch (which) {
    case DATA:
        if (!*argument)
            return error_set(error, ERROR_PARSE, "--data: the name is empty");
        options->data = argument;
        options->data_given = true;
        return true;
    case SCHEMA:
        options->schema = argument;
        return true;
    case CONFIG:
        options->config = argument;
        return true;
    case METRICS:
        options->metrics = strcmp(argument, "text") == 0   ? METRICS_TEXT
                           : strcmp(argument, "json") == 0 ? METRICS_JSON
                           : strcmp(argument, "none") == 0 ? METRICS_NONE
                                                           : METRICS_UNSET;
        return options->metrics != METRICS_UNSET ||
               error_set(error, ERROR_PARSE, "--metrics=%s: it is one of text, json, none", argument);
    case METRICS_FILE:
        options->metrics_file = argument;
        return true;
    case LOG_FORMAT:
        options->log_format = argument;
        return is_one_of(argument, (const char *const[]){"logfmt", "json", NULL}) ||
               error_set(error, ERROR_PARSE, "--log-format=%s: it is one of logfmt, json", argument);
    case LOG_LEVEL:
        options->log_level = argument;
        return is_one_of(argument, (const char *const[]){"error", "warn", "info", "debug", NULL}) ||
               error_set(error, ERROR_PARSE, "--log-level=%s: it is one of error, warn, info, debug", argument);
    case QUIET:
        options->quiet = true;
        return true;
    case HELP:
    case COMMON_COUNT:
        break;
    }
    panic("no option has the number %d", (int)which);
}

static struct option *long_options(const struct options_spec *spec)
{
    struct option *list = calloc(COMMON_COUNT + spec->own_count + 1, sizeof *list);
    size_t at = 0;

    if (!list)
        return NULL;
    for (size_t i = 0; i < COMMON_COUNT; i++)
        list[at++] = (struct option){common[i].name, common[i].argument ? required_argument : no_argument, NULL,
                                     (int)(COMMON_FIRST + i)};
    for (size_t i = 0; i < spec->own_count; i++)
        list[at++] = (struct option){spec->own[i].name, spec->own[i].argument ? required_argument : no_argument, NULL,
                                     (int)(OWN_FIRST + i)};
    return list;
}

/* --help wins over everything that stands before or after it, but not over what cannot be understood before it. */
static enum options_result read_all(const struct options_spec *spec, const struct option *list, int argc, char **argv,
                                    struct options *options)
{
    struct error error;
    int found;

    optind = 0; /* starts glibc's getopt afresh */
    opterr = 0;
    while ((found = getopt_long(argc, argv, ":", list, NULL)) != -1) {
        const char *word = argv[optind > 0 ? optind - 1 : 0];
        bool fine = true;

        if (found == COMMON_FIRST + HELP)
            return print_help(spec);
        if (found == ':') {
            options_usage_error(spec->verb, "option '%s' needs an argument", word);
            return OPTIONS_WRONG;
        }
        if (found == '?') {
            if (optopt >= COMMON_FIRST)
                options_usage_error(spec->verb, "option '%s' takes no argument", word);
            else if (optopt)
                options_usage_error(spec->verb, "unknown option '-%c'", optopt);
            else
                options_usage_error(spec->verb, "unknown option '%s'", word);
            return OPTIONS_WRONG;
        }
        if (found >= OWN_FIRST)
            fine = spec->take(spec->context, (size_t)(found - OWN_FIRST), optarg, &error);
        else
            fine = take_common(options, (enum common_option)(found - COMMON_FIRST), optarg, &error);
        if (!fine) {
            options_usage_error(spec->verb, "%s", error.text);
            return OPTIONS_WRONG;
        }
    }
    return OPTIONS_GO;
}

enum options_result options_read(const struct options_spec *spec, int argc, char **argv, struct options *ret_options,
                                 int *ret_operands)
{
    struct options options = {.log_format = "logfmt", .log_level = "warn"};
    struct option *list = long_options(spec);
    enum options_result result;

    if (!list) {
        options_complain(spec->verb, &(struct error){.code = ERROR_INTERNAL, .text = "out of memory"});
        return OPTIONS_FAILED;
    }
    result = read_all(spec, list, argc, argv, &options);
    free(list);
    if (result == OPTIONS_GO && optind < argc && !spec->operands) {
        options_usage_error(spec->verb, "'%s' is no option, and nothing else is expected", argv[optind]);
        return OPTIONS_WRONG;
    }
    if (result == OPTIONS_GO) {
        *ret_options = options;
        *ret_operands = optind;
    }
    return result;
}

int options_leave(enum options_result result)
{
    switch (result) {
    case OPTIONS_GO:
    case OPTIONS_HELP:
        return STATUS_FINE;
    case OPTIONS_WRONG:
        return STATUS_USAGE;
    case OPTIONS_FAILED:
        return STATUS_UNAVAILABLE;
    }
    return STATUS_INTERNAL;
}
