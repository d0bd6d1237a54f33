/* SPDX-License-Identifier: Apache-2.0 */
/* json_out.h - stored values as JSON: integers exact, reals always with a point or an exponent and read back to the
 * same double (infinities as ±1e999), blobs {"hex":"…"}, text with every code point. False only when memory is out. */
#ifndef SHEAF_JSON_OUT_H
#define SHEAF_JSON_OUT_H

#include "buffer.h"
#include "schema.h"

bool json_out_value(struct buffer *out, const struct value *value);

/* {"column":value,…} in the table's order, without what is ABSENT. `values`: column_count of them. */
bool json_out_row(struct buffer *out, const struct schema_table *table, const struct value *values);

#endif
