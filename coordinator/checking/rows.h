/* SPDX-License-Identifier: Apache-2.0 */
/* rows.h - which columns find a row again, which name it to a person, and how they read.
 *
 * The rowid finds a row, else the primary key; the primary key names it, else the rowid. A table without either (all of
 * the rowid's names are columns of it) has rows that nothing tells apart: then the count is 0. */
#ifndef SHEAF_ROWS_H
#define SHEAF_ROWS_H

#include "buffer.h"
#include "schema.h"

#include <sqlite3.h>

/* Append the columns, each with ", " behind it. False only when memory is out; likewise below. */
bool rows_put_locator(struct buffer *sql, const struct schema_table *table, int *ret_count);
bool rows_put_shown(struct buffer *sql, const struct schema_table *table, int *ret_count);

/* Some columns joined by ", ", NUL-terminated. */
bool rows_describe(sqlite3_stmt *row, int first, int count, struct buffer *text);

#endif
