/* SPDX-License-Identifier: Apache-2.0 */
/* transaction.h - operations that are applied all or not at all, on any number of shards.
 *
 * On one shard: a group in one batch. On several: two-phase commit with presumed abort, decided by the home shard (the
 * one with most operations), so that nothing on the coordinator's disk decides anything:
 *
 *   LOCKING → PLANNING ⇄ LOCKING_MORE → PREPARING (on all but the home) → DECIDING (the home's commit is the commit of
 *   the whole; the user is answered) → RESOLVING (on the others) → locks fall; FORGET to the home
 *
 * PLANNING (plan.h) finds out what is to be written and which references have to hold; nothing has been sent until it
 * is over, so a transaction that is in an older one's way begins again. A failed or refused step before the decision
 * turns into RESOLVING with abort. Locks stay until every participant has resolved: an unreachable one is asked again
 * when it is back.
 *
 * A transaction that is refused before every shard has been asked, by its plan or a promise that was not made, has the
 * others TRY what stands before the operation that failed (TRYING): the user is told the first that fails, as one file
 * would tell it. References that are looked at in the end come after all else. A shard that cannot be asked changes
 * nothing of the refusal.
 *
 * A participant that is away: before PREPARING all is refused. A PREPARE that such a one may have got is given up: the
 * user is told at once, which T2 allows since nothing is decided without its answer, and the abort waits for the shard.
 * A decision that the home may have got is the home's: the user hears `unknown` after answer_ms, and the answer to the
 * batch, sent again, tells. What has to be resolved waits for its shard.
 *
 * Invariants
 *  T1  All locks are held before the first reference is checked, the transaction's own rows counting as present.
 *
 *  T2  Nothing is decided before every other participant has answered its PREPARE as done; a step that is refused
 *      before the decision turns into RESOLVING with abort, and nothing of the transaction stays anywhere.
 *
 *  T3  The user is told that it is done after the home's commit, never before.
 *
 *  T4  After the decision nothing may fail, only be sent again: a participant that cannot be reached or cannot write
 *      is asked again when it is back.
 *
 *  T5  Locks stay until every participant has resolved, also when the user has been answered long before.
 *
 * Engine thread only. */
#ifndef SHEAF_TRANSACTION_H
#define SHEAF_TRANSACTION_H

#include "core.h"

/* Operations [first, first + count) of a submission, as one. */
void transaction_begin(struct engine *engine, struct submission *submission, uint32_t first, uint32_t count);

/* Sends again what a shard could not take, answers those that waited too long for a lock, or need a shard that is away
 * and could not have decided yet. */
void transaction_tick(struct engine *engine);
/* At a stop, after that of the batchers: refuses those whose user has no answer. */
void transaction_stop(struct engine *engine);

/* Whether one still has something to do that can be done now. */
bool transaction_any_busy(const struct engine *engine);

void transaction_free_all(struct engine *engine);

#endif
