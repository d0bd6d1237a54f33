/* SPDX-License-Identifier: Apache-2.0 */
#include "presence.h"

#include <roaring/roaring.h>
#include <stdlib.h>
#include <string.h>

#define WEIGH_EVERY 262144u /* added rowids between two looks at the budget */
#define PIECE_BYTES 128u    /* of a piece without its containers */

enum state {
    UNTRACKED, /* nobody names it by rowid, or it was given up */
    UNREAD,
    READING,
    KNOWN
};

struct piece {
    uint32_t high;
    roaring_bitmap_t *low;
};

struct set {
    enum state state;
    uint32_t asked;
    uint32_t count, capacity;
    uint32_t last; /* the piece that was used last */
    struct piece *pieces;
};

struct presence {
    uint16_t count;
    struct set *sets;
    size_t bytes_max;
    uint32_t since_weighed;
};

/* Order is kept by flipping the sign bit. */
static uint64_t ordered(int64_t rowid)
{
    return (uint64_t)rowid ^ (uint64_t)1 << 63;
}

struct presence *presence_new(const struct schema *schema, size_t bytes_max)
{
    struct presence *presence = calloc(1, sizeof *presence);
    if (!presence || !(presence->sets = calloc((size_t)schema->table_count + 1, sizeof *presence->sets))) {
        free(presence);
        return NULL;
    }
    presence->count = schema->table_count;
    presence->bytes_max = bytes_max;
    for (table_id t = 0; t < schema->table_count; t++)
        for (uint16_t k = 0; k < schema->tables[t].key_count; k++)
            if (schema->tables[t].keys[k].rowid && schema->tables[t].keys[k].referenced)
                presence->sets[t].state = UNREAD;
    return presence;
}

static void set_clear(struct set *set, enum state state)
{
    for (uint32_t i = 0; i < set->count; i++)
        roaring_bitmap_free(set->pieces[i].low);
    free(set->pieces);
    *set = (struct set){.state = state};
}

void presence_free(struct presence *presence)
{
    if (!presence)
        return;
    for (uint16_t t = 0; t < presence->count; t++)
        set_clear(&presence->sets[t], UNTRACKED);
    free(presence->sets);
    free(presence);
}

void presence_is_empty(struct presence *presence, table_id table)
{
    if (presence->sets[table].state == UNREAD)
        presence->sets[table].state = KNOWN;
}

void presence_put_off(struct presence *presence, table_id table)
{
    if (presence->sets[table].state == READING)
        set_clear(&presence->sets[table], UNREAD);
}

void presence_give_up(struct presence *presence, table_id table)
{
    set_clear(&presence->sets[table], UNTRACKED);
}

/* The piece of `high`, or where it would stand. */
static uint32_t place_of(const struct set *set, uint32_t high)
{
    if (set->last < set->count && set->pieces[set->last].high == high)
        return set->last;
    uint32_t low = 0, top = set->count;
    while (low < top) {
        uint32_t middle = low + (top - low) / 2;
        if (set->pieces[middle].high < high)
            low = middle + 1;
        else
            top = middle;
    }
    return low;
}

enum presence_answer presence_look(struct presence *presence, table_id table, int64_t rowid)
{
    struct set *set = &presence->sets[table];
    uint64_t key = ordered(rowid);
    if (set->state == UNTRACKED)
        return PRESENCE_NOT_KNOWN;
    uint32_t at = place_of(set, (uint32_t)(key >> 32));
    if (at < set->count && set->pieces[at].high == (uint32_t)(key >> 32)) {
        set->last = at;
        if (roaring_bitmap_contains(set->pieces[at].low, (uint32_t)key))
            return PRESENCE_THERE;
    }
    if (set->state == KNOWN)
        return PRESENCE_ABSENT;
    set->asked++;
    return PRESENCE_NOT_KNOWN;
}

bool presence_wants_reading(struct presence *presence, table_id table)
{
    struct set *set = &presence->sets[table];
    if (set->state != UNREAD || set->asked < PRESENCE_ASKED_MIN)
        return false;
    set->state = READING;
    return true;
}

static roaring_bitmap_t *piece_for(struct set *set, uint32_t high)
{
    uint32_t at = place_of(set, high);
    if (at < set->count && set->pieces[at].high == high) {
        set->last = at;
        return set->pieces[at].low;
    }
    if (set->count == set->capacity) {
        uint32_t capacity = set->capacity ? set->capacity * 2 : 4;
        struct piece *larger = realloc(set->pieces, capacity * sizeof *larger);
        if (!larger)
            return NULL;
        set->pieces = larger;
        set->capacity = capacity;
    }
    roaring_bitmap_t *low = roaring_bitmap_create();
    if (!low)
        return NULL;
    memmove(&set->pieces[at + 1], &set->pieces[at], (set->count - at) * sizeof *set->pieces);
    set->pieces[at] = (struct piece){high, low};
    set->count++;
    set->last = at;
    return low;
}

static size_t weight(const struct set *set)
{
    size_t bytes = (size_t)set->count * PIECE_BYTES;
    for (uint32_t i = 0; i < set->count; i++)
        bytes += roaring_bitmap_portable_size_in_bytes(set->pieces[i].low);
    return bytes;
}

/* Over the budget the largest set goes. */
static void weigh(struct presence *presence)
{
    size_t all = 0, most = 0;
    uint16_t largest = 0;
    presence->since_weighed = 0;
    for (uint16_t t = 0; t < presence->count; t++) {
        size_t bytes = weight(&presence->sets[t]);
        all += bytes;
        if (bytes > most) {
            most = bytes;
            largest = t;
        }
    }
    if (all > presence->bytes_max)
        presence_give_up(presence, largest);
}

static void put(struct presence *presence, table_id table, int64_t rowid)
{
    struct set *set = &presence->sets[table];
    uint64_t key = ordered(rowid);
    roaring_bitmap_t *low = piece_for(set, (uint32_t)(key >> 32));
    if (!low) {
        presence_give_up(presence, table); /* an incomplete set would say "absent" of what is there */
        return;
    }
    roaring_bitmap_add(low, (uint32_t)key);
    if (++presence->since_weighed >= WEIGH_EVERY)
        weigh(presence);
}

void presence_add(struct presence *presence, table_id table, int64_t rowid)
{
    enum state state = presence->sets[table].state;
    if (state == KNOWN || state == READING)
        put(presence, table, rowid);
}

void presence_remove(struct presence *presence, table_id table, int64_t rowid)
{
    struct set *set = &presence->sets[table];
    uint64_t key = ordered(rowid);
    if (set->state != KNOWN && set->state != READING)
        return;
    uint32_t at = place_of(set, (uint32_t)(key >> 32));
    if (at < set->count && set->pieces[at].high == (uint32_t)(key >> 32))
        roaring_bitmap_remove(set->pieces[at].low, (uint32_t)key);
}

void presence_chunk(struct presence *presence, table_id table, const int64_t *rowids, uint32_t count, bool complete)
{
    struct set *set = &presence->sets[table];
    for (uint32_t i = 0; i < count && set->state == READING; i++)
        put(presence, table, rowids[i]);
    if (complete && set->state == READING)
        set->state = KNOWN;
}
