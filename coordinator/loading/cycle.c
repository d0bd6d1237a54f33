/* SPDX-License-Identifier: Apache-2.0 */
#include "cycle.h"

#include <stdlib.h>

size_t cycle_input_of(const struct cycle *cycle, uint32_t seq)
{
    size_t low = 0, high = cycle->input_count;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (cycle->input_starts[middle] <= seq)
            low = middle;
        else
            high = middle;
    }
    return cycle->inputs[low];
}

static bool cycle_init(struct cycle *cycle, struct error *error)
{
    size_t columns = 1;

    for (uint16_t t = 0; t < cycle->component->table_count; t++) {
        const struct schema_table *table = &cycle->schema->tables[cycle->component->tables[t]];
        if (table->column_count > columns)
            columns = table->column_count;
    }
    cycle->input_starts = calloc(cycle->input_count + 1, sizeof(*cycle->input_starts));
    cycle->tables = calloc((size_t)cycle->schema->table_count + 1, sizeof(*cycle->tables));
    cycle->values = calloc(columns, sizeof(*cycle->values));
    if (!cycle->input_starts || !cycle->tables || !cycle->values)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    cycle->stage = stage_open(cycle->run->options->scratch, cycle->schema, cycle->component->tables,
                              cycle->component->table_count, error);
    return cycle->stage != NULL;
}

static void cycle_release_memory(struct cycle *cycle)
{
    stage_close(cycle->stage);
    buffer_release(&cycle->row);
    free(cycle->input_starts);
    free(cycle->states);
    free(cycle->fallen);
    free(cycle->tables);
    free(cycle->values);
}

void cycle_run(struct run *run, const struct plan_component *component, const size_t *inputs, size_t count)
{
    struct cycle cycle = {
        .run = run, .schema = run->options->schema, .component = component, .inputs = inputs, .input_count = count};
    struct error error = {0};
    bool fine = true;

    if (!cycle_init(&cycle, &error)) {
        run_fail(run, &error);
        cycle_release_memory(&cycle);
        return;
    }
    /* A run that stops early still hands on what is known by then. */
    fine = cycle_stage_inputs(&cycle);
    if (fine && run_goes_on(run))
        fine = cycle_check_references(&cycle);
    if (fine && run->options->stop_on_error && cycle.any_orphan)
        run_stop(run, RUN_STOPPED);
    if (fine && run_goes_on(run))
        fine = cycle_release(&cycle);
    if (fine)
        cycle_give_verdicts(&cycle);
    cycle_release_memory(&cycle);
}
