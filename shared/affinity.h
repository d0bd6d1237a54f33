/* SPDX-License-Identifier: Apache-2.0 */
/* affinity.h - a value as a column would store it.
 *
 * Exact by construction: what is not plainly unchanged, or a canonical decimal integer, is asked of SQLite
 * itself (a scratch in-memory table with one column per affinity). Used by one thread at a time.
 *
 * Order: affinity_open, affinity_apply any number of times, affinity_close. */
#ifndef SHEAF_AFFINITY_H
#define SHEAF_AFFINITY_H

#include "error.h"
#include "value.h"

struct affinity_scratch;

struct affinity_scratch *affinity_open(struct error *error);
void affinity_close(struct affinity_scratch *scratch);

/* `value` as stored in a column of `affinity` (NULL, ABSENT and blobs are never changed; a NaN becomes NULL).
 * The result's bytes are those of `value`, or live in `scratch` until the next-but-7 call (a ring of 8). */
bool affinity_apply(struct affinity_scratch *scratch, enum affinity affinity, const struct value *value,
                    struct value *ret_value, struct error *error);

/* The integer that `value` is as a rowid, as OP_MustBeInt sees it: 5, 5.0, '5', ' 5.0 '. False when it is none. */
bool affinity_as_rowid(struct affinity_scratch *scratch, const struct value *value, int64_t *ret_rowid);

#endif
