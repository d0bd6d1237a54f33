/* SPDX-License-Identifier: Apache-2.0 */
/* metrics_report.h - the times and counts of one run, gathered from every process, for people and for programs.
 *
 * metrics_gather asks the engine and every shard (a STATS query each); it must come before engine_stop. The rest works
 * on the gathered struct alone. Per step of a row: parse (front end), wait (locks), check (references), queue (for its
 * batch), decode, apply, commit (the shard's), total (from parse to the known outcome). "Over all" is the merge of the
 * databases' histograms. */
#ifndef SHEAF_METRICS_REPORT_H
#define SHEAF_METRICS_REPORT_H

#include "buffer.h"
#include "engine.h"
#include "error.h"
#include "histogram.h"
#include "schema.h"
#include "wire.h"

enum metrics_format { METRICS_UNSET, METRICS_TEXT, METRICS_JSON, METRICS_NONE };

enum metrics_step {
    METRICS_PARSE,
    METRICS_WAIT,
    METRICS_CHECK,
    METRICS_QUEUE,
    METRICS_DECODE,
    METRICS_APPLY,
    METRICS_COMMIT,
    METRICS_TOTAL,
    METRICS_STEPS
};

struct metrics_database {
    char name[LIMIT_NAME_BYTES_MAX + 1];
    bool answered; /* the shard told its part; else `why` */
    struct error why;
    uint64_t rows_accepted; /* rows that are in now because of this run */
    uint64_t rows_same;
    uint64_t rows_refused;
    uint64_t batches;
    struct histogram batch_rows;
    struct histogram steps[METRICS_STEPS];
    uint64_t busy_ns; /* of the shard's process; likewise below */
    uint64_t cpu_ns;
    uint64_t memory_bytes; /* peak resident */
    uint64_t file_bytes;
    uint64_t wal_bytes;
};

struct metrics {
    uint64_t wall_ns;
    struct {              /* the coordinator's own process */
        uint64_t busy_ns; /* the engine thread */
        uint64_t cpu_ns;
        uint64_t memory_bytes;
    } coordinator;
    uint64_t refused_in_input; /* by the front end, before any database was asked: it sets this after metrics_gather */
    uint16_t count;
    struct metrics_database *databases; /* allocated */
    struct metrics_database all;        /* merged; busy, cpu and memory are the shards' sum */
};

/* `parse`: one histogram per database (ns per row), or NULL when nothing was parsed. `started_ns`: clock_monotonic_ns
 * at the start of the run. A shard that cannot answer is marked, and is no failure. The caller releases. */
bool metrics_gather(struct engine *engine, const struct schema *schema, const struct histogram *parse,
                    uint64_t started_ns, struct metrics *ret_metrics, struct error *error);
void metrics_release(struct metrics *metrics);

/* Takes out of `metrics` what was counted before this run, by an engine that others use too. `before`: of the same
 * engine. */
void metrics_since(struct metrics *metrics, const struct metrics *before);

/* Fills metrics->all from the databases (metrics_gather does it itself). */
void metrics_merge(struct metrics *metrics);

/* Tables of at most 80 columns. False only when memory is out; likewise below. */
bool metrics_text(const struct metrics *metrics, bool colour, struct buffer *out);

/* One object in one line with its line end; integers are nanoseconds, bytes or counts:
 * {"wall_ns":…,
 *  "coordinator":{"busy_ns":…,"cpu_ns":…,"memory_bytes":…},
 *  "refused_in_input":…,
 *  "databases":[{"name":…,"rows":{"accepted":…,"already_there":…,"refused":…},"batches":…,
 *    "rows_per_batch":{"count","mean","p50","p99","max"},
 *    "steps":{"parse":{"count","mean_ns","p50_ns","p99_ns","max_ns"},"wait":…,"check":…,"queue":…,"decode":…,"apply":…,"commit":…,"total":…},
 *    "process":{"busy_ns":…,"cpu_ns":…,"memory_bytes":…},"file_bytes":…,"wal_bytes":…} …],
 *  "all":{the same without "name"}}
 * A shard that did not answer has "error":{"code","message"} in place of "process", "file_bytes" and "wal_bytes". */
bool metrics_json(const struct metrics *metrics, struct buffer *out);

/* Prometheus' text format, version 0.0.4, families "sheaf_…":
 * https://prometheus.io/docs/instrumenting/exposition_formats
 */
bool metrics_prometheus(const struct metrics *metrics, struct buffer *out);

/* The begin of a family, and one sample of it; `labels` as they stand between the braces, "" for none. */
bool metrics_put_family(struct buffer *out, const char *name, const char *type, const char *help);
bool metrics_put_sample(struct buffer *out, const char *name, const char *labels, double value);

/* Where and how a verb's metrics go. */
struct metrics_target {
    enum metrics_format format;   /* --metrics */
    enum metrics_format standard; /* of the verb, for METRICS_UNSET; with a `file` given it is at least TEXT */
    const char *file;             /* --metrics-file; NULL: */
    int fd;                       /* the verb's stream: 1, or 2 for insert */
};

/* Whether anything will be written: else metrics need not be gathered. */
bool metrics_wanted(const struct metrics_target *target);

/* Writes the report. ERROR_IO names the file or stream. */
bool metrics_write(const struct metrics *metrics, const struct metrics_target *target, struct error *error);

#endif
