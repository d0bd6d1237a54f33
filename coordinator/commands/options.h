/* SPDX-License-Identifier: Apache-2.0 */
/* options.h - the options that verbs share, and how a verb adds its own.
 *
 * A verb describes itself once in a `struct options_spec`; options_read understands the command line (GNU long
 * options, operands and options in any order, `--` ends options), `--help` is made from the same description. A verb's
 * command has the shape `int x_command(int argc, char **argv)`, argv[0] is the verb's name, and returns the exit
 * status. */
#ifndef SHEAF_OPTIONS_H
#define SHEAF_OPTIONS_H

#include "error.h"
#include "metrics_report.h"

#include <stdbool.h>
#include <stddef.h>

/* Exit statuses, the same for every verb (130 and 143 are added by whoever was interrupted: 128 + the signal). */
enum {
    STATUS_FINE = 0,        /* all accepted or already there; the demo as planned */
    STATUS_REFUSED = 1,     /* some rows refused, or check found something */
    STATUS_USAGE = 2,       /* usage, configuration, schema, unreadable input */
    STATUS_UNAVAILABLE = 3, /* a process or database unavailable, busy or full, or an outcome unknown */
    STATUS_INTERNAL = 4
};

/* The status that an error of the whole command ends with: busy, unavailable, unknown and io are 3, internal is 4, all
 * others 2. (An input that cannot be read is io too, and 2: whoever opened it knows.) */
int options_status_of(const struct error *error);

/* What every verb that touches data takes. Views into argv; NULL where not given. */
struct options {
    const char *data;
    const char *schema;
    const char *config;
    enum metrics_format metrics; /* METRICS_UNSET: the verb's default */
    const char *metrics_file;
    const char *log_format; /* "logfmt" or "json"; "logfmt" when not given */
    const char *log_level;  /* "error", "warn", "info" or "debug"; "warn" when not given */
    bool quiet;
    bool data_given; /* by --data */
};

/* An option of one verb. */
struct options_own {
    const char *name;     /* without the dashes */
    const char *argument; /* its name in the help; NULL: takes none */
    const char *help;
};

struct options_spec {
    const char *verb;
    const char *usage;    /* what follows the verb: "[OPTION]... TABLE=FILE..." */
    const char *about;    /* lines of at most 80 columns, each ended */
    const char *examples; /* likewise; may be NULL */
    const struct options_own *own;
    size_t own_count;
    /* Takes own[which]; false with `error` when the argument is wrong (a usage error). May be NULL without own options.
     */
    bool (*take)(void *context, size_t which, const char *argument, struct error *error);
    void *context;
    bool operands;         /* whether arguments that are no options are allowed */
    bool no_schema;        /* --schema is no help: the verb refuses it by itself */
    bool no_metrics;       /* likewise --metrics and --metrics-file */
    const char *data_help; /* what --data is where not as elsewhere; NULL: as elsewhere */
};

enum options_result {
    OPTIONS_GO,    /* *ret_operands is the index in argv of the first operand (argv is put in order: options first) */
    OPTIONS_HELP,  /* --help was printed to stdout: leave with 0 */
    OPTIONS_WRONG, /* said on stderr: leave with STATUS_USAGE */
    OPTIONS_FAILED /* --help could not be written: leave with STATUS_UNAVAILABLE */
};

/* Main thread, once. */
enum options_result options_read(const struct options_spec *spec, int argc, char **argv, struct options *ret_options,
                                 int *ret_operands);

/* The exit status of a result that is not OPTIONS_GO. */
int options_leave(enum options_result result);

/* One line "coordinator VERB: …" and one "Try 'coordinator VERB --help'." to stderr. Returns STATUS_USAGE. */
int options_usage_error(const char *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* One line "coordinator VERB: TEXT" to stderr. Returns options_status_of(error). */
int options_complain(const char *verb, const struct error *error);

#endif
