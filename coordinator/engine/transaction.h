/* SPDX-License-Identifier: Apache-2.0 */
/* transaction.h - operations that are applied all or not at all, on any number of shards.
 *
 * On one shard: a group in one batch. On several: two-phase commit with presumed abort, decided by the home shard (the
 * one with most operations), so that nothing on the coordinator's disk decides anything:
 *
 *   LOCKING → CHECKING → PREPARING (on all but the home) → DECIDING (the home's commit is the commit of the whole;
 *   the user is answered) → RESOLVING (on the others) → locks fall; FORGET to the home
 *
 * References are checked once all locks are held, the transaction's own rows present. A failed or refused step before
 * the decision turns into RESOLVING with abort. Locks stay until every participant has resolved: an unreachable one is
 * asked again when it is back. Engine thread only. */
#ifndef SHEAF_TRANSACTION_H
#define SHEAF_TRANSACTION_H

#include "core.h"

void transaction_begin(struct engine *engine, struct submission *submission);

/* Sends again what a shard could not take, answers those that waited too long. */
void transaction_tick(struct engine *engine);

/* Whether one still has something to do that can be done now. */
bool transaction_any_busy(const struct engine *engine);

void transaction_free_all(struct engine *engine);

#endif
