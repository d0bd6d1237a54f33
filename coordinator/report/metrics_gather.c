/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics_report.h"

#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static void gather_own(struct metrics *metrics)
{
    struct rusage usage = {0};

    metrics->coordinator.cpu_ns = clock_cpu_ns();
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        metrics->coordinator.memory_bytes = (uint64_t)usage.ru_maxrss * 1024;
}

/* What the shard says of itself. */
static void gather_shard(struct engine *engine, database_id database, struct metrics_database *into)
{
    struct query query = {.kind = WIRE_STATS, .database = database};
    struct wire_stats *stats = malloc(sizeof *stats); /* histograms are too large for a stack */
    struct cursor body;

    if (!stats || !wire_put_nothing(&query.ask)) {
        error_set(&into->why, ERROR_INTERNAL, "out of memory");
    } else if (!engine_ask_and_wait(engine, &query)) {
        into->why = query.error;
    } else {
        body = cursor_over(query.answer.bytes, query.answer.len);
        into->answered = wire_get_stats_answer(&body, stats, &into->why);
    }
    if (into->answered) {
        into->busy_ns = stats->busy_ns;
        into->cpu_ns = stats->cpu_ns;
        into->memory_bytes = stats->memory_bytes;
        into->file_bytes = stats->file_bytes;
        into->wal_bytes = stats->wal_bytes;
        into->steps[METRICS_DECODE] = stats->decode;
        into->steps[METRICS_APPLY] = stats->apply;
        into->steps[METRICS_COMMIT] = stats->commit;
    }
    free(stats);
    buffer_release(&query.ask);
    buffer_release(&query.answer);
}

/* What the engine knows of a database: counts are its own, so that a shard that was started again loses none. */
static void take_engines_part(const struct engine_database_metrics *from, struct metrics_database *into)
{
    into->rows_accepted = from->rows_accepted;
    into->rows_same = from->rows_same;
    into->rows_refused = from->rows_refused;
    into->batches = from->batches;
    into->batch_rows = from->batch_rows;
    into->steps[METRICS_WAIT] = from->wait;
    into->steps[METRICS_CHECK] = from->check;
    into->steps[METRICS_QUEUE] = from->queue;
    into->steps[METRICS_TOTAL] = from->total;
}

bool metrics_gather(struct engine *engine, const struct schema *schema, const struct histogram *parse,
                    uint64_t started_ns, struct metrics *ret_metrics, struct error *error)
{
    struct metrics metrics = {.wall_ns = clock_monotonic_ns() - started_ns};
    struct engine_metrics engines = {0};

    if (!engine_metrics(engine, &engines, error))
        return false;
    metrics.count = schema->database_count;
    metrics.databases = calloc(metrics.count ? metrics.count : 1u, sizeof *metrics.databases);
    if (!metrics.databases) {
        engine_metrics_release(&engines);
        return error_set(error, ERROR_INTERNAL, "out of memory");
    }
    metrics.coordinator.busy_ns = engines.busy_ns;
    gather_own(&metrics);
    for (database_id i = 0; i < metrics.count; i++) {
        struct metrics_database *one = &metrics.databases[i];

        snprintf(one->name, sizeof one->name, "%s", schema->databases[i].name);
        if (i < engines.count)
            take_engines_part(&engines.databases[i], one);
        if (parse)
            one->steps[METRICS_PARSE] = parse[i];
        gather_shard(engine, i, one);
    }
    engine_metrics_release(&engines);
    metrics_merge(&metrics);
    *ret_metrics = metrics;
    return true;
}

static uint64_t less(uint64_t now, uint64_t before)
{
    return now > before ? now - before : 0; /* a shard that was started again counts from nothing */
}

void metrics_since(struct metrics *metrics, const struct metrics *before)
{
    metrics->coordinator.busy_ns = less(metrics->coordinator.busy_ns, before->coordinator.busy_ns);
    for (uint16_t i = 0; i < metrics->count && i < before->count; i++) {
        struct metrics_database *one = &metrics->databases[i];
        const struct metrics_database *old = &before->databases[i];

        one->rows_accepted -= old->rows_accepted;
        one->rows_same -= old->rows_same;
        one->rows_refused -= old->rows_refused;
        one->batches -= old->batches;
        one->busy_ns = less(one->busy_ns, old->busy_ns);
        one->cpu_ns = less(one->cpu_ns, old->cpu_ns);
        histogram_subtract(&one->batch_rows, &old->batch_rows);
        for (int step = METRICS_WAIT; step < METRICS_STEPS; step++)
            histogram_subtract(&one->steps[step], &old->steps[step]);
    }
    metrics_merge(metrics);
}
