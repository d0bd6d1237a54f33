/* SPDX-License-Identifier: Apache-2.0 */
#include "graph.h"

#include <stdlib.h>

#define UNSEEN 0u

struct search {
    const struct graph *graph;
    uint32_t *index; /* order of discovery from 1; UNSEEN */
    uint32_t *low;   /* lowest index reachable; UINT32_MAX once its component is known */
    uint32_t *edge;  /* next edge to follow */
    uint32_t *path;  /* nodes being followed */
    uint32_t *stack; /* discovered, component not yet known */
    uint32_t path_len;
    uint32_t stack_len;
    uint32_t discovered;
    struct graph_components found;
};

static void discover(struct search *search, uint32_t node)
{
    search->index[node] = search->low[node] = ++search->discovered;
    search->edge[node] = search->graph->starts[node];
    search->path[search->path_len++] = node;
    search->stack[search->stack_len++] = node;
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* `node` is the first discovered of its component: everything above it on the stack belongs to it. */
static void take_component(struct search *search, uint32_t node)
{
    struct graph_components *found = &search->found;
    uint32_t start = found->starts[found->count], end = start, member;

    do {
        member = search->stack[--search->stack_len];
        search->low[member] = UINT32_MAX;
        found->nodes[end++] = member;
    } while (member != node);
    if (end - start > 1)
        qsort(found->nodes + start, end - start, sizeof(*found->nodes), ascending);
    found->starts[++found->count] = end;
}

static void leave(struct search *search, uint32_t node)
{
    search->path_len--;
    if (search->low[node] == search->index[node]) {
        take_component(search, node);
        return;
    }
    uint32_t above = search->path[search->path_len - 1];
    if (search->low[node] < search->low[above])
        search->low[above] = search->low[node];
}

static void follow(struct search *search, uint32_t root)
{
    discover(search, root);
    while (search->path_len > 0) {
        uint32_t node = search->path[search->path_len - 1];
        if (search->edge[node] == search->graph->starts[node + 1]) {
            leave(search, node);
            continue;
        }
        uint32_t target = search->graph->targets[search->edge[node]++];
        if (search->index[target] == UNSEEN)
            discover(search, target);
        else if (search->low[target] != UINT32_MAX && search->index[target] < search->low[node])
            search->low[node] = search->index[target];
    }
}

bool graph_components_find(const struct graph *graph, struct graph_components *ret_components, struct error *error)
{
    size_t n = graph->nodes;
    struct search search = {.graph = graph};
    uint32_t *arrays = calloc(5 * n + 1, sizeof(uint32_t));

    search.found.nodes = malloc((n + 1) * sizeof(uint32_t));
    search.found.starts = calloc(n + 1, sizeof(uint32_t));
    if (!arrays || !search.found.nodes || !search.found.starts) {
        free(arrays);
        graph_components_release(&search.found);
        return error_set(error, ERROR_INTERNAL, "out of memory");
    }
    search.index = arrays;
    search.low = arrays + n;
    search.edge = arrays + 2 * n;
    search.path = arrays + 3 * n;
    search.stack = arrays + 4 * n;
    for (uint32_t node = 0; node < graph->nodes; node++)
        if (search.index[node] == UNSEEN)
            follow(&search, node);
    free(arrays);
    *ret_components = search.found;
    return true;
}

void graph_components_release(struct graph_components *components)
{
    free(components->nodes);
    free(components->starts);
    *components = (struct graph_components){0};
}
