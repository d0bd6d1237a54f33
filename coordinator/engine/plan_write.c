/* SPDX-License-Identifier: Apache-2.0 */
/* The part of plan.h that writes rows down: on their images, as operations for their shards, and as the locks that this
 * takes. */
#include "plan.h"
#include "wire.h"

#include <stdlib.h>

static const struct schema_table *table_of(const struct plan *plan, table_id table)
{
    return &plan->engine->schema->tables[table];
}

static bool too_large(struct plan *plan, uint32_t op)
{
    struct error error;
    if (++plan->written <= LIMIT_BATCH_ROWS_MAX)
        return false;
    error_set(&error, ERROR_TOO_LARGE, "a transaction of more than %d rows, those that follow from it included",
              LIMIT_BATCH_ROWS_MAX);
    plan_refuse(plan, op, &error);
    return true;
}

/* ---- locks ---- */

static void want_parents(struct plan *plan, table_id table, const struct value *row)
{
    const struct schema_table *t = table_of(plan, table);
    uint64_t key;
    for (uint16_t r = 0; r < t->reference_count; r++)
        if (rowkeys_named(plan->engine->rowkeys, &plan->engine->schema->references[t->references[r]], row, &key))
            lockset_want(&plan->locks, key, false);
}

bool plan_same_key(const struct schema_key *key, const struct value *before, const struct value *after)
{
    for (uint16_t i = 0; i < key->column_count; i++)
        if (!value_same(&before[key->columns[i]], &after[key->columns[i]]))
            return false;
    return true;
}

/* Exclusive on what identifies the row and on each key that it gets or gives up; shared on the parents that it named
 * and names: so nobody else can change a child of a parent that is held exclusively. */
static void want_change(struct plan *plan, const struct image *image, const struct value *before,
                        const struct value *after)
{
    const struct schema_table *t = table_of(plan, image->table);
    struct rowkeys *rowkeys = plan->engine->rowkeys;
    if (t->primary_key == SCHEMA_NONE && image->has_base)
        lockset_want(&plan->locks, rowkeys_rowid(rowkeys, image->table, image->rowid), true);
    for (uint16_t k = 0; k < t->key_count; k++) {
        uint64_t was = 0, becomes = 0;
        bool had = before && rowkeys_taken(rowkeys, image->table, k, before, &was);
        bool has = after && rowkeys_taken(rowkeys, image->table, k, after, &becomes);
        bool stays = had && has && k != t->primary_key && !rowkeys_is_coarse(rowkeys, image->table, k) &&
                     plan_same_key(&t->keys[k], before, after);
        if (had && !stays)
            lockset_want(&plan->locks, was, true);
        if (has && !stays)
            lockset_want(&plan->locks, becomes, true);
    }
    if (before)
        want_parents(plan, image->table, before);
    if (after)
        want_parents(plan, image->table, after);
}

/* ---- what is to be written ---- */

static struct plan_part *part_on(struct plan *plan, database_id database, uint32_t op)
{
    struct plan_part *part = &plan->parts[database];
    if (part->count == part->capacity) {
        uint32_t capacity = part->capacity ? part->capacity * 2 : 4;
        uint32_t *larger = realloc(part->op_of, capacity * sizeof *larger);
        if (!larger)
            panic("out of memory for %u rows of a transaction", capacity);
        part->op_of = larger;
        part->capacity = capacity;
    }
    part->op_of[part->count++] = op;
    return part;
}

static struct plan_part *part_for(struct plan *plan, table_id table, uint32_t op)
{
    return part_on(plan, table_of(plan, table)->database, op);
}

struct buffer *plan_room_to_keep(struct plan *plan)
{
    return &part_on(plan, plan->keeps_on, 0)->ops;
}

static void written(bool ok)
{
    if (!ok)
        panic("out of memory for the rows of a transaction");
}

void plan_put_key(struct plan *plan, table_id table, const struct value *row)
{
    const struct schema_table *t = table_of(plan, table);
    const struct schema_key *key = &t->keys[t->primary_key];
    buffer_clear(&plan->key);
    written(pack_array(&plan->key, key->column_count));
    for (uint16_t i = 0; i < key->column_count; i++)
        written(pack_value(&plan->key, &row[key->columns[i]]));
}

/* A row that was inserted without a primary key: its rowid is not known before it is there. */
static bool is_nameless(const struct plan *plan, const struct image *image)
{
    return !image->has_base && table_of(plan, image->table)->primary_key == SCHEMA_NONE;
}

/* What identifies the row on its shard now; the flags of an operation that names it so. */
static unsigned put_identity(struct plan *plan, const struct image *image)
{
    if (table_of(plan, image->table)->primary_key != SCHEMA_NONE) {
        plan_put_key(plan, image->table, image->now);
        return 0;
    }
    bool nameless = is_nameless(plan, image);
    const struct value name = value_integer(nameless ? image->made_by : image->rowid);
    buffer_clear(&plan->key);
    written(pack_array(&plan->key, 1) && pack_value(&plan->key, &name));
    return nameless ? WIRE_FLAG_MADE_HERE : 0;
}

static void put_update(struct plan *plan, const struct image *image, const struct value *values, const bool *given,
                       uint32_t op)
{
    const struct schema_table *t = table_of(plan, image->table);
    struct buffer row = {0};
    const struct value absent = value_absent();
    written(pack_array(&row, t->column_count));
    for (uint16_t c = 0; c < t->column_count; c++)
        written(pack_value(&row, given[c] ? &values[c] : &absent));
    unsigned flags = put_identity(plan, image);
    struct plan_part *part = part_for(plan, image->table, op);
    written(wire_put_update(&part->ops, image->table, flags, plan->key.bytes, plan->key.len, row.bytes, row.len));
    buffer_release(&row);
}

bool plan_change(struct plan *plan, struct image *image, struct value *values, const bool *given, uint32_t op,
                 unsigned depth)
{
    const struct schema_table *t = table_of(plan, image->table);
    const struct value *before = image->now;
    int64_t rowid;
    struct error error;
    if (too_large(plan, op))
        return false;
    if (values && !assign_generated(plan->engine->assign, image->table, values, &error)) {
        plan_refuse(plan, op, &error);
        return false;
    }
    want_change(plan, image, before, values);
    if (values && plan_misses_itself(plan, image->table, values, given, op))
        return false;
    if (values) {
        put_update(plan, image, values, given, op);
        if (t->rowid_column != SCHEMA_NONE && given[t->rowid_column] &&
            affinity_as_rowid(plan->engine->scratch, &values[t->rowid_column], &rowid))
            assign_claim(plan->engine->assign, &plan->claims, image->table, rowid);
    } else {
        unsigned flags = put_identity(plan, image);
        struct plan_part *part = part_for(plan, image->table, op);
        written(wire_put_delete(&part->ops, image->table, flags, plan->key.bytes, plan->key.len));
    }
    images_write(&plan->images, image, values, op);
    return plan_follow(plan, image->table, before, values ? image->now : NULL, op, depth);
}

struct value plan_stored(struct plan *plan, const struct schema_column *column, const struct value *value)
{
    struct value result;
    if (value->type == VALUE_ABSENT)
        return *value;
    if (!affinity_apply(plan->engine->scratch, column->affinity, value, &result, NULL))
        panic("an affinity cannot be applied");
    if (result.type == VALUE_TEXT)
        result.bytes = arena_copy(&plan->images.round, result.bytes, result.len);
    return result;
}

bool plan_insert(struct plan *plan, table_id table, struct value *values, bool same_is_fine, uint32_t op)
{
    const struct schema_table *t = table_of(plan, table);
    struct assigned assigned;
    struct error error;
    if (too_large(plan, op))
        return false;
    if (!assign_row(plan->engine->assign, table, values, &plan->claims, &assigned, &error)) {
        plan_refuse(plan, op, &error);
        return false;
    }
    if (plan_misses_itself(plan, table, values, NULL, op))
        return false;
    buffer_clear(&plan->key);
    written(row_write(t, values, &plan->key));
    for (uint16_t c = 0; c < t->column_count; c++)
        values[c] = plan_stored(plan, &t->columns[c], &values[c]);
    struct image *image = images_insert(&plan->images, table, values, op);
    want_change(plan, image, NULL, image->now);
    image->made_by = plan->parts[t->database].count;
    written(wire_put_op(&part_for(plan, table, op)->ops, table, same_is_fine ? WIRE_FLAG_SAME_IS_FINE : 0,
                        plan->key.bytes, plan->key.len));
    return true;
}
