/* SPDX-License-Identifier: Apache-2.0 */
#include "locks.h"

#include <stdlib.h>
#include <string.h>

#define TABLE_START 1024u
#define HOLDERS_ASKED 64u
#define FEW_WANTS 12u /* up to here merging by looking at each is faster than sorting */

/* One key that somebody holds or waits for. */
struct lock {
    uint64_t key;
    uint32_t first_holder; /* in no order */
    uint32_t first_waiter; /* in line */
    uint32_t last_waiter;
    uint32_t shared; /* holders; one that has made it exclusive is counted still */
    bool exclusive;  /* one holder */
};

/* Stands in one of its lock's two lists. */
struct claim {
    struct lock_owner *owner;
    uint32_t lock;
    uint32_t next_of_owner;
    uint32_t next, before;
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
    *lock_at(locks, i) =
        (struct lock){.key = key, .first_holder = LOCKS_NONE, .first_waiter = LOCKS_NONE, .last_waiter = LOCKS_NONE};
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

/* ---- the lists ---- */

static void leave(struct locks *locks, struct lock *lock, uint32_t number)
{
    const struct claim *claim = claim_at(locks, number);
    if (claim->before != LOCKS_NONE)
        claim_at(locks, claim->before)->next = claim->next;
    else if (claim->granted)
        lock->first_holder = claim->next;
    else
        lock->first_waiter = claim->next;
    if (claim->next != LOCKS_NONE)
        claim_at(locks, claim->next)->before = claim->before;
    else if (!claim->granted)
        lock->last_waiter = claim->before;
}

static void hold(struct locks *locks, struct lock *lock, uint32_t number)
{
    struct claim *claim = claim_at(locks, number);
    claim->granted = true;
    claim->before = LOCKS_NONE;
    claim->next = lock->first_holder;
    if (claim->next != LOCKS_NONE)
        claim_at(locks, claim->next)->before = number;
    lock->first_holder = number;
    if (claim->exclusive)
        lock->exclusive = true;
    else
        lock->shared++;
}

static void let_go(struct lock *lock, const struct claim *claim)
{
    if (claim->exclusive)
        lock->exclusive = false;
    else
        lock->shared--;
}

/* In line behind `before`; LOCKS_NONE: in front of all. */
static void wait_behind(struct locks *locks, struct lock *lock, uint32_t before, uint32_t number)
{
    struct claim *claim = claim_at(locks, number);
    claim->granted = false;
    claim->before = before;
    claim->next = before == LOCKS_NONE ? lock->first_waiter : claim_at(locks, before)->next;
    if (before == LOCKS_NONE)
        lock->first_waiter = number;
    else
        claim_at(locks, before)->next = number;
    if (claim->next == LOCKS_NONE)
        lock->last_waiter = number;
    else
        claim_at(locks, claim->next)->before = number;
    claim->owner->waiting++;
}

/* The last in line of those who ask for more, and are older than `age`. */
static uint32_t last_older(const struct locks *locks, const struct lock *lock, uint64_t age)
{
    uint32_t last = LOCKS_NONE;
    for (uint32_t at = lock->first_waiter; at != LOCKS_NONE; at = claim_at(locks, at)->next) {
        const struct lock_owner *owner = claim_at(locks, at)->owner;
        if (!owner->complete || owner->age > age)
            break;
        last = at;
    }
    return last;
}

static bool others_share(const struct locks *locks, const struct lock *lock, const struct lock_owner *owner)
{
    return lock->shared > 1 || (lock->shared == 1 && claim_at(locks, lock->first_holder)->owner != owner);
}

static bool is_compatible(const struct locks *locks, const struct lock *lock, const struct claim *claim)
{
    return !lock->exclusive && !(claim->exclusive && others_share(locks, lock, claim->owner));
}

/* ---- telling ---- */

static void tell(struct locks *locks, struct lock_owner *owner)
{
    owner->next_granted = NULL;
    if (locks->last_granted)
        locks->last_granted->next_granted = owner;
    else
        locks->first_granted = owner;
    locks->last_granted = owner;
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

/* The first in line, and all shared ones right behind a shared one. */
static void grant_waiters(struct locks *locks, struct lock *lock)
{
    while (lock->first_waiter != LOCKS_NONE) {
        uint32_t number = lock->first_waiter;
        struct claim *claim = claim_at(locks, number);
        if (!is_compatible(locks, lock, claim))
            return;
        leave(locks, lock, number);
        hold(locks, lock, number);
        if (--claim->owner->waiting > 0)
            continue;
        claim->owner->complete = true;
        tell(locks, claim->owner);
    }
}

/* ---- taking ---- */

static uint32_t claim_new(struct locks *locks, struct lock_owner *owner, const struct lock_want *want)
{
    uint32_t lock = find_or_add(locks, want->key), number = pool_take(&locks->claims);
    *claim_at(locks, number) =
        (struct claim){.owner = owner, .lock = lock, .next_of_owner = owner->first_claim, .exclusive = want->exclusive};
    owner->first_claim = number;
    return number;
}

static bool reserve(struct locks *locks, size_t count)
{
    return pool_reserve(&locks->claims, count) && pool_reserve(&locks->locks, count) && table_reserve(locks, count);
}

static bool is_free_for(const struct lock *lock, bool exclusive)
{
    return lock->first_waiter == LOCKS_NONE && !lock->exclusive && !(exclusive && lock->shared);
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
    owner->wounded = false;
    owner->complete = false;
    *count = *count ? merge(wants, *count) : 0;
    keep_order(locks, wants, *count);
    if (!reserve(locks, *count))
        return false;
    for (size_t i = 0; i < *count; i++) {
        uint32_t number = claim_new(locks, owner, &wants[i]);
        struct lock *lock = lock_at(locks, claim_at(locks, number)->lock);
        if (lock->first_waiter == LOCKS_NONE && is_compatible(locks, lock, claim_at(locks, number)))
            hold(locks, lock, number);
        else
            wait_behind(locks, lock, lock->last_waiter, number);
    }
    owner->complete = owner->waiting == 0;
    return true;
}

static void wound(struct locks *locks, struct lock_owner *owner)
{
    locks_release(locks, owner);
    owner->wounded = true;
    owner->plans = false;
    tell(locks, owner);
}

/* L1: its owner has done nothing yet. It stands behind those who ask for more, and before all who came later. */
static void take_back(struct locks *locks, struct lock *lock, uint32_t number)
{
    leave(locks, lock, number);
    let_go(lock, claim_at(locks, number));
    wait_behind(locks, lock, last_older(locks, lock, UINT64_MAX), number);
}

/* Who is in the way of `claim` (not granted) and has to give way; LOCKS_NONE: nobody, or none that has to. */
static uint32_t to_give_way(const struct locks *locks, const struct lock *lock, const struct claim *claim)
{
    for (uint32_t at = lock->first_holder; at != LOCKS_NONE; at = claim_at(locks, at)->next) {
        const struct claim *held = claim_at(locks, at);
        if (held->owner == claim->owner || !(claim->exclusive || held->exclusive))
            continue;
        if (!held->owner->complete || (held->owner->plans && held->owner->age > claim->owner->age))
            return at;
    }
    return LOCKS_NONE;
}

/* A wound may end other locks and grant their waiters, but never this one: somebody waits for it. */
static void clear_the_way(struct locks *locks, uint32_t number)
{
    uint32_t lock = claim_at(locks, number)->lock, at;
    while ((at = to_give_way(locks, lock_at(locks, lock), claim_at(locks, number))) != LOCKS_NONE) {
        struct lock_owner *owner = claim_at(locks, at)->owner;
        if (owner->complete)
            wound(locks, owner);
        else
            take_back(locks, lock_at(locks, lock), at);
    }
}

bool locks_take_more(struct locks *locks, struct lock_owner *owner, struct lock_want *wants, size_t *count)
{
    *count = *count ? merge(wants, *count) : 0;
    if (!reserve(locks, *count))
        return false;
    owner->waiting++; /* for the rest: what is granted on the way is seen by the caller and not told as well */
    for (size_t i = 0; i < *count; i++) {
        uint32_t number = claim_new(locks, owner, &wants[i]);
        struct lock *lock = lock_at(locks, claim_at(locks, number)->lock);
        uint32_t before = last_older(locks, lock, owner->age);
        if (before == LOCKS_NONE && is_compatible(locks, lock, claim_at(locks, number))) {
            hold(locks, lock, number);
            continue;
        }
        wait_behind(locks, lock, before, number);
        clear_the_way(locks, number);
        grant_waiters(locks, lock);
    }
    owner->waiting--;
    return true;
}

void locks_settle(struct lock_owner *owner)
{
    owner->plans = false;
}

/* ---- releasing ---- */

void locks_release(struct locks *locks, struct lock_owner *owner)
{
    if (owner->next_granted || locks->last_granted == owner) /* in the list: else a walk over it for nothing */
        forget_granted(locks, owner);
    while (owner->first_claim != LOCKS_NONE) {
        uint32_t number = owner->first_claim;
        struct claim *claim = claim_at(locks, number);
        uint32_t lock_number = claim->lock;
        struct lock *lock = lock_at(locks, lock_number);
        owner->first_claim = claim->next_of_owner;
        leave(locks, lock, number);
        if (claim->granted)
            let_go(lock, claim);
        pool_give(&locks->claims, number);
        grant_waiters(locks, lock);
        if (lock->first_holder == LOCKS_NONE && lock->first_waiter == LOCKS_NONE)
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

/* ---- who is waited for ---- */

/* The walk over those that are waited for. It ends: nobody waits in a circle. */
struct walk {
    const struct locks *locks;
    unsigned left; /* of HOLDERS_ASKED */
    uint64_t moved_ns;
    bool shard;
};

static void walk(struct walk *around, const struct lock_owner *owner);

static void ask_holders(struct walk *around, const struct lock *lock)
{
    for (uint32_t at = lock->first_holder; at != LOCKS_NONE && around->left; at = claim_at(around->locks, at)->next) {
        const struct lock_owner *holder = claim_at(around->locks, at)->owner;
        around->left--;
        uint64_t moved_ns = holder->moved_ns ? holder->moved_ns(holder) : 0;
        if (moved_ns > around->moved_ns)
            around->moved_ns = moved_ns;
        around->shard |= holder->waits_for_shard && holder->waits_for_shard(holder);
        walk(around, holder);
    }
}

static void walk(struct walk *around, const struct lock_owner *owner)
{
    if (owner->waiting == 0)
        return;
    for (uint32_t at = owner->first_claim; at != LOCKS_NONE; at = claim_at(around->locks, at)->next_of_owner)
        if (!claim_at(around->locks, at)->granted)
            ask_holders(around, lock_at(around->locks, claim_at(around->locks, at)->lock));
}

uint64_t locks_moved_ns(const struct locks *locks, const struct lock_owner *owner)
{
    struct walk all = {.locks = locks, .left = HOLDERS_ASKED};
    walk(&all, owner);
    return all.moved_ns;
}

bool locks_is_behind_shard(const struct locks *locks, const struct lock_owner *owner)
{
    struct walk all = {.locks = locks, .left = HOLDERS_ASKED};
    walk(&all, owner);
    return all.shard;
}

void locks_error(struct error *error)
{
    error_set(error, ERROR_UNAVAILABLE, "an earlier operation with a key that this one needs has no outcome yet");
}
