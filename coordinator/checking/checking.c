/* SPDX-License-Identifier: Apache-2.0 */
#include "checking.h"

#include "clock.h"
#include "inspection.h"
#include "leftovers.h"
#include "rules.h"
#include "sql_name.h"

#include <stdlib.h>
#include <string.h>

#define CACHE_BYTES 67108864 /* over all connections */
/* Whoever has opened a file meanwhile still has it the next time as a rule, and then it is read beside him. */
#define RUNS 3

struct run {
    const struct checking_options *options;
    struct checking *checking;
    struct file_meta origin;
    struct checked *all; /* per database */
    struct rowkeys *rowkeys;
};

static bool no_memory(struct error *error)
{
    return error_set(error, ERROR_INTERNAL, "out of memory");
}

static bool load_schema(struct run *run, struct error *error)
{
    struct schema_placement placement = {0};
    const struct file_meta *origin = &run->origin;
    if (!schema_placement_read(origin->placement, strlen(origin->placement), &placement, error))
        return false;
    run->checking->schema = schema_load(origin->schema, strlen(origin->schema), "the stored schema", &placement, error);
    schema_placement_release(&placement);
    return run->checking->schema != NULL;
}

static bool make_room(struct run *run, struct error *error)
{
    struct checking *checking = run->checking;
    const struct schema *schema = checking->schema;
    run->all = calloc(schema->database_count, sizeof *run->all);
    run->rowkeys = rowkeys_new(schema);
    checking->tables = calloc(schema->table_count, sizeof *checking->tables);
    checking->references = calloc(schema->reference_count + 1u, sizeof *checking->references);
    return (run->all && run->rowkeys && checking->tables && checking->references) || no_memory(error);
}

static bool inspect(struct run *run, struct error *error)
{
    const struct checking_options *options = run->options;
    const struct schema *schema = run->checking->schema;
    int64_t cache_bytes = CACHE_BYTES / 2 / schema->database_count;
    bool ok = true;
    for (database_id d = 0; ok && d < schema->database_count; d++) {
        struct checked *checked = &run->all[d];
        checked->name = schema->databases[d].name;
        checked->elsewhere = options->has_address && options->has_address(options->context, checked->name);
        ok = inspection_run(options->data, schema, d, &run->origin, cache_bytes, &run->checking->findings, checked,
                            error);
        if (checked->file)
            run->checking->files++;
        if (checked->elsewhere)
            run->checking->elsewhere++;
    }
    return ok;
}

static bool count_rows(struct run *run, table_id id, struct error *error)
{
    const struct schema_table *table = &run->checking->schema->tables[id];
    struct checked *at = &run->all[table->database];
    struct checking_table *figures = &run->checking->tables[id];
    struct buffer sql = {0};
    sqlite3_stmt *row = NULL;
    figures->elsewhere = at->elsewhere;
    if (!at->file)
        return true;
    bool ok =
        (buffer_put_text(&sql, "SELECT count(*) FROM main.") && sql_put_name(&sql, table->name)) || no_memory(error);
    if (ok &&
        sqlite3_prepare_v2(file_snapshot(at->file), (const char *)sql.bytes, (int)sql.len, &row, NULL) == SQLITE_OK &&
        sqlite3_step(row) == SQLITE_ROW) {
        figures->rows = (uint64_t)sqlite3_column_int64(row, 0);
        figures->looked = true;
    } else if (ok) {
        ok = inspection_failed(&run->checking->findings, file_snapshot(at->file), at->name,
                               "its rows cannot be counted", error);
    }
    sqlite3_finalize(row);
    buffer_release(&sql);
    return ok;
}

static bool hold_against_rules(struct run *run, table_id id, struct error *error)
{
    const struct schema *schema = run->checking->schema;
    return rules_check(&run->all[schema->tables[id].database], schema, id, &run->checking->findings, error);
}

/* Last of all: whether what was read was one moment of each file. */
static bool look_back(struct run *run, bool *ret_taken, struct error *error)
{
    struct checking *checking = run->checking;
    bool ok = true;
    for (database_id d = 0; ok && d < checking->schema->database_count; d++) {
        struct checked *checked = &run->all[d];
        if (!checked->file)
            continue;
        bool taken = file_was_taken(checked->file);
        *ret_taken = *ret_taken || taken;
        if (taken)
            ok = findings_add(&checking->findings, error, FINDING_UNREADABLE, checked->name,
                              "another program opened it meanwhile: nothing that was found of it counts; check again");
        else if (file_was_written(checked->file))
            checking->written++;
    }
    return ok;
}

static void release(struct run *run)
{
    for (database_id d = 0; run->all && d < run->checking->schema->database_count; d++) {
        file_close(run->all[d].file);
        leftovers_release(&run->all[d].promised);
    }
    free(run->all);
    rowkeys_free(run->rowkeys);
    file_meta_release(&run->origin);
}

/* *ret_taken: a file was opened by somebody meanwhile, and what was read of it may be of no moment. */
static bool run_once(const struct checking_options *options, struct checking *ret_checking, bool *ret_taken,
                     struct error *error)
{
    struct checking checking = {0};
    struct run run = {.options = options, .checking = &checking};
    bool ok = origin_find(options->data, &options->note, &run.origin, error) && load_schema(&run, error) &&
              make_room(&run, error) && inspect(&run, error);
    for (table_id t = 0; ok && t < checking.schema->table_count; t++)
        ok = count_rows(&run, t, error) && (!run.checking->tables[t].looked || hold_against_rules(&run, t, error));
    for (reference_id r = 0; ok && r < checking.schema->reference_count; r++)
        ok =
            parents_check(run.all, checking.schema, run.rowkeys, r, &checking.findings, &checking.references[r], error);
    bool held = ok && options->is_held && options->is_held(options->context);
    ok = ok && leftovers_report(run.all, checking.schema, held, &checking.findings, error) &&
         look_back(&run, ret_taken, error);
    release(&run);
    if (!ok) {
        checking_release(&checking);
        return false;
    }
    *ret_checking = checking;
    return true;
}

bool checking_run(const struct checking_options *options, struct checking *ret_checking, struct error *error)
{
    struct checking checking = {0};
    uint64_t began_ns = clock_monotonic_ns();
    bool taken = true;
    for (int i = 0; i < RUNS && taken; i++) {
        checking_release(&checking);
        taken = false;
        if (!run_once(options, &checking, &taken, error))
            return false;
    }
    checking.time_ns = clock_monotonic_ns() - began_ns;
    *ret_checking = checking;
    return true;
}

void checking_release(struct checking *checking)
{
    schema_free(checking->schema);
    free(checking->tables);
    free(checking->references);
    findings_release(&checking->findings);
    *checking = (struct checking){0};
}
