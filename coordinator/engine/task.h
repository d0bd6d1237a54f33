/* SPDX-License-Identifier: Apache-2.0 */
/* task.h - the way of one operation on its own: locks, references, its shard's batch, its outcome.
 *
 * A task begins with its row read and its locks taken; each step either goes on at once or waits for an event that
 * calls the next. It ends, and its locks fall, when the outcome is known. Its user may be answered earlier: with
 * `unavailable` while nothing was sent, with `unknown` after that; then the task lives on without a submission.
 * Engine thread only. */
#ifndef SHEAF_TASK_H
#define SHEAF_TASK_H

#include "again.h"
#include "batcher.h"
#include "core.h"
#include "references.h"

enum task_state { TASK_LOCKING, TASK_CHECKING, TASK_WRITING };

struct task {
    struct lock_owner owner; /* first: a lock_owner is its task */
    struct batch_member member;
    struct checker checker;
    struct again_member again;
    struct engine *engine;
    struct submission *submission; /* NULL: the user has been answered */
    struct keyed *keyed;           /* NULL: none */
    struct op *op;
    struct task *next, *before; /* active; free ones use `next` */
    table_id table;
    enum task_state state;
    bool has_rowid;
    int64_t rowid;
    struct assign_claims claims; /* on it */
    uint64_t begun_ns;
    uint64_t step_ns; /* when the present step began */
};

/* Begins operation `op` of a submission that is not atomic. */
void task_begin(struct engine *engine, struct submission *submission, struct op *op);

/* Answers those that have waited too long for a lock, or wait for one while their shard is away. */
void task_tick(struct engine *engine);
/* At a stop, after that of the batchers: refuses those whose user has no answer. */
void task_stop(struct engine *engine);

void task_free_all(struct engine *engine);

/* Shared with transactions: reads a row into engine->values and completes it (assign.h); the submission's bytes then
 * say the same. */
bool task_read_row(struct engine *engine, struct submission *submission, struct op *op, struct assign_claims *claims,
                   struct assigned *ret_assigned, struct error *error);

/* An operation's result is known: counted in the metrics and told to the log. */
void task_count(struct engine *engine, const struct submission *submission, const struct op *op);

#endif
