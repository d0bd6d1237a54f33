/* SPDX-License-Identifier: Apache-2.0 */
/* The part of plan.h that looks at the references when all is done: every row that was written has its parents, and no
 * parent that went leaves a child alone. */
#include "exact.h"
#include "plan.h"
#include "references.h"

#include <string.h>

static const struct schema_reference *reference_of(const struct plan *plan, reference_id id)
{
    return &plan->engine->schema->references[id];
}

/* Whether the row names another parent than it did, or is new. */
static bool names_anew(struct plan *plan, const struct image *image, reference_id id)
{
    struct buffer was = {0};
    if (!image->has_base)
        return true;
    bool named = exact_named(plan->engine->scratch, plan->engine->schema, reference_of(plan, id), image->base, &was);
    bool same = named && was.len == plan->exact.len && !memcmp(was.bytes, plan->exact.bytes, was.len);
    buffer_release(&was);
    return !same;
}

/* plan->exact: the parent's key. A parent that this transaction took away is looked after by whom it left (lost). */
static enum fact has_parent(struct plan *plan, const struct image *image, reference_id id)
{
    const struct schema_reference *reference = reference_of(plan, id);
    if (images_with_key(&plan->images, reference->parent, reference->parent_key, &plan->exact))
        return FACT_YES;
    if (images_base_has_key(&plan->images, reference->parent, reference->parent_key, &plan->exact))
        return FACT_NO; /* it was told, and is another or gone now */
    return facts_parent(&plan->facts, id, &plan->exact, image->now, image->op);
}

/* The references of one row, in the order of their declaration. */
static void check_row(struct plan *plan, const struct image *image)
{
    const struct schema_table *table = &plan->engine->schema->tables[image->table];
    struct missing missing[64];
    uint32_t count = 0;
    for (uint16_t r = 0; r < table->reference_count; r++) {
        reference_id id = table->references[r];
        buffer_clear(&plan->exact);
        if (!exact_named(plan->engine->scratch, plan->engine->schema, reference_of(plan, id), image->now,
                         &plan->exact) ||
            !names_anew(plan, image, id))
            continue;
        if (has_parent(plan, image, id) == FACT_NO && count < sizeof missing / sizeof *missing)
            missing[count++] = (struct missing){image->op, r};
    }
    if (!count)
        return;
    struct error error;
    references_refusal(plan->engine, image->table, image->now, missing, count, &error);
    plan_refuse(plan, image->op, &error);
}

static void check_lost(struct plan *plan, const struct plan_lost *lost)
{
    const struct schema_reference *reference = reference_of(plan, lost->reference);
    struct image **children;
    if (images_with_key(&plan->images, reference->parent, reference->parent_key, &lost->exact))
        return; /* another row has taken the key */
    if (images_naming(&plan->images, lost->reference, &lost->exact, &children))
        plan_referenced(plan, lost->reference, lost->parent, lost->op);
}

static bool is_any_given(const bool *given, const uint16_t *columns, uint16_t count)
{
    bool any = false;
    for (uint16_t i = 0; i < count; i++)
        any |= given[columns[i]];
    return any;
}

/* Whether SQLite has the row out of the table while it looks at the references of an UPDATE that gives these columns
 * (sqlite3FkRequired, sqlite3Update). Else a row that named itself is found to name itself still. */
static bool row_is_out(const struct schema *schema, table_id table, const bool *given)
{
    const struct schema_table *t = &schema->tables[table];
    bool looks = false, out = t->rowid_column != SCHEMA_NONE && given[t->rowid_column];
    for (uint16_t c = 0; t->without_rowid && c < t->column_count; c++)
        out |= given[c] && t->columns[c].key_position;
    for (uint16_t r = 0; r < t->reference_count; r++) {
        const struct schema_reference *reference = &schema->references[t->references[r]];
        bool names = is_any_given(given, reference->child_columns, reference->column_count);
        looks |= names;
        out |= names && reference->parent == table;
    }
    for (uint16_t r = 0; r < t->child_count; r++) {
        const struct schema_reference *reference = &schema->references[t->children[r]];
        bool named = is_any_given(given, reference->parent_columns, reference->column_count);
        looks |= named;
        out |= named && reference->on_update != ACTION_NONE;
    }
    return looks && out;
}

/* The parent that the row names has the row's own key. */
static bool names_own_key(struct plan *plan, const struct schema_reference *reference, const struct value *row)
{
    struct affinity_scratch *scratch = plan->engine->scratch;
    const struct schema *schema = plan->engine->schema;
    struct buffer named = {0};
    buffer_clear(&plan->exact);
    bool same = exact_named(scratch, schema, reference, row, &named) &&
                exact_key(scratch, &schema->tables[reference->parent], reference->parent_key, row, &plan->exact) &&
                named.len == plan->exact.len && !memcmp(named.bytes, plan->exact.bytes, named.len);
    buffer_release(&named);
    return same;
}

/* SQLite looks for the parent while the row itself is out of the table, and compares it with the row byte by byte; what
 * it misses then it misses for good, also where references are checked at the end. */
bool plan_misses_itself(struct plan *plan, table_id table, const struct value *row, const bool *given, uint32_t op)
{
    const struct schema *schema = plan->engine->schema;
    const struct schema_table *t = &schema->tables[table];
    struct error error;
    if (plan->submission->references_at_end || (given && !row_is_out(schema, table, given)))
        return false;
    for (uint16_t r = 0; r < t->reference_count; r++) {
        const struct schema_reference *reference = &schema->references[t->references[r]];
        const struct missing missing = {op, r};
        if (reference->parent != table || !names_own_key(plan, reference, row) ||
            rowkeys_names_itself(plan->engine->scratch, schema, reference, row, false))
            continue;
        references_refusal(plan->engine, table, row, &missing, 1, &error);
        if (plan->submission->atomic) {
            plan_refuse_at_end(plan, op, &error);
            return false;
        }
        plan_refuse(plan, op, &error);
        return true;
    }
    return false;
}

void plan_check(struct plan *plan)
{
    for (const struct image *image = plan->images.first; image; image = image->next)
        if (image->written && image->exists && plan->engine->schema->tables[image->table].reference_count)
            check_row(plan, image);
    for (const struct plan_lost *lost = plan->first_lost; lost; lost = lost->next)
        check_lost(plan, lost);
}
