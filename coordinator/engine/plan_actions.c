/* SPDX-License-Identifier: Apache-2.0 */
/* The part of plan.h that says what follows when a row that others may name is deleted or gets another key.
 *
 * As SQLite does it (fkey.c, trigger.c): the row is gone or changed first; then one reference after the other, the one
 * declared last first; the rows that name the old key are picked out before the first of them is touched, and each is
 * looked at again when its turn comes: one that has gone, or has another rowid or key, is passed over. */
#include "exact.h"
#include "plan.h"

#include <string.h>

#define DEPTH_MAX 1000u /* SQLITE_MAX_TRIGGER_DEPTH */

struct following {
    struct plan *plan;
    const struct schema_reference *reference;
    reference_id id;
    const struct value *after; /* the parent's row; NULL: deleted */
    uint32_t op;
    unsigned depth;
    enum reference_action action;
};

static const struct schema *schema_of(const struct plan *plan)
{
    return plan->engine->schema;
}

void plan_referenced(struct plan *plan, reference_id id, const struct value *parent, uint32_t op)
{
    const struct schema_reference *reference = &schema_of(plan)->references[id];
    const struct schema_table *parents = &schema_of(plan)->tables[reference->parent];
    const struct schema_table *children = &schema_of(plan)->tables[reference->child];
    char columns[256];
    struct buffer text = {0};
    struct error error;
    schema_columns_joined(parents, reference->parent_columns, reference->column_count, columns, sizeof columns);
    bool ok = buffer_format(&text, "%s (%s) ", parents->name, columns);
    for (uint16_t i = 0; ok && i < reference->column_count; i++)
        ok = buffer_put_text(&text, i ? "," : "") && value_describe(&parent[reference->parent_columns[i]], &text);
    ok = ok && buffer_format(&text, ": still named by %s (%s)", children->name, reference->constraint);
    error_set(&error, ERROR_REFERENCED, "%.*s", ok ? (int)text.len : 0, ok ? (const char *)text.bytes : "");
    error_about(&error, children->name, reference->constraint);
    buffer_release(&text);
    plan_refuse(plan, op, &error);
}

/* To be looked at when all is done. */
static void lose(const struct following *following, const struct value *before, const struct buffer *exact)
{
    struct plan *plan = following->plan;
    struct plan_lost *lost = arena_take(&plan->images.round, sizeof *lost);
    *lost = (struct plan_lost){
        .reference = following->id,
        .op = following->op,
        .parent = before,
        .exact = {.bytes = arena_copy(&plan->images.round, exact->bytes, exact->len), .len = exact->len}};
    if (plan->last_lost)
        plan->last_lost->next = lost;
    else
        plan->first_lost = lost;
    plan->last_lost = lost;
}

/* What the child's columns become. */
static bool child_values(const struct following *following, const struct image *child, struct value *values,
                         bool *given)
{
    struct plan *plan = following->plan;
    const struct schema_reference *reference = following->reference;
    const struct schema_table *table = &schema_of(plan)->tables[reference->child];
    for (uint16_t c = 0; c < table->column_count; c++) {
        values[c] = child->now[c];
        given[c] = false;
    }
    for (uint16_t i = 0; i < reference->column_count; i++) {
        uint16_t column = reference->child_columns[i];
        struct value value = value_null();
        struct error error;
        if (following->action == ACTION_CASCADE)
            value = following->after[reference->parent_columns[i]];
        else if (following->action == ACTION_SET_DEFAULT &&
                 !assign_default(plan->engine->assign, reference->child, column, &value, &error)) {
            plan_refuse(plan, following->op, &error);
            return false;
        }
        if (!affinity_apply(plan->engine->scratch, table->columns[column].affinity, &value, &values[column], NULL))
            panic("an affinity cannot be applied");
        if (values[column].type == VALUE_TEXT || values[column].type == VALUE_BLOB)
            values[column].bytes = arena_copy(&plan->images.round, values[column].bytes, values[column].len);
        given[column] = true;
    }
    return true;
}

static bool change_child(const struct following *following, struct image *child)
{
    struct plan *plan = following->plan;
    uint16_t count = schema_of(plan)->tables[child->table].column_count;
    if (following->action == ACTION_CASCADE && !following->after)
        return plan_change(plan, child, NULL, NULL, following->op, following->depth + 1);
    struct value *values = arena_take(&plan->images.round, count * sizeof *values);
    bool *given = arena_take(&plan->images.round, count * sizeof *given);
    return child_values(following, child, values, given) &&
           plan_change(plan, child, values, given, following->op, following->depth + 1);
}

/* SQLite comes back to a row by its rowid, or by its primary key where there is no rowid. */
static bool is_where_it_was(struct plan *plan, const struct image *child, const struct value *then)
{
    const struct schema_table *table = &schema_of(plan)->tables[child->table];
    if (!child->exists)
        return false;
    for (uint16_t c = 0; c < table->column_count; c++)
        if ((c == table->rowid_column || (table->without_rowid && table->columns[c].key_position)) &&
            !value_same(&then[c], &child->now[c]))
            return false;
    return true;
}

static bool change_children(const struct following *following, struct image **children, uint32_t count)
{
    struct plan *plan = following->plan;
    const struct value **then = arena_take(&plan->images.round, (count + 1) * sizeof *then);
    for (uint32_t i = 0; i < count; i++)
        then[i] = children[i]->now;
    for (uint32_t i = 0; i < count; i++)
        if (is_where_it_was(plan, children[i], then[i]) && !change_child(following, children[i]))
            return false;
    return true;
}

static bool follow_one(const struct following *following, const struct value *before, const struct buffer *exact)
{
    struct plan *plan = following->plan;
    struct image **children;
    bool waits = following->action == ACTION_NONE || (following->action == ACTION_RESTRICT && plan->submission->atomic);
    facts_children(&plan->facts, following->id, exact, before,
                   following->op);  /* if not known, those that are known show more */
    lose(following, before, exact); /* whatever the action: a DEFAULT may name the key that has just gone */
    if (waits)
        return true;
    uint32_t count = images_naming(&plan->images, following->id, exact, &children);
    if (following->action != ACTION_RESTRICT)
        return change_children(following, children, count);
    if (count)
        plan_referenced(plan, following->id, before, following->op);
    return count == 0;
}

static bool too_deep(struct plan *plan, uint32_t op, unsigned depth)
{
    struct error error;
    if (depth < DEPTH_MAX)
        return false;
    error_set(&error, ERROR_TOO_LARGE, "references that follow from each other more than %u deep", DEPTH_MAX);
    plan_refuse(plan, op, &error);
    return true;
}

bool plan_follow(struct plan *plan, table_id table, const struct value *before, const struct value *after, uint32_t op,
                 unsigned depth)
{
    const struct schema_table *t = &schema_of(plan)->tables[table];
    struct affinity_scratch *scratch = plan->engine->scratch;
    bool go_on = true;
    if (t->child_count == 0)
        return true;
    if (too_deep(plan, op, depth))
        return false;
    for (reference_id r = schema_of(plan)->reference_count; go_on && r > 0; r--) {
        const struct schema_reference *reference = &schema_of(plan)->references[r - 1];
        struct buffer was = {0}, is = {0};
        if (reference->parent != table)
            continue;
        const struct following following = {.plan = plan,
                                            .reference = reference,
                                            .id = (reference_id)(r - 1),
                                            .after = after,
                                            .op = op,
                                            .depth = depth,
                                            .action = after ? reference->on_update : reference->on_delete};
        bool had = exact_key(scratch, t, reference->parent_key, before, &was);
        bool same = had && after && exact_key(scratch, t, reference->parent_key, after, &is) && was.len == is.len &&
                    !memcmp(was.bytes, is.bytes, is.len);
        if (had && !same)
            go_on = follow_one(&following, before, &was);
        buffer_release(&was);
        buffer_release(&is);
    }
    return go_on;
}
