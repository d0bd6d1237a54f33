/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics_report.h"
#include "json.h"
#include "output.h"
#include "style.h"
#include "table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH 80

void metrics_release(struct metrics *metrics)
{
    free(metrics->databases);
    metrics->databases = NULL;
    metrics->count = 0;
}

void metrics_merge(struct metrics *metrics)
{
    struct metrics_database *all = &metrics->all;

    memset(all, 0, sizeof *all);
    snprintf(all->name, sizeof all->name, "all");
    all->answered = true;
    for (uint16_t i = 0; i < metrics->count; i++) {
        const struct metrics_database *one = &metrics->databases[i];

        all->rows_accepted += one->rows_accepted;
        all->rows_same += one->rows_same;
        all->rows_refused += one->rows_refused;
        all->batches += one->batches;
        all->busy_ns += one->busy_ns;
        all->cpu_ns += one->cpu_ns;
        all->memory_bytes += one->memory_bytes;
        all->file_bytes += one->file_bytes;
        all->wal_bytes += one->wal_bytes;
        histogram_merge(&all->batch_rows, &one->batch_rows);
        for (int step = 0; step < METRICS_STEPS; step++)
            histogram_merge(&all->steps[step], &one->steps[step]);
    }
}

static const char *const step_names[METRICS_STEPS] = {
    [METRICS_PARSE] = "parse",   [METRICS_WAIT] = "wait",   [METRICS_CHECK] = "check",   [METRICS_QUEUE] = "queue",
    [METRICS_DECODE] = "decode", [METRICS_APPLY] = "apply", [METRICS_COMMIT] = "commit", [METRICS_TOTAL] = "total",
};

static bool put_heading(struct buffer *out, const char *text, bool colour)
{
    return style_put(out, STYLE_BOLD, colour, text, strlen(text)) && buffer_put(out, "\n", 1);
}

static bool put_table(struct table *table, bool filled, bool colour, struct buffer *out)
{
    bool fine = table && filled && table_put(table, WIDTH, colour, out);

    table_free(table);
    return fine;
}

static bool add_rows_line(struct table *table, const struct metrics_database *one)
{
    const struct histogram *rows = &one->batch_rows;

    return table_cell_text(table, one->name) && table_cell_format(table, "%" PRIu64, one->rows_accepted) &&
           table_cell_format(table, "%" PRIu64, one->rows_same) &&
           table_cell_format(table, "%" PRIu64, one->rows_refused) &&
           table_cell_format(table, "%" PRIu64, one->batches) &&
           table_cell_format(table, "%" PRIu64, histogram_percentile(rows, 0.50)) &&
           table_cell_format(table, "%" PRIu64, histogram_percentile(rows, 0.99)) &&
           table_cell_format(table, "%" PRIu64, rows->max);
}

static bool put_rows(const struct metrics *metrics, bool colour, struct buffer *out)
{
    static const struct table_column columns[] = {
        {"database", TABLE_LEFT, TABLE_CUT},    {"accepted", TABLE_RIGHT, TABLE_WHOLE},
        {"already", TABLE_RIGHT, TABLE_WHOLE},  {"refused", TABLE_RIGHT, TABLE_WHOLE},
        {"batches", TABLE_RIGHT, TABLE_WHOLE},  {"rows p50", TABLE_RIGHT, TABLE_WHOLE},
        {"rows p99", TABLE_RIGHT, TABLE_WHOLE}, {"rows max", TABLE_RIGHT, TABLE_WHOLE},
    };
    struct table *table = table_new(columns, sizeof columns / sizeof *columns);
    bool fine = table != NULL;

    for (uint16_t i = 0; i < metrics->count && fine; i++)
        fine = add_rows_line(table, &metrics->databases[i]);
    fine = fine && (metrics->count < 2 || (table_rule(table) && add_rows_line(table, &metrics->all)));
    fine = put_heading(out, "Rows, batches, and rows per batch", colour) && put_table(table, fine, colour, out);
    if (fine && metrics->refused_in_input > 0)
        fine = buffer_format(out, "refused before any database was asked: %" PRIu64 "\n", metrics->refused_in_input);
    return fine;
}

static bool add_time(struct table *table, uint64_t ns)
{
    char text[STYLE_SHORT];

    return table_cell_text(table, style_duration(ns, text));
}

/* One database's steps: a step that no row took (no parents to check) has no line. */
static bool add_steps(struct table *table, const struct metrics_database *one)
{
    const char *name = one->name;

    for (int step = 0; step < METRICS_STEPS; step++) {
        const struct histogram *times = &one->steps[step];

        if (times->count == 0)
            continue;
        if (!table_cell_text(table, name) || !table_cell_text(table, step_names[step]) ||
            !table_cell_format(table, "%" PRIu64, times->count) ||
            !add_time(table, histogram_percentile(times, 0.50)) ||
            !add_time(table, histogram_percentile(times, 0.99)) || !add_time(table, times->max))
            return false;
        name = "";
    }
    return true;
}

static bool put_steps(const struct metrics *metrics, bool colour, struct buffer *out)
{
    static const struct table_column columns[] = {
        {"database", TABLE_LEFT, TABLE_CUT}, {"step", TABLE_LEFT, TABLE_WHOLE}, {"rows", TABLE_RIGHT, TABLE_WHOLE},
        {"p50", TABLE_RIGHT, TABLE_WHOLE},   {"p99", TABLE_RIGHT, TABLE_WHOLE}, {"max", TABLE_RIGHT, TABLE_WHOLE},
    };
    struct table *table = table_new(columns, sizeof columns / sizeof *columns);
    bool fine = table != NULL;

    for (uint16_t i = 0; i < metrics->count && fine; i++)
        fine = add_steps(table, &metrics->databases[i]);
    fine = fine && (metrics->count < 2 || (table_rule(table) && add_steps(table, &metrics->all)));
    return put_heading(out, "Time of each step of a row", colour) && put_table(table, fine, colour, out);
}

static bool add_process(struct table *table, const char *name, uint64_t busy_ns, uint64_t cpu_ns, uint64_t memory,
                        const struct metrics_database *files)
{
    char text[STYLE_SHORT];

    return table_cell_text(table, name) && add_time(table, busy_ns) && add_time(table, cpu_ns) &&
           table_cell_text(table, style_bytes(memory, text)) &&
           table_cell_text(table, files ? style_bytes(files->file_bytes, text) : "") &&
           table_cell_text(table, files ? style_bytes(files->wal_bytes, text) : "");
}

static bool put_processes(const struct metrics *metrics, bool colour, struct buffer *out)
{
    static const struct table_column columns[] = {
        {"process", TABLE_LEFT, TABLE_CUT}, {"busy", TABLE_RIGHT, TABLE_WHOLE},
        {"CPU", TABLE_RIGHT, TABLE_WHOLE},  {"peak memory", TABLE_RIGHT, TABLE_WHOLE},
        {"file", TABLE_RIGHT, TABLE_WHOLE}, {"WAL", TABLE_RIGHT, TABLE_WHOLE},
    };
    struct table *table = table_new(columns, sizeof columns / sizeof *columns);
    char wall[STYLE_SHORT];
    bool fine = table && add_process(table, "coordinator", metrics->coordinator.busy_ns, metrics->coordinator.cpu_ns,
                                     metrics->coordinator.memory_bytes, NULL);

    for (uint16_t i = 0; i < metrics->count && fine; i++) {
        const struct metrics_database *one = &metrics->databases[i];

        if (one->answered)
            fine = add_process(table, one->name, one->busy_ns, one->cpu_ns, one->memory_bytes, one);
        else
            fine = table_cell_text(table, one->name) && table_cell_text(table, "no answer") &&
                   table_cell_text(table, "") && table_cell_text(table, "") && table_cell_text(table, "") &&
                   table_cell_text(table, "");
    }
    fine = put_heading(out, "Processes", colour) && put_table(table, fine, colour, out);
    return fine && buffer_format(out, "wall time %s\n", style_duration(metrics->wall_ns, wall));
}

bool metrics_text(const struct metrics *metrics, bool colour, struct buffer *out)
{
    return put_rows(metrics, colour, out) && buffer_put(out, "\n", 1) && put_steps(metrics, colour, out) &&
           buffer_put(out, "\n", 1) && put_processes(metrics, colour, out);
}

static bool put_histogram(struct buffer *out, const struct histogram *histogram, const char *unit)
{
    return buffer_format(out,
                         "{\"count\":%" PRIu64 ",\"mean%s\":%" PRIu64 ",\"p50%s\":%" PRIu64 ",\"p99%s\":%" PRIu64
                         ",\"max%s\":%" PRIu64 "}",
                         histogram->count, unit, histogram->count ? histogram->sum / histogram->count : 0, unit,
                         histogram_percentile(histogram, 0.50), unit, histogram_percentile(histogram, 0.99), unit,
                         histogram->max);
}

static bool put_process(struct buffer *out, uint64_t busy_ns, uint64_t cpu_ns, uint64_t memory_bytes)
{
    return buffer_format(out, "{\"busy_ns\":%" PRIu64 ",\"cpu_ns\":%" PRIu64 ",\"memory_bytes\":%" PRIu64 "}", busy_ns,
                         cpu_ns, memory_bytes);
}

/* The fields of one database, without its braces. */
static bool put_database(struct buffer *out, const struct metrics_database *one)
{
    bool fine = buffer_format(out,
                              "\"rows\":{\"accepted\":%" PRIu64 ",\"already_there\":%" PRIu64 ",\"refused\":%" PRIu64
                              "},\"batches\":%" PRIu64 ",\"rows_per_batch\":",
                              one->rows_accepted, one->rows_same, one->rows_refused, one->batches) &&
                put_histogram(out, &one->batch_rows, "") && buffer_put_text(out, ",\"steps\":{");

    for (int step = 0; step < METRICS_STEPS && fine; step++)
        fine = buffer_format(out, "%s\"%s\":", step ? "," : "", step_names[step]) &&
               put_histogram(out, &one->steps[step], "_ns");
    if (!fine)
        return false;
    if (!one->answered)
        return buffer_put_text(out, "},\"error\":") && json_put_error(out, &one->why);
    return buffer_put_text(out, "},\"process\":") && put_process(out, one->busy_ns, one->cpu_ns, one->memory_bytes) &&
           buffer_format(out, ",\"file_bytes\":%" PRIu64 ",\"wal_bytes\":%" PRIu64, one->file_bytes, one->wal_bytes);
}

bool metrics_json(const struct metrics *metrics, struct buffer *out)
{
    bool fine = buffer_format(out, "{\"wall_ns\":%" PRIu64 ",\"coordinator\":", metrics->wall_ns) &&
                put_process(out, metrics->coordinator.busy_ns, metrics->coordinator.cpu_ns,
                            metrics->coordinator.memory_bytes) &&
                buffer_format(out, ",\"refused_in_input\":%" PRIu64 ",\"databases\":[", metrics->refused_in_input);

    for (uint16_t i = 0; i < metrics->count && fine; i++) {
        const struct metrics_database *one = &metrics->databases[i];

        fine = buffer_put_text(out, i ? ",{\"name\":" : "{\"name\":") &&
               json_put_string(out, one->name, strlen(one->name)) && buffer_put(out, ",", 1) &&
               put_database(out, one) && buffer_put(out, "}", 1);
    }
    return fine && buffer_put_text(out, "],\"all\":{") && put_database(out, &metrics->all) &&
           buffer_put_text(out, "}}\n");
}

static enum metrics_format format_of(const struct metrics_target *target)
{
    if (target->format != METRICS_UNSET)
        return target->format;
    if (target->file && target->standard == METRICS_NONE)
        return METRICS_TEXT;
    return target->standard;
}

bool metrics_wanted(const struct metrics_target *target)
{
    enum metrics_format format = format_of(target);

    return format == METRICS_TEXT || format == METRICS_JSON;
}

bool metrics_write(const struct metrics *metrics, const struct metrics_target *target, struct error *error)
{
    struct buffer out = {0};
    bool colour = !target->file && style_colour(target->fd);
    bool fine = format_of(target) == METRICS_JSON ? metrics_json(metrics, &out) : metrics_text(metrics, colour, &out);

    if (!fine)
        error_set(error, ERROR_INTERNAL, "out of memory");
    else if (target->file)
        fine = output_file(target->file, out.bytes, out.len, error);
    else
        fine = output_write(target->fd, target->fd == 1 ? "stdout" : "stderr", out.bytes, out.len, NULL, error);
    buffer_release(&out);
    return fine;
}
