/* SPDX-License-Identifier: Apache-2.0 */
/* answers.h - what requests with an idempotency key came to: kept with their effect, told when they come again.
 *
 * Invariants
 *
 *  A1  What is kept is in the file if and only if the effects of the same entry are: it is one of the entry's ops.
 *
 *  A2  Within LIMIT_KEPT_MS nothing that is kept is changed or removed.
 *
 *  A3  No more than `limit` are kept, but for those of prepared transactions, which nothing may refuse any more.
 *
 * They are in _sheaf_answers(key, idx, digest, at, outcome), by `at` in an index. There is no clock here: the
 * coordinator says the time with each KEEP and each question. How many there are is counted once and then known; what
 * is undone has to be told (answers_undo, answers_forget).
 *
 * Order: answers_new when the tables are there; answers_keep inside a transaction, answers_find outside of one. Main
 * thread. */
#ifndef SHEAF_ANSWERS_H
#define SHEAF_ANSWERS_H

#include "error.h"
#include "wire.h"

#include <sqlite3.h>

#define ANSWERS_SWEPT_MAX 4u /* of those gone, so many are removed with each that is kept */

struct answers;

/* The connection must stay. */
struct answers *answers_new(sqlite3 *connection, int64_t limit, struct error *error);
void answers_free(struct answers *answers);

enum answers_result { ANSWERS_KEPT, ANSWERS_REFUSED, ANSWERS_FAILED };

/* REFUSED: ERROR_BUSY, the limit is reached (never of what was promised: A3), or ERROR_INTERNAL, something is kept
 * there. FAILED: the environment. */
enum answers_result answers_keep(struct answers *answers, const struct wire_keep *keep, bool promised,
                                 struct error *error);

/* Puts the answer's body. */
bool answers_find(struct answers *answers, const struct wire_kept_ask *ask, struct buffer *answer, struct error *error);

/* How many are kept as far as is known, to be given back when a savepoint is undone. */
int64_t answers_count(const struct answers *answers);
void answers_undo(struct answers *answers, int64_t count);
/* A transaction was given up: they are counted anew. */
void answers_forget(struct answers *answers);

#endif
