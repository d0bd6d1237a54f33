/* SPDX-License-Identifier: Apache-2.0 */
#include "careful.h"

#include <stdlib.h>

static void forget_results(struct submission *submission)
{
    for (uint32_t i = 0; i < submission->count; i++) {
        free(submission->ops[i].error);
        submission->ops[i].error = NULL;
        submission->ops[i].result = OP_PENDING;
    }
}

/* All of the submission's rows, or none. */
static void attempt(const struct run *run, struct submission *submission)
{
    submission->atomic = submission->count > 1;
    engine_submit_and_wait(run->options->engine, submission);
    submission->atomic = false;
}

/* The first row that was refused for its own sake; the count when all were accepted. */
static uint32_t first_reason(const struct submission *submission)
{
    uint32_t at = 0;

    while (at < submission->count && !submission->ops[at].error)
        at++;
    if (at == submission->count && at > 0 && submission->ops[0].result == OP_REFUSED)
        panic("a refused submission names no reason");
    return at;
}

/* An outage, or an outcome that is not known, is that of every row. */
static void share_reason(struct submission *submission, const struct error *reason)
{
    for (uint32_t i = 0; i < submission->count; i++) {
        struct op *op = &submission->ops[i];
        if (op->error)
            continue;
        if (!(op->error = malloc(sizeof *op->error)))
            panic("out of memory for a refusal");
        *op->error = *reason;
    }
}

/* What stands behind the block's last op was not begun after all. */
static void forget_rest(const struct run *run, struct block *block, uint32_t rows)
{
    struct loader_counts *counts = &run->options->counts[block->input];

    atomic_fetch_sub(&counts->read, (uint64_t)rows + block->refusal_count);
    atomic_fetch_sub(&counts->refused_by_input, (uint64_t)block->refusal_count);
    block->refusal_count = 0;
}

void careful_send(struct run *run, struct block *block)
{
    struct submission *submission = block->submission;
    uint32_t all = submission->count;
    struct error *refusal = NULL;

    while (submission->count > 0) {
        attempt(run, submission);
        uint32_t at = first_reason(submission);
        if (at == submission->count)
            break;
        free(refusal);
        refusal = submission->ops[at].error;
        if (run_concerns_every_row(refusal->code)) {
            share_reason(submission, refusal);
            refusal = NULL;
            break;
        }
        submission->ops[at].error = NULL;
        forget_results(submission);
        submission->count = at;
    }
    if (refusal) {
        struct op *op = &submission->ops[submission->count++];
        op->result = OP_REFUSED;
        op->error = refusal;
    }
    if (submission->count < all || refusal)
        forget_rest(run, block, all - submission->count);
}
