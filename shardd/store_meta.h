/* SPDX-License-Identifier: Apache-2.0 */
/* store_meta.h - the inside of store.c: Sheaf's own tables in a database file. Main thread. */
#ifndef SHEAF_STORE_META_H
#define SHEAF_STORE_META_H

#include "error.h"
#include "file_meta.h"
#include "schema.h"
#include "wire.h"

#include <sqlite3.h>

/* Creates the tables and writes the values; the caller owns the transaction. */
bool store_meta_create(sqlite3 *connection, const struct file_meta *meta, struct error *error);
/* Commits who claimed the file, and with it the tables that an older file lacks. */
bool store_meta_claim(sqlite3 *connection, uint64_t epoch, uint64_t coordinator, struct error *error);

/* Whether the file, `path` in messages, holds what its schema made: ERROR_PARSE names the first difference. */
bool store_check_objects(sqlite3 *connection, const struct schema *schema, const char *database, const char *path,
                         struct error *error);

/* Prepared transactions, decisions and the state of each table of `database`, into a hello's answer. */
bool store_describe_tables(sqlite3 *connection, const struct schema *schema, const char *database,
                           struct wire_hello_answer *answer, struct error *error);

#endif
