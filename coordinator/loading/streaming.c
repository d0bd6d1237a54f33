/* SPDX-License-Identifier: Apache-2.0 */
#include "streaming.h"

#include "block.h"
#include "careful.h"

/* A ring: blocks[oldest] is the first not yet retired. They are retired in their order, so that rejects come in the
 * order of the input. */
struct streaming {
    struct run *run;
    struct gate gate;
    struct block blocks[LOADER_BLOCKS_IN_FLIGHT];
    uint32_t oldest;
    uint32_t in_flight;
};

static void streaming_answered(struct submission *submission)
{
    struct block *block = submission->context;

    gate_open(block->gate, &block->finished);
}

/* Counts and hands on the verdicts of the oldest block. */
static void retire(struct streaming *streaming)
{
    struct block *block = &streaming->blocks[streaming->oldest];
    struct loader_counts *counts = &streaming->run->options->counts[block->input];
    const struct submission *submission = block->submission;
    uint64_t inserted = 0, same = 0;
    uint32_t refusal = 0;

    gate_wait(&streaming->gate, &block->finished);
    for (uint32_t i = 0; i < submission->count; i++) {
        const struct op *op = &submission->ops[i];
        if (refusal < block->refusal_count)
            block_refuse_before(block, streaming->run, i, &refusal);
        if (op->result == OP_DONE) {
            inserted++;
        } else if (op->result == OP_SAME) {
            same++;
        } else {
            struct run_raw raw = block_raw_of(block, i);
            run_refuse(streaming->run, block->input, op->position, op->error, &raw);
        }
    }
    block_refuse_before(block, streaming->run, submission->count, &refusal);
    atomic_fetch_add(&counts->inserted, inserted);
    atomic_fetch_add(&counts->same, same);
    block_clear(block);
    streaming->oldest = (streaming->oldest + 1) % LOADER_BLOCKS_IN_FLIGHT;
    streaming->in_flight--;
}

/* Makes room for a block, and retires early what is answered already. */
static struct block *next_block(struct streaming *streaming)
{
    if (streaming->in_flight == LOADER_BLOCKS_IN_FLIGHT)
        retire(streaming);
    while (streaming->in_flight > 0 && gate_is_open(&streaming->gate, &streaming->blocks[streaming->oldest].finished))
        retire(streaming);
    return &streaming->blocks[(streaming->oldest + streaming->in_flight) % LOADER_BLOCKS_IN_FLIGHT];
}

static void send(struct streaming *streaming, struct block *block)
{
    if (block_is_empty(block))
        return;
    streaming->in_flight++;
    if (block->submission->count == 0) {
        block->finished = true;
        return;
    }
    if (streaming->run->options->stop_on_error) {
        careful_send(streaming->run, block);
        block->finished = true;
        return;
    }
    block->submission->finished = streaming_answered;
    block->submission->context = block;
    engine_submit(streaming->run->options->engine, block->submission);
}

static void stream(struct streaming *streaming, const size_t *inputs, size_t count)
{
    struct run *run = streaming->run;

    for (size_t i = 0; i < count && run_goes_on(run); i++) {
        bool more = true;
        while (more && run_goes_on(run)) {
            struct block *block = next_block(streaming);
            block->hurried = streaming->in_flight > 0;
            more = block_fill(block, run, inputs[i]);
            send(streaming, block);
            if (block->waits && streaming->in_flight > 0) /* time to hear of what came before */
                retire(streaming);
        }
    }
    while (streaming->in_flight > 0)
        retire(streaming);
}

void streaming_run(struct run *run, const size_t *inputs, size_t count)
{
    struct streaming streaming = {.run = run};
    struct error error = {0};
    uint32_t made = 0;

    if (!gate_init(&streaming.gate, &error)) {
        run_fail(run, &error);
        return;
    }
    while (made < LOADER_BLOCKS_IN_FLIGHT && block_init(&streaming.blocks[made], run, &streaming.gate, &error))
        made++;
    if (made == LOADER_BLOCKS_IN_FLIGHT)
        stream(&streaming, inputs, count);
    else
        run_fail(run, &error);
    while (made > 0)
        block_release(&streaming.blocks[--made]);
    gate_release(&streaming.gate);
}
