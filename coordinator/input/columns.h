/* SPDX-License-Identifier: Apache-2.0 */
/* columns.h - which field of a file belongs to which column of the table.
 *
 * Built from a header name by name, then closed. Errors name column and table; the caller puts file and line before. */
#ifndef SHEAF_COLUMNS_H
#define SHEAF_COLUMNS_H

#include "error.h"
#include "schema.h"

struct columns {
    const struct schema_table *table;
    uint16_t count;     /* fields of a record */
    uint16_t *field_of; /* by column: its field, or SCHEMA_NONE */
};

/* False only when memory is out. */
bool columns_init(struct columns *columns, const struct schema_table *table);
void columns_release(struct columns *columns);

/* The next field's name. ERROR_UNKNOWN_COLUMN, or ERROR_PARSE for one that is named twice or is generated. */
bool columns_add(struct columns *columns, const char *name, size_t len, struct error *error);

/* After the last. ERROR_PARSE without a key column that is neither the table's rowid nor has a DEFAULT. */
bool columns_close(const struct columns *columns, struct error *error);

/* The column of a name that a user gives a value to; SCHEMA_NONE with the error of columns_add when there is none. */
uint16_t columns_find(const struct schema_table *table, const char *name, size_t len, struct error *error);

#endif
