/* SPDX-License-Identifier: Apache-2.0 */
#include "locks.h"

#include <stdlib.h>
#include <string.h>

#define TABLE_START 1024u
#define FEW_WANTS 12u /* up to here merging by looking at each is faster than sorting */

/* One key that somebody holds or waits for. Those who hold it are only counted; those who wait stand in line. */
struct lock {
    uint64_t key;
    uint32_t shared; /* holders */
    uint32_t first_waiter;
    uint32_t last_waiter;
    bool exclusive; /* one holder */
};

struct claim {
    struct lock_owner *owner;
    uint32_t lock;
    uint32_t next_of_owner;
    uint32_t next_waiter;
    bool exclusive;
    bool granted;
};

/* Open addressing with linear probing; a slot's home is its tag. */
struct slot {
    uint32_t tag;  /* the key's upper half */
    uint32_t lock; /* LOCKS_NONE: empty */
};

/* Numbered things in one block, with a list of the free ones through their first word. */
struct pool {
    uint8_t *items;
    size_t size;
    uint32_t used, capacity, first_free;
};

struct locks {
    struct slot *slots;
    uint32_t mask;
    uint32_t count;
    struct pool locks;
    struct pool claims;
    struct lock_owner *first_granted, *last_granted;
};

static struct lock *lock_at(const struct locks *locks, uint32_t i)
{
    return (struct lock *)(void *)(locks->locks.items + i * sizeof(struct lock));
}

static struct claim *claim_at(const struct locks *locks, uint32_t i)
{
    return (struct claim *)(void *)(locks->claims.items + i * sizeof(struct claim));
}

/* Room for `more` items, whether or not some are free: callers change nothing until all room is there. */
static bool pool_reserve(struct pool *pool, size_t more)
{
    if (pool->used + more <= pool->capacity)
        return true;
    size_t capacity = pool->capacity ? pool->capacity : 1024u;
    while (capacity < pool->used + more)
        capacity *= 2;
    uint8_t *items = capacity < LOCKS_NONE ? realloc(pool->items, capacity * pool->size) : NULL;
    if (!items)
        return false;
    pool->items = items;
    pool->capacity = (uint32_t)capacity;
    return true;
}

static uint32_t pool_take(struct pool *pool)
{
    if (pool->first_free == LOCKS_NONE)
        return pool->used++;
    uint32_t i = pool->first_free;
    memcpy(&pool->first_free, pool->items + i * pool->size, sizeof pool->first_free);
    return i;
}

static void pool_give(struct pool *pool, uint32_t i)
{
    memcpy(pool->items + i * pool->size, &pool->first_free, sizeof pool->first_free);
    pool->first_free = i;
}

static uint32_t tag_of(uint64_t key)
{
    return (uint32_t)(key >> 32);
}

static void slot_put(struct slot *slots, uint32_t mask, uint32_t tag, uint32_t lock)
{
    uint32_t at = tag & mask;
    while (slots[at].lock != LOCKS_NONE)
        at = (at + 1) & mask;
    slots[at] = (struct slot){tag, lock};
}

static struct slot *slots_new(size_t count)
{
    struct slot *slots = malloc(count * sizeof *slots);
    if (slots)
        memset(slots, 0xff, count * sizeof *slots); /* every lock LOCKS_NONE */
    return slots;
}

/* At most half full, also with `more` keys. */
static bool table_reserve(struct locks *locks, size_t more)
{
    size_t size = (size_t)locks->mask + 1;
    if ((locks->count + more) * 2 <= size)
        return true;
    while ((locks->count + more) * 2 > size)
        size *= 2;
    struct slot *larger = size <= LOCKS_NONE ? slots_new(size) : NULL;
    if (!larger)
        return false;
    for (uint32_t i = 0; i <= locks->mask; i++)
        if (locks->slots[i].lock != LOCKS_NONE)
            slot_put(larger, (uint32_t)(size - 1), locks->slots[i].tag, locks->slots[i].lock);
    free(locks->slots);
    locks->slots = larger;
    locks->mask = (uint32_t)(size - 1);
    return true;
}

struct locks *locks_new(void)
{
    struct locks *locks = calloc(1, sizeof *locks);
    if (!locks)
        return NULL;
    locks->mask = TABLE_START - 1;
    locks->locks = (struct pool){.size = sizeof(struct lock), .first_free = LOCKS_NONE};
    locks->claims = (struct pool){.size = sizeof(struct claim), .first_free = LOCKS_NONE};
    locks->slots = slots_new(TABLE_START);
    if (locks->slots)
        return locks;
    free(locks);
    return NULL;
}

void locks_free(struct locks *locks)
{
    if (!locks)
        return;
    free(locks->slots);
    free(locks->locks.items);
    free(locks->claims.items);
    free(locks);
}

size_t locks_count(const struct locks *locks)
{
    return locks->count;
}

/* The slot of a key; an empty one where it belongs when nobody has it. */
static uint32_t slot_of(const struct locks *locks, uint64_t key)
{
    uint32_t tag = tag_of(key), at = tag & locks->mask;
    while (locks->slots[at].lock != LOCKS_NONE &&
           (locks->slots[at].tag != tag || lock_at(locks, locks->slots[at].lock)->key != key))
        at = (at + 1) & locks->mask;
    return at;
}

static uint32_t find_or_add(struct locks *locks, uint64_t key)
{
    uint32_t at = slot_of(locks, key);
    if (locks->slots[at].lock != LOCKS_NONE)
        return locks->slots[at].lock;
    uint32_t i = pool_take(&locks->locks);
    *lock_at(locks, i) = (struct lock){.key = key, .first_waiter = LOCKS_NONE, .last_waiter = LOCKS_NONE};
    locks->slots[at] = (struct slot){tag_of(key), i};
    locks->count++;
    return i;
}

/* Entries behind the gap move up when that brings them nearer to their home, so that no mark of the deleted stays. */
static void remove_lock(struct locks *locks, uint32_t i)
{
    uint32_t gap = tag_of(lock_at(locks, i)->key) & locks->mask;
    while (locks->slots[gap].lock != i)
        gap = (gap + 1) & locks->mask;
    for (uint32_t at = (gap + 1) & locks->mask; locks->slots[at].lock != LOCKS_NONE; at = (at + 1) & locks->mask) {
        uint32_t home = locks->slots[at].tag & locks->mask;
        if (((at - home) & locks->mask) >= ((at - gap) & locks->mask)) {
            locks->slots[gap] = locks->slots[at];
            gap = at;
        }
    }
    locks->slots[gap].lock = LOCKS_NONE;
    pool_give(&locks->locks, i);
    locks->count--;
}

static int by_key(const void *a, const void *b)
{
    const struct lock_want *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return 0;
}

static void add_want(struct lock_want *want, const struct lock_want *other)
{
    want->exclusive |= other->exclusive;
    want->in_order &= other->in_order;
}

static size_t merge_few(struct lock_want *wants, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        size_t same = 0;
        while (same < kept && wants[same].key != wants[i].key)
            same++;
        if (same < kept)
            add_want(&wants[same], &wants[i]);
        else
            wants[kept++] = wants[i];
    }
    return kept;
}

static size_t merge(struct lock_want *wants, size_t count)
{
    if (count <= FEW_WANTS)
        return merge_few(wants, count);
    qsort(wants, count, sizeof *wants, by_key);
    size_t kept = 0;
    for (size_t i = 1; i < count; i++)
        if (wants[i].key == wants[kept].key)
            add_want(&wants[kept], &wants[i]);
        else
            wants[++kept] = wants[i];
    return kept + 1;
}

static bool is_free_for(const struct lock *lock, bool exclusive)
{
    return !lock->exclusive && lock->first_waiter == LOCKS_NONE && !(exclusive && lock->shared);
}

static void grant(struct lock *lock, struct claim *claim)
{
    claim->granted = true;
    if (claim->exclusive)
        lock->exclusive = true;
    else
        lock->shared++;
}

static void add_claim(struct locks *locks, struct lock_owner *owner, const struct lock_want *want)
{
    uint32_t lock_number = find_or_add(locks, want->key), number = pool_take(&locks->claims);
    struct lock *lock = lock_at(locks, lock_number);
    struct claim *claim = claim_at(locks, number);
    *claim = (struct claim){.owner = owner,
                            .lock = lock_number,
                            .next_of_owner = owner->first_claim,
                            .next_waiter = LOCKS_NONE,
                            .exclusive = want->exclusive};
    owner->first_claim = number;
    if (is_free_for(lock, want->exclusive)) {
        grant(lock, claim);
        return;
    }
    owner->waiting++;
    if (lock->first_waiter == LOCKS_NONE)
        lock->first_waiter = number;
    else
        claim_at(locks, lock->last_waiter)->next_waiter = number;
    lock->last_waiter = number;
}

/* Who waits for nothing, or only in the one line where all others wait as well, cannot be overtaken in another. */
static void keep_order(const struct locks *locks, struct lock_want *wants, size_t count)
{
    size_t in_order = 0, waits = 0, waits_in_order = 0;
    for (size_t i = 0; i < count; i++)
        in_order += wants[i].in_order;
    if (in_order == 0)
        return;
    for (size_t i = 0; i < count; i++) {
        uint32_t lock = locks->slots[slot_of(locks, wants[i].key)].lock;
        if (lock == LOCKS_NONE || is_free_for(lock_at(locks, lock), wants[i].exclusive))
            continue;
        waits++;
        waits_in_order += wants[i].in_order;
    }
    if (waits == 0 || (waits == 1 && waits_in_order == 1 && in_order == 1))
        return;
    for (size_t i = 0; i < count; i++)
        wants[i].exclusive |= wants[i].in_order;
}

bool locks_take(struct locks *locks, struct lock_owner *owner, struct lock_want *wants, size_t *count)
{
    if (*count == 0)
        return true;
    *count = merge(wants, *count);
    keep_order(locks, wants, *count);
    if (!pool_reserve(&locks->claims, *count) || !pool_reserve(&locks->locks, *count) || !table_reserve(locks, *count))
        return false;
    for (size_t i = 0; i < *count; i++)
        add_claim(locks, owner, &wants[i]);
    return true;
}

static void owner_granted(struct locks *locks, struct lock_owner *owner)
{
    owner->next_granted = NULL;
    if (locks->last_granted)
        locks->last_granted->next_granted = owner;
    else
        locks->first_granted = owner;
    locks->last_granted = owner;
}

/* The first in line, and all shared ones right behind a shared one. */
static void grant_waiters(struct locks *locks, struct lock *lock)
{
    while (lock->first_waiter != LOCKS_NONE && !lock->exclusive) {
        struct claim *claim = claim_at(locks, lock->first_waiter);
        if (claim->exclusive && lock->shared)
            return;
        lock->first_waiter = claim->next_waiter;
        if (lock->first_waiter == LOCKS_NONE)
            lock->last_waiter = LOCKS_NONE;
        grant(lock, claim);
        if (--claim->owner->waiting == 0)
            owner_granted(locks, claim->owner);
    }
}

static void leave_line(struct locks *locks, struct lock *lock, uint32_t number)
{
    uint32_t before = LOCKS_NONE;
    for (uint32_t at = lock->first_waiter; at != number; at = claim_at(locks, at)->next_waiter)
        before = at;
    uint32_t behind = claim_at(locks, number)->next_waiter;
    if (before == LOCKS_NONE)
        lock->first_waiter = behind;
    else
        claim_at(locks, before)->next_waiter = behind;
    if (behind == LOCKS_NONE)
        lock->last_waiter = before;
}

/* An owner that got all it wanted and is released before it was told. */
static void forget_granted(struct locks *locks, struct lock_owner *owner)
{
    struct lock_owner *before = NULL;
    for (struct lock_owner *at = locks->first_granted; at; before = at, at = at->next_granted) {
        if (at != owner)
            continue;
        if (before)
            before->next_granted = at->next_granted;
        else
            locks->first_granted = at->next_granted;
        if (locks->last_granted == at)
            locks->last_granted = before;
        return;
    }
}

void locks_release(struct locks *locks, struct lock_owner *owner)
{
    if (owner->next_granted || locks->last_granted == owner) /* in the list: else a walk over it for nothing */
        forget_granted(locks, owner);
    while (owner->first_claim != LOCKS_NONE) {
        uint32_t number = owner->first_claim;
        struct claim *claim = claim_at(locks, number);
        struct lock *lock = lock_at(locks, claim->lock);
        uint32_t lock_number = claim->lock;
        owner->first_claim = claim->next_of_owner;
        if (!claim->granted)
            leave_line(locks, lock, number);
        else if (claim->exclusive)
            lock->exclusive = false;
        else
            lock->shared--;
        pool_give(&locks->claims, number);
        grant_waiters(locks, lock);
        if (!lock->exclusive && !lock->shared && lock->first_waiter == LOCKS_NONE)
            remove_lock(locks, lock_number);
    }
    owner->waiting = 0;
}

struct lock_owner *locks_next_granted(struct locks *locks)
{
    struct lock_owner *owner = locks->first_granted;
    if (!owner)
        return NULL;
    locks->first_granted = owner->next_granted;
    if (!locks->first_granted)
        locks->last_granted = NULL;
    owner->next_granted = NULL;
    return owner;
}
