/* SPDX-License-Identifier: Apache-2.0 */
#include "careful.h"

#include <stdlib.h>

static void forget_results(struct submission *part)
{
    for (uint32_t i = 0; i < part->count; i++) {
        free(part->ops[i].error);
        part->ops[i].error = NULL;
        part->ops[i].result = OP_PENDING;
    }
}

/* All of the part's rows, or none. */
static void attempt(const struct run *run, struct submission *part)
{
    part->atomic = part->count > 1;
    engine_submit_and_wait(run->options->engine, part);
    part->atomic = false;
}

/* The first row that was refused for its own sake; the count when all were accepted. */
static uint32_t first_reason(const struct submission *part)
{
    uint32_t at = 0;

    while (at < part->count && !part->ops[at].error)
        at++;
    if (at == part->count && at > 0 && part->ops[0].result == OP_REFUSED)
        panic("a refused submission names no reason");
    return at;
}

/* An outage, or an outcome that is not known, is that of every row. */
static void share_reason(struct submission *part, const struct error *reason)
{
    for (uint32_t i = 0; i < part->count; i++)
        op_refuse(&part->ops[i], reason);
}

/* What stands behind the block's last op was not begun after all. */
static void forget_rest(const struct run *run, struct block *block, uint32_t rows)
{
    struct loader_counts *counts = &run->options->counts[block->input];

    atomic_fetch_sub(&counts->read, (uint64_t)rows + block->refusal_count);
    atomic_fetch_sub(&counts->refused_by_input, (uint64_t)block->refusal_count);
    block->refusal_count = 0;
}

/* One attempt. True: *ret_done rows are done, or part->count says how many to try next; the reason for that is tried
 * alone in the end. False: the part ends with what is refused. */
static bool step(const struct run *run, struct submission *part, uint32_t *ret_done)
{
    attempt(run, part);
    uint32_t at = first_reason(part);
    *ret_done = at == part->count ? at : 0;
    if (*ret_done)
        return true;
    if (run_concerns_every_row(part->ops[at].error->code)) {
        struct error reason = *part->ops[at].error;
        share_reason(part, &reason);
        return false;
    }
    if (part->count == 1)
        return false;
    forget_results(part);
    part->count = at > 0 ? at : 1;
    return true;
}

void careful_send(struct run *run, struct block *block)
{
    struct submission *submission = block->submission;
    struct op *ops = submission->ops;
    uint32_t all = submission->count, from = 0, count = all, done = 0;
    bool goes_on = true;

    while (goes_on && from < all) {
        submission->ops = ops + from;
        submission->count = count;
        goes_on = step(run, submission, &done);
        from += done;
        count = submission->count;
        if (done)
            count = count * 2 < all - from ? count * 2 : all - from;
    }
    submission->ops = ops;
    submission->count = goes_on ? all : from + count;
    if (!goes_on)
        forget_rest(run, block, all - submission->count);
}
