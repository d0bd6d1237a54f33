/* SPDX-License-Identifier: Apache-2.0 */
#include "release.h"

#include <stdlib.h>
#include <string.h>

struct chunk {
    struct submission *submission; /* op.position is the row's sequence number */
    bool *opens_unit;              /* per op */
    uint32_t capacity;
    bool row_by_row;
    bool finished;
    struct gate *gate;
};

struct release {
    struct cycle *cycle;
    struct gate gate;
    struct chunk chunks[LOADER_BLOCKS_IN_FLIGHT];
    uint32_t oldest;
    uint32_t in_flight;
};

static bool out_of_memory(const struct release *release)
{
    struct error error;

    error_set(&error, ERROR_INTERNAL, "out of memory");
    return run_fail(release->cycle->run, &error);
}

static bool chunk_init(struct chunk *chunk, uint32_t capacity, struct gate *gate)
{
    chunk->submission = submission_new(capacity);
    chunk->opens_unit = calloc(capacity, sizeof(*chunk->opens_unit));
    chunk->capacity = capacity;
    chunk->gate = gate;
    return chunk->submission && chunk->opens_unit;
}

static void chunk_release(struct chunk *chunk)
{
    if (chunk->submission)
        submission_free(chunk->submission);
    free(chunk->opens_unit);
    *chunk = (struct chunk){0};
}

static void chunk_clear(struct chunk *chunk)
{
    for (uint32_t i = 0; i < chunk->submission->count; i++) {
        free(chunk->submission->ops[i].error);
        chunk->submission->ops[i].error = NULL;
    }
    chunk->submission->count = 0;
    chunk->submission->atomic = false;
    chunk->submission->references_at_end = true;
    buffer_clear(&chunk->submission->rows);
    chunk->row_by_row = true;
    chunk->finished = false;
}

struct release *release_new(struct cycle *cycle, struct error *error)
{
    struct release *release = calloc(1, sizeof(*release));
    bool fine = true;

    if (!release) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    if (!gate_init(&release->gate, error)) {
        free(release);
        return NULL;
    }
    release->cycle = cycle;
    for (int i = 0; fine && i < LOADER_BLOCKS_IN_FLIGHT; i++) {
        fine = chunk_init(&release->chunks[i], LOADER_BLOCK_ROWS, &release->gate);
        if (fine)
            chunk_clear(&release->chunks[i]);
    }
    if (fine)
        return release;
    error_set(error, ERROR_INTERNAL, "out of memory");
    release_free(release);
    return NULL;
}

void release_free(struct release *release)
{
    if (!release)
        return;
    for (int i = 0; i < LOADER_BLOCKS_IN_FLIGHT; i++)
        chunk_release(&release->chunks[i]);
    gate_release(&release->gate);
    free(release);
}

static struct chunk *current(const struct release *release)
{
    return (struct chunk *)&release->chunks[(release->oldest + release->in_flight) % LOADER_BLOCKS_IN_FLIGHT];
}

uint32_t release_pending(const struct release *release)
{
    return current(release)->submission->count;
}

bool release_is_full(const struct release *release)
{
    return current(release)->submission->count >= LOADER_BLOCK_ROWS ||
           current(release)->submission->rows.len >= LOADER_BLOCK_BYTES;
}

bool release_is_atomic(const struct release *release)
{
    return current(release)->submission->atomic;
}

void release_make_atomic(struct release *release, bool row_by_row)
{
    current(release)->submission->atomic = true;
    current(release)->row_by_row = row_by_row;
}

/* A circle may be larger than a chunk: then the chunk grows for it. */
static bool grow(struct chunk *chunk)
{
    struct submission *larger = submission_new(chunk->capacity * 2);
    bool *opens_unit = realloc(chunk->opens_unit, (size_t)chunk->capacity * 2 * sizeof(*opens_unit));

    if (opens_unit)
        chunk->opens_unit = opens_unit;
    if (!opens_unit || !larger) {
        if (larger)
            submission_free(larger);
        return false;
    }
    memcpy(larger->ops, chunk->submission->ops, chunk->submission->count * sizeof(*larger->ops));
    larger->count = chunk->submission->count;
    larger->atomic = chunk->submission->atomic;
    larger->references_at_end = true;
    buffer_move(&larger->rows, &chunk->submission->rows);
    chunk->submission->count = 0;
    submission_free(chunk->submission);
    chunk->submission = larger;
    chunk->capacity *= 2;
    return true;
}

bool release_add(struct release *release, uint32_t seq, bool opens_unit)
{
    struct cycle *cycle = release->cycle;
    struct chunk *chunk = current(release);
    struct stage_record record;
    struct error error = {0};

    if (!stage_get_record(cycle->stage, seq, &record, &error))
        return run_fail(cycle->run, &error);
    if (chunk->submission->count == chunk->capacity && !grow(chunk))
        return out_of_memory(release);
    struct submission *submission = chunk->submission;
    size_t at = submission->rows.len;
    if (at + record.row_len > UINT32_MAX || !buffer_put(&submission->rows, record.row, record.row_len))
        return out_of_memory(release);
    chunk->opens_unit[submission->count] = opens_unit;
    submission->ops[submission->count++] = (struct op){.table = cycle->run->options->inputs[record.input].table,
                                                       .same_is_fine = true,
                                                       .row_at = (uint32_t)at,
                                                       .row_len = (uint32_t)record.row_len,
                                                       .position = seq};
    cycle_set_state(cycle, seq, ROW_SENT);
    return true;
}

static bool any_refused(const struct submission *submission)
{
    for (uint32_t i = 0; i < submission->count; i++)
        if (submission->ops[i].result == OP_REFUSED)
            return true;
    return false;
}

/* A refusal against which trying again cannot help, or which could do a thing twice. NULL: there is none. */
static const struct error *final_refusal(const struct submission *submission)
{
    for (uint32_t i = 0; i < submission->count; i++) {
        const struct op *op = &submission->ops[i];
        if (op->result == OP_REFUSED && op->error &&
            (op->error->code == ERROR_UNKNOWN || op->error->code == ERROR_UNAVAILABLE || op->error->code == ERROR_IO ||
             op->error->code == ERROR_INTERNAL))
            return op->error;
    }
    return NULL;
}

/* The refused ops of [from, to) once more, with their results put in the place of the first ones. */
static bool try_again(const struct release *release, struct chunk *chunk, uint32_t from, uint32_t to, bool atomic)
{
    struct submission *first = chunk->submission;
    struct submission *again = submission_new(to - from);
    bool fine = again != NULL;

    for (uint32_t i = from; fine && i < to; i++) {
        const struct op *op = &first->ops[i];
        if (op->result != OP_REFUSED)
            continue;
        again->ops[again->count++] = (struct op){.table = op->table,
                                                 .same_is_fine = true,
                                                 .row_at = (uint32_t)again->rows.len,
                                                 .row_len = op->row_len,
                                                 .position = i};
        fine = buffer_put(&again->rows, first->rows.bytes + op->row_at, op->row_len);
    }
    if (fine && again->count > 0) {
        again->atomic = atomic && again->count > 1;
        again->references_at_end = true;
        engine_submit_and_wait(release->cycle->run->options->engine, again);
        for (uint32_t i = 0; i < again->count; i++) {
            struct op *op = &first->ops[again->ops[i].position];
            free(op->error);
            op->error = again->ops[i].error;
            op->result = again->ops[i].result;
            again->ops[i].error = NULL;
        }
    }
    if (again)
        submission_free(again);
    return fine || out_of_memory(release);
}

static uint32_t unit_end(const struct chunk *chunk, uint32_t from)
{
    uint32_t end = from + 1;

    while (end < chunk->submission->count && !chunk->opens_unit[end])
        end++;
    return end;
}

static bool take_apart(const struct release *release, struct chunk *chunk)
{
    bool fine = true;

    if (chunk->row_by_row)
        return try_again(release, chunk, 0, chunk->submission->count, false);
    for (uint32_t from = 0, end; fine && from < chunk->submission->count; from = end) {
        end = unit_end(chunk, from);
        fine = try_again(release, chunk, from, end, true);
    }
    return fine;
}

static bool settle_refused(struct cycle *cycle, uint32_t seq, const struct error *refusal)
{
    struct error error = {0};

    cycle_set_state(cycle, seq, ROW_REFUSED);
    if (!stage_put_refusal(cycle->stage, seq, refusal, &error))
        return run_fail(cycle->run, &error);
    if (cycle->run->options->stop_on_error)
        run_stop(cycle->run, RUN_STOPPED);
    return cycle_fall(cycle, seq);
}

static const struct error *first_error(const struct submission *submission, uint32_t from, uint32_t end)
{
    for (uint32_t i = from; i < end; i++)
        if (submission->ops[i].error)
            return submission->ops[i].error;
    return NULL;
}

/* Whether a refusal says something about one row, and not about the circle that it stands in. */
static bool is_about_a_row(enum error_code code)
{
    return code == ERROR_UNIQUE || code == ERROR_REFERENCE_MISSING || code == ERROR_TYPE || code == ERROR_CHECK ||
           code == ERROR_NOT_NULL || code == ERROR_PARSE;
}

/* A refused row or circle. The rows that are the reason keep it; the others lack a parent now, unless the circle as a
 * whole is the reason. */
static bool settle_unit(struct cycle *cycle, const struct submission *submission, uint32_t from, uint32_t end)
{
    const struct error *reason = first_error(submission, from, end);
    bool fine = true;

    if (!reason)
        reason = first_error(submission, 0, submission->count);
    if (!reason)
        panic("a refused submission names no reason");
    for (uint32_t i = from; i < end; i++)
        cycle_set_state(cycle, (uint32_t)submission->ops[i].position, ROW_STAGED);
    for (uint32_t i = from; fine && i < end; i++) {
        const struct error *own = submission->ops[i].error;
        if (own || !is_about_a_row(reason->code))
            fine = settle_refused(cycle, (uint32_t)submission->ops[i].position, own ? own : reason);
    }
    fine = fine && cycle_follow_fallen(cycle);
    for (uint32_t i = from; fine && i < end; i++)
        if (cycle_state(cycle, (uint32_t)submission->ops[i].position) == ROW_STAGED)
            fine = settle_refused(cycle, (uint32_t)submission->ops[i].position, reason);
    return fine;
}

static void settle_done(struct cycle *cycle, const struct op *op)
{
    uint32_t seq = (uint32_t)op->position;
    struct loader_counts *counts = &cycle->run->options->counts[cycle_input_of(cycle, seq)];

    cycle_set_state(cycle, seq, ROW_INSERTED);
    atomic_fetch_add_explicit(op->result == OP_SAME ? &counts->same : &counts->inserted, 1, memory_order_relaxed);
}

static bool settle_oldest(struct release *release, bool fine)
{
    struct chunk *chunk = &release->chunks[release->oldest];
    struct submission *submission = chunk->submission;
    struct cycle *cycle = release->cycle;

    gate_wait(&release->gate, &chunk->finished);
    const struct error *final = final_refusal(submission);
    if (final)
        run_fail(cycle->run, final); /* no new row is begun; this one's verdict is still given */
    else if (fine && any_refused(submission))
        fine = take_apart(release, chunk);
    for (uint32_t i = 0, end; i < submission->count; i = end) {
        end = unit_end(chunk, i);
        if (submission->ops[i].result == OP_REFUSED)
            fine = fine && settle_unit(cycle, submission, i, end);
        else
            for (uint32_t member = i; member < end; member++)
                settle_done(cycle, &submission->ops[member]);
    }
    chunk_clear(chunk);
    release->oldest = (release->oldest + 1) % LOADER_BLOCKS_IN_FLIGHT;
    release->in_flight--;
    return fine && cycle_follow_fallen(cycle);
}

static void chunk_answered(struct submission *submission)
{
    struct chunk *chunk = submission->context;

    gate_open(chunk->gate, &chunk->finished);
}

bool release_send(struct release *release)
{
    struct chunk *chunk = current(release);

    if (chunk->submission->count == 0)
        return true;
    chunk->submission->finished = chunk_answered;
    chunk->submission->context = chunk;
    release->in_flight++;
    engine_submit(release->cycle->run->options->engine, chunk->submission);
    return release->in_flight < LOADER_BLOCKS_IN_FLIGHT || settle_oldest(release, true);
}

bool release_drain(struct release *release, bool fine)
{
    fine = fine && release_send(release);
    while (release->in_flight > 0)
        fine = settle_oldest(release, fine);
    return fine;
}
