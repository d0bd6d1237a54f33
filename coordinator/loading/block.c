/* SPDX-License-Identifier: Apache-2.0 */
#include "block.h"

#include "clock.h"

#include <stdlib.h>

#define LOOK_EVERY 64 /* records between two looks at whether the run goes on */

bool block_init(struct block *block, const struct run *run, struct gate *gate, struct error *error)
{
    *block = (struct block){.gate = gate};
    block->submission = submission_new(LOADER_BLOCK_ROWS);
    block->refusals = calloc(BLOCK_REFUSALS_MAX, sizeof(*block->refusals));
    if (run->options->keep_raw)
        block->raws = calloc(LOADER_BLOCK_ROWS, sizeof(*block->raws));
    if (block->submission && block->refusals && (block->raws || !run->options->keep_raw))
        return true;
    block_release(block);
    return error_set(error, ERROR_INTERNAL, "out of memory");
}

void block_release(struct block *block)
{
    if (block->submission)
        submission_free(block->submission);
    free(block->raws);
    free(block->refusals);
    buffer_release(&block->raw);
    buffer_release(&block->query.ask);
    buffer_release(&block->query.answer);
    *block = (struct block){0};
}

void block_clear(struct block *block)
{
    struct submission *submission = block->submission;

    for (uint32_t i = 0; i < submission->count; i++) {
        free(submission->ops[i].error);
        submission->ops[i].error = NULL;
    }
    submission->count = 0;
    buffer_clear(&submission->rows);
    buffer_clear(&block->raw);
    block->refusal_count = 0;
    block->finished = false;
}

static bool keep_raw(struct block *block, const struct run *run, const struct input_record *record,
                     struct block_raw *ret_raw)
{
    *ret_raw = (struct block_raw){.at = block->raw.len, .len = record->raw_len, .truncated = record->raw_truncated};
    return !run->options->keep_raw || buffer_put(&block->raw, record->raw, record->raw_len);
}

static bool add_row(struct block *block, const struct run *run, const struct input_record *record)
{
    struct submission *submission = block->submission;
    uint32_t at = submission->count;
    struct block_raw raw;

    if (!keep_raw(block, run, record, &raw))
        return false;
    if (block->raws)
        block->raws[at] = raw;
    submission->ops[at] = (struct op){.table = run->options->inputs[block->input].table,
                                      .same_is_fine = true,
                                      .row_at = (uint32_t)record->row_at,
                                      .row_len = (uint32_t)record->row_len,
                                      .position = record->line};
    submission->count++;
    return true;
}

static bool add_refusal(struct block *block, const struct run *run, const struct input_record *record,
                        const struct error *error)
{
    struct block_refusal *refusal = &block->refusals[block->refusal_count];

    if (!keep_raw(block, run, record, &refusal->raw))
        return false;
    refusal->before = block->submission->count;
    refusal->line = record->line;
    refusal->error = *error;
    block->refusal_count++;
    atomic_fetch_add_explicit(&run->options->counts[block->input].refused_by_input, 1, memory_order_relaxed);
    return true;
}

static bool block_is_full(const struct block *block)
{
    return block->submission->count == LOADER_BLOCK_ROWS || block->refusal_count == BLOCK_REFUSALS_MAX ||
           block->submission->rows.len + block->raw.len >= LOADER_BLOCK_BYTES;
}

/* One record. False when the input gives no more. */
static bool take_record(struct block *block, struct run *run, struct input *input, uint64_t *records)
{
    struct input_record record = {0};
    struct error error = {0}, memory = {0};
    bool fine = true;

    input_hurry(input, block->hurried || !block_is_empty(block));
    switch (input_next(input, &block->submission->rows, &record, &error)) {
    case INPUT_ROW:
        fine = add_row(block, run, &record);
        break;
    case INPUT_REFUSED:
        fine = add_refusal(block, run, &record, &error);
        if (fine && run->options->stop_on_error) {
            run_stop(run, RUN_STOPPED);
            ++*records;
            return false;
        }
        break;
    case INPUT_END:
        (void)run_goes_on(run); /* the end, or an interruption that the input saw first */
        return false;
    case INPUT_WAITS:
        block->waits = true;
        return true;
    case INPUT_FAILED:
        return run_unreadable(run, &error);
    }
    if (!fine) {
        error_set(&memory, ERROR_INTERNAL, "out of memory");
        return run_fail(run, &memory);
    }
    ++*records;
    return true;
}

bool block_fill(struct block *block, struct run *run, size_t input)
{
    struct loader_counts *counts = &run->options->counts[input];
    uint64_t records = 0, began = clock_monotonic_ns(), bytes_read, bytes_total;
    bool more = true;

    block->input = input;
    block->waits = false;
    if (atomic_load(&counts->began_ns) == 0)
        atomic_store(&counts->began_ns, began);
    do
        more = (records % LOOK_EVERY != 0 || run_goes_on(run)) && take_record(block, run, run->opened[input], &records);
    while (more && !block->waits && !block_is_full(block));

    uint64_t took = clock_monotonic_ns() - began;
    block->submission->parsed_ns = began;
    block->submission->parse_took_ns = took;
    atomic_fetch_add(&counts->read, records);
    atomic_fetch_add(&counts->parse_ns, took);
    if (run->options->parse && records > 0)
        histogram_add(&run->options->parse[input], took / records, records);
    input_progress(run->opened[input], &bytes_read, &bytes_total);
    atomic_store(&counts->bytes_read, bytes_read);
    atomic_store(&counts->bytes_total, bytes_total);
    return more && atomic_load(&run->stop) == RUN_GOES_ON;
}

static struct run_raw raw_at(const struct block *block, const struct block_raw *raw)
{
    return (struct run_raw){block->raw.bytes ? block->raw.bytes + raw->at : NULL, raw->len, raw->truncated};
}

struct run_raw block_raw_of(const struct block *block, uint32_t op)
{
    return block->raws ? raw_at(block, &block->raws[op]) : (struct run_raw){0};
}

void block_refuse_before(const struct block *block, struct run *run, uint32_t before, uint32_t *next)
{
    for (; *next < block->refusal_count && block->refusals[*next].before <= before; ++*next) {
        const struct block_refusal *refusal = &block->refusals[*next];
        struct run_raw raw = {0};
        if (block->raws)
            raw = raw_at(block, &refusal->raw);
        run_refuse(run, block->input, refusal->line, &refusal->error, &raw);
    }
}
