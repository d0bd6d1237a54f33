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
    return facts_parent(&plan->facts, id, &plan->exact, image->now);
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

void plan_check(struct plan *plan)
{
    for (const struct image *image = plan->images.first; image; image = image->next)
        if (image->written && image->exists && plan->engine->schema->tables[image->table].reference_count)
            check_row(plan, image);
    for (const struct plan_lost *lost = plan->first_lost; lost && !plan->refusals; lost = lost->next)
        check_lost(plan, lost);
}
