/* SPDX-License-Identifier: Apache-2.0 */
/* sql_name.h - names as SQL text: a table's or column's name is data, and may hold anything but U+0000. */
#ifndef SHEAF_SQL_NAME_H
#define SHEAF_SQL_NAME_H

#include "buffer.h"
#include "schema.h"

/* Appends the name in double quotes, those in it doubled. False only when memory is out. */
bool sql_put_name(struct buffer *sql, const char *name);

/* What SQL calls a table's rowid: its INTEGER PRIMARY KEY's name, else the first of _rowid_, rowid and oid that is no
 * column of the table; NULL for WITHOUT ROWID, and where all three are columns. */
const char *sql_rowid_name(const struct schema_table *table);

/* "BINARY", "NOCASE", "RTRIM". */
const char *sql_collation_name(enum collation collation);

#endif
