/* SPDX-License-Identifier: Apache-2.0 */
/* core.h - the engine's state, as its parts see it. All of it belongs to the engine's thread once that runs. */
#ifndef SHEAF_CORE_H
#define SHEAF_CORE_H

#include "affinity.h"
#include "assign.h"
#include "engine.h"
#include "links.h"
#include "locks.h"
#include "log.h"
#include "mailbox.h"
#include "presence.h"
#include "rowkeys.h"

#include <pthread.h>

struct peer;
struct batcher;
struct references;
struct again;
struct task;
struct transaction;
struct recovery;
struct lookup;
struct question;
struct keyed;

struct engine {
    const struct engine_calls *calls; /* it runs elsewhere, and all the rest is empty; else NULL */
    void *calls_context;

    /* given at the start, then only read */
    const struct schema *schema;
    struct limits limits;
    const char *cluster;
    struct buffer placement; /* as text */
    bool first_use;
    void (*log)(void *context, int level, database_id database, const char *text);
    void *log_context;
    bool log_ops; /* each operation's outcome, at debug level */

    struct mailbox *mailbox;
    struct links *links;
    pthread_t thread;

    uint64_t epoch;
    uint64_t coordinator; /* random id of this life */
    uint64_t now_ns;      /* of the present round of the loop */
    uint64_t requests;    /* counted up: each ask's number */
    uint64_t transactions_begun;
    bool claimed;       /* some shard may have been told the cluster's id */
    bool serving;       /* recovery is over */
    bool stopping;      /* nothing new comes */
    bool peers_changed; /* one was lost or is back: who waits for that is looked at now */
    struct recovery *recovery;

    struct peer *peers;       /* per database */
    struct batcher *batchers; /* likewise */
    struct locks *locks;
    struct presence *presence;
    struct rowkeys *rowkeys;
    struct assign *assign;
    struct affinity_scratch *scratch;
    struct references *references;
    struct again *again;

    struct submission *first_waiting, *last_waiting; /* not begun yet: engine_ops_max is reached */
    bool resumed;                                    /* one that had been set aside stands in front of them */
    int64_t ops_active;                              /* begun and not answered */
    int64_t ops_stranded; /* of these: sent to a shard that is away. They take no room from the others */
    struct task *free_tasks;
    struct task *first_task, *last_task; /* active, in order of their beginning */
    struct transaction *transactions;    /* active; likewise */
    struct lookup *lookups;
    struct question *questions;
    struct keyed *keyed;   /* keys that are locked or looked up */
    uint64_t kept_from_ns; /* when kept_from_ms was the time by which what is kept grows old (keyed.h) */
    int64_t kept_from_ms;
    uint64_t owners_begun; /* of locks: their ages */

    struct value *values; /* one row's */
    struct value *other_values;
    struct lock_want *wants; /* one row's */
    struct buffer head;      /* of a message */
    uint64_t batch_sent_ns;  /* of the batch whose answer is being read */
    struct engine_metrics metrics;
};

/* To the log, if there is one. `database` may be SCHEMA_NONE. */
void engine_say(struct engine *engine, int level, database_id database, const char *text);

/* The submission's ops are begun when there is room and those before them have been. */
void engine_queue(struct engine *engine, struct submission *submission);

/* One more operation of a submission has its outcome: answers it when that was the last. */
void engine_answered(struct engine *engine, struct submission *submission);

/* One that is not atomic: an operation of it has its locks, or ends without. Once for each, before it is answered. */
void engine_locked(struct engine *engine, struct submission *submission);

/* Whether an owner of locks, which waits for some since `since_ns`, does so for too long (lock_ms): neither it nor its
 * submission (may be NULL), nor any that it waits for, has gone on. */
bool engine_waits_too_long(const struct engine *engine, const struct lock_owner *owner,
                           const struct submission *submission, uint64_t since_ns);

/* The one-line fate of an operation, at debug level. */
void engine_say_op(struct engine *engine, const struct op *op);

#endif
