/* SPDX-License-Identifier: Apache-2.0 */
/* locks.h - who may touch which key now: shared and exclusive locks on 64-bit lock keys (key.h), in order of arrival.
 *
 * Invariants
 *  L1  An owner takes its first locks all at once and does nothing before it has them all: until then what it holds may
 *      be taken back from it, and nobody waits for it but later ones that are in the same state.
 *  L2  Only one that plans may ask for more (locks_take_more). It waits only for owners that will end without asking
 *      for more, or that plan and are older.
 *  L3  A younger one that plans and is in an older one's way is wounded: it loses everything and begins again, with
 *      the same age. (Wound-wait: Rosenkrantz, Stearns and Lewis, 1978.)
 * So nobody waits in a circle, and the oldest always goes on.
 *
 * A lock is granted in order of arrival; a shared want behind a waiting exclusive one waits as well. Those who ask for
 * more stand before the others, the oldest first. The caller bounds the number of owners; memory is kept for reuse and
 * freed at the end. Engine thread only.
 *
 * Order: locks_take once, granted at once or later by way of locks_next_granted; for one that plans, locks_take_more
 * any number of times, each granted before the next, then locks_settle; locks_release once. */
#ifndef SHEAF_LOCKS_H
#define SHEAF_LOCKS_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOCKS_NONE UINT32_MAX

/* Embedded in what waits. Initialise with lock_owner_init. */
struct lock_owner {
    void (*granted)(struct lock_owner *owner); /* it has all it wanted, or was wounded: look at `wounded` */
    /* Whether it has its locks and waits for a shard. NULL: never. */
    bool (*waits_for_shard)(const struct lock_owner *owner);
    /* When it, or what it is a part of, went on last, by the engine's clock. NULL: 0. */
    uint64_t (*moved_ns)(const struct lock_owner *owner);
    struct lock_owner *next_granted;
    uint64_t age; /* smaller: older */
    uint32_t first_claim;
    uint32_t waiting; /* claims not granted yet */
    bool complete;    /* has had all its first locks */
    bool plans;       /* may ask for more */
    bool wounded;     /* holds nothing any more */
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

/* For an owner that plans and waits for nothing: takes `wants` too. It must hold none of them already, but may want one
 * exclusively that it holds shared. As above; owners that are in the way are wounded here. */
bool locks_take_more(struct locks *locks, struct lock_owner *owner, struct lock_want *wants, size_t *count);

/* It will ask for no more, and cannot be wounded any more. */
void locks_settle(struct lock_owner *owner);

/* Gives back what is held, and no longer waits for what is not. */
void locks_release(struct locks *locks, struct lock_owner *owner);

/* The next owner that has got all it wanted, or was wounded; NULL when there is none. */
struct lock_owner *locks_next_granted(struct locks *locks);

/* When one of those that the owner waits for went on last, and of those that these wait for (of many only the first are
 * asked). Who waits behind others that go on does not wait too long. */
uint64_t locks_moved_ns(const struct locks *locks, const struct lock_owner *owner);

/* Whether one of these waits for a shard. */
bool locks_is_behind_shard(const struct locks *locks, const struct lock_owner *owner);

/* What is said to one that has waited too long: ERROR_UNAVAILABLE. */
void locks_error(struct error *error);

/* How many keys are locked or waited for. */
size_t locks_count(const struct locks *locks);

#endif
