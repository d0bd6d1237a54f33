/* SPDX-License-Identifier: Apache-2.0 */
/* insert.h - one row into one SQLite table, and what SQLite said of it in Sheaf's words.
 *
 * Shared because a shard's batches and the loader's staging file must judge a row alike. Owns the prepared statements
 * of one connection: per table one INSERT OR ABORT for each set of columns given (a small cache), and the statements
 * that compare a row with what is stored. One thread.
 *
 * The caller owns the transaction. A refused row has no effect (OR ABORT undoes its statement). */
#ifndef SHEAF_INSERT_H
#define SHEAF_INSERT_H

#include "affinity.h"
#include "error.h"
#include "row.h"
#include "schema.h"

#include <sqlite3.h>

struct insert;

enum insert_result {
    INSERT_DONE,
    INSERT_SAME,    /* a row with this primary key is there and has the same values, as stored, in the columns given */
    INSERT_REFUSED, /* `error` says why: type, not_null, check, unique, parse, too_large */
    INSERT_FAILED   /* the environment or the file failed (`error`: io, internal): give up the transaction */
};

struct insert *insert_new(sqlite3 *connection, const struct schema *schema, struct error *error);
void insert_free(struct insert *insert); /* before the connection is closed */

/* Inserts the row. With `same_is_fine`, a row whose primary key values were given and is there with the same values is
 * INSERT_SAME; else it is `unique`. Primary-key NULLs (but the rowid column's, which is then assigned) are `not_null`.
 * ret_rowid: of the new row, for tables with a rowid. */
enum insert_result insert_row(struct insert *insert, table_id id, const uint8_t *row, size_t len, bool same_is_fine,
                              int64_t *ret_rowid, struct error *error);

/* Puts what SQLite reports of a failed statement on `table` into Sheaf's words: code, table, constraint
 * (docs/formats.md) and text. `result` is the extended result code. Environment failures (full disk, I/O, memory) give
 * ERROR_IO or ERROR_INTERNAL. */
void insert_explain(sqlite3 *connection, const struct schema *schema, table_id id, int result, struct error *error);

/* Binds one value; the bytes must stay until the statement is reset. Returns SQLite's result code. */
int insert_bind(sqlite3_stmt *statement, int position, const struct value *value);

/* A column of the row that a statement stands at; its bytes live until the statement moves on. */
struct value insert_stored(sqlite3_stmt *row, int column);

#endif
