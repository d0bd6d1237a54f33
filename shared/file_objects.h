/* SPDX-License-Identifier: Apache-2.0 */
/* file_objects.h - the tables, indexes, views and triggers that are in a database file, against those that its schema
 * makes: any SQLite can change them while no shard owns the file.
 *
 * The tables and indexes whose names begin with _sheaf_ are Sheaf's own, and what SQLite makes by itself follows from
 * the rest. Shared because a shard serves no file that differs and `check` tells of it. */
#ifndef SHEAF_FILE_OBJECTS_H
#define SHEAF_FILE_OBJECTS_H

#include "error.h"
#include "schema.h"

#include <sqlite3.h>

/* What a file would hold if the database's statements were put into it now, in memory; the caller closes it. NULL: out
 * of memory. */
sqlite3 *file_objects_model(const struct schema_database *database);

enum file_objects_result {
    FILE_OBJECTS_COMPARED,
    FILE_OBJECTS_UNREADABLE, /* `connection` says why */
    FILE_OBJECTS_FAILED      /* `error` does: memory is out, or `tell` returned false */
};

/* Told of each difference, for a person: "the trigger t is in it and not in the schema". `text` lives for the call. */
typedef bool file_objects_tell(void *context, const char *text, struct error *error);

/* Compares what `connection` has open with what `database` should hold, tables first. */
enum file_objects_result file_objects_compare(sqlite3 *connection, const struct schema_database *database,
                                              file_objects_tell *tell, void *context, struct error *error);

#endif
