/* SPDX-License-Identifier: Apache-2.0 */
/* rules.h - the CHECK constraints of one table, for every row.
 *
 * SQLite's integrity_check looks at them only through a connection that may write: one that reads drops them when it
 * reads the schema (tried on 3.40.1: "ok" for a row that its CHECK forbids). So each row is put, alone, into an empty
 * table in memory that the schema made, which judges it, and names rule and row too. Constant memory. */
#ifndef SHEAF_RULES_H
#define SHEAF_RULES_H

#include "checked.h"

/* False only when memory is out. */
bool rules_check(struct checked *checked, const struct schema *schema, table_id table, struct findings *findings,
                 struct error *error);

#endif
