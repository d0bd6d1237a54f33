/* SPDX-License-Identifier: Apache-2.0 */
/* locks.h - who may touch which key now: shared and exclusive locks on 64-bit lock keys (key.h), in order of arrival.
 *
 * An owner takes all its locks at once, so nobody who holds a lock ever asks for another: everyone waits only for
 * earlier ones, and there is no deadlock. A lock is granted in order of arrival; a shared want behind a waiting
 * exclusive one waits as well. The caller bounds the number of owners; memory is kept for reuse and freed at the end.
 * Engine thread only.
 *
 * Order: locks_take once, granted at once or later by way of locks_next_granted, locks_release once. */
#ifndef SHEAF_LOCKS_H
#define SHEAF_LOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOCKS_NONE UINT32_MAX

/* Embedded in what waits. Initialise with lock_owner_init. */
struct lock_owner {
    void (*granted)(struct lock_owner *owner);
    struct lock_owner *next_granted;
    uint32_t first_claim;
    uint32_t waiting; /* claims not granted yet */
};

static inline void lock_owner_init(struct lock_owner *owner, void (*granted)(struct lock_owner *owner))
{
    *owner = (struct lock_owner){.granted = granted, .first_claim = LOCKS_NONE};
}

struct lock_want {
    uint64_t key;
    bool exclusive;
    bool in_order; /* shared, as long as nobody can overtake its owner: see locks_take */
};

struct locks;

struct locks *locks_new(void); /* NULL: out of memory */
void locks_free(struct locks *locks);

/* Takes all of `wants`: sorts them, and merges those with the same key (exclusive wins); `*count` becomes what is left.
 * owner->waiting tells afterwards how many were not granted at once; when it falls to 0 later the owner comes out of
 * locks_next_granted. False: out of memory, nothing was taken.
 *
 * Wants `in_order` are those of owners that do not mind each other as long as they go on in order of arrival. They are
 * shared while that is so; an owner that has to wait for something else takes them exclusively, so that later ones wait
 * behind it. */
bool locks_take(struct locks *locks, struct lock_owner *owner, struct lock_want *wants, size_t *count);

/* Gives back what is held, and no longer waits for what is not. */
void locks_release(struct locks *locks, struct lock_owner *owner);

/* The next owner that has got all it wanted; NULL when there is none. */
struct lock_owner *locks_next_granted(struct locks *locks);

/* How many keys are locked or waited for. */
size_t locks_count(const struct locks *locks);

#endif
