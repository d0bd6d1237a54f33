/* SPDX-License-Identifier: Apache-2.0 */
/* schema_read.h - the inside of schema.c: reads tables, keys and references back from an in-memory SQLite that has
 * executed the schema's statements. Only for schema.c. */
#ifndef SHEAF_SCHEMA_READ_H
#define SHEAF_SCHEMA_READ_H

#include "schema.h"

#include <sqlite3.h>

/* Fills tables (without references) from `memory`, in order of declaration. */
bool schema_read_tables(struct schema *schema, sqlite3 *memory, struct error *error);

/* Fills references; every table is there. Refuses what SQLite calls a foreign key mismatch, and absent parents. */
bool schema_read_references(struct schema *schema, sqlite3 *memory, struct error *error);

#endif
