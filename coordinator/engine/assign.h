/* SPDX-License-Identifier: Apache-2.0 */
/* assign.h - what a row must say before it can be locked: its integer key, the DEFAULTs of columns that are keys, and
 * generated columns that refer to a parent (generate.h). All of it is marked as filled in.
 *
 * Integer keys count up from the highest that is stored, or was since the shard's hello, or is claimed by a row whose
 * outcome is not known yet. What becomes of a claim is for its owner to say; one that is given up counts no more. A
 * first row gets 1, as in SQLite.
 *
 * Behind 2^63-2 comes 2^63-1, and behind that, as in SQLite, one at random, positive and not claimed (that it is stored
 * is as good as impossible; the shard would refuse it as `unique`); with AUTOINCREMENT there is none any more. A row
 * that has, or claims, 2^63-1 while no other is near does not stop the counting: what is free below is as good as any.
 *
 * DEFAULTs are computed by SQLite itself (an expression again for each row). Engine thread only. */
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

/* A rowid is stored. */
void assign_stored(struct assign *assign, table_id table, int64_t rowid);
/* A row was deleted, or has got another rowid. */
void assign_removed(struct assign *assign, table_id table, int64_t rowid);

/* The rowids of rows whose outcome is not known. Zeroed: none. */
struct assign_claim;
struct assign_claims {
    struct assign_claim *first;
};

void assign_claim(struct assign *assign, struct assign_claims *claims, table_id table, int64_t rowid);
/* The outcome: all of them are stored, or none is. */
void assign_settle(struct assign *assign, struct assign_claims *claims, bool stored);

struct assigned {
    bool rewritten; /* `values` says more than the row did: encode it again */
    bool key_assigned;
    bool has_rowid;
    int64_t rowid; /* when has_rowid: the row's INTEGER PRIMARY KEY */
};

/* Completes `values` of a row of `table`; what they point to then lives until the next call. Its rowid is among
 * `claims` then. Refused with the table filled in: ERROR_TOO_LARGE when no integer key is left. */
bool assign_row(struct assign *assign, table_id table, struct value *values, struct assign_claims *claims,
                struct assigned *ret_assigned, struct error *error);

/* For a row that has been changed: computes again its generated columns that refer to a parent. As above. */
bool assign_generated(struct assign *assign, table_id table, struct value *values, struct error *error);

/* The DEFAULT of a column; NULL when it has none. As above. */
bool assign_default(struct assign *assign, table_id table, uint16_t column, struct value *ret_value,
                    struct error *error);

#endif
