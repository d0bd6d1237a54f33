/* SPDX-License-Identifier: Apache-2.0 */
/* The refusals of a component, in the order of its input. */
#include "cycle.h"

/* "orders.user_id 42: no such row in users (id)", for every parent that is missing, as the engine says it. */
static bool describe_missing(const struct schema *schema, const struct schema_reference *reference,
                             const struct value *values, struct buffer *text)
{
    const struct schema_table *child = &schema->tables[reference->child];
    const struct schema_table *parent = &schema->tables[reference->parent];
    bool composite = reference->column_count > 1;
    char columns[512];
    bool fine = (text->len == 0 || buffer_put_text(text, "; ")) &&
                buffer_format(text, "%s.%s %s", child->name, reference->constraint, composite ? "(" : "");

    for (uint16_t i = 0; fine && i < reference->column_count; i++)
        fine = (i == 0 || buffer_put_text(text, ", ")) && value_describe(&values[i], text);
    schema_columns_joined(parent, reference->parent_columns, reference->column_count, columns, sizeof(columns));
    return fine && buffer_format(text, "%s: no such row in %s (%s)", composite ? ")" : "", parent->name, columns);
}

static bool explain_orphan(struct cycle *cycle, uint32_t seq, struct error *ret_refusal, struct error *error)
{
    const struct schema *schema = cycle->schema;
    const struct schema_table *table = &schema->tables[cycle->run->options->inputs[cycle_input_of(cycle, seq)].table];
    const char *constraint = NULL;
    bool missing = false;

    buffer_clear(&cycle->row);
    for (uint16_t r = 0; r < table->reference_count; r++) {
        const struct schema_reference *reference = &schema->references[table->references[r]];
        const struct value *values;
        if (!stage_is_missing(cycle->stage, seq, table->references[r], &missing, error))
            return false;
        if (!missing)
            continue;
        if (!stage_values(cycle->stage, seq, table->references[r], &values, error))
            return false;
        if (!describe_missing(schema, reference, values, &cycle->row))
            return error_set(error, ERROR_INTERNAL, "out of memory");
        if (!constraint)
            constraint = reference->constraint;
    }
    if (!constraint)
        panic("the staged record %u fell without a missing parent", seq);
    error_set(ret_refusal, ERROR_REFERENCE_MISSING, "%.*s", (int)cycle->row.len, (const char *)cycle->row.bytes);
    error_about(ret_refusal, table->name, constraint);
    return true;
}

static bool explain(struct cycle *cycle, uint32_t seq, struct error *ret_refusal, struct error *error)
{
    const struct schema_table *table =
        &cycle->schema->tables[cycle->run->options->inputs[cycle_input_of(cycle, seq)].table];

    switch (cycle_state(cycle, seq)) {
    case ROW_REFUSED:
        return stage_get_refusal(cycle->stage, seq, ret_refusal, error);
    case ROW_ORPHAN:
        return explain_orphan(cycle, seq, ret_refusal, error);
    case ROW_TOO_LARGE:
        error_set(ret_refusal, ERROR_TOO_LARGE,
                  "stands in a circle of rows that need each other, more than the %d of one transaction",
                  LIMIT_BATCH_ROWS_MAX);
        error_about(ret_refusal, table->name, NULL);
        return true;
    default:
        panic("the staged record %u is not refused", seq);
    }
}

/* A repeat shares the fate of the row that it repeats. */
static bool give_verdict(struct cycle *cycle, const struct stage_record *record, struct error *error)
{
    uint32_t decided = record->seq;
    struct error refusal = {0};

    if (cycle_state(cycle, decided) == ROW_REPEAT && !stage_get_repeat(cycle->stage, record->seq, &decided, error))
        return false;
    switch (cycle_state(cycle, decided)) {
    case ROW_REFUSED:
    case ROW_ORPHAN:
    case ROW_TOO_LARGE:
        if (!explain(cycle, decided, &refusal, error))
            return false;
        run_refuse(cycle->run, record->input, record->line, &refusal, &record->raw);
        cycle->ended = cycle->run->options->stop_on_error;
        return true;
    case ROW_INSERTED:
        if (decided != record->seq)
            atomic_fetch_add_explicit(&cycle->run->options->counts[record->input].same, 1, memory_order_relaxed);
        return true;
    default:
        return true; /* counted already; or the load ended before its turn */
    }
}

bool cycle_give_verdicts(struct cycle *cycle)
{
    struct error error = {0};
    struct stage_record record;
    int found = 0;

    if (cycle->any_orphan && !stage_missing_index(cycle->stage, &error))
        return run_fail(cycle->run, &error);
    if (!stage_records_open(cycle->stage, &error))
        return run_fail(cycle->run, &error);
    cycle->ended = false;
    while (!cycle->ended && (found = stage_records_next(cycle->stage, &record, &error)) == 1)
        if (!give_verdict(cycle, &record, &error))
            return run_fail(cycle->run, &error);
    return found >= 0 || run_fail(cycle->run, &error);
}
