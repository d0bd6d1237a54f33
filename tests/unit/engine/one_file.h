/* SPDX-License-Identifier: Apache-2.0 */
/* one_file.h - one SQLite database with PRAGMA foreign_keys=ON, to which a script is done: the measure of everything.
 *
 * A transaction is BEGIN, PRAGMA defer_foreign_keys=ON, the operations, COMMIT; rolled back at the first that fails or
 * when the COMMIT does. Where Sheaf differs on purpose this differs as well: an update or delete of an absent row is
 * not_found and fails a transaction, a NULL in a primary key is not_null, an upsert of a row that is there is an update
 * of the columns given. */
#ifndef SHEAF_TEST_ONE_FILE_H
#define SHEAF_TEST_ONE_FILE_H

#include "script.h"

#include <sqlite3.h>

/* What became of an operation. A reference that fails is ERROR_REFERENCED, whichever end of it. */
struct one_answer {
    enum error_code code; /* ERROR_NONE: done */
    bool inserted;
    bool has_new_key; /* of an update: whether the primary key is another one now, where that can be told */
    bool knows_key;
    struct buffer row; /* what was read, the new key: as text */
};

struct one_file {
    const struct schema *schema;
    sqlite3 *connection;
    uint64_t done, refused;
    uint64_t fired[2][ACTION_CASCADE + 1]; /* on delete, on update: how often an action met a child */
};

void one_file_open(struct one_file *one, const struct schema *schema);
void one_file_close(struct one_file *one);

/* `assigned`: per operation the key that the engine gave the row, NULL where none. */
void one_file_do(struct one_file *one, const struct script_line *line, const int64_t *const *assigned,
                 struct one_answer *answers);
void one_answer_release(struct one_answer *answer);

/* All rows of a table, one a line, sorted. */
void one_file_dump(sqlite3 *connection, const struct schema_table *table, struct buffer *text);

#endif
