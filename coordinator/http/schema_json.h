/* SPDX-License-Identifier: Apache-2.0 */
/* schema_json.h - what /v1/schema answers: tables, columns, keys, references, and in which database each table is.
 * Any thread. */
#ifndef SHEAF_SCHEMA_JSON_H
#define SHEAF_SCHEMA_JSON_H

#include "buffer.h"
#include "schema.h"

/* {"databases":[{"name":…,"tables":[…]}],
 *  "tables":[{"name":…,"database":…,"strict":…,"without_rowid":…,
 *    "columns":[{"name":…,"type":…,"not_null":…,"default":… or null,"generated":…}],
 *    "primary_key":[…],"unique":[[…]],
 *    "references":[{"columns":[…],"table":…,"parent_columns":[…],"on_delete":"NO ACTION",…,"on_update":…}]}],
 *  "sql":"…"} False only when memory is out. */
bool schema_json(const struct schema *schema, struct buffer *out);

#endif
