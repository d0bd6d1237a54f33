/* SPDX-License-Identifier: Apache-2.0 */
#include "plan.h"

#include "exact.h"

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

static void refuse_among(struct plan *plan, struct plan_refusal **first, uint32_t op, const struct error *error)
{
    for (const struct plan_refusal *refusal = *first; refusal; refusal = refusal->next)
        if (refusal->op == op)
            return;
    struct plan_refusal *refusal = arena_take(&plan->images.round, sizeof *refusal);
    *refusal = (struct plan_refusal){*first, op, *error};
    *first = refusal;
}

void plan_refuse(struct plan *plan, uint32_t op, const struct error *error)
{
    refuse_among(plan, &plan->refusals, op, error);
}

void plan_refuse_at_end(struct plan *plan, uint32_t op, const struct error *error)
{
    refuse_among(plan, &plan->missed, op, error);
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

/* The row in engine->values. An upsert's was not completed when it began: the columns that it does not give would have
 * been changed, too, if the row had been there. */
static void insert(struct plan *plan, uint32_t i)
{
    const struct op *op = op_at(plan, i);
    if (read_row(plan, i, plan->engine->values))
        plan->inserted[i] = plan_insert(plan, op->table, plan->engine->values, op->same_is_fine, i);
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
        after[c] = given[c] ? plan_stored(plan, &t->columns[c], &given_values[c]) : image->now[c];
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
    plan->refusals = plan->missed = NULL;
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
        plan->refusals = plan->missed;
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
        plan_same_key(&t->keys[t->primary_key], updated->before, updated->after) || rows->len > UINT32_MAX / 2)
        return;
    plan_put_key(plan, op->table, updated->after);
    op->new_key = (struct op_bytes){(uint32_t)rows->len, (uint32_t)plan->key.len};
    if (!buffer_put(rows, plan->key.bytes, plan->key.len))
        panic("out of memory for the rows of a transaction");
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
