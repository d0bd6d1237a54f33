/* SPDX-License-Identifier: Apache-2.0 */
/* Parents first. Rows that wait for nobody, then those whose last parent was sent (Kahn); what is left stands in
 * circles or behind them: their strongly connected components, parents first, each in one transaction. */
#include "cycle.h"
#include "graph.h"
#include "release.h"

#include <stdlib.h>

#define WORTH_SENDING (LOADER_BLOCK_ROWS / 8)

struct order {
    struct cycle *cycle;
    struct release *release;
    uint16_t *waits_for; /* by sequence number: staged parents not sent yet, each counted once a reference */
    uint32_t *ready;     /* a queue: rows whose last parent was sent */
    uint32_t ready_from;
    uint32_t ready_to;
    uint32_t ready_capacity;
    uint32_t chunk_mark; /* rows from here on became ready through the chunk being filled */
};

static bool out_of_memory(const struct order *order)
{
    struct error error;

    error_set(&error, ERROR_INTERNAL, "out of memory");
    return run_fail(order->cycle->run, &error);
}

/* Counts whom each living row waits for. All parents of a living row live. */
static bool count_parents(struct order *order)
{
    struct cycle *cycle = order->cycle;
    struct error error = {0};
    struct stage_edge edge;
    int found = 0;

    order->waits_for = calloc((size_t)cycle->count + 1, sizeof(*order->waits_for));
    if (!order->waits_for)
        return out_of_memory(order);
    if (cycle->edges == 0)
        return true;
    if (!stage_edges_open(cycle->stage, &error))
        return run_fail(cycle->run, &error);
    while ((found = stage_edges_next(cycle->stage, &edge, &error)) == 1) {
        if (cycle_state(cycle, edge.child) != ROW_STAGED)
            continue;
        order->waits_for[edge.child]++;
        cycle->states[edge.child] = (uint8_t)(cycle->states[edge.child] | ROW_HAS_PARENT);
        cycle->states[edge.parent] = (uint8_t)(cycle->states[edge.parent] | ROW_HAS_CHILDREN);
    }
    return found == 0 || run_fail(cycle->run, &error);
}

static bool make_ready(struct order *order, uint32_t seq)
{
    if (order->ready_to == order->ready_capacity) {
        uint32_t capacity = order->ready_capacity ? order->ready_capacity * 2 : 4096;
        uint32_t *ready = realloc(order->ready, (size_t)capacity * sizeof(*ready));
        if (!ready)
            return out_of_memory(order);
        order->ready = ready;
        order->ready_capacity = capacity;
    }
    order->ready[order->ready_to++] = seq;
    return true;
}

static bool tell_children(struct order *order, uint32_t seq)
{
    struct cycle *cycle = order->cycle;
    struct error error = {0};
    struct stage_edge edge;
    int found = 0;

    if (!(cycle->states[seq] & ROW_HAS_CHILDREN))
        return true;
    if (!stage_children_open(cycle->stage, seq, &error))
        return run_fail(cycle->run, &error);
    while ((found = stage_children_next(cycle->stage, &edge, &error)) == 1)
        if (order->waits_for[edge.child] > 0 && --order->waits_for[edge.child] == 0 && !make_ready(order, edge.child))
            return false;
    return found == 0 || run_fail(cycle->run, &error);
}

static bool send_chunk(struct order *order)
{
    order->chunk_mark = order->ready_to;
    return release_send(order->release);
}

static bool send_row(struct order *order, uint32_t seq)
{
    return release_add(order->release, seq, true) && tell_children(order, seq) &&
           (!release_is_full(order->release) || send_chunk(order));
}

static bool send_roots(struct order *order)
{
    struct cycle *cycle = order->cycle;

    for (uint32_t seq = 0; seq < cycle->count && run_goes_on(cycle->run); seq++)
        if (cycle_state(cycle, seq) == ROW_STAGED && !(cycle->states[seq] & ROW_HAS_PARENT) && !send_row(order, seq))
            return false;
    return true;
}

/* A row that became ready through the chunk being filled may have its parent in it: then the chunk must be one
 * transaction, or, if it is worth it, goes now, without being one. */
static bool send_ready(struct order *order)
{
    while (order->ready_from < order->ready_to && run_goes_on(order->cycle->run)) {
        if (order->ready_from >= order->chunk_mark && !release_is_atomic(order->release) &&
            release_pending(order->release) >= WORTH_SENDING && !send_chunk(order))
            return false;
        uint32_t seq = order->ready[order->ready_from];
        bool inside = order->ready_from >= order->chunk_mark && release_pending(order->release) > 0;
        order->ready_from++;
        if (cycle_state(order->cycle, seq) != ROW_STAGED)
            continue; /* it fell: a parent was refused after all */
        if (inside)
            release_make_atomic(order->release, true);
        if (!send_row(order, seq))
            return false;
    }
    return true;
}

/* The rows that are left, as a graph from child to parent over positions in `rows`. */
struct rest {
    uint32_t count;
    uint32_t *rows; /* ascending */
    uint32_t *starts;
    uint32_t *targets;
};

static void rest_release(struct rest *rest)
{
    free(rest->rows);
    free(rest->starts);
    free(rest->targets);
}

static bool rest_collect(const struct order *order, struct rest *rest)
{
    const struct cycle *cycle = order->cycle;
    uint32_t at = 0;

    for (uint32_t seq = 0; seq < cycle->count; seq++)
        if (cycle_state(cycle, seq) == ROW_STAGED)
            rest->count++;
    rest->rows = malloc(((size_t)rest->count + 1) * sizeof(*rest->rows));
    rest->starts = calloc((size_t)rest->count + 2, sizeof(*rest->starts));
    if (!rest->rows || !rest->starts)
        return out_of_memory(order);
    for (uint32_t seq = 0; seq < cycle->count; seq++)
        if (cycle_state(cycle, seq) == ROW_STAGED)
            rest->rows[at++] = seq;
    return true;
}

static uint32_t rest_position(const struct rest *rest, uint32_t seq)
{
    uint32_t low = 0, high = rest->count;

    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (rest->rows[middle] <= seq)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* One walk over the edges between rows that are left: counts them per child, or, with targets, puts them in their
 * place. starts[c + 1] is c's place while they are put, so that at the end it is the next one's start. */
static bool rest_walk(const struct order *order, struct rest *rest, uint64_t *ret_edges)
{
    struct cycle *cycle = order->cycle;
    struct error error = {0};
    struct stage_edge edge;
    int found = 0;

    if (!stage_edges_open(cycle->stage, &error))
        return run_fail(cycle->run, &error);
    while ((found = stage_edges_next(cycle->stage, &edge, &error)) == 1) {
        if (cycle_state(cycle, edge.child) != ROW_STAGED || cycle_state(cycle, edge.parent) != ROW_STAGED)
            continue;
        uint32_t child = rest_position(rest, edge.child);
        if (rest->targets)
            rest->targets[rest->starts[child + 1]++] = rest_position(rest, edge.parent);
        else if (child + 2 <= rest->count)
            rest->starts[child + 2]++;
        ++*ret_edges;
    }
    return found == 0 || run_fail(cycle->run, &error);
}

static bool rest_graph(const struct order *order, struct rest *rest)
{
    uint64_t edges = 0, placed = 0;

    if (!rest_walk(order, rest, &edges))
        return false;
    if (edges > UINT32_MAX)
        return out_of_memory(order);
    for (uint32_t i = 2; i <= rest->count; i++)
        rest->starts[i] += rest->starts[i - 1];
    rest->targets = malloc((edges + 1) * sizeof(*rest->targets));
    return rest->targets ? rest_walk(order, rest, &placed) : out_of_memory(order);
}

static bool refuse_circle(const struct order *order, const struct rest *rest, const uint32_t *members, uint32_t count)
{
    struct cycle *cycle = order->cycle;

    for (uint32_t i = 0; i < count; i++)
        cycle_set_state(cycle, rest->rows[members[i]], ROW_TOO_LARGE);
    for (uint32_t i = 0; i < count; i++)
        if (!cycle_fall(cycle, rest->rows[members[i]]))
            return false;
    return cycle_follow_fallen(cycle);
}

/* A circle, or a row behind one. */
static bool send_circle(struct order *order, const struct rest *rest, const uint32_t *members, uint32_t count)
{
    struct release *release = order->release;

    if (cycle_state(order->cycle, rest->rows[members[0]]) != ROW_STAGED)
        return true; /* what it waits for fell */
    if (count > LIMIT_BATCH_ROWS_MAX)
        return refuse_circle(order, rest, members, count);
    if (release_pending(release) > 0 && release_pending(release) + count > LOADER_BLOCK_ROWS && !release_send(release))
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (!release_add(release, rest->rows[members[i]], i == 0))
            return false;
    release_make_atomic(release, false);
    return !release_is_full(release) || release_send(release);
}

static bool send_rest(struct order *order)
{
    struct cycle *cycle = order->cycle;
    struct graph_components circles = {0};
    struct rest rest = {0};
    struct error error = {0};
    bool fine = rest_collect(order, &rest);

    if (fine && rest.count > 0) {
        fine = rest_graph(order, &rest);
        if (fine && !graph_components_find(&(struct graph){rest.count, rest.starts, rest.targets}, &circles, &error))
            fine = run_fail(cycle->run, &error);
        for (uint32_t c = 0; fine && c < circles.count && run_goes_on(cycle->run); c++)
            fine =
                send_circle(order, &rest, circles.nodes + circles.starts[c], circles.starts[c + 1] - circles.starts[c]);
    }
    graph_components_release(&circles);
    rest_release(&rest);
    return fine;
}

bool cycle_release(struct cycle *cycle)
{
    struct order order = {.cycle = cycle};
    struct error error = {0};
    bool fine;

    order.release = release_new(cycle, &error);
    if (!order.release)
        return run_fail(cycle->run, &error);
    fine = count_parents(&order) && send_roots(&order) && send_ready(&order);
    fine = release_drain(order.release, fine);
    free(order.waits_for);
    free(order.ready);
    if (fine && cycle->edges > 0 && run_goes_on(cycle->run)) {
        fine = send_rest(&order);
        fine = release_drain(order.release, fine);
    }
    release_free(order.release);
    return fine;
}
