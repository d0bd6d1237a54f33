/* SPDX-License-Identifier: Apache-2.0 */
#include "demo_report.h"

#include "demo_data.h"
#include "style.h"
#include "table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH 80
#define PAGE_ROWS 100 /* of a scan */

static bool add_verdict(struct table *table, const struct op *op)
{
    bool accepted = op->result == OP_DONE || op->result == OP_SAME;
    const char *word = op->result == OP_SAME ? "there already" : accepted ? "accepted" : "refused";
    enum style style = op->result == OP_SAME ? STYLE_YELLOW : accepted ? STYLE_GREEN : STYLE_RED;

    return table_cell(table, style, word, strlen(word));
}

/* A line below the row: what is wrong with it by intent, and what Sheaf said. */
static bool add_reason(struct table *table, const struct demo_row *row, const struct error *error)
{
    return table_cell_text(table, "") && table_cell_text(table, "") &&
           table_cell_format(table, "%s: %s: %s", row->what, error_code_name(error->code), error->text) &&
           table_cell_text(table, "");
}

static bool add_row(struct table *table, unsigned number, const struct demo_row *row, const struct op *op)
{
    struct buffer text = {0};
    bool fine = true;

    for (unsigned i = 0; i < row->column_count && fine; i++)
        fine = (i == 0 || buffer_put(&text, ", ", 2)) && value_describe(&row->values[i], &text);
    fine = fine && table_cell_format(table, "%u", number) && table_cell_text(table, row->table) &&
           table_cell(table, STYLE_PLAIN, (const char *)text.bytes, text.len) && add_verdict(table, op) &&
           (!op->error || add_reason(table, row, op->error));
    buffer_release(&text);
    return fine;
}

bool demo_put_verdicts(struct submission *const *submissions, bool colour, struct buffer *out)
{
    static const struct table_column columns[] = {
        {"#", TABLE_RIGHT, TABLE_WHOLE},
        {"table", TABLE_LEFT, TABLE_WHOLE},
        {"row, and why it was refused", TABLE_LEFT, TABLE_WRAP},
        {"verdict", TABLE_LEFT, TABLE_WHOLE},
    };
    struct table *table = table_new(columns, sizeof columns / sizeof *columns);
    bool fine = table != NULL;

    for (unsigned i = 0; i < demo_row_count && fine; i++)
        fine = add_row(table, i + 1, &demo_rows[i], &submissions[i]->ops[0]);
    fine = fine && style_put(out, STYLE_BOLD, colour, "Operations, all in flight at once", 33) &&
           buffer_put(out, "\n", 1) && table_put(table, WIDTH, colour, out);
    table_free(table);
    return fine;
}

/* A cell shows text as it is, other values as SQL writes them. */
static bool add_value(struct table *table, const struct value *value)
{
    struct buffer text = {0};
    bool fine;

    if (value->type == VALUE_TEXT)
        return table_cell(table, STYLE_PLAIN, value->bytes, value->len);
    fine = value_describe(value, &text) && table_cell(table, STYLE_PLAIN, (const char *)text.bytes, text.len);
    buffer_release(&text);
    return fine;
}

static struct table *table_of(const struct schema_table *schema_table)
{
    struct table_column *columns = calloc(schema_table->column_count, sizeof *columns);
    struct table *table = NULL;

    if (!columns)
        return NULL;
    for (uint16_t i = 0; i < schema_table->column_count; i++) {
        const struct schema_column *column = &schema_table->columns[i];
        bool number = column->affinity == AFFINITY_INTEGER || column->affinity == AFFINITY_REAL ||
                      column->affinity == AFFINITY_NUMERIC;

        columns[i] =
            (struct table_column){column->name, number ? TABLE_RIGHT : TABLE_LEFT, number ? TABLE_WHOLE : TABLE_CUT};
    }
    table = table_new(columns, schema_table->column_count);
    free(columns);
    return table;
}

struct scan {
    const struct schema *schema;
    struct engine *engine;
    table_id id;
    struct table *table;
    struct value *values; /* room for a row, and beyond it for a key */
    uint64_t rows;
};

static bool no_memory(struct error *error)
{
    return error_set(error, ERROR_INTERNAL, "out of memory");
}

/* The rows of one answer, and the question for the page after it (empty: there is none). */
static bool take_page(struct scan *scan, struct query *query, bool *ret_more, struct error *error)
{
    const struct schema_table *schema_table = &scan->schema->tables[scan->id];
    struct cursor body = cursor_over(query->answer.bytes, query->answer.len);
    struct wire_scan_answer answer;

    if (!wire_get_scan_answer(&body, &answer, error))
        return false;
    for (uint32_t i = 0; i < answer.row_count; i++) {
        const uint8_t *from = answer.rows.at;

        if (!cursor_skip(&answer.rows))
            return error_set(error, ERROR_PARSE, "a page ends inside a row");
        if (!row_read(schema_table, from, (size_t)(answer.rows.at - from), scan->values, error))
            return false;
        for (uint16_t column = 0; column < schema_table->column_count; column++)
            if (!add_value(scan->table, &scan->values[column]))
                return no_memory(error);
        scan->rows++;
    }
    *ret_more = answer.next_count > 0;
    if (answer.next_count > schema_table->column_count + 1u)
        return error_set(error, ERROR_PARSE, "a page's key has too many columns");
    for (uint32_t i = 0; i < answer.next_count; i++)
        if (!cursor_value(&answer.next, &scan->values[i]))
            return error_set(error, ERROR_PARSE, "a page's key is not well formed");
    buffer_clear(&query->ask);
    if (*ret_more && !wire_put_scan(&query->ask, scan->id, PAGE_ROWS, scan->values, answer.next_count, NULL, 0))
        return no_memory(error);
    return true;
}

static bool read_table(struct scan *scan, struct error *error)
{
    struct query query = {.kind = WIRE_SCAN, .database = scan->schema->tables[scan->id].database};
    bool fine = wire_put_scan(&query.ask, scan->id, PAGE_ROWS, NULL, 0, NULL, 0) || no_memory(error);
    bool more = true;

    while (fine && more) {
        fine = engine_ask_and_wait(scan->engine, &query);
        if (!fine)
            *error = query.error;
        fine = fine && take_page(scan, &query, &more, error);
        buffer_clear(&query.answer);
    }
    buffer_release(&query.ask);
    buffer_release(&query.answer);
    return fine;
}

static bool put_table(struct engine *engine, const struct schema *schema, table_id id, bool colour, struct buffer *out,
                      struct error *error)
{
    const struct schema_table *schema_table = &schema->tables[id];
    struct scan scan = {.schema = schema, .engine = engine, .id = id, .table = table_of(schema_table)};
    char heading[640];
    char file[3 * LIMIT_NAME_BYTES_MAX + 8];
    bool fine;

    scan.values = calloc(schema_table->column_count + 1u, sizeof *scan.values);
    fine = (scan.table && scan.values) || no_memory(error);
    fine = fine && read_table(&scan, error);
    if (fine) {
        if (!schema_file_name(schema->databases[schema_table->database].name, file, sizeof file))
            snprintf(file, sizeof file, "%s", schema->databases[schema_table->database].name);
        snprintf(heading, sizeof heading, "%s, table %s: %" PRIu64 " rows", file, schema_table->name, scan.rows);
        fine = (buffer_put(out, "\n", 1) && style_put(out, STYLE_BOLD, colour, heading, strlen(heading)) &&
                buffer_put(out, "\n", 1) && table_put(scan.table, WIDTH, colour, out)) ||
               no_memory(error);
    }
    table_free(scan.table);
    free(scan.values);
    return fine;
}

bool demo_put_contents(struct engine *engine, const struct schema *schema, bool colour, struct buffer *out,
                       struct error *error)
{
    for (database_id database = 0; database < schema->database_count; database++)
        for (uint16_t i = 0; i < schema->databases[database].table_count; i++)
            if (!put_table(engine, schema, schema->databases[database].tables[i], colour, out, error))
                return false;
    return true;
}
