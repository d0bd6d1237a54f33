/* SPDX-License-Identifier: Apache-2.0 */
/* graph.h - strongly connected components of a graph in compact arrays.
 *
 * Tarjan's algorithm with a stack of its own, so that a chain of a million nodes is as good as any. With edges from
 * child to parent the components come out parents first. */
#ifndef SHEAF_GRAPH_H
#define SHEAF_GRAPH_H

#include "error.h"

#include <stdbool.h>
#include <stdint.h>

/* Edges of node n: targets[starts[n] .. starts[n + 1]). */
struct graph {
    uint32_t nodes;
    const uint32_t *starts; /* nodes + 1 */
    const uint32_t *targets;
};

struct graph_components {
    uint32_t count;
    uint32_t *nodes;  /* every node, component by component: what a component has edges to comes before it */
    uint32_t *starts; /* count + 1: component c is nodes[starts[c] .. starts[c + 1]), ascending */
};

/* 24 bytes a node while it runs, 8 in the result. False only when memory is out. */
bool graph_components_find(const struct graph *graph, struct graph_components *ret_components, struct error *error);
void graph_components_release(struct graph_components *components);

#endif
