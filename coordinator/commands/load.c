/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include "clock.h"
#include "load_rejects.h"
#include "load_report.h"
#include "loader.h"
#include "metrics_report.h"
#include "options.h"
#include "output.h"
#include "outputs.h"
#include "progress.h"
#include "session.h"
#include "signals.h"
#include "style.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The verb's own options. */
struct wishes {
    enum input_format format; /* NONE: by extension */
    const char *rejects;
    bool stop_on_error;
};

enum { OWN_FORMAT, OWN_REJECTS, OWN_STOP_ON_ERROR };

static const struct options_own own[] = {
    [OWN_FORMAT] = {"format", "FORMAT", "csv, tsv, ndjson or msgpack, for every file (else by extension; - is CSV)"},
    [OWN_REJECTS] = {"rejects", "FILE", "write a JSON line for each refused row to FILE"},
    [OWN_STOP_ON_ERROR] = {"stop-on-error", NULL, "begin no new row after the first refusal; keep what was committed"},
};

static bool take_own(void *context, size_t which, const char *argument, struct error *error)
{
    struct wishes *wishes = context;

    switch (which) {
    case OWN_FORMAT:
        wishes->format = input_format_of_name(argument);
        return wishes->format != INPUT_FORMAT_NONE ||
               error_set(error, ERROR_PARSE, "--format %s: it is csv, tsv, ndjson, jsonl or msgpack", argument);
    case OWN_REJECTS:
        wishes->rejects = argument;
        return true;
    default:
        wishes->stop_on_error = true;
        return true;
    }
}

static const char about[] = "Loads files into tables. All files of one call are one input: neither their\n"
                            "order nor that of their rows matters, and rows may refer to later ones, even in\n"
                            "circles. A refused row does not stop the others. A row that is there already\n"
                            "with the same values is counted as such: the same load may be run again, also\n"
                            "after a crash.\n";
static const char examples[] = "  coordinator load users=users.csv products=products.ndjson orders=orders.csv\n"
                               "  zcat orders.csv.gz | coordinator load --rejects refused.ndjson orders=-\n";

struct load {
    struct wishes wishes;
    struct options options;
    struct session session;
    struct loader_input *inputs;
    struct loader_counts *counts;
    struct histogram *parse; /* per input; NULL: not wanted */
    size_t input_count;
    const char **files; /* read; of `outputs` */
    struct outputs outputs;
    struct load_rejects *rejects;
    struct loader_options loading;
};

static bool interrupted(void)
{
    return signals_caught() != 0;
}

static bool refuse_operand(struct error *error, const char *operand, const char *why)
{
    return error_set(error, ERROR_PARSE, "%s: %s", operand, why);
}

/* TABLE=FILE, divided at the first = before which stands a table's name. */
static bool read_operand(const struct load *load, const char *operand, struct loader_input *input, struct error *error)
{
    const struct schema *schema = load->session.schema;
    const char *sign = strchr(operand, '=');
    table_id table = SCHEMA_NONE;

    if (!sign || sign == operand || !sign[1])
        return refuse_operand(error, operand, "it is TABLE=FILE");
    size_t name_len = (size_t)(sign - operand);
    while (sign && (table = schema_find_table(schema, operand, (size_t)(sign - operand))) == SCHEMA_NONE)
        sign = strchr(sign + 1, '=');
    if (!sign)
        return error_set(error, ERROR_UNKNOWN_TABLE, "there is no table %.*s in the schema", (int)name_len, operand);
    input->table = table;
    input->path = sign + 1;
    input->format = load->wishes.format;
    if (input->format == INPUT_FORMAT_NONE)
        input->format = input_format_of_path(input->path);
    if (input->format == INPUT_FORMAT_NONE && strcmp(input->path, "-") == 0)
        input->format = INPUT_FORMAT_CSV;
    return input->format != INPUT_FORMAT_NONE ||
           refuse_operand(error, input->path, "its extension names no format; --format tells");
}

/* And whether the files are there to be read, as far as can be told without reading. */
static bool read_operands(struct load *load, char **operands, struct error *error)
{
    bool stdin_taken = false;

    load->inputs = calloc(load->input_count, sizeof *load->inputs);
    if (!load->inputs)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < load->input_count; i++) {
        if (!read_operand(load, operands[i], &load->inputs[i], error))
            return false;
        bool is_stdin = strcmp(load->inputs[i].path, "-") == 0;
        if (is_stdin && stdin_taken)
            return refuse_operand(error, operands[i], "stdin can be read only once");
        stdin_taken = stdin_taken || is_stdin;
        if (!is_stdin && access(load->inputs[i].path, R_OK) != 0)
            return refuse_operand(error, load->inputs[i].path, strerror(errno));
    }
    return true;
}

static void look(void *context, struct progress_state *ret_state)
{
    const struct load *load = context;
    struct load_totals totals;
    struct progress_state state = {0};
    bool all_sizes_known = true;

    load_totals(&load->loading, SCHEMA_NONE, &totals);
    state.rows = totals.inserted + totals.same + totals.refused;
    state.refused = totals.refused;
    for (size_t i = 0; i < load->input_count; i++) {
        uint64_t total = atomic_load(&load->counts[i].bytes_total);
        state.bytes_done += atomic_load(&load->counts[i].bytes_read);
        state.bytes_total += total;
        all_sizes_known = all_sizes_known && (total > 0 || atomic_load(&load->counts[i].ended_ns) > 0);
    }
    if (!all_sizes_known)
        state.bytes_total = 0;
    *ret_state = state;
}

static struct metrics_target metrics_target_of(const struct load *load)
{
    return (struct metrics_target){.format = load->options.metrics,
                                   .standard = METRICS_TEXT,
                                   .file = load->options.metrics_file,
                                   .fd = STDOUT_FILENO};
}

/* The inputs' times for parsing, gathered per database. NULL when there are none. */
static struct histogram *parse_by_database(const struct load *load)
{
    const struct schema *schema = load->session.schema;
    struct histogram *merged = load->parse ? calloc(schema->database_count, sizeof *merged) : NULL;

    for (size_t i = 0; merged && i < load->input_count; i++)
        histogram_merge(&merged[schema->tables[load->inputs[i].table].database], &load->parse[i]);
    return merged;
}

static bool write_metrics(const struct load *load, uint64_t started_ns, struct error *error)
{
    const struct metrics_target target = metrics_target_of(load);
    struct load_totals totals;
    struct metrics metrics;

    if (!metrics_wanted(&target))
        return true;
    struct histogram *parse = parse_by_database(load);
    bool fine = session_gather(&load->session, parse, started_ns, &metrics, error);
    free(parse);
    if (!fine)
        return false;
    load_totals(&load->loading, SCHEMA_NONE, &totals);
    metrics.refused_in_input = totals.refused_by_input;
    /* a blank line between the summary and the metrics below it */
    bool below = !target.file && (target.format == METRICS_TEXT || target.format == METRICS_UNSET);
    fine = (!below || output_write(STDOUT_FILENO, "stdout", "\n", 1, NULL, error)) &&
           metrics_write(&metrics, &target, error);
    metrics_release(&metrics);
    return fine;
}

static bool write_summary(const struct load *load, uint64_t wall_ns, struct error *error)
{
    struct buffer out = {0};
    bool fine = load_report_put(&load->loading, load->rejects, wall_ns, style_colour(STDOUT_FILENO), &out);

    if (!fine)
        error_set(error, ERROR_INTERNAL, "out of memory");
    fine = fine && output_write(STDOUT_FILENO, "stdout", out.bytes, out.len, NULL, error);
    buffer_release(&out);
    return fine;
}

static int status_of_rows(const struct load *load)
{
    struct load_totals totals;

    load_totals(&load->loading, SCHEMA_NONE, &totals);
    if (totals.by_code[ERROR_INTERNAL])
        return STATUS_INTERNAL;
    if (totals.by_code[ERROR_UNKNOWN] || totals.by_code[ERROR_UNAVAILABLE] || totals.by_code[ERROR_IO] ||
        totals.by_code[ERROR_BUSY])
        return STATUS_UNAVAILABLE;
    return totals.refused ? STATUS_REFUSED : STATUS_FINE;
}

static int status_of(const struct load *load, enum loader_result result, const struct error *error)
{
    int rows = status_of_rows(load);

    switch (result) {
    case LOADER_UNREADABLE:
        options_complain("load", error);
        return rows > STATUS_USAGE ? rows : STATUS_USAGE;
    case LOADER_FAILED:
        return options_complain("load", error);
    case LOADER_INTERRUPTED:
        return rows > STATUS_USAGE ? rows : 128 + signals_caught();
    default:
        return rows;
    }
}

static int worse(int status, const struct error *error)
{
    int other = options_complain("load", error);

    return status > other ? status : other;
}

static bool anything_was_begun(const struct load *load)
{
    for (size_t i = 0; i < load->input_count; i++)
        if (atomic_load(&load->counts[i].began_ns) > 0)
            return true;
    return false;
}

static int run(struct load *load)
{
    uint64_t started_ns = clock_monotonic_ns();
    struct error error = {0}, other = {0};
    struct progress *progress = NULL;

    if (!load->options.quiet && !(progress = progress_start(STDERR_FILENO, look, load, &error)))
        return options_complain("load", &error);
    enum loader_result result = loader_run(&load->loading, &error);
    uint64_t wall_ns = clock_monotonic_ns() - started_ns;
    progress_stop(progress);
    load_rejects_finish(load->rejects);
    int status = status_of(load, result, &error);
    if (result == LOADER_UNREADABLE && !anything_was_begun(load))
        return status;
    if (!write_summary(load, wall_ns, &other) || !write_metrics(load, started_ns, &other))
        status = worse(status, &other);
    return status;
}

/* Nothing that is read is overwritten, nor the one output by the other: known before a database is made. */
static bool look_at_outputs(struct load *load, struct error *error)
{
    const struct session *session = &load->session;
    const char *rejects = load->wishes.rejects;

    load->files = calloc(load->input_count + 3, sizeof *load->files);
    if (!load->files)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    load->outputs = (struct outputs){.data = session->data, .files = load->files, .count = load->input_count};
    for (size_t i = 0; i < load->input_count; i++)
        load->files[i] = load->inputs[i].path;
    load->files[load->outputs.count++] = session->ddl_file;
    load->files[load->outputs.count++] = session->config.file;
    return outputs_may_write(&load->outputs, "--rejects", rejects, error) &&
           outputs_may_write(&load->outputs, "--metrics-file", load->options.metrics_file, error);
}

static bool open_rejects(struct load *load, struct error *error)
{
    load->rejects = load_rejects_open(load->wishes.rejects, &load->outputs, load->session.schema, error);
    load->files[load->outputs.count++] = load->wishes.rejects; /* which the metrics would replace */
    return load->rejects && outputs_may_write(&load->outputs, "--metrics-file", load->options.metrics_file, error);
}

static bool prepare(struct load *load, struct error *error)
{
    const struct metrics_target target = metrics_target_of(load);

    load->counts = calloc(load->input_count, sizeof *load->counts);
    if (metrics_wanted(&target))
        load->parse = calloc(load->input_count, sizeof *load->parse); /* without memory it is not measured */
    if (!load->counts)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    if (!open_rejects(load, error))
        return false;
    load->loading = (struct loader_options){.engine = load->session.engine,
                                            .schema = load->session.schema,
                                            .inputs = load->inputs,
                                            .input_count = load->input_count,
                                            .counts = load->counts,
                                            .stop_on_error = load->wishes.stop_on_error,
                                            .keep_raw = load->wishes.rejects != NULL,
                                            .scratch = load->session.data,
                                            .parse = load->parse,
                                            .interrupted = interrupted,
                                            .begin = load_rejects_begin,
                                            .reject = load_rejects_take,
                                            .context = load->rejects};
    return true;
}

int load_command(int argc, char **argv)
{
    struct load load = {0};
    struct error error = {0};
    int first, status;
    const struct options_spec spec = {.verb = "load",
                                      .usage = "[OPTION]... TABLE=FILE...",
                                      .about = about,
                                      .examples = examples,
                                      .own = own,
                                      .own_count = sizeof own / sizeof *own,
                                      .take = take_own,
                                      .context = &load.wishes,
                                      .operands = true};
    enum options_result result = options_read(&spec, argc, argv, &load.options, &first);

    if (result != OPTIONS_GO)
        return options_leave(result);
    if (first >= argc)
        return options_usage_error("load", "which files? TABLE=FILE...");
    load.input_count = (size_t)(argc - first);
    if (!session_open_shared(&load.session, &load.options, &error))
        return options_complain("load", &error);
    bool fine = read_operands(&load, argv + first, &error) && look_at_outputs(&load, &error) &&
                session_start(&load.session, &load.options, &error) && prepare(&load, &error);
    status = fine ? run(&load) : options_complain("load", &error);
    if (!load_rejects_close(load.rejects, &error))
        status = worse(status, &error);
    session_close(&load.session);
    free(load.inputs);
    free(load.files);
    free(load.counts);
    free(load.parse);
    return status;
}
