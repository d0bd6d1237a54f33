/* SPDX-License-Identifier: Apache-2.0 */
/* plan.h - in which order the tables of a load are taken.
 *
 * A component is a set of tables that reach each other through references; nearly always one table. Components are
 * numbered in topological order, parents before children. */
#ifndef SHEAF_PLAN_H
#define SHEAF_PLAN_H

#include "error.h"
#include "schema.h"

struct plan_component {
    uint16_t table_count;
    const table_id *tables; /* ascending */
    bool cyclic;            /* several tables, or one that refers to itself */
    uint16_t parent_count;
    const uint16_t *parents; /* components that some table of this one refers to, each once; all lower numbers */
};

struct plan {
    uint16_t count;
    struct plan_component *components;
    uint16_t *component_of; /* by table */
    table_id *tables;       /* storage of the components' tables and parents */
    uint16_t *parents;
};

struct plan *plan_new(const struct schema *schema, struct error *error);
void plan_free(struct plan *plan);

/* Whether `component` may start: every component it refers to is finished (`finished`: a flag per component; one
 * without an input is finished from the start, since nothing will be added to it). */
bool plan_may_start(const struct plan *plan, uint16_t component, const bool *finished);

#endif
