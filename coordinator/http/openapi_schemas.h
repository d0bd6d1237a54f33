/* SPDX-License-Identifier: Apache-2.0 */
/* openapi_schemas.h - the shapes that openapi.c names: values, rows of each table, results, refusals.
 *
 * Any thread. False only when memory is out. */
#ifndef SHEAF_OPENAPI_SCHEMAS_H
#define SHEAF_OPENAPI_SCHEMAS_H

#include "buffer.h"
#include "schema.h"

#define OPENAPI_SCHEMA "#/components/schemas/"

/* "components"."schemas": an object. A row's shape is called row.TABLE, with every byte of the name that is not in
 * [A-Za-z0-9_-] as .XX in hex; AnyRow is a row of any table. */
bool openapi_schemas(const struct schema *schema, struct buffer *out);

/* Appends formatted text in which ' stands for ": JSON that can be read in C. What is formatted in has neither. */
bool openapi_put(struct buffer *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
