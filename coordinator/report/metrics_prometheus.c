/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics_report.h"

#include <stdio.h>
#include <string.h>

#define LABELS_SIZE (2 * LIMIT_NAME_BYTES_MAX + 64)
#define NS_PER_S 1e9

bool metrics_put_family(struct buffer *out, const char *name, const char *type, const char *help)
{
    return buffer_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

bool metrics_put_sample(struct buffer *out, const char *name, const char *labels, double value)
{
    return buffer_format(out, *labels ? "%s{%s} %.17g\n" : "%s%s %.17g\n", name, labels, value);
}

/* database="NAME", escaped as the format asks for. */
static void put_label(char labels[LABELS_SIZE], const struct metrics_database *database, const char *more)
{
    char name[2 * LIMIT_NAME_BYTES_MAX + 1];
    size_t len = 0;

    for (const char *at = database->name; *at; at++) {
        if (*at == '\\' || *at == '"' || *at == '\n')
            name[len++] = '\\';
        name[len++] = *at == '\n' ? 'n' : *at;
    }
    name[len] = '\0';
    snprintf(labels, LABELS_SIZE, "database=\"%s\"%s", name, more);
}

static double of_rows_accepted(const struct metrics_database *database)
{
    return (double)database->rows_accepted;
}
static double of_rows_same(const struct metrics_database *database)
{
    return (double)database->rows_same;
}
static double of_rows_refused(const struct metrics_database *database)
{
    return (double)database->rows_refused;
}
static double of_batches(const struct metrics_database *database)
{
    return (double)database->batches;
}
static double of_up(const struct metrics_database *database)
{
    return database->answered;
}
static double of_cpu(const struct metrics_database *database)
{
    return (double)database->cpu_ns / NS_PER_S;
}
static double of_memory(const struct metrics_database *database)
{
    return (double)database->memory_bytes;
}
static double of_file(const struct metrics_database *database)
{
    return (double)database->file_bytes;
}
static double of_wal(const struct metrics_database *database)
{
    return (double)database->wal_bytes;
}

struct family {
    const char *name;
    const char *type;
    const char *help; /* NULL: goes on with the family before */
    const char *labels;
    double (*value)(const struct metrics_database *database);
};

static const struct family families[] = {
    {"sheaf_rows_total", "counter", "Rows by their outcome.", ",outcome=\"accepted\"", of_rows_accepted},
    {"sheaf_rows_total", "counter", NULL, ",outcome=\"already_there\"", of_rows_same},
    {"sheaf_rows_total", "counter", NULL, ",outcome=\"refused\"", of_rows_refused},
    {"sheaf_batches_total", "counter", "Batches that a shard has answered.", "", of_batches},
    {"sheaf_shard_up", "gauge", "Whether the shard answers.", "", of_up},
    {"sheaf_shard_cpu_seconds_total", "counter", "CPU time of the shard's process.", "", of_cpu},
    {"sheaf_shard_memory_peak_bytes", "gauge", "Peak resident memory of the shard's process.", "", of_memory},
    {"sheaf_shard_file_bytes", "gauge", "Size of the database's file.", "", of_file},
    {"sheaf_shard_wal_bytes", "gauge", "Size of its write-ahead log.", "", of_wal},
};

static bool put_family(struct buffer *out, const struct metrics *metrics, const struct family *family)
{
    char labels[LABELS_SIZE];
    bool fine = !family->help || metrics_put_family(out, family->name, family->type, family->help);

    for (uint16_t i = 0; fine && i < metrics->count; i++) {
        put_label(labels, &metrics->databases[i], family->labels);
        fine = metrics_put_sample(out, family->name, labels, family->value(&metrics->databases[i]));
    }
    return fine;
}

/* A summary: the quantiles of one step, its sum and its count. */
static bool put_step(struct buffer *out, const struct metrics_database *database, const char *step,
                     const struct histogram *histogram)
{
    static const double shares[] = {0.5, 0.9, 0.99};
    char labels[LABELS_SIZE], more[64];
    bool fine = true;

    for (size_t i = 0; fine && i < sizeof shares / sizeof *shares; i++) {
        snprintf(more, sizeof more, ",step=\"%s\",quantile=\"%g\"", step, shares[i]);
        put_label(labels, database, more);
        fine = metrics_put_sample(out, "sheaf_step_seconds", labels,
                                  (double)histogram_percentile(histogram, shares[i]) / NS_PER_S);
    }
    snprintf(more, sizeof more, ",step=\"%s\"", step);
    put_label(labels, database, more);
    return fine && metrics_put_sample(out, "sheaf_step_seconds_sum", labels, (double)histogram->sum / NS_PER_S) &&
           metrics_put_sample(out, "sheaf_step_seconds_count", labels, (double)histogram->count);
}

bool metrics_prometheus(const struct metrics *metrics, struct buffer *out)
{
    static const char *const steps[METRICS_STEPS] = {"parse",  "wait",  "check",  "queue",
                                                     "decode", "apply", "commit", "total"};
    bool fine = true;

    for (size_t i = 0; fine && i < sizeof families / sizeof *families; i++)
        fine = put_family(out, metrics, &families[i]);
    fine = fine && metrics_put_family(out, "sheaf_step_seconds", "summary", "Time that a row spends in each step.");
    for (uint16_t i = 0; fine && i < metrics->count; i++)
        for (int step = METRICS_WAIT; fine && step < METRICS_STEPS; step++)
            fine = put_step(out, &metrics->databases[i], steps[step], &metrics->databases[i].steps[step]);
    return fine &&
           metrics_put_family(out, "sheaf_coordinator_cpu_seconds_total", "counter",
                              "CPU time of the coordinator's process.") &&
           metrics_put_sample(out, "sheaf_coordinator_cpu_seconds_total", "",
                              (double)metrics->coordinator.cpu_ns / NS_PER_S) &&
           metrics_put_family(out, "sheaf_coordinator_memory_peak_bytes", "gauge",
                              "Peak resident memory of the coordinator's process.") &&
           metrics_put_sample(out, "sheaf_coordinator_memory_peak_bytes", "",
                              (double)metrics->coordinator.memory_bytes);
}
