/* insert_explain.h - the inside of insert.c: SQLite's messages in Sheaf's words. Only for insert.c. */
#ifndef SHEAF_INSERT_EXPLAIN_H
#define SHEAF_INSERT_EXPLAIN_H

#include "insert.h"

/* Puts the values that are there already into a `unique` error's text. */
void insert_explain_unique(const struct schema_table *table, const struct value *values, struct error *error);

#endif
