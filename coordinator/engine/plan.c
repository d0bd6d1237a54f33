/* SPDX-License-Identifier: Apache-2.0 */
#include "plan.h"

#include "exact.h"
#include "wire.h"

#include <stdlib.h>
#include <string.h>

static const struct schema_table *table_of(const struct plan *plan, table_id table)
{
    return &plan->engine->schema->tables[table];
}

/* ---- life ---- */

bool plan_init(struct plan *plan, struct engine *engine, struct submission *submission, uint32_t first, uint32_t count,
               facts_told *told)
{
    *plan = (struct plan){
        .engine = engine, .submission = submission, .first = first, .count = count, .keeps_on = SCHEMA_NONE};
    images_init(&plan->images, engine);
    facts_init(&plan->facts, engine, &plan->images, told);
    plan->parts = calloc((size_t)engine->schema->database_count + 1, sizeof *plan->parts);
    plan->inserted = calloc((size_t)count + 1, sizeof *plan->inserted);
    plan->updated = calloc((size_t)count + 1, sizeof *plan->updated);
    return plan->parts && plan->inserted && plan->updated;
}

void plan_release(struct plan *plan)
{
    for (database_id d = 0; plan->parts && d < plan->engine->schema->database_count; d++) {
        buffer_release(&plan->parts[d].ops);
        free(plan->parts[d].op_of);
    }
    assign_settle(plan->engine->assign, &plan->assigned, false);
    assign_settle(plan->engine->assign, &plan->claims, false);
    free(plan->parts);
    free(plan->inserted);
    free(plan->updated);
    images_release(&plan->images);
    facts_release(&plan->facts);
    lockset_release(&plan->locks);
    buffer_release(&plan->exact);
    buffer_release(&plan->key);
    plan->parts = NULL;
    plan->inserted = NULL;
    plan->updated = NULL;
}

void plan_forget(struct plan *plan)
{
    facts_forget(&plan->facts);
    images_forget(&plan->images);
    lockset_lost(&plan->locks);
}

void plan_refuse(struct plan *plan, uint32_t op, const struct error *error)
{
    for (const struct plan_refusal *refusal = plan->refusals; refusal; refusal = refusal->next)
        if (refusal->op == op)
            return;
    struct plan_refusal *refusal = arena_take(&plan->images.round, sizeof *refusal);
    *refusal = (struct plan_refusal){plan->refusals, op, *error};
    plan->refusals = refusal;
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

static bool is_same_key(const struct schema_key *key, const struct value *before, const struct value *after)
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
                     is_same_key(&t->keys[k], before, after);
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

/* The row's primary key, as an array. */
static void put_key(struct plan *plan, table_id table, const struct value *row)
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
        put_key(plan, image->table, image->now);
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

/* ---- operations ---- */

static const struct op *op_at(const struct plan *plan, uint32_t op)
{
    return &plan->submission->ops[plan->first + op];
}

static bool read_row(struct plan *plan, uint32_t i, struct value *values)
{
    const struct op *op = op_at(plan, i);
    struct error error;
    if (row_read(table_of(plan, op->table), plan->submission->rows.bytes + op->row_at, op->row_len, values, &error))
        return true;
    plan_refuse(plan, i, &error);
    return false;
}

/* As the column stores it; texts in memory of this round, as affinity's own is for the next few values only. */
static struct value stored(struct plan *plan, const struct schema_column *column, const struct value *value)
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

/* The row in engine->values. An upsert's was not completed when it began: the columns that it does not give would have
 * been changed, too, if the row had been there. */
static void insert(struct plan *plan, uint32_t i)
{
    struct engine *engine = plan->engine;
    const struct op *op = op_at(plan, i);
    const struct schema_table *t = table_of(plan, op->table);
    struct assigned assigned;
    struct error error;
    if (!read_row(plan, i, engine->values) || too_large(plan, i))
        return;
    if (!assign_row(engine->assign, op->table, engine->values, &plan->claims, &assigned, &error)) {
        plan_refuse(plan, i, &error);
        return;
    }
    if (plan_misses_itself(plan, op->table, engine->values, NULL, i))
        return;
    buffer_clear(&plan->key);
    written(row_write(t, engine->values, &plan->key));
    for (uint16_t c = 0; c < t->column_count; c++)
        engine->values[c] = stored(plan, &t->columns[c], &engine->values[c]);
    struct image *image = images_insert(&plan->images, op->table, engine->values, i);
    want_change(plan, image, NULL, image->now);
    image->made_by = plan->parts[t->database].count;
    written(wire_put_op(&part_for(plan, op->table, i)->ops, op->table, op->same_is_fine ? WIRE_FLAG_SAME_IS_FINE : 0,
                        plan->key.bytes, plan->key.len));
    plan->inserted[i] = true;
}

static struct value *key_room(struct plan *plan, table_id table)
{
    return arena_take(&plan->images.round, schema_key_columns(table_of(plan, table)) * sizeof(struct value));
}

/* The key that an operation names: its values, and their exact form in plan->exact. */
static bool read_key(struct plan *plan, uint32_t i, struct value *values)
{
    const struct op *op = op_at(plan, i);
    const struct schema_table *t = table_of(plan, op->table);
    uint32_t expected = schema_key_columns(table_of(plan, op->table)), count;
    struct cursor cursor = cursor_over(plan->submission->rows.bytes + op->key.at, op->key.len);
    struct error error;
    bool ok = cursor_array(&cursor, &count) && count == expected;
    for (uint32_t v = 0; ok && v < count; v++)
        ok = cursor_value(&cursor, &values[v]);
    buffer_clear(&plan->exact);
    if (ok && t->primary_key != SCHEMA_NONE)
        ok = exact_values(plan->engine->scratch, t, t->primary_key, values, &plan->exact);
    else if (ok && (ok = affinity_as_rowid(plan->engine->scratch, &values[0], &values[0].integer))) {
        values[0].type = VALUE_INTEGER;
        exact_rowid(values[0].integer, &plan->exact);
    }
    if (!ok) { /* what cannot be a key names no row */
        error_set(&error, ERROR_NOT_FOUND, "%s has no row with this key", t->name);
        error_about(&error, t->name, NULL);
        plan_refuse(plan, i, &error);
    }
    return ok;
}

/* The lock of the row that `values` (of its key) name. */
static void want_row(struct plan *plan, table_id table, const struct value *values)
{
    uint64_t key;
    if (rowkeys_row(plan->engine->rowkeys, table, values, &key))
        lockset_want(&plan->locks, key, true);
}

enum found { FOUND, ABSENT, NOT_KNOWN };

/* The row of operation `i` with the identity in plan->exact. */
static enum found find(struct plan *plan, uint32_t i, const struct value *key, struct image **ret_image)
{
    table_id table = op_at(plan, i)->table;
    want_row(plan, table, key);
    if ((*ret_image = images_find(&plan->images, table, &plan->exact)))
        return FOUND;
    return facts_row(&plan->facts, table, &plan->exact, key, i) == FACT_NOT_KNOWN ? NOT_KNOWN : ABSENT;
}

static bool has_tag(const struct plan *plan, const struct op *op, const struct image *image)
{
    if (!image->has_base)
        return false;
    struct row_tag tag = row_tag(image->base_row, image->base_row_len);
    const uint8_t *tags = plan->submission->rows.bytes + op->tags.at;
    for (uint32_t at = 0; at + ROW_TAG_BYTES <= op->tags.len; at += ROW_TAG_BYTES)
        if (!memcmp(tags + at, tag.bytes, ROW_TAG_BYTES))
            return true;
    return false;
}

/* `image` is NULL when there is no such row. */
static bool meets_condition(struct plan *plan, uint32_t i, const struct image *image)
{
    const struct op *op = op_at(plan, i);
    struct error error;
    if (op->condition == OP_ALWAYS || (image && (op->condition == OP_IF_THERE || has_tag(plan, op, image))))
        return true;
    error_set(&error, ERROR_PRECONDITION,
              image ? "%s: the row is not as it was any more" : "%s has no row with this key",
              table_of(plan, op->table)->name);
    error_about(&error, table_of(plan, op->table)->name, NULL);
    plan_refuse(plan, i, &error);
    return false;
}

static void refuse_absent(struct plan *plan, uint32_t i, const struct value *key)
{
    const struct op *op = op_at(plan, i);
    const struct schema_table *t = table_of(plan, op->table);
    uint32_t count = schema_key_columns(table_of(plan, op->table));
    struct buffer text = {0};
    struct error error;
    bool ok = buffer_format(&text, "%s has no row with the key ", t->name);
    for (uint32_t v = 0; ok && v < count; v++)
        ok = buffer_put_text(&text, v ? "," : "") && value_describe(&key[v], &text);
    error_set(&error, ERROR_NOT_FOUND, "%.*s", ok ? (int)text.len : 0, ok ? (const char *)text.bytes : "");
    error_about(&error, t->name, NULL);
    buffer_release(&text);
    plan_refuse(plan, i, &error);
}

/* The columns given, as they will be stored, on top of what the row is now. */
static bool update(struct plan *plan, uint32_t i, struct image *image, bool keep_key)
{
    const struct schema_table *t = table_of(plan, image->table);
    struct value *given_values = plan->engine->values, *after = plan->engine->other_values;
    bool *given = arena_take(&plan->images.round, t->column_count * sizeof *given);
    bool changes = !keep_key; /* a shard refuses an update that gives nothing */
    if (!read_row(plan, i, given_values))
        return false;
    for (uint16_t c = 0; c < t->column_count; c++) {
        given[c] = given_values[c].type != VALUE_ABSENT && !(keep_key && t->columns[c].key_position);
        changes |= given[c];
        after[c] = given[c] ? stored(plan, &t->columns[c], &given_values[c]) : image->now[c];
    }
    const struct value *before = image->now;
    if (changes && !plan_change(plan, image, after, given, i, 0))
        return false;
    plan->updated[i] = (struct plan_updated){before, image->now};
    return true;
}

static void change(struct plan *plan, uint32_t i)
{
    const struct op *op = op_at(plan, i);
    struct value *key = key_room(plan, op->table);
    struct image *image = NULL;
    if (!read_key(plan, i, key))
        return;
    enum found found = find(plan, i, key, &image);
    if (found == NOT_KNOWN || !meets_condition(plan, i, image))
        return;
    if (found == ABSENT)
        refuse_absent(plan, i, key);
    else if (op->kind == OP_DELETE)
        plan_change(plan, image, NULL, NULL, i, 0);
    else
        update(plan, i, image, false);
}

static void upsert(struct plan *plan, uint32_t i)
{
    const struct op *op = op_at(plan, i);
    const struct schema_table *t = table_of(plan, op->table);
    struct value *key = key_room(plan, op->table);
    struct image *image = NULL;
    if (!read_row(plan, i, plan->engine->values))
        return;
    buffer_clear(&plan->exact);
    if (op->key_assigned || t->primary_key == SCHEMA_NONE ||
        !exact_key(plan->engine->scratch, t, t->primary_key, plan->engine->values, &plan->exact)) {
        insert(plan, i); /* nothing that could be there already */
        return;
    }
    for (uint16_t k = 0; k < t->keys[t->primary_key].column_count; k++)
        key[k] = plan->engine->values[t->keys[t->primary_key].columns[k]];
    enum found found = find(plan, i, key, &image);
    if (found == NOT_KNOWN || !meets_condition(plan, i, image))
        return;
    if (found == ABSENT)
        insert(plan, i);
    else
        update(plan, i, image, true);
}

/* ---- rounds ---- */

/* What several shards are to decide must not be seen half: pages of a table wait for it (query.h). */
static void want_tables(struct plan *plan)
{
    uint32_t shards = 0;
    for (database_id d = 0; d < plan->engine->schema->database_count; d++)
        shards += plan->parts[d].count > 0 || d == plan->keeps_on;
    for (const struct image *image = plan->images.first; shards > 1 && image; image = image->next)
        if (image->written)
            lockset_want(&plan->locks, rowkeys_table(plan->engine->rowkeys, image->table), false);
}

static void begin_round(struct plan *plan)
{
    images_reset(&plan->images);
    assign_settle(plan->engine->assign, &plan->claims, false);
    for (database_id d = 0; d < plan->engine->schema->database_count; d++) {
        buffer_clear(&plan->parts[d].ops);
        plan->parts[d].count = 0;
    }
    memset(plan->inserted, 0, plan->count * sizeof *plan->inserted);
    memset(plan->updated, 0, plan->count * sizeof *plan->updated);
    plan->first_lost = plan->last_lost = NULL;
    plan->refusals = NULL;
    plan->refused_at_end = false;
    plan->written = 0;
}

enum plan_result plan_round(struct plan *plan)
{
    begin_round(plan);
    for (uint32_t i = 0; i < plan->count && !plan->refusals; i++)
        switch (op_at(plan, i)->kind) {
        case OP_INSERT:
            insert(plan, i);
            break;
        case OP_UPSERT:
            upsert(plan, i);
            break;
        case OP_UPDATE:
        case OP_DELETE:
            change(plan, i);
            break;
        case OP_READ:
        case OP_NOTHING:
            panic("what changes nothing in a transaction");
        }
    if (!plan->refusals) {
        plan_check(plan);
        plan->refused_at_end = plan->refusals != NULL;
    }
    if (!plan->refusals && !plan->facts.wanted)
        want_tables(plan);
    if (plan->locks.want_count || plan->facts.wanted)
        return PLAN_MORE;
    return plan->refusals ? PLAN_REFUSED : PLAN_DONE;
}

/* ---- afterwards ---- */

/* The primary key that an update left the row with, if it is another one. */
static void tell_key(struct plan *plan, uint32_t i)
{
    struct op *op = &plan->submission->ops[plan->first + i];
    const struct schema_table *t = table_of(plan, op->table);
    const struct plan_updated *updated = &plan->updated[i];
    struct buffer *rows = &plan->submission->rows;
    if (op->kind != OP_UPDATE || t->primary_key == SCHEMA_NONE || !updated->after ||
        is_same_key(&t->keys[t->primary_key], updated->before, updated->after) || rows->len > UINT32_MAX / 2)
        return;
    put_key(plan, op->table, updated->after);
    op->new_key = (struct op_bytes){(uint32_t)rows->len, (uint32_t)plan->key.len};
    written(buffer_put(rows, plan->key.bytes, plan->key.len));
}

void plan_tell_results(struct plan *plan)
{
    for (uint32_t i = 0; i < plan->count; i++) {
        plan->submission->ops[plan->first + i].inserted = plan->inserted[i];
        tell_key(plan, i);
    }
}

static bool rowid_of(const struct plan *plan, const struct image *image, const struct value *values, int64_t *ret_rowid)
{
    const struct schema_table *t = table_of(plan, image->table);
    return t->rowid_column != SCHEMA_NONE &&
           affinity_as_rowid(plan->engine->scratch, &values[t->rowid_column], ret_rowid);
}

void plan_tell_presence(struct plan *plan)
{
    struct engine *engine = plan->engine;
    int64_t rowid;
    assign_settle(engine->assign, &plan->assigned, true);
    assign_settle(engine->assign, &plan->claims, true);
    for (const struct image *image = plan->images.first; image; image = image->next)
        if (image->written && image->has_base && rowid_of(plan, image, image->base, &rowid)) {
            presence_remove(engine->presence, image->table, rowid);
            assign_removed(engine->assign, image->table, rowid);
        }
    for (const struct image *image = plan->images.first; image; image = image->next)
        if (image->written && image->exists && rowid_of(plan, image, image->now, &rowid)) {
            presence_add(engine->presence, image->table, rowid);
            assign_stored(engine->assign, image->table, rowid);
        }
}
