/* SPDX-License-Identifier: Apache-2.0 */
/* keyed.h - submissions with an idempotency key: looked up before they are run, their outcomes kept.
 *
 *   LOCKING (the key, exclusively) → ASKING (the databases where outcomes of it may be) → CLAIMING (see I4) → READY:
 *   queued like any submission; its ops that have an outcome by now are answered, the others begun
 *
 * Invariants
 *  I1  Of one key nobody asks what is kept while an op with it has no outcome on its shards: the key is locked from the
 *      question until everything that was begun has ended. It is among the locks of what is prepared.
 *
 *  I2  An outcome is kept in the same entry as its effect, a refusal that is final before it is told.
 *
 *  I3  An atomic submission keeps one outcome, on its home: the database of the key's table, else one chosen by the
 *      key's hash. An op on its own keeps its own, on its table's database.
 *
 *  I4  Where ops on their own may lie on several databases, the home notes the key and its digest before any is begun:
 *      so another body is known whatever databases it touches. Likewise where there is nothing to do.
 *
 *  I5  What is kept grows old by the time in which it could be asked for, and by no clock of the day, which may be set:
 *      the time goes on while an engine runs, from the latest time that any shard keeps something of. (Files that were
 *      kept by the clock of the day go on from there.)
 *
 * Engine thread only. */
#ifndef SHEAF_KEYED_H
#define SHEAF_KEYED_H

#include "core.h"

/* What it is kept as: an op's number, or one of these. */
#define KEYED_WHOLE UINT32_MAX
#define KEYED_CLAIM (UINT32_MAX - 1)

struct keyed;

/* Looks the key up; then gives the submission to engine_queue. Sets submission->engine to what stands for it here. */
void keyed_begin(struct engine *engine, struct submission *submission);

/* A shard says of when the latest is that it keeps; 0: of never. Before anything is asked of it. */
void keyed_heard(struct engine *engine, int64_t kept_at_ms);

/* Before op `at` (all, of an atomic one) is begun: answers what has an outcome already. False: it is to be begun. */
bool keyed_answers(struct engine *engine, struct submission *submission, uint32_t at);

/* Refuses those that wait too long for their key, or wait for it while its home is away. */
void keyed_tick(struct engine *engine);
/* At a stop, after that of the peers and batchers: refuses those that are still being looked up. */
void keyed_stop(struct engine *engine);

/* Whether one is still being looked up. */
bool keyed_any_waiting(const struct engine *engine);

void keyed_free_all(struct engine *engine);

/* ---- for what runs its ops; `keyed` is submission->engine, and stays until keyed_ended ---- */

/* Where the outcome of op `op` (of an atomic submission: of all) is kept, and the lock that a promise has to hold. */
database_id keyed_database(const struct keyed *keyed, const struct submission *submission, uint32_t op);
uint64_t keyed_lock(const struct keyed *keyed);

/* Appends the KEEP of ops [first, first + count) for when they are done: what they come to is in the ops by now. False:
 * out of memory. */
bool keyed_put(const struct keyed *keyed, const struct submission *submission, uint32_t first, uint32_t count,
               struct buffer *ops);

/* In the place of engine_answered for these ops, when they have their results. */
void keyed_answered(struct keyed *keyed, struct submission *submission, uint32_t first, uint32_t count);

/* What was begun for op `at` (for all, of an atomic one) has ended on every shard. Once each. */
void keyed_ended(struct keyed *keyed);

#endif
