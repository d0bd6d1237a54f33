/* SPDX-License-Identifier: Apache-2.0 */
/* read.h - questions that change nothing: exists, keys, scan, rows. On the writer's connection, outside a transaction:
 * they see every committed batch and none other. Owns its prepared statements. Main thread. */
#ifndef SHEAF_READ_H
#define SHEAF_READ_H

#include "error.h"
#include "store.h"
#include "wire.h"

struct read;

struct read *read_new(struct store *store, struct error *error);
void read_free(struct read *read);

/* Each puts the answer's body. */
bool read_exists(struct read *read, const struct wire_exists *ask, struct buffer *answer, struct error *error);
bool read_keys(struct read *read, const struct wire_keys *ask, struct buffer *answer, struct error *error);
bool read_scan(struct read *read, const struct wire_scan *ask, struct buffer *answer, struct error *error);
bool read_rows(struct read *read, const struct wire_read *ask, struct buffer *answer, struct error *error);

/* The columns of a table as a SELECT lists them, and such a row in wire form. */
bool read_put_columns(struct buffer *sql, const struct schema_table *table);
bool read_put_row(const struct schema_table *table, sqlite3_stmt *row, struct buffer *answer);

#endif
