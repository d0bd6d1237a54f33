/* SPDX-License-Identifier: Apache-2.0 */
#include "lockset.h"

#include "error.h"

#include <stdlib.h>

#define SLOTS_START 16u

static size_t slot_of(const struct lockset *set, uint64_t key)
{
    size_t at = (size_t)(key >> 7) & (set->capacity - 1);
    while (set->used[at] && set->slots[at].key != key)
        at = (at + 1) & (set->capacity - 1);
    return at;
}

static void grow(struct lockset *set)
{
    struct lockset larger = {.capacity = set->capacity ? set->capacity * 2 : SLOTS_START};
    larger.slots = malloc(larger.capacity * sizeof *larger.slots);
    larger.used = calloc(larger.capacity, 1);
    if (!larger.slots || !larger.used)
        panic("out of memory for the locks of a transaction");
    for (size_t i = 0; i < set->capacity; i++)
        if (set->used[i]) {
            size_t at = slot_of(&larger, set->slots[i].key);
            larger.used[at] = 1;
            larger.slots[at] = set->slots[i];
        }
    free(set->slots);
    free(set->used);
    set->slots = larger.slots;
    set->used = larger.used;
    set->capacity = larger.capacity;
}

static void push(struct lockset *set, const struct lock_want *want)
{
    if (set->want_count == set->want_capacity) {
        size_t capacity = set->want_capacity ? set->want_capacity * 2 : SLOTS_START;
        struct lock_want *larger = realloc(set->wants, capacity * sizeof *larger);
        if (!larger)
            panic("out of memory for the locks of a transaction");
        set->wants = larger;
        set->want_capacity = capacity;
    }
    set->wants[set->want_count++] = *want;
}

void lockset_want(struct lockset *set, uint64_t key, bool exclusive)
{
    if ((set->count + 1) * 2 > set->capacity)
        grow(set);
    size_t at = slot_of(set, key);
    if (set->used[at] && (set->slots[at].exclusive || !exclusive))
        return;
    if (!set->used[at])
        set->count++;
    set->used[at] = 1;
    set->slots[at] = (struct lock_want){.key = key, .exclusive = exclusive};
    push(set, &set->slots[at]);
}

void lockset_held(struct lockset *set)
{
    set->want_count = 0;
}

void lockset_lost(struct lockset *set)
{
    set->want_count = 0;
    for (size_t i = 0; i < set->capacity; i++)
        if (set->used[i])
            push(set, &set->slots[i]);
}

void lockset_release(struct lockset *set)
{
    free(set->slots);
    free(set->used);
    free(set->wants);
    *set = (struct lockset){0};
}

bool lockset_put(const struct lockset *set, struct buffer *bytes)
{
    if (!buffer_reserve(bytes, set->count * LOCKSET_BYTES_EACH))
        return false;
    for (size_t i = 0; i < set->capacity; i++) {
        uint8_t *to = bytes->bytes + bytes->len;
        if (!set->used[i])
            continue;
        for (unsigned b = 0; b < 8; b++)
            to[b] = (uint8_t)(set->slots[i].key >> (8 * b));
        to[8] = set->slots[i].exclusive;
        bytes->len += LOCKSET_BYTES_EACH;
    }
    return true;
}
