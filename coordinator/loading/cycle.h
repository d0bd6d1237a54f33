/* SPDX-License-Identifier: Apache-2.0 */
/* cycle.h - the inputs of tables that refer to each other, or to themselves.
 *
 * Meaning (docs/formats.md, "What a load means"): uniqueness first - the earliest row that is valid by itself holds
 * its keys, even when a reference fails it later; then references - the largest set of rows that all have their
 * parents; then the rows are sent parents first, those that need each other in one transaction.
 *
 * Way, one file each: cycle_staging.c (every record is judged by itself, by its shard and in the staging file),
 * cycle_references.c (who has a parent, and what falls with those that have none), cycle_release.c (parents first),
 * cycle_verdicts.c (refusals in the order of the input). Rows are in the staging file; in memory there are, for each
 * record of the component, 1 byte, and while it is released 7 more; rows in circles and behind them cost 44 bytes each
 * while their circles are looked for. */
#ifndef SHEAF_CYCLE_H
#define SHEAF_CYCLE_H

#include "plan.h"
#include "run.h"
#include "stage.h"

/* Blocks until every record has its verdict or the run stops. `inputs`: positions in the options' inputs of all that
 * belong to the component's tables, in their order. A failure is left in the run. One thread per component. */
void cycle_run(struct run *run, const struct plan_component *component, const size_t *inputs, size_t count);

/* ---- what the parts share ---- */

enum row_state {
    ROW_REFUSED,   /* its refusal is kept in the staging file */
    ROW_SAME,      /* was in the database already */
    ROW_REPEAT,    /* repeats a staged row and shares its fate */
    ROW_STAGED,    /* lives, not sent yet */
    ROW_ORPHAN,    /* a parent is missing */
    ROW_TOO_LARGE, /* in a circle beyond what one transaction takes */
    ROW_SENT,
    ROW_INSERTED
};
#define ROW_STATE_MASK 0x0fu
#define ROW_FLAGS_MASK 0xf0u
#define ROW_HAS_PARENT 0x40u   /* waits for a staged row */
#define ROW_HAS_CHILDREN 0x80u /* a staged row waits for it */

/* What is known of a table in its database when the component starts. */
struct cycle_table {
    bool asked;
    bool is_empty;
    bool rowid_known; /* of the two below; only for tables whose key is assigned */
    bool rowid_given; /* there is a row with a key */
    int64_t rowid_max;
};

struct cycle {
    struct run *run;
    const struct schema *schema;
    const struct plan_component *component;
    const size_t *inputs;
    size_t input_count;
    uint32_t *input_starts; /* the first sequence number of each of `inputs` */
    struct stage *stage;
    uint8_t *states; /* by sequence number */
    uint32_t count;
    uint32_t capacity;
    uint64_t edges;
    uint32_t *fallen; /* rows whose children are still to be told: a stack */
    uint32_t fallen_count;
    uint32_t fallen_capacity;
    bool any_orphan;
    bool ended;                 /* by stop_on_error: a record was refused, and none behind it is taken, or told of */
    struct cycle_table *tables; /* by table */
    struct buffer row;
    struct value *values;
};

static inline enum row_state cycle_state(const struct cycle *cycle, uint32_t seq)
{
    return (enum row_state)(cycle->states[seq] & ROW_STATE_MASK);
}
static inline void cycle_set_state(struct cycle *cycle, uint32_t seq, enum row_state state)
{
    cycle->states[seq] = (uint8_t)((cycle->states[seq] & ROW_FLAGS_MASK) | (unsigned)state);
}

/* Position in the options' inputs of a record's input. */
size_t cycle_input_of(const struct cycle *cycle, uint32_t seq);

/* Each returns false when the run failed; run_goes_on then says so. */
bool cycle_stage_inputs(struct cycle *cycle);
bool cycle_check_references(struct cycle *cycle);
bool cycle_release(struct cycle *cycle);
bool cycle_give_verdicts(struct cycle *cycle);

/* Whether the table had no row in its database when the component started. */
bool cycle_table_is_empty(struct cycle *cycle, table_id table, bool *ret_empty);

/* `seq` has fallen (its state says how): what waits for it, directly or not, and was not sent becomes an orphan. */
bool cycle_fall(struct cycle *cycle, uint32_t seq);
bool cycle_follow_fallen(struct cycle *cycle);

#endif
