/* SPDX-License-Identifier: Apache-2.0 */
#include "load_report.h"

#include "style.h"
#include "table.h"

#include <inttypes.h>
#include <stdio.h>

#define WIDTH 80

void load_totals(const struct loader_options *options, table_id table, struct load_totals *ret_totals)
{
    struct load_totals totals = {0};

    for (size_t i = 0; i < options->input_count; i++) {
        const struct loader_counts *counts = &options->counts[i];
        if (table != SCHEMA_NONE && options->inputs[i].table != table)
            continue;
        totals.read += atomic_load(&counts->read);
        totals.inserted += atomic_load(&counts->inserted);
        totals.same += atomic_load(&counts->same);
        totals.refused_by_input += atomic_load(&counts->refused_by_input);
        for (int code = 1; code < ERROR_CODE_COUNT; code++) {
            uint64_t rows = atomic_load(&counts->refused[code]);
            totals.by_code[code] += rows;
            totals.refused += rows;
        }
    }
    *ret_totals = totals;
}

/* From the first record of a table's inputs to its last verdict; 0: it was not begun. */
static uint64_t time_of(const struct loader_options *options, table_id table)
{
    uint64_t began = UINT64_MAX, ended = 0;

    for (size_t i = 0; i < options->input_count; i++) {
        uint64_t began_here = atomic_load(&options->counts[i].began_ns);
        if (options->inputs[i].table != table || began_here == 0)
            continue;
        if (began_here < began)
            began = began_here;
        if (atomic_load(&options->counts[i].ended_ns) > ended)
            ended = atomic_load(&options->counts[i].ended_ns);
    }
    return ended > began ? ended - began : 0;
}

static bool put_number(struct table *table, uint64_t number, enum style style)
{
    char text[24];
    int len = snprintf(text, sizeof text, "%" PRIu64, number);

    return table_cell(table, number ? style : STYLE_PLAIN, text, (size_t)len);
}

static bool put_row(struct table *table, const char *name, const struct load_totals *totals, uint64_t time_ns)
{
    uint64_t done = totals->inserted + totals->same + totals->refused;
    char rate[STYLE_SHORT];

    return table_cell_text(table, name) && put_number(table, totals->read, STYLE_PLAIN) &&
           put_number(table, totals->inserted, STYLE_GREEN) && put_number(table, totals->same, STYLE_YELLOW) &&
           put_number(table, totals->refused, STYLE_RED) &&
           table_cell_text(table, time_ns ? style_rate((double)done * 1e9 / (double)time_ns, rate) : "-");
}

static bool is_first_input_of_table(const struct loader_options *options, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (options->inputs[i].table == options->inputs[at].table)
            return false;
    return true;
}

static bool put_tables(const struct loader_options *options, uint64_t wall_ns, bool colour, struct buffer *out)
{
    static const struct table_column columns[] = {
        {"table", TABLE_LEFT, TABLE_CUT},       {"read", TABLE_RIGHT, TABLE_WHOLE},
        {"inserted", TABLE_RIGHT, TABLE_WHOLE}, {"already there", TABLE_RIGHT, TABLE_WHOLE},
        {"refused", TABLE_RIGHT, TABLE_WHOLE},  {"rows/s", TABLE_RIGHT, TABLE_WHOLE},
    };
    struct table *table = table_new(columns, sizeof columns / sizeof *columns);
    struct load_totals totals;
    bool fine = table != NULL;

    for (size_t i = 0; fine && i < options->input_count; i++) {
        table_id id = options->inputs[i].table;
        if (!is_first_input_of_table(options, i))
            continue;
        load_totals(options, id, &totals);
        fine = put_row(table, options->schema->tables[id].name, &totals, time_of(options, id));
    }
    load_totals(options, SCHEMA_NONE, &totals);
    fine = fine && table_rule(table) && put_row(table, "all", &totals, wall_ns) && table_put(table, WIDTH, colour, out);
    table_free(table);
    return fine;
}

static bool put_reasons(const struct loader_options *options, const struct load_rejects *rejects, bool colour,
                        struct buffer *out)
{
    static const struct table_column columns[] = {
        {"refused", TABLE_RIGHT, TABLE_WHOLE},
        {"table", TABLE_LEFT, TABLE_CUT},
        {"reason", TABLE_LEFT, TABLE_WHOLE},
        {"constraint", TABLE_LEFT, TABLE_WRAP},
    };
    size_t count;
    const struct load_reason *reasons = load_rejects_reasons(rejects, &count);

    if (count == 0)
        return true;
    struct table *table = table_new(columns, sizeof columns / sizeof *columns);
    bool fine = table != NULL && buffer_put_text(out, "\n");
    for (size_t i = 0; fine && i < count; i++)
        fine = put_number(table, reasons[i].rows, STYLE_RED) &&
               table_cell_text(table, options->schema->tables[reasons[i].table].name) &&
               table_cell_text(table, error_code_name(reasons[i].code)) &&
               table_cell_text(table, reasons[i].constraint[0] ? reasons[i].constraint : "-");
    fine = fine && table_put(table, WIDTH, colour, out);
    table_free(table);
    return fine;
}

bool load_report_put(const struct loader_options *options, const struct load_rejects *rejects, uint64_t wall_ns,
                     bool colour, struct buffer *out)
{
    return put_tables(options, wall_ns, colour, out) && put_reasons(options, rejects, colour, out);
}
