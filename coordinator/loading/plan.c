/* SPDX-License-Identifier: Apache-2.0 */
#include "plan.h"

#include "graph.h"

#include <stdlib.h>

/* Fills the compact arrays of the graph child → parent. */
static bool table_graph(const struct schema *schema, uint32_t **ret_starts, uint32_t **ret_targets, struct error *error)
{
    uint32_t *starts = calloc((size_t)schema->table_count + 1, sizeof(*starts));
    uint32_t *targets = calloc((size_t)schema->reference_count + 1, sizeof(*targets));
    uint32_t at = 0;

    if (!starts || !targets) {
        free(starts);
        free(targets);
        return error_set(error, ERROR_INTERNAL, "out of memory");
    }
    for (table_id t = 0; t < schema->table_count; t++) {
        const struct schema_table *table = &schema->tables[t];
        starts[t] = at;
        for (uint16_t i = 0; i < table->reference_count; i++)
            targets[at++] = schema->references[table->references[i]].parent;
    }
    starts[schema->table_count] = at;
    *ret_starts = starts;
    *ret_targets = targets;
    return true;
}

/* The parents of component c, each once, appended at `parents`. A table that refers to itself makes its component
 * cyclic. */
static uint16_t find_parents(const struct schema *schema, struct plan *plan, uint16_t c, uint16_t *parents,
                             uint16_t *last_seen)
{
    struct plan_component *component = &plan->components[c];
    uint16_t count = 0;

    component->cyclic = component->table_count > 1;
    for (uint16_t t = 0; t < component->table_count; t++) {
        const struct schema_table *table = &schema->tables[component->tables[t]];
        for (uint16_t i = 0; i < table->reference_count; i++) {
            table_id parent = schema->references[table->references[i]].parent;
            uint16_t above = plan->component_of[parent];
            if (above == c)
                component->cyclic = true;
            else if (last_seen[above] != (uint16_t)(c + 1)) {
                last_seen[above] = (uint16_t)(c + 1);
                parents[count++] = above;
            }
        }
    }
    return count;
}

static bool plan_fill(struct plan *plan, const struct schema *schema, const struct graph_components *found,
                      struct error *error)
{
    uint16_t *last_seen = calloc((size_t)found->count + 1, sizeof(*last_seen));
    uint16_t *parents = plan->parents;

    if (!last_seen)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    plan->count = (uint16_t)found->count;
    for (uint32_t i = 0; i < schema->table_count; i++)
        plan->tables[i] = (table_id)found->nodes[i];
    for (uint16_t c = 0; c < plan->count; c++) {
        struct plan_component *component = &plan->components[c];
        component->tables = plan->tables + found->starts[c];
        component->table_count = (uint16_t)(found->starts[c + 1] - found->starts[c]);
        for (uint16_t t = 0; t < component->table_count; t++)
            plan->component_of[component->tables[t]] = c;
    }
    for (uint16_t c = 0; c < plan->count; c++) {
        struct plan_component *component = &plan->components[c];
        component->parents = parents;
        component->parent_count = find_parents(schema, plan, c, parents, last_seen);
        parents += component->parent_count;
    }
    free(last_seen);
    return true;
}

struct plan *plan_new(const struct schema *schema, struct error *error)
{
    uint32_t *starts = NULL, *targets = NULL;
    struct graph_components found = {0};
    struct plan *plan = calloc(1, sizeof(*plan));
    bool fine = false;

    if (!plan) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    plan->components = calloc((size_t)schema->table_count + 1, sizeof(*plan->components));
    plan->component_of = calloc((size_t)schema->table_count + 1, sizeof(*plan->component_of));
    plan->tables = calloc((size_t)schema->table_count + 1, sizeof(*plan->tables));
    plan->parents = calloc((size_t)schema->reference_count + 1, sizeof(*plan->parents));
    if (!plan->components || !plan->component_of || !plan->tables || !plan->parents) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        goto out;
    }
    if (!table_graph(schema, &starts, &targets, error))
        goto out;
    if (!graph_components_find(&(struct graph){schema->table_count, starts, targets}, &found, error))
        goto out;
    fine = plan_fill(plan, schema, &found, error);
out:
    free(starts);
    free(targets);
    graph_components_release(&found);
    if (fine)
        return plan;
    plan_free(plan);
    return NULL;
}

void plan_free(struct plan *plan)
{
    if (!plan)
        return;
    free(plan->components);
    free(plan->component_of);
    free(plan->tables);
    free(plan->parents);
    free(plan);
}

bool plan_may_start(const struct plan *plan, uint16_t component, const bool *finished)
{
    const struct plan_component *asked = &plan->components[component];

    for (uint16_t i = 0; i < asked->parent_count; i++)
        if (!finished[asked->parents[i]])
            return false;
    return true;
}
