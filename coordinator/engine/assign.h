/* SPDX-License-Identifier: Apache-2.0 */
/* assign.h - what a row must say before it can be locked: its integer key, the DEFAULTs of columns that are keys, and
 * generated columns that refer to a parent (generate.h). All of it is marked as filled in.
 *
 * Integer keys count up from the highest that ever was: what the shard's hello said and every key that passed here
 * since, also in rows that were refused later (gaps are fine). A first row gets 1, as in SQLite. DEFAULTs are computed
 * by SQLite itself (an expression again for each row). Engine thread only. */
#ifndef SHEAF_ASSIGN_H
#define SHEAF_ASSIGN_H

#include "affinity.h"
#include "buffer.h"
#include "error.h"
#include "limits.h"
#include "schema.h"

struct assign;

struct assign *assign_new(const struct schema *schema, struct affinity_scratch *scratch, struct error *error);
void assign_free(struct assign *assign);

/* The highest rowid that a table has or had; not called for one that never had a row. */
void assign_seen(struct assign *assign, table_id table, int64_t rowid);

struct assigned {
    bool rewritten; /* `values` says more than the row did: encode it again */
    bool key_assigned;
    bool has_rowid;
    int64_t rowid; /* when has_rowid: the row's INTEGER PRIMARY KEY */
};

/* Completes `values` of a row of `table`; what they point to then lives until the next call. Refused with the table
 * filled in: ERROR_TOO_LARGE when no integer key is left. */
bool assign_row(struct assign *assign, table_id table, struct value *values, struct assigned *ret_assigned,
                struct error *error);

/* For a row that has been changed: computes again its generated columns that refer to a parent. As above. */
bool assign_generated(struct assign *assign, table_id table, struct value *values, struct error *error);

/* The DEFAULT of a column; NULL when it has none. As above. */
bool assign_default(struct assign *assign, table_id table, uint16_t column, struct value *ret_value,
                    struct error *error);

#endif
