/* SPDX-License-Identifier: Apache-2.0 */
/* stage_inside.h - what the parts of stage.h share: stage.c (the file and the rows in their tables), stage_records.c
 * (what is kept of each record), stage_references.c (who refers to whom). For them alone. */
#ifndef SHEAF_STAGE_INSIDE_H
#define SHEAF_STAGE_INSIDE_H

#include "stage.h"

#include <sqlite3.h>

enum stage_statement {
    STAGE_PUT_RECORD,
    STAGE_GET_RECORD,
    STAGE_RECORDS,
    STAGE_PUT_REFUSAL,
    STAGE_GET_REFUSAL,
    STAGE_PUT_REPEAT,
    STAGE_GET_REPEAT,
    STAGE_PUT_EDGE,
    STAGE_EDGES,
    STAGE_CHILDREN,
    STAGE_PUT_MISSING,
    STAGE_IS_MISSING,
    STAGE_STATEMENTS
};

struct staged_table {
    sqlite3_stmt *number; /* gives the row just inserted its sequence number */
    sqlite3_stmt *find;   /* the sequence number of the row with a primary key */
};

struct stage {
    const char *scratch; /* a view */
    const struct schema *schema;
    sqlite3 *connection;
    struct insert *insert;
    sqlite3_stmt *statements[STAGE_STATEMENTS];
    struct staged_table *tables; /* by table */
    sqlite3_stmt *links;         /* of the reference being walked */
    reference_id links_reference;
    sqlite3_stmt **values_of; /* by reference; prepared when first asked for */
    struct value *values;     /* as many as any table has columns */
};

/* Says what SQLite has last failed at. Returns false. */
bool stage_failed(const struct stage *stage, struct error *error);

/* Formats are those of sqlite3_mprintf. */
bool stage_run_sql(const struct stage *stage, struct error *error, const char *format, ...);

/* The caller finalizes it; NULL: refused. A `sql` of NULL is taken for memory that is out. */
sqlite3_stmt *stage_prepared(const struct stage *stage, const char *sql, struct error *error);

/* Appends a piece to SQL of sqlite3_malloc; on failure *text becomes NULL and stays so. */
void stage_append(char **text, const char *format, ...);

/* Runs a statement that gives no rows. */
bool stage_finish(const struct stage *stage, sqlite3_stmt *statement, struct error *error);

/* The next row of a walk: 1, 0 at its end (the statement is then ready for another), -1. */
int stage_next(const struct stage *stage, sqlite3_stmt *statement, struct error *error);

#endif
