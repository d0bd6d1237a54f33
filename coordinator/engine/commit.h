/* SPDX-License-Identifier: Apache-2.0 */
/* commit.h - the part of transaction.h that writes what was planned: on one shard as a group, on several with the
 * protocol of two phases that transaction.h tells of (T2-T5). Only for transaction.c.
 *
 * Order: commit_place, then commit_begin if every part can be reached; from then on the answers of the shards and
 * commit_tick drive it. It ends the transaction (transaction_end) when nothing of it is left to do. Engine thread. */
#ifndef SHEAF_COMMIT_H
#define SHEAF_COMMIT_H

#include "batcher.h"
#include "peer.h"
#include "plan.h"
#include "transaction.h"

enum transaction_state { LOCKING, LOCKING_MORE, PLANNING, PLANNED, GROUPED, PREPARING, TRYING, DECIDING, RESOLVING };

enum part_state {
    PART_IDLE,
    PART_SENT,  /* an entry of it is under way */
    PART_WAITS, /* its entry could not be taken: to be sent again */
    PART_PREPARED,
    PART_DONE /* nothing of it is left on its shard */
};

/* What happens on one shard. */
struct part {
    struct batch_member member;
    struct transaction *transaction;
    database_id database;
    enum part_state state;
};

struct transaction {
    struct lock_owner owner; /* first: a lock_owner is its transaction */
    struct engine *engine;
    struct submission *submission; /* NULL: the user has been answered */
    struct keyed *keyed;           /* NULL: no key, or it is free again */
    struct transaction *next, *before;
    enum transaction_state state;
    uint64_t id;
    uint64_t waits_since_ns; /* for locks, in LOCKING and LOCKING_MORE */
    uint64_t moved_ns;       /* when it went on last */
    uint64_t step_ns;        /* when the present step began */
    bool commit;             /* in RESOLVING; in PREPARING: no reason is known to abort */
    bool forgetting;
    struct plan plan;
    uint32_t under_way; /* parts with an entry under way or to be sent again */
    uint16_t part_count;
    struct part *home;
    struct part parts[LIMIT_DATABASES_MAX];
};

/* Shares out what is planned over the parts, and chooses the home. False: more than one batch may hold. */
bool commit_place(struct transaction *t, struct error *error);
/* A part whose shard is away; NULL: all can be reached. */
struct part *commit_part_away(struct transaction *t);
/* Sends it; may end it at once when there is nothing to be written. */
void commit_begin(struct transaction *t);
/* In place of all of these when the plan was refused: what stands before that is tried first (TRYING). */
void commit_refuse_planned(struct transaction *t);

/* Once in a while, and when a shard was lost or is back. */
void commit_tick(struct transaction *t);

/* Whether something is under way to a shard that is not gone. */
bool commit_is_busy(const struct transaction *t);

/* ---- transaction.c's, for commit.c ---- */

/* It went on just now. */
void transaction_moved(struct transaction *t);
/* The user learns the outcome, once. Without `error`, refused when an op has one of its own. */
void transaction_answer(struct transaction *t, bool done, const struct error *error);
/* Its outcome is on every shard: its locks fall, and its idempotency key is free. */
void transaction_release(struct transaction *t);
void transaction_end(struct transaction *t);

#endif
