/* SPDX-License-Identifier: Apache-2.0 */
/* json_row.h - one JSON object becomes the values of a row.
 *
 * Strings are texts of a text format (row_text_value), integers are exact, other numbers REAL, {"hex":"…"} a blob;
 * booleans and what else nests are refused. jansson does the parsing: it refuses invalid UTF-8, U+0000, integers beyond
 * 64 bits, reals beyond a double, keys given twice. */
#ifndef SHEAF_JSON_ROW_H
#define SHEAF_JSON_ROW_H

#include "buffer.h"
#include "error.h"
#include "schema.h"

#include <jansson.h>

/* Where the values are put, and what they need. Zeroed: empty. */
struct json_row {
    struct value *values; /* by column; the owner's */
    struct buffer blobs;  /* bytes of blobs: the values view them */
};

/* Parses one text. NULL with ERROR_PARSE when it is not exactly one object, or nests too deep. */
json_t *json_row_parse(const char *text, size_t len, struct error *error);

/* Fills row->values (table->column_count of them), which view `object`. A member "table" is passed over when
 * `names_table`; "=table" is then the column that is called so. */
bool json_row_read(struct json_row *row, const struct schema_table *table, json_t *object, bool names_table,
                   struct error *error);

#endif
