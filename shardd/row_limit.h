/* SPDX-License-Identifier: Apache-2.0 */
/* row_limit.h - a row is at most LIMIT_ROW_BYTES_MAX long as it is stored, whichever write has made it so.
 *
 * Its length is that of its wire form with the values that are stored, generated columns not counted (row.h). SQLite
 * looks at it for us: it refuses records, and values on their way into one, that are longer than its own limit
 * (SQLITE_LIMIT_LENGTH), at no cost. So a row is written under a limit below which no row is too long (a record is
 * never longer than the wire form, and never much shorter); only when that fails is it written again under a wider one,
 * which leaves room for what expressions compute, and measured.
 *
 * Order, for one write: row_limit_narrow, the write; if that was too large row_limit_wide, the write inside a
 * savepoint, row_limit_keeps; then row_limit_end in any case: Sheaf's own tables hold more. Main thread. */
#ifndef SHEAF_ROW_LIMIT_H
#define SHEAF_ROW_LIMIT_H

#include "error.h"
#include "schema.h"
#include "wire.h"

#include <sqlite3.h>

/* Gives what stood before, for row_limit_end. */
int row_limit_narrow(sqlite3 *connection, const struct schema_table *table);
void row_limit_wide(sqlite3 *connection);
void row_limit_end(sqlite3 *connection, int before);

/* Whether the row that `op`, an insert or update, has just written keeps to the limit: ERROR_TOO_LARGE, or what went
 * wrong in looking. An update names its row by the key in `op`. */
bool row_limit_keeps(sqlite3 *connection, const struct schema *schema, const struct wire_op *op, struct error *error);

#endif
