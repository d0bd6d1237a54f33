/* SPDX-License-Identifier: Apache-2.0 */
#include "table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GAP 2
#define NARROWEST 4 /* a column is not shrunk below it */

/* Texts of all cells lie one after the other in `texts`, the headings first. */
struct cell {
    size_t at;
    size_t len;
    size_t columns;
    enum style style;
    bool rule; /* not a cell: a line across, standing where a row begins */
};

struct table {
    size_t column_count;
    size_t cell_count;
    size_t cell_capacity;
    struct cell *cells;
    struct buffer texts;
    enum table_align *aligns;
    enum table_fit *fits;
};

static bool add_cell(struct table *table, const struct cell *cell)
{
    if (table->cell_count == table->cell_capacity) {
        size_t capacity = table->cell_capacity ? table->cell_capacity * 2 : 64;
        struct cell *grown = realloc(table->cells, capacity * sizeof *grown);

        if (!grown)
            return false;
        table->cells = grown;
        table->cell_capacity = capacity;
    }
    table->cells[table->cell_count++] = *cell;
    return true;
}

struct table *table_new(const struct table_column *columns, size_t count)
{
    struct table *table = calloc(1, sizeof *table);

    if (!table)
        return NULL;
    table->column_count = count;
    table->aligns = calloc(count, sizeof *table->aligns);
    table->fits = calloc(count, sizeof *table->fits);
    if (!table->aligns || !table->fits) {
        table_free(table);
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        table->aligns[i] = columns[i].align;
        table->fits[i] = columns[i].fit;
        if (!table_cell(table, STYLE_BOLD, columns[i].heading, strlen(columns[i].heading))) {
            table_free(table);
            return NULL;
        }
    }
    return table;
}

void table_free(struct table *table)
{
    if (!table)
        return;
    buffer_release(&table->texts);
    free(table->cells);
    free(table->aligns);
    free(table->fits);
    free(table);
}

bool table_cell(struct table *table, enum style style, const char *text, size_t len)
{
    struct cell cell = {.at = table->texts.len, .style = style};

    if (!style_escape(&table->texts, text, len))
        return false;
    cell.len = table->texts.len - cell.at;
    if (cell.len > 0)
        cell.columns = style_columns((const char *)table->texts.bytes + cell.at, cell.len);
    return add_cell(table, &cell);
}

bool table_cell_text(struct table *table, const char *text)
{
    return table_cell(table, STYLE_PLAIN, text, strlen(text));
}

bool table_cell_format(struct table *table, const char *format, ...)
{
    va_list arguments;
    char *text;
    bool added;
    int len;

    va_start(arguments, format);
    len = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (len < 0)
        return false;
    added = table_cell(table, STYLE_PLAIN, text, (size_t)len);
    free(text);
    return added;
}

/* A rule takes the place of a whole row of cells, so that rows stay at multiples of column_count. */
bool table_rule(struct table *table)
{
    for (size_t i = 0; i < table->column_count; i++)
        if (!add_cell(table, &(struct cell){.rule = true}))
            return false;
    return true;
}

static size_t widths_sum(const size_t *widths, size_t count)
{
    size_t sum = GAP * (count - 1);

    for (size_t i = 0; i < count; i++)
        sum += widths[i];
    return sum;
}

/* What every column needs; then the widest that may give something gives, column by column, until it fits. When there
 * is nothing left to take, a WHOLE column gives too: the width is a promise. */
static void lay_out(const struct table *table, unsigned width, size_t *widths)
{
    size_t count = table->column_count;

    memset(widths, 0, count * sizeof *widths);
    for (size_t i = 0; i < table->cell_count; i++)
        if (table->cells[i].columns > widths[i % count])
            widths[i % count] = table->cells[i].columns;
    while (widths_sum(widths, count) > width) {
        size_t widest = count;

        for (int whole = 0; whole < 2 && widest == count; whole++)
            for (size_t i = 0; i < count; i++)
                if (widths[i] > NARROWEST && (whole || table->fits[i] != TABLE_WHOLE) &&
                    (widest == count || widths[i] > widths[widest]))
                    widest = i;
        if (widest == count)
            return; /* more columns than the width has room for */
        widths[widest]--;
    }
}

/* The part of a cell that goes on this line: up to a blank if that is not too early, and never nothing. */
static size_t wrap_at(const char *text, size_t len, size_t columns)
{
    size_t fits = style_fit(text, len, columns);
    size_t blank = fits;

    if (fits == len)
        return len;
    if (fits == 0)
        return style_fit(text, len, 2) ? style_fit(text, len, 2) : 1;
    if (text[fits] == ' ')
        return fits;
    while (blank > 0 && text[blank - 1] != ' ')
        blank--;
    return blank > fits / 3 ? blank : fits;
}

/* What of a row is on paper already, while its lines are written. */
struct row_state {
    size_t *done;  /* bytes of each cell */
    size_t blanks; /* due before the next text on this line */
    bool more;     /* some cell goes on below */
};

static bool put_blanks(struct buffer *out, size_t *blanks)
{
    for (; *blanks > 0; --*blanks)
        if (!buffer_put(out, " ", 1))
            return false;
    return true;
}

/* One cell's part of one line. */
static bool put_part(const struct table *table, const struct cell *cell, size_t column, size_t width, bool colour,
                     struct row_state *row, struct buffer *out)
{
    size_t left = cell->len - row->done[column];
    const char *text = left > 0 ? (const char *)table->texts.bytes + cell->at + row->done[column] : "";
    bool wraps = table->fits[column] == TABLE_WRAP;
    bool cut = !wraps && left > 0 && cell->columns > width;
    size_t taken = left == 0 ? 0 : wraps ? wrap_at(text, left, width) : left;
    size_t shown = cut ? style_fit(text, left, width - 1) : taken;
    size_t columns, padding;

    row->done[column] += taken;
    while (shown > 0 && text[shown - 1] == ' ')
        shown--;
    if (wraps) {
        while (taken < left && text[taken] == ' ') { /* the blank at the break belongs to neither line */
            taken++;
            row->done[column]++;
        }
        row->more |= row->done[column] < cell->len;
    }
    columns = style_columns(text, shown) + (cut ? 1 : 0);
    padding = width > columns ? width - columns : 0;
    if (table->aligns[column] == TABLE_RIGHT)
        row->blanks += padding;
    if (shown > 0 || cut) {
        if (!put_blanks(out, &row->blanks) || !style_put(out, cell->style, colour, text, shown) ||
            (cut && !buffer_put_text(out, "…")))
            return false;
    }
    if (table->aligns[column] == TABLE_LEFT)
        row->blanks += padding;
    return true;
}

static bool put_row(const struct table *table, const struct cell *cells, size_t given, const size_t *widths,
                    bool colour, size_t *done, struct buffer *out)
{
    struct row_state row = {.done = done, .more = true};

    memset(done, 0, table->column_count * sizeof *done);
    while (row.more) {
        row.more = false;
        row.blanks = 0;
        for (size_t i = 0; i < given; i++) {
            row.blanks += i > 0 ? GAP : 0;
            if (!put_part(table, &cells[i], i, widths[i], colour, &row, out))
                return false;
        }
        if (!buffer_put(out, "\n", 1))
            return false;
    }
    return true;
}

static bool put_rule(size_t columns, bool colour, struct buffer *out)
{
    struct buffer line = {0};
    bool fine = true;

    for (size_t i = 0; i < columns && fine; i++)
        fine = buffer_put_text(&line, "─");
    fine = fine && style_put(out, STYLE_DIM, colour, (const char *)line.bytes, line.len) && buffer_put(out, "\n", 1);
    buffer_release(&line);
    return fine;
}

bool table_put(const struct table *table, unsigned width, bool colour, struct buffer *out)
{
    size_t count = table->column_count;
    size_t *widths = calloc(count * 2, sizeof *widths); /* and beside them what of each cell is done */
    size_t all;
    bool fine = widths != NULL;

    if (!fine)
        return false;
    lay_out(table, width, widths);
    all = widths_sum(widths, count);
    for (size_t at = 0; at < table->cell_count && fine; at += count) {
        size_t given = table->cell_count - at < count ? table->cell_count - at : count;

        if (table->cells[at].rule)
            fine = put_rule(all, colour, out);
        else
            fine = put_row(table, table->cells + at, given, widths, colour, widths + count, out);
        if (at == 0)
            fine = fine && put_rule(all, colour, out);
    }
    free(widths);
    return fine;
}
