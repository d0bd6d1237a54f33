/* SPDX-License-Identifier: Apache-2.0 */
/* inspection.h - one database file, looked at by itself.
 *
 * Whether it is there and can be read, SQLite's own integrity_check (pages, indexes and so unique keys, NOT NULL and
 * STRICT types; for CHECK see rules.h), whose it is, and whether the user's tables, indexes, views and triggers in it
 * are those of the schema (file_objects.h). */
#ifndef SHEAF_INSPECTION_H
#define SHEAF_INSPECTION_H

#include "checked.h"
#include "file_meta.h"

/* Opens the file of `checked`, whose `elsewhere` says that it need not be here; afterwards it says that it is not. A
 * file that is not there, cannot be read or is another's stays NULL: references cannot rely on it. False only when
 * memory is out. */
bool inspection_run(const char *data, const struct schema *schema, database_id database, const struct file_meta *origin,
                    int64_t cache_bytes, struct findings *findings, struct checked *checked, struct error *error);

/* Adds what a failed statement means for `about`. */
bool inspection_failed(struct findings *findings, sqlite3 *connection, const char *about, const char *doing,
                       struct error *error);

#endif
