/* SPDX-License-Identifier: Apache-2.0 */
/* few_keys.h - random schemas whose tables refer to each other in every way, and random operations over so few keys
 * that most of them meet something. The same seed gives the same. */
#ifndef SHEAF_TEST_FEW_KEYS_H
#define SHEAF_TEST_FEW_KEYS_H

#include "script.h"

#include <sqlite3.h>

struct few_keys {
    uint64_t state;
};

/* From 0 to below `bound`. */
uint32_t few_keys_number(struct few_keys *keys, uint32_t bound);

/* DDL, ending with a NUL. Not every schema is one that Sheaf takes. */
void few_keys_schema(struct few_keys *keys, struct buffer *ddl);

/* One line of a script, ending with a NUL. `rows` has the tables as they are: most operations are about rows and
 * parents that are there. NULL: nobody knows. */
void few_keys_line(struct few_keys *keys, const struct schema *schema, sqlite3 *rows, struct buffer *line);

#endif
