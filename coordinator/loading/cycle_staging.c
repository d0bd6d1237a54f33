/* SPDX-License-Identifier: Apache-2.0 */
/* Every record of the component judged by itself: by its shard, which knows the rows that are there, and in the staging
 * file, which knows the earlier ones of the input. A table that has no rows (and no trigger) needs no shard: the same
 * DDL judges in the staging file. */
#include "block.h"
#include "cycle.h"
#include "row.h"
#include "wire.h"

#include <stdlib.h>

#define PROBES_IN_FLIGHT 4

static bool out_of_memory(struct cycle *cycle)
{
    struct error error;

    error_set(&error, ERROR_INTERNAL, "out of memory");
    return run_fail(cycle->run, &error);
}

/* Gives the next record its sequence number. */
static bool take_number(struct cycle *cycle, enum row_state state, uint32_t *ret_seq)
{
    if (cycle->count == cycle->capacity) {
        struct error error;
        if (cycle->capacity > UINT32_MAX / 2) {
            error_set(&error, ERROR_TOO_LARGE, "more than %u records for tables that refer to each other",
                      cycle->count);
            return run_fail(cycle->run, &error);
        }
        uint32_t capacity = cycle->capacity ? cycle->capacity * 2 : 65536;
        uint8_t *states = realloc(cycle->states, capacity);
        if (!states)
            return out_of_memory(cycle);
        cycle->states = states;
        cycle->capacity = capacity;
    }
    *ret_seq = cycle->count;
    cycle->states[cycle->count++] = (uint8_t)state;
    return true;
}

struct taken {
    size_t input;
    uint64_t line;
    struct run_raw raw;
};

static bool take_refused(struct cycle *cycle, const struct taken *taken, const struct error *refusal)
{
    struct stage_record record = {.input = taken->input, .line = taken->line, .raw = taken->raw};
    struct error error = {0};

    if (!take_number(cycle, ROW_REFUSED, &record.seq))
        return false;
    if (!stage_put_record(cycle->stage, &record, &error) ||
        !stage_put_refusal(cycle->stage, record.seq, refusal, &error))
        return run_fail(cycle->run, &error);
    if (cycle->run->options->stop_on_error) {
        cycle->ended = true;
        run_stop(cycle->run, RUN_STOPPED);
    }
    return true;
}

static bool take_same(struct cycle *cycle, const struct taken *taken)
{
    struct stage_record record = {.input = taken->input, .line = taken->line};
    struct error error = {0};

    if (!take_number(cycle, ROW_SAME, &record.seq))
        return false;
    atomic_fetch_add_explicit(&cycle->run->options->counts[taken->input].same, 1, memory_order_relaxed);
    return stage_put_record(cycle->stage, &record, &error) || run_fail(cycle->run, &error);
}

/* The table's first row after `after` (NULL: its first): whether there is one, and, with ret_key, its integer key. */
static bool ask_first_row(struct cycle *cycle, table_id id, const struct value *after, bool *ret_there,
                          int64_t *ret_key)
{
    const struct schema_table *table = &cycle->schema->tables[id];
    struct query query = {.kind = WIRE_SCAN, .database = table->database};
    struct wire_scan_answer answer;
    struct error error = {0};
    bool fine = false;

    if (!wire_put_scan(&query.ask, id, 1, after, after ? 1 : 0, NULL, 0)) {
        error_set(&error, ERROR_INTERNAL, "out of memory");
    } else if (!engine_ask_and_wait(cycle->run->options->engine, &query)) {
        error = query.error;
    } else {
        struct cursor body = cursor_over(query.answer.bytes, query.answer.len);
        fine = wire_get_scan_answer(&body, &answer, &error);
        if (fine && answer.row_count > 0 && ret_key) {
            struct cursor row = answer.rows;
            fine = cursor_skip(&row) &&
                   row_read(table, answer.rows.at, (size_t)(row.at - answer.rows.at), cycle->values, &error);
            if (fine)
                *ret_key = cycle->values[table->rowid_column].integer;
        }
        if (fine)
            *ret_there = answer.row_count > 0;
    }
    buffer_release(&query.ask);
    buffer_release(&query.answer);
    return fine || run_fail(cycle->run, &error);
}

bool cycle_table_is_empty(struct cycle *cycle, table_id id, bool *ret_empty)
{
    struct cycle_table *table = &cycle->tables[id];
    bool there = false;

    if (!table->asked) {
        if (!ask_first_row(cycle, id, NULL, &there, NULL))
            return false;
        table->asked = true;
        table->is_empty = !there;
    }
    *ret_empty = table->is_empty;
    return true;
}

/* The highest key in the database: halving the range costs at most 64 questions, and only tables whose input leaves
 * keys out ask them. */
static bool find_rowid_max(struct cycle *cycle, table_id id)
{
    struct cycle_table *table = &cycle->tables[id];
    int64_t low = 0, high = INT64_MAX, key = 0;
    bool there = false;

    if (!ask_first_row(cycle, id, NULL, &there, &low))
        return false;
    while (there && low < high) {
        bool above = false;
        int64_t middle = (int64_t)((uint64_t)low + ((uint64_t)high - (uint64_t)low) / 2);
        struct value after = value_integer(middle);
        if (!ask_first_row(cycle, id, &after, &above, &key))
            return false;
        if (above)
            low = key;
        else
            high = middle;
    }
    if (there && (!table->rowid_given || low > table->rowid_max)) {
        table->rowid_given = true;
        table->rowid_max = low;
    }
    table->rowid_known = true;
    return true;
}

/* A row without its integer key gets it here, as one SQLite file would give it, so that it can be staged and sent under
 * one key. */
static bool give_key(struct cycle *cycle, table_id id, const uint8_t **row, size_t *len, bool *ret_given)
{
    const struct schema_table *schema = &cycle->schema->tables[id];
    struct cycle_table *table = &cycle->tables[id];
    struct error error = {0};

    if (!row_read(schema, *row, *len, cycle->values, &error))
        return run_fail(cycle->run, &error);
    struct value *key = &cycle->values[schema->rowid_column];
    if (key->type != VALUE_NULL && key->type != VALUE_ABSENT)
        return true;
    if (!table->rowid_known) {
        if (!find_rowid_max(cycle, id))
            return false;
        if (!row_read(schema, *row, *len, cycle->values, &error)) /* the answers went through the same array */
            return run_fail(cycle->run, &error);
    }
    if (table->rowid_given && table->rowid_max == INT64_MAX)
        return true; /* SQLite tries free ones at random; so does the engine when the row comes there */
    *key = value_integer(table->rowid_given ? table->rowid_max + 1 : 1);
    buffer_clear(&cycle->row);
    if (!row_write(schema, cycle->values, &cycle->row))
        return out_of_memory(cycle);
    *row = cycle->row.bytes;
    *len = cycle->row.len;
    *ret_given = true;
    return true;
}

static void note_rowid(struct cycle *cycle, table_id id, int64_t rowid)
{
    struct cycle_table *table = &cycle->tables[id];

    if (!table->rowid_given || rowid > table->rowid_max) {
        table->rowid_given = true;
        table->rowid_max = rowid;
    }
}

static bool take_row(struct cycle *cycle, const struct taken *taken, const uint8_t *row, size_t len)
{
    table_id table = cycle->run->options->inputs[taken->input].table;
    struct stage_record record = {.input = taken->input, .line = taken->line, .raw = taken->raw};
    struct error error = {0};
    bool key_given = false;
    uint32_t first = 0;
    int64_t rowid = 0;

    if (cycle->schema->tables[table].rowid_column != SCHEMA_NONE && !give_key(cycle, table, &row, &len, &key_given))
        return false;
    switch (stage_insert(cycle->stage, table, cycle->count, row, len, !key_given, &first, &rowid, &error)) {
    case INSERT_DONE:
        note_rowid(cycle, table, rowid);
        record.row = row;
        record.row_len = len;
        return take_number(cycle, ROW_STAGED, &record.seq) &&
               (stage_put_record(cycle->stage, &record, &error) || run_fail(cycle->run, &error));
    case INSERT_SAME:
        return take_number(cycle, ROW_REPEAT, &record.seq) &&
               ((stage_put_record(cycle->stage, &record, &error) &&
                 stage_put_repeat(cycle->stage, record.seq, first, &error)) ||
                run_fail(cycle->run, &error));
    case INSERT_REFUSED:
        return take_refused(cycle, taken, &error);
    case INSERT_FAILED:
        break;
    }
    return run_fail(cycle->run, &error);
}

/* What the shard said of a block's rows, read along with them: both lists are ascending. */
struct probed {
    bool asked;
    struct wire_write_answer answer;
    struct wire_failure failure; /* the next */
    uint32_t failures_left;
    uint32_t same_entry; /* the next */
    uint32_t same_left;
};

static bool next_failure(struct probed *probed, struct error *error)
{
    probed->failures_left--;
    return wire_get_failure(&probed->answer.failures, &probed->failure, error);
}

static bool next_same(struct probed *probed, struct error *error)
{
    uint32_t op;

    probed->same_left--;
    return wire_get_same(&probed->answer.same, &probed->same_entry, &op, error);
}

static bool probed_open(struct probed *probed, const struct block *block, struct error *error)
{
    struct cursor body = cursor_over(block->query.answer.bytes, block->query.answer.len);

    if (!block->query.ok) {
        *error = block->query.error;
        return false;
    }
    if (!wire_get_write_answer(&body, &probed->answer, error))
        return false;
    probed->asked = true;
    probed->failures_left = probed->answer.failure_count;
    probed->same_left = probed->answer.same_count;
    probed->failure.entry = probed->same_entry = UINT32_MAX;
    return (probed->failures_left == 0 || next_failure(probed, error)) &&
           (probed->same_left == 0 || next_same(probed, error));
}

static bool absorb_row(struct cycle *cycle, const struct block *block, uint32_t at, struct probed *probed)
{
    const struct op *op = &block->submission->ops[at];
    struct taken taken = {.input = block->input, .line = op->position, .raw = block_raw_of(block, at)};
    struct error error = {0};

    if (probed->asked && probed->failure.entry == at) {
        struct error refusal = probed->failure.error;
        probed->failure.entry = UINT32_MAX;
        if (probed->failures_left > 0 && !next_failure(probed, &error))
            return run_fail(cycle->run, &error);
        return take_refused(cycle, &taken, &refusal);
    }
    if (probed->asked && probed->same_entry == at) {
        probed->same_entry = UINT32_MAX;
        if (probed->same_left > 0 && !next_same(probed, &error))
            return run_fail(cycle->run, &error);
        return take_same(cycle, &taken);
    }
    return take_row(cycle, &taken, block->submission->rows.bytes + op->row_at, op->row_len);
}

static bool absorb_refusal(struct cycle *cycle, const struct block *block, const struct block_refusal *refusal)
{
    struct taken taken = {.input = block->input, .line = refusal->line};

    if (block->raws)
        taken.raw = (struct run_raw){block->raw.bytes ? block->raw.bytes + refusal->raw.at : NULL, refusal->raw.len,
                                     refusal->raw.truncated};
    return take_refused(cycle, &taken, &refusal->error);
}

/* A block's records, in their order, into the staging file. */
static bool absorb(struct cycle *cycle, struct block *block, bool was_probed)
{
    struct probed probed = {0};
    struct error error = {0};
    uint32_t refusal = 0;
    bool fine = true;

    if (was_probed && !probed_open(&probed, block, &error))
        return run_fail(cycle->run, &error);
    for (uint32_t i = 0; fine && !cycle->ended && i <= block->submission->count; i++) {
        while (fine && !cycle->ended && refusal < block->refusal_count && block->refusals[refusal].before <= i)
            fine = absorb_refusal(cycle, block, &block->refusals[refusal++]);
        if (fine && !cycle->ended && i < block->submission->count)
            fine = absorb_row(cycle, block, i, &probed);
    }
    return fine;
}

static void probe_answered(struct query *query)
{
    struct block *block = query->context;

    gate_open(block->gate, &block->finished);
}

/* Sends the block's rows to be judged; false: out of memory. */
static bool probe(struct cycle *cycle, struct block *block)
{
    const struct submission *submission = block->submission;
    struct query *query = &block->query;
    bool fine;

    buffer_clear(&query->ask);
    buffer_clear(&query->answer);
    fine = wire_put_probe(&query->ask, submission->count);
    for (uint32_t i = 0; fine && i < submission->count; i++) {
        const struct op *op = &submission->ops[i];
        fine = wire_put_op(&query->ask, op->table, WIRE_FLAG_SAME_IS_FINE, submission->rows.bytes + op->row_at,
                           op->row_len);
    }
    if (!fine)
        return out_of_memory(cycle);
    query->kind = WIRE_PROBE;
    query->database = cycle->schema->tables[cycle->run->options->inputs[block->input].table].database;
    query->ok = false;
    query->finished = probe_answered;
    query->context = block;
    engine_ask(cycle->run->options->engine, query);
    return true;
}

struct probing {
    struct gate gate;
    struct block blocks[PROBES_IN_FLIGHT];
    uint32_t oldest;
    uint32_t in_flight;
};

static bool absorb_oldest(struct cycle *cycle, struct probing *probing, bool fine)
{
    struct block *block = &probing->blocks[probing->oldest];

    if (block->submission->count > 0)
        gate_wait(&probing->gate, &block->finished);
    fine = fine && absorb(cycle, block, block->submission->count > 0);
    block_clear(block);
    probing->oldest = (probing->oldest + 1) % PROBES_IN_FLIGHT;
    probing->in_flight--;
    return fine;
}

static bool stage_input(struct cycle *cycle, struct probing *probing, size_t input)
{
    const struct schema_table *table = &cycle->schema->tables[cycle->run->options->inputs[input].table];
    bool more = true, fine = true, empty = false;

    if (!cycle_table_is_empty(cycle, cycle->run->options->inputs[input].table, &empty))
        return false;
    bool unprobed = empty && !table->has_trigger;
    while (fine && more && run_goes_on(cycle->run)) {
        if (probing->in_flight == PROBES_IN_FLIGHT)
            fine = absorb_oldest(cycle, probing, fine);
        struct block *block = &probing->blocks[(probing->oldest + probing->in_flight) % PROBES_IN_FLIGHT];
        more = block_fill(block, cycle->run, input);
        if (unprobed) {
            fine = fine && absorb(cycle, block, false);
            block_clear(block);
        } else if (!block_is_empty(block)) {
            fine = fine && (block->submission->count == 0 || probe(cycle, block));
            if (fine)
                probing->in_flight++;
        }
    }
    while (probing->in_flight > 0)
        fine = absorb_oldest(cycle, probing, fine);
    return fine;
}

bool cycle_stage_inputs(struct cycle *cycle)
{
    struct probing probing = {0};
    struct error error = {0};
    uint32_t made = 0;
    bool fine = true;

    if (!gate_init(&probing.gate, &error))
        return run_fail(cycle->run, &error);
    while (made < PROBES_IN_FLIGHT && block_init(&probing.blocks[made], cycle->run, &probing.gate, &error))
        made++;
    if (made < PROBES_IN_FLIGHT)
        fine = run_fail(cycle->run, &error);
    for (size_t i = 0; fine && i < cycle->input_count; i++) {
        cycle->input_starts[i] = cycle->count;
        if (run_goes_on(cycle->run))
            fine = stage_input(cycle, &probing, cycle->inputs[i]);
    }
    while (made > 0)
        block_release(&probing.blocks[--made]);
    gate_release(&probing.gate);
    return fine;
}
