/* SPDX-License-Identifier: Apache-2.0 */
/* Who has a parent: a staged row, or one in a database, of which its shard is asked. What has none falls, and with it
 * what waits for it. */
#include "cycle.h"
#include "wire.h"

#include <stdlib.h>

#define LOOKUPS_IN_FLIGHT 4
#define LOOKUP_BYTES 262144

/* Keys on their way to a shard. */
struct lookup {
    uint32_t children[LOADER_BLOCK_ROWS];
    uint32_t count;
    struct buffer values;
    struct query query;
    bool finished;
    struct gate *gate;
};

struct lookups {
    struct cycle *cycle;
    reference_id reference;
    struct gate gate;
    struct lookup *ring; /* LOOKUPS_IN_FLIGHT of them */
    uint32_t oldest;
    uint32_t in_flight;
};

static bool out_of_memory(struct cycle *cycle)
{
    struct error error;

    error_set(&error, ERROR_INTERNAL, "out of memory");
    return run_fail(cycle->run, &error);
}

bool cycle_fall(struct cycle *cycle, uint32_t seq)
{
    if (cycle->fallen_count == cycle->fallen_capacity) {
        uint32_t capacity = cycle->fallen_capacity ? cycle->fallen_capacity * 2 : 1024;
        uint32_t *fallen = realloc(cycle->fallen, capacity * sizeof(*fallen));
        if (!fallen)
            return out_of_memory(cycle);
        cycle->fallen = fallen;
        cycle->fallen_capacity = capacity;
    }
    cycle->fallen[cycle->fallen_count++] = seq;
    return true;
}

/* A row lacks the parent of one reference. Every such pair is noted once: a parent falls once. */
static bool lacks(struct cycle *cycle, uint32_t child, reference_id reference)
{
    struct error error = {0};

    if (!stage_put_missing(cycle->stage, child, reference, &error))
        return run_fail(cycle->run, &error);
    if (cycle_state(cycle, child) != ROW_STAGED)
        return true;
    cycle_set_state(cycle, child, ROW_ORPHAN);
    cycle->any_orphan = true;
    return cycle_fall(cycle, child);
}

bool cycle_follow_fallen(struct cycle *cycle)
{
    struct error error = {0};
    struct stage_edge edge;
    int found = 0;

    if (cycle->edges == 0)
        cycle->fallen_count = 0;
    while (cycle->fallen_count > 0) {
        if (!stage_children_open(cycle->stage, cycle->fallen[--cycle->fallen_count], &error))
            return run_fail(cycle->run, &error);
        while ((found = stage_children_next(cycle->stage, &edge, &error)) == 1)
            if (!lacks(cycle, edge.child, edge.reference))
                return false;
        if (found < 0)
            return run_fail(cycle->run, &error);
    }
    return true;
}

static void lookup_answered(struct query *query)
{
    struct lookup *lookup = query->context;

    gate_open(lookup->gate, &lookup->finished);
}

static bool settle_oldest(struct lookups *lookups, bool fine)
{
    struct lookup *lookup = &lookups->ring[lookups->oldest];
    struct cycle *cycle = lookups->cycle;
    struct error error = {0};
    const uint8_t *there;
    uint32_t count;

    gate_wait(&lookups->gate, &lookup->finished);
    lookups->oldest = (lookups->oldest + 1) % LOOKUPS_IN_FLIGHT;
    lookups->in_flight--;
    if (!fine)
        return false;
    if (!lookup->query.ok)
        return run_fail(cycle->run, &lookup->query.error);
    struct cursor body = cursor_over(lookup->query.answer.bytes, lookup->query.answer.len);
    if (!wire_get_exists_answer(&body, &there, &count, &error))
        return run_fail(cycle->run, &error);
    if (count != lookup->count) {
        error_set(&error, ERROR_INTERNAL, "a shard answered %u of %u keys", count, lookup->count);
        return run_fail(cycle->run, &error);
    }
    for (uint32_t i = 0; fine && i < count; i++)
        if (!there[i])
            fine = lacks(cycle, lookup->children[i], lookups->reference);
    lookup->count = 0;
    return fine;
}

static struct lookup *current(struct lookups *lookups)
{
    return &lookups->ring[(lookups->oldest + lookups->in_flight) % LOOKUPS_IN_FLIGHT];
}

/* Sends the keys gathered so far. Afterwards there is always room for another. */
static bool send_lookup(struct lookups *lookups)
{
    const struct schema_reference *reference = &lookups->cycle->schema->references[lookups->reference];
    struct lookup *lookup = current(lookups);
    struct query *query = &lookup->query;

    if (lookup->count == 0)
        return true;
    buffer_clear(&query->ask);
    buffer_clear(&query->answer);
    if (!wire_put_exists(&query->ask, reference->parent, reference->parent_key, lookup->count,
                         lookup->count * reference->column_count) ||
        !buffer_put(&query->ask, lookup->values.bytes, lookup->values.len))
        return out_of_memory(lookups->cycle);
    buffer_clear(&lookup->values);
    query->kind = WIRE_EXISTS;
    query->database = lookups->cycle->schema->tables[reference->parent].database;
    query->ok = false;
    query->finished = lookup_answered;
    query->context = lookup;
    lookup->finished = false;
    lookups->in_flight++;
    engine_ask(lookups->cycle->run->options->engine, query);
    return lookups->in_flight < LOOKUPS_IN_FLIGHT || settle_oldest(lookups, true);
}

static bool look_up(struct lookups *lookups, const struct stage_link *link)
{
    const struct schema_reference *reference = &lookups->cycle->schema->references[lookups->reference];
    struct lookup *lookup = current(lookups);

    for (uint16_t i = 0; i < reference->column_count; i++)
        if (!pack_value(&lookup->values, &link->values[reference->key_order[i]]))
            return out_of_memory(lookups->cycle);
    lookup->children[lookup->count++] = link->child;
    if (lookup->count < LOADER_BLOCK_ROWS && lookup->values.len < LOOKUP_BYTES)
        return true;
    return send_lookup(lookups);
}

static bool take_link(struct lookups *lookups, const struct stage_link *link, bool parents_are_staged_only)
{
    struct cycle *cycle = lookups->cycle;
    struct stage_edge edge = {link->parent, link->child, lookups->reference};
    struct error error = {0};

    if (link->parent_is_staged && link->parent == link->child)
        return true; /* a row may name itself */
    if (link->parent_is_staged) {
        cycle->edges++;
        return stage_put_edge(cycle->stage, &edge, &error) || run_fail(cycle->run, &error);
    }
    if (parents_are_staged_only)
        return lacks(cycle, link->child, lookups->reference);
    return look_up(lookups, link);
}

static bool check_reference(struct lookups *lookups, reference_id id)
{
    struct cycle *cycle = lookups->cycle;
    struct error error = {0};
    struct stage_link link;
    bool empty = false, fine = true;
    int found = 0;

    lookups->reference = id;
    if (!cycle_table_is_empty(cycle, cycle->schema->references[id].parent, &empty))
        return false;
    if (!stage_links_open(cycle->stage, id, &error))
        return run_fail(cycle->run, &error);
    while (fine && run_goes_on(cycle->run) && (found = stage_links_next(cycle->stage, &link, &error)) == 1)
        fine = take_link(lookups, &link, empty);
    if (fine && found < 0)
        fine = run_fail(cycle->run, &error);
    fine = fine && send_lookup(lookups);
    while (lookups->in_flight > 0)
        fine = settle_oldest(lookups, fine);
    return fine;
}

static bool check_all(struct lookups *lookups)
{
    struct cycle *cycle = lookups->cycle;

    for (uint16_t t = 0; t < cycle->component->table_count; t++) {
        const struct schema_table *table = &cycle->schema->tables[cycle->component->tables[t]];
        for (uint16_t r = 0; r < table->reference_count && run_goes_on(cycle->run); r++)
            if (!check_reference(lookups, table->references[r]))
                return false;
    }
    return true;
}

bool cycle_check_references(struct cycle *cycle)
{
    struct lookups lookups = {.cycle = cycle};
    struct error error = {0};

    if (!gate_init(&lookups.gate, &error))
        return run_fail(cycle->run, &error);
    lookups.ring = calloc(LOOKUPS_IN_FLIGHT, sizeof(*lookups.ring));
    for (int i = 0; lookups.ring && i < LOOKUPS_IN_FLIGHT; i++)
        lookups.ring[i].gate = &lookups.gate;
    bool fine = lookups.ring ? check_all(&lookups) : out_of_memory(cycle);
    for (int i = 0; lookups.ring && i < LOOKUPS_IN_FLIGHT; i++) {
        buffer_release(&lookups.ring[i].values);
        buffer_release(&lookups.ring[i].query.ask);
        buffer_release(&lookups.ring[i].query.answer);
    }
    free(lookups.ring);
    gate_release(&lookups.gate);
    if (fine && cycle->edges > 0 && !stage_edges_index(cycle->stage, &error))
        fine = run_fail(cycle->run, &error);
    return fine && (!run_goes_on(cycle->run) || cycle_follow_fallen(cycle));
}
