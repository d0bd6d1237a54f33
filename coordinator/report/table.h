/* SPDX-License-Identifier: Apache-2.0 */
/* table.h - aligned text tables for people.
 *
 * Cells are given one after the other, row by row; the table is laid out when it is put: columns take what they need,
 * and when that is more than `width` the columns that may shrink do, widest first; a cell too wide is cut with "…" or,
 * in a column that wraps, goes on below. Text is escaped (style.h), so that no cell can move the cursor. One thread.
 *
 * Order: table_new, table_cell… (columns × rows of them), table_put any number of times, table_free. */
#ifndef SHEAF_TABLE_H
#define SHEAF_TABLE_H

#include "buffer.h"
#include "style.h"

enum table_align { TABLE_LEFT, TABLE_RIGHT };
enum table_fit { TABLE_CUT, TABLE_WRAP, TABLE_WHOLE /* never narrower than its widest cell */ };

struct table_column {
    const char *heading; /* copied; may come from a user's schema */
    enum table_align align;
    enum table_fit fit;
};

struct table;

/* NULL: out of memory. At least one column. */
struct table *table_new(const struct table_column *columns, size_t count);
void table_free(struct table *table);

/* The next cell. False: out of memory (the table is then good for table_free only); likewise below. */
bool table_cell(struct table *table, enum style style, const char *text, size_t len);
bool table_cell_text(struct table *table, const char *text); /* plain, NUL-terminated */
bool table_cell_format(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A line over the whole width between the rows before and after. */
bool table_rule(struct table *table);

/* Lays the table out in at most `width` columns; every line ends with a newline and has no blanks at its end. A row
 * that is not complete is filled with empty cells. */
bool table_put(const struct table *table, unsigned width, bool colour, struct buffer *out);

#endif
