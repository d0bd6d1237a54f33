/* SPDX-License-Identifier: Apache-2.0 */
/* batch.h - the entries of a write batch become SQL, with a result for each.
 *
 * Invariants
 *
 *  B1  Batch n is applied only when n-1 was; any other higher number has no effect at all.
 *
 *  B2  A batch's effects, its marker and its answer are one SQLite transaction: they are all in the file or none is.
 *
 *  B3  A batch that comes again gets the answer that was stored with its effects.
 *
 *  B4  Only a COMMIT consumes a number: when the environment fails before it, the transaction is given up and the
 *      number is free.
 *
 *  B5  An entry that is refused has no effect, and takes no other entry with it.
 *
 * Several batches that have already arrived share one transaction: batch_apply for each, then batch_commit.
 * Main thread. */
#ifndef SHEAF_BATCH_H
#define SHEAF_BATCH_H

#include "answers.h"
#include "error.h"
#include "histogram.h"
#include "store.h"
#include "wire.h"

struct batch;

/* For the schema that the store has after its claim. */
struct batch *batch_new(struct store *store, struct error *error);
void batch_free(struct batch *batch);

enum batch_result {
    BATCH_APPLIED,  /* now, or before in the open transaction: `answer` holds the body; valid once batch_commit has
                       succeeded */
    BATCH_REPEATED, /* it was committed before: `answer` holds what was stored; needs no transaction */
    BATCH_REFUSED,  /* no effect: out of order (ERROR_CONFLICT) or malformed (ERROR_PARSE); the transaction may go on */
    BATCH_FAILED,   /* the environment failed: batch_abandon, and refuse every batch of the transaction with `error` */
    BATCH_UNKNOWN   /* it was applied, and what was stored cannot be read: the process must end without answering */
};

/* Applies one batch; opens the transaction when none is open. */
enum batch_result batch_apply(struct batch *batch, struct cursor *body, struct buffer *answer, struct error *error);

enum batch_committed {
    COMMIT_DONE,      /* also when nothing was open */
    COMMIT_NOT_BEGUN, /* the environment failed (a full disk): as BATCH_FAILED */
    COMMIT_UNKNOWN    /* the process must end without answering */
};
enum batch_committed batch_commit(struct batch *batch, uint64_t *ret_commit_ns, struct error *error);
void batch_abandon(struct batch *batch);

/* What each op of a probe would meet alone: a write answer with batch number 0. Nothing stays. */
bool batch_probe(struct batch *batch, struct cursor *body, struct buffer *answer, struct error *error);

struct batch_counts {
    uint64_t accepted, same, refused, batches;
    struct histogram decode, apply, commit, batch_rows; /* per row, but for batch_rows */
};
const struct batch_counts *batch_counts(const struct batch *batch);

/* What is kept for idempotency keys, for questions about it; the batch's own. */
struct answers *batch_answers(struct batch *batch);

#endif
