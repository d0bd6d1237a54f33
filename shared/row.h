/* SPDX-License-Identifier: Apache-2.0 */
/* row.h - a row in its wire form: a msgpack array with one value for each column of its table, in schema
 * order, ABSENT (false) for a column not given and for generated columns. Encoded once, by the front end; the engine
 * reads keys from it; the shard binds from it. What the engine had to fill in (a DEFAULT that is a key, an assigned
 * key, a generated column that refers) stands in an array of one.
 *
 * Texts from text formats are encoded as TEXT, and take the column's affinity in SQLite, but for one
 * shortcut that stores the same: a canonical decimal integer (-?[1-9][0-9]{0,14}, or 0) for a column of INTEGER,
 * NUMERIC or REAL affinity is encoded as INTEGER. */
#ifndef SHEAF_ROW_H
#define SHEAF_ROW_H

#include "cursor.h"
#include "error.h"
#include "schema.h"

/* Splits a row into `values` (room for table->column_count). ERROR_PARSE when it is not exactly one such array. */
bool row_read(const struct schema_table *table, const uint8_t *bytes, size_t len, struct value *values,
              struct error *error);

/* Appends a row; `values` has table->column_count entries. False only when memory is out. */
bool row_write(const struct schema_table *table, const struct value *values, struct buffer *bytes);

/* A tag of a stored row: it changes whenever a stored value does. A 128-bit hash of the wire form of all its columns;
 * the same in every process and life. */
#define ROW_TAG_BYTES 16u
struct row_tag {
    uint8_t bytes[ROW_TAG_BYTES];
};
struct row_tag row_tag(const uint8_t *row, size_t len);

/* A field of a text format for `column`: the shortcut above, else TEXT. Views `text`. */
struct value row_text_value(const struct schema_column *column, const char *text, size_t len);

/* Whether the primary key's values were all given by who wrote the row, so that it can be known again. */
bool row_key_is_given(const struct schema_table *table, const struct value *values);

#endif
