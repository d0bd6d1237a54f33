/* SPDX-License-Identifier: Apache-2.0 */
/* ndjson.h - a JSON object a line, a row each. */
#ifndef SHEAF_NDJSON_H
#define SHEAF_NDJSON_H

#include "input.h"
#include "source.h"

struct ndjson;

/* The source stays the caller's. */
struct ndjson *ndjson_open(struct source *source, const struct schema_table *table, struct error *error);
void ndjson_close(struct ndjson *ndjson);
enum input_result ndjson_next(struct ndjson *ndjson, struct buffer *rows, struct input_record *ret_record,
                              struct error *error);

#endif
