/* SPDX-License-Identifier: Apache-2.0 */
#include "graph.h"
#include "plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct schema *loaded(const char *ddl)
{
    struct error error = {0};
    struct schema *schema = schema_load(ddl, strlen(ddl), "test.sql", NULL, &error);

    if (!schema)
        panic("%s", error.text);
    return schema;
}

static table_id table(const struct schema *schema, const char *name)
{
    return schema_find_table(schema, name, strlen(name));
}

static void parents_come_before_their_children(void **state)
{
    (void)state;
    struct error error;
    struct schema *schema = loaded("CREATE TABLE c(id INTEGER PRIMARY KEY, b REFERENCES b(id), a REFERENCES a(id));"
                                   "CREATE TABLE b(id INTEGER PRIMARY KEY, a REFERENCES a(id), a2 REFERENCES a(id));"
                                   "CREATE TABLE a(id INTEGER PRIMARY KEY);");
    struct plan *plan = plan_new(schema, &error);
    uint16_t a = plan->component_of[table(schema, "a")], b = plan->component_of[table(schema, "b")],
             c = plan->component_of[table(schema, "c")];

    assert_int_equal(plan->count, 3);
    assert_true(a < b && b < c);
    for (uint16_t i = 0; i < 3; i++)
        assert_false(plan->components[i].cyclic);
    assert_int_equal(plan->components[b].parent_count, 1); /* named twice, waited for once */
    assert_int_equal(plan->components[c].parent_count, 2);
    bool finished[3] = {false};
    assert_true(plan_may_start(plan, a, finished));
    assert_false(plan_may_start(plan, c, finished));
    finished[a] = true;
    assert_true(plan_may_start(plan, b, finished));
    assert_false(plan_may_start(plan, c, finished));
    finished[b] = true;
    assert_true(plan_may_start(plan, c, finished));
    plan_free(plan);
    schema_free(schema);
}

static void tables_in_a_circle_are_one_component(void **state)
{
    (void)state;
    struct error error;
    struct schema *schema = loaded("CREATE TABLE below(id INTEGER PRIMARY KEY, x REFERENCES x(id));"
                                   "CREATE TABLE x(id INTEGER PRIMARY KEY, y REFERENCES y(id));"
                                   "CREATE TABLE y(id INTEGER PRIMARY KEY, z REFERENCES z(id), top REFERENCES top(id));"
                                   "CREATE TABLE z(id INTEGER PRIMARY KEY, x REFERENCES x(id));"
                                   "CREATE TABLE top(id INTEGER PRIMARY KEY);"
                                   "CREATE TABLE own(id INTEGER PRIMARY KEY, boss REFERENCES own(id));");
    struct plan *plan = plan_new(schema, &error);
    uint16_t x = plan->component_of[table(schema, "x")];

    assert_int_equal(plan->count, 4);
    assert_int_equal(plan->component_of[table(schema, "y")], x);
    assert_int_equal(plan->component_of[table(schema, "z")], x);
    assert_true(plan->components[x].cyclic);
    assert_int_equal(plan->components[x].table_count, 3);
    assert_int_equal(plan->components[x].parent_count, 1);
    assert_true(plan->component_of[table(schema, "top")] < x);
    assert_true(plan->component_of[table(schema, "below")] > x);
    assert_false(plan->components[plan->component_of[table(schema, "below")]].cyclic);
    uint16_t own = plan->component_of[table(schema, "own")];
    assert_true(plan->components[own].cyclic);
    assert_int_equal(plan->components[own].parent_count, 0);
    plan_free(plan);
    schema_free(schema);
}

/* Reachability by repeated squaring of small random graphs is the judge. */
static void components_are_those_that_reach_each_other(void **state)
{
    (void)state;
    enum { NODES = 9 };
    for (unsigned seed = 1; seed <= 500; seed++) {
        uint32_t starts[NODES + 1] = {0}, targets[NODES * NODES], place[NODES], component[NODES], edges = 0;
        bool reaches[NODES][NODES] = {{false}};
        struct graph_components found;
        struct error error;
        srand(seed);
        for (uint32_t n = 0; n < NODES; n++) {
            starts[n] = edges;
            for (uint32_t to = 0; to < NODES; to++)
                if (rand() % 6 == 0) {
                    targets[edges++] = to;
                    reaches[n][to] = true;
                }
        }
        starts[NODES] = edges;
        for (int k = 0; k < NODES; k++)
            for (int i = 0; i < NODES; i++)
                for (int j = 0; j < NODES; j++)
                    reaches[i][j] = reaches[i][j] || (reaches[i][k] && reaches[k][j]);
        assert_true(graph_components_find(&(struct graph){NODES, starts, targets}, &found, &error));
        for (uint32_t c = 0; c < found.count; c++)
            for (uint32_t i = found.starts[c]; i < found.starts[c + 1]; i++) {
                place[found.nodes[i]] = i;
                component[found.nodes[i]] = c;
            }
        for (int i = 0; i < NODES; i++)
            for (int j = 0; j < NODES; j++) {
                if (i == j)
                    continue;
                assert_int_equal(component[i] == component[j], reaches[i][j] && reaches[j][i]);
                if (reaches[i][j] && !reaches[j][i])
                    assert_true(place[j] < place[i]);
            }
        graph_components_release(&found);
    }
}

static void a_chain_of_a_million_needs_no_deep_stack(void **state)
{
    (void)state;
    uint32_t count = 1000000;
    uint32_t *starts = malloc((count + 1) * sizeof(*starts)), *targets = malloc(count * sizeof(*targets));
    struct graph_components found;
    struct error error;

    for (uint32_t n = 0; n < count; n++) {
        starts[n] = n;
        targets[n] = n + 1 < count ? n + 1 : n;
    }
    starts[count] = count;
    assert_true(graph_components_find(&(struct graph){count, starts, targets}, &found, &error));
    assert_int_equal(found.count, count);
    assert_int_equal(found.nodes[0], count - 1);
    graph_components_release(&found);
    free(starts);
    free(targets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parents_come_before_their_children),
        cmocka_unit_test(tables_in_a_circle_are_one_component),
        cmocka_unit_test(components_are_those_that_reach_each_other),
        cmocka_unit_test(a_chain_of_a_million_needs_no_deep_stack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
