/* SPDX-License-Identifier: Apache-2.0 */
/* plan.h - what a transaction's operations come to: the rows to be written on each shard, in order.
 *
 * The operations are gone through one after the other on the transaction's own view of the rows (images.h), with all
 * that follows from them: CASCADE, SET NULL and SET DEFAULT in the order in which SQLite does them, references checked
 * at the end. Whatever is missing on the way, a lock or a fact, is noted and the rest gone through as far as it can be;
 * then the locks are taken, the facts asked, and it all begins again on better knowledge. A round changes nothing
 * outside of the plan.
 *
 * An operation for itself is a statement: RESTRICT refuses at once. An atomic submission, of one operation as well, is
 * a transaction under PRAGMA defer_foreign_keys=ON, where SQLite (3.40) lets RESTRICT wait for the end, too.
 *
 * Order: plan_init, plan_round until it is not PLAN_MORE; after PLAN_MORE the caller takes `wants`, calls plan_locked,
 * asks facts when facts.wanted is not 0, and goes on with the next round. plan_forget begins anew when the locks were
 * lost: all locks that were ever wanted are then wanted at once. Engine thread. */
#ifndef SHEAF_PLAN_H
#define SHEAF_PLAN_H

#include "facts.h"
#include "images.h"
#include "lockset.h"

enum plan_result { PLAN_DONE, PLAN_MORE, PLAN_REFUSED };

/* What is to be done on one shard: operations in wire form, and whose they are. */
struct plan_part {
    struct buffer ops;
    uint32_t count, capacity;
    uint32_t *op_of; /* per wire operation: which of the plan's operations it comes from */
};

struct plan_refusal {
    struct plan_refusal *next;
    uint32_t op; /* of the plan's operations */
    struct error error;
};

/* A parent key that a row had before, and whose children may not be alone at the end. */
struct plan_lost {
    struct plan_lost *next;
    reference_id reference;
    uint32_t op;
    const struct value *parent; /* the row that had it */
    struct buffer exact;        /* memory of this round */
};

/* What an OP_UPDATE left its row with, in memory of this round; NULL: nothing yet. */
struct plan_updated {
    const struct value *before, *after;
};

struct plan {
    struct engine *engine;
    struct submission *submission;
    uint32_t first, count; /* its operations */
    struct images images;
    struct facts facts;
    struct lockset locks;
    struct plan_part *parts;       /* per database; allocated */
    database_id keeps_on;          /* SCHEMA_NONE, or the database that takes part in any case: plan_room_to_keep */
    uint32_t written;              /* rows, in this round */
    struct assign_claims assigned; /* rowids that its inserts were completed with; */
    struct assign_claims claims;   /* that rows get in this round */
    struct plan_lost *first_lost, *last_lost;
    bool *inserted;                /* per operation, for upserts; allocated */
    struct plan_updated *updated;  /* likewise */
    struct plan_refusal *refusals; /* of this round; */
    struct plan_refusal *missed;   /* rows of an atomic submission that do not find themselves, refused at the end; */
    bool refused_at_end;           /* of references that are looked at when all is done */
    struct buffer exact;           /* scratch; likewise */
    struct buffer key;
};

/* The operations' inserts have been completed (assign.h). False: out of memory. */
bool plan_init(struct plan *plan, struct engine *engine, struct submission *submission, uint32_t first, uint32_t count,
               facts_told *told);
void plan_release(struct plan *plan);
void plan_forget(struct plan *plan);

/* After PLAN_REFUSED `refusals` say why: at least one. */
enum plan_result plan_round(struct plan *plan);

/* After PLAN_DONE: where an operation for `keeps_on` is put that is none of the plan's. The first of these is the one
 * to blame for it. */
struct buffer *plan_room_to_keep(struct plan *plan);

/* After PLAN_DONE and success: what the operations' results say (op.inserted, op.new_key), and which rowids exist, for
 * presence and assign. */
void plan_tell_results(struct plan *plan);
void plan_tell_presence(struct plan *plan);

/* ---- between the parts of the plan ---- */

/* The first refusal of an operation stays. */
void plan_refuse(struct plan *plan, uint32_t op, const struct error *error);
/* Only if nothing else is refused. */
void plan_refuse_at_end(struct plan *plan, uint32_t op, const struct error *error);
/* Rows are written down (plan_write.c). A new one, which gets what is still missing of it (assign.h); `values` then are
 * as they will be stored. False: refused. */
bool plan_insert(struct plan *plan, table_id table, struct value *values, bool same_is_fine, uint32_t op);
/* As the column stores it; texts in memory of this round, as affinity's own is for the next few values only. */
struct value plan_stored(struct plan *plan, const struct schema_column *column, const struct value *value);
/* The row's primary key, as an array, into plan->key. */
void plan_put_key(struct plan *plan, table_id table, const struct value *row);
bool plan_same_key(const struct schema_key *key, const struct value *before, const struct value *after);
/* The row is changed to `values`, or deleted when NULL; what follows from it follows (plan_actions.c). False: refused.
 */
bool plan_change(struct plan *plan, struct image *image, struct value *values, const bool *given, uint32_t op,
                 unsigned depth);
bool plan_follow(struct plan *plan, table_id table, const struct value *before, const struct value *after, uint32_t op,
                 unsigned depth);
/* References at the end (plan_check.c). */
void plan_check(struct plan *plan);
/* Whether a row that is about to be written so names itself only where SQLite does not see it. `given`: the columns
 * that are written; NULL: all. True: refused; in an atomic submission that waits for the end. */
bool plan_misses_itself(struct plan *plan, table_id table, const struct value *row, const bool *given, uint32_t op);
void plan_referenced(struct plan *plan, reference_id reference, const struct value *parent, uint32_t op);

#endif
