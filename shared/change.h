/* SPDX-License-Identifier: Apache-2.0 */
/* change.h - one row of one SQLite table changed or deleted, and what SQLite said of it in Sheaf's words.
 *
 * Beside insert.h and like it: owns the prepared statements of one connection, one thread; the caller owns the
 * transaction; a refused change has no effect (OR ABORT). A row is named by its primary key's values, compared with
 * their columns' affinity and the key's collations, in a table without one by its rowid. Foreign keys are none of this
 * module's business. */
#ifndef SHEAF_CHANGE_H
#define SHEAF_CHANGE_H

#include "error.h"
#include "row.h"
#include "schema.h"

#include <sqlite3.h>

struct change;

enum change_result {
    CHANGE_DONE,
    CHANGE_REFUSED, /* `error` says why: not_found, type, not_null, check, unique, parse, too_large */
    CHANGE_FAILED   /* the environment or the file failed (`error`: io, internal): give up the transaction */
};

struct change *change_new(sqlite3 *connection, const struct schema *schema, struct error *error);
void change_free(struct change *change); /* before the connection is closed */

/* The row with `key` (a msgpack array) takes the columns of `row` (row.h) that are not ABSENT; at least one is not. */
enum change_result change_update(struct change *change, table_id table, const uint8_t *key, size_t key_len,
                                 const uint8_t *row, size_t row_len, struct error *error);
enum change_result change_delete(struct change *change, table_id table, const uint8_t *key, size_t key_len,
                                 struct error *error);

/* " WHERE "id" = ? COLLATE …" for a row of the table, its values to be bound in the key's order. */
bool change_put_where(struct buffer *sql, const struct schema_table *table);

#endif
