/* SPDX-License-Identifier: Apache-2.0 */
/* schema_load.h - the inside of schema.c: executes a schema's statements in an in-memory SQLite under an authorizer,
 * and refuses what Sheaf cannot keep. Only for schema.c. */
#ifndef SHEAF_SCHEMA_LOAD_H
#define SHEAF_SCHEMA_LOAD_H

#include "limits.h"
#include "schema.h"

#include <sqlite3.h>

enum statement_kind { STATEMENT_TABLE, STATEMENT_INDEX, STATEMENT_VIEW, STATEMENT_TRIGGER };

struct statement {
    enum statement_kind kind;
    char *sql;   /* verbatim, from CREATE to before the semicolon */
    char *name;  /* of what it creates */
    char *table; /* the table an index or trigger is on; a table's own name */
    unsigned line;
};

struct statements {
    struct statement *items;
    size_t count;
};

/* A connection in which nothing outside it can be touched. The caller closes it. */
sqlite3 *schema_memory_open(struct error *error);

/* What SQLite says of its failure there; of memory, whose. */
const char *schema_why(sqlite3 *memory);

/* Between these two SQLite fails rather than take more than LIMIT_SCHEMA_MEMORY_BYTES on top of what it has: a view
 * that names a view twice doubles it, and thirty of these would take all memory and the next hour. It can be told so
 * only for the whole process: not while another thread needs it for more than that. */
struct schema_bound {
    sqlite3_int64 hard, soft; /* what was so before */
};
struct schema_bound schema_bound_begin(void);
void schema_bound_end(struct schema_bound before);

/* Executes every statement of `text`; refusals say "FILE:LINE: …". The caller releases `ret_statements`. */
bool schema_execute(sqlite3 *memory, const char *text, size_t len, const char *file, struct statements *ret_statements,
                    struct error *error);
void statements_release(struct statements *statements);

/* What a view or a trigger touches, told by SQLite itself when it compiles it. */
struct schema_touch {
    bool reads[LIMIT_TABLES_MAX];
    bool names[LIMIT_TABLES_MAX];          /* of something in FROM of which no column is read: a table, or a WITH */
    char writes[LIMIT_NAME_BYTES_MAX + 1]; /* a table it writes; "" when none */
    const char *raises;                    /* "IGNORE", "ROLLBACK" or "FAIL"; NULL: at most ABORT. Static */
};
bool schema_touch_of(sqlite3 *memory, const struct schema *schema, const struct statement *statement,
                     struct schema_touch *ret_touch, struct error *error);

#endif
