/* SPDX-License-Identifier: Apache-2.0 */
/* children.h - the rows that name a parent: those that SQLite would have let in for it, the parent's affinity applied
 * to their values and the parent key's collation comparing. Where both columns have one affinity SQLite's own actions
 * find the same rows; where not, they may leave some alone and take some of another parent.
 *
 * The parent lives on another shard, or on this one: all the same. Owns the statements, and makes the index that a
 * reference needs when it is first asked about. On the writer's connection, outside a transaction; main thread. */
#ifndef SHEAF_CHILDREN_H
#define SHEAF_CHILDREN_H

#include "error.h"
#include "store.h"
#include "wire.h"

struct children;

struct children *children_new(struct store *store, struct error *error);
void children_free(struct children *children);

/* Puts the answer's body (wire.h). */
bool children_find(struct children *children, const struct wire_children_ask *ask, struct buffer *answer,
                   struct error *error);

#endif
