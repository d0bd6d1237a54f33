/* SPDX-License-Identifier: Apache-2.0 */
/* world.h - an engine and inputs made of memory, for the tests of loading.
 *
 * The engine is one SQLite in memory that checks foreign keys, behind a thread, as the contract of engine.h says it: in
 * order, an op sees the earlier ones. An input is an array of records; its path is its number in the world ("0", "1",
 * …). Stands in for sheaf_engine and sheaf_input. */
#ifndef SHEAF_TEST_WORLD_H
#define SHEAF_TEST_WORLD_H

#include "insert.h"
#include "loader.h"
#include "row.h"

#define WORLD_INPUTS 8

struct world_record {
    struct value values[8]; /* by column */
    bool garbage;           /* the input refuses it as `parse` */
};

struct world_verdict {
    enum error_code code; /* of its reject; ERROR_NONE: it got none */
    char constraint[64];
    char text[256];
    char raw[32];
};

struct world_input {
    table_id table;
    struct world_record *records;
    struct world_verdict *verdicts; /* beside them */
    uint32_t count;
};

struct world {
    struct schema *schema;
    sqlite3 *db;
    struct insert *insert;
    struct engine *engine;
    struct world_input inputs[WORLD_INPUTS];
    uint32_t input_count;
    struct loader_input loader_inputs[WORLD_INPUTS];
    struct loader_counts counts[WORLD_INPUTS];
    uint64_t last_line[WORLD_INPUTS]; /* of a reject: they must ascend */
    bool thorough;
    bool stop_on_error;
    bool inputs_wait; /* every third record has not come yet when its reader is in a hurry */
    enum loader_result result;
    struct error error;
    /* what the engine does and saw */
    uint32_t conflicts;     /* so many atomic submissions are refused with `conflict` first */
    enum error_code outage; /* every write is refused so, from the n-th submission on: */
    uint32_t outage_after;
    uint32_t submissions;
    uint32_t atomics;
    uint32_t largest_atomic;
    uint32_t probes;
    uint32_t exists;
};

struct world *world_new(const char *ddl);
/* References are checked with foreign_key_check after every row: exact, and for small tables. */
struct world *world_new_thorough(const char *ddl);
void world_free(struct world *world);

/* An input with room for `records`; returns it. Lines are 1, 2, …: records[line - 1]. */
struct world_input *world_input(struct world *world, const char *table, uint32_t records);

void world_load(struct world *world);
void world_forget_inputs(struct world *world);

/* Runs SQL on the engine's database; the first column of its first row as a number. */
int64_t world_ask(const struct world *world, const char *sql);

/* Every table's rows with their types as one text, ordered; the caller frees. */
char *world_dump(const struct schema *schema, sqlite3 *db);

#endif
