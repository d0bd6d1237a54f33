/* SPDX-License-Identifier: Apache-2.0 */
/* insert_explain.h - the inside of insert.c: SQLite's messages in Sheaf's words. Only for insert.c and change.c. */
#ifndef SHEAF_INSERT_EXPLAIN_H
#define SHEAF_INSERT_EXPLAIN_H

#include "insert.h"

/* The `unique` error of a key that is taken, with the values. */
void insert_explain_unique(const struct schema_table *table, const struct schema_key *key, const struct value *values,
                           struct error *error);

/* Whether a result code tells of the environment or the file, and not of the row. */
bool insert_is_environment(int result);

#endif
