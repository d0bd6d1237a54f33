/* SPDX-License-Identifier: Apache-2.0 */
/* generate.h - the values of generated columns that stand in a reference, on either side.
 *
 * A row comes without them, and only SQLite can tell what they are: it inserts the row into an empty table of the same
 * DDL, in memory and without triggers, and they are read back. Other tables cost nothing. Engine thread only. */
#ifndef SHEAF_GENERATE_H
#define SHEAF_GENERATE_H

#include "error.h"
#include "schema.h"

struct generate;

struct generate *generate_new(const struct schema *schema, struct error *error);
void generate_free(struct generate *generate);

/* Whether rows of this table need generate_row. */
bool generate_wanted(const struct generate *generate, table_id table);

/* Fills those columns of `values`, marked as filled in; what they point to lives until the next call. All its DEFAULTs
 * must be in. A row that SQLite would not take keeps them ABSENT: its shard says why. False when memory is out. */
bool generate_row(struct generate *generate, table_id table, struct value *values, struct error *error);

#endif
