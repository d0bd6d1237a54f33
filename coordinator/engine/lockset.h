/* SPDX-License-Identifier: Apache-2.0 */
/* lockset.h - the locks of one transaction: what it wants, and what it wants beyond what it has.
 *
 * Zeroed = empty. Running out of memory is a panic. Engine thread. */
#ifndef SHEAF_LOCKSET_H
#define SHEAF_LOCKSET_H

#include "buffer.h"
#include "locks.h"

#define LOCKSET_BYTES_EACH 9u /* see lockset_put */

struct lockset {
    struct lock_want *slots; /* open addressing */
    uint8_t *used;
    size_t capacity, count;
    struct lock_want *wants; /* not held yet: for locks_take or locks_take_more, which may put them in another order */
    size_t want_count, want_capacity;
};

void lockset_want(struct lockset *set, uint64_t key, bool exclusive);
/* All that is wanted is held now. */
void lockset_held(struct lockset *set);
/* Nothing is held any more: all of it is wanted. */
void lockset_lost(struct lockset *set);
void lockset_release(struct lockset *set);

/* As it is kept with a prepared transaction: nine bytes each, the key (little-endian) and 1 for an exclusive one. */
bool lockset_put(const struct lockset *set, struct buffer *bytes);

#endif
