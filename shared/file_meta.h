/* SPDX-License-Identifier: Apache-2.0 */
/* file_meta.h - what a database file says of itself: whose it is, and the schema and placement it was made with.
 *
 * In a file that is Sheaf's, application_id is FILE_APPLICATION_ID, user_version the format, and the table
 * _sheaf_meta(name, value) holds the rest. Shared because a shard trusts it and `check` reads it without one. */
#ifndef SHEAF_FILE_META_H
#define SHEAF_FILE_META_H

#include "error.h"

#include <sqlite3.h>
#include <stdint.h>

#define FILE_APPLICATION_ID 0x53686561 /* "Shea" */
#define FILE_FORMAT 1

struct file_meta {
    uint64_t epoch;
    uint64_t coordinator;
    char *cluster; /* these four are owned: file_meta_release */
    char *database;
    char *schema;
    char *placement;
};

/* Replaces what `ret_meta` held. ERROR_PARSE: something is missing in it; ERROR_IO: what SQLite said. */
bool file_meta_read(sqlite3 *connection, struct file_meta *ret_meta, struct error *error);
void file_meta_release(struct file_meta *meta);

#endif
