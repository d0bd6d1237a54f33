/* SPDX-License-Identifier: Apache-2.0 */
#include "transaction.h"

#include "commit.h"
#include "keyed.h"
#include "task.h"

#include <stdlib.h>

static struct transaction *of_facts(struct facts *facts)
{
    return (struct transaction *)(void *)((char *)facts - offsetof(struct transaction, plan.facts));
}

/* ---- life ---- */

void transaction_release(struct transaction *t)
{
    locks_release(t->engine->locks, &t->owner);
    if (t->keyed)
        keyed_ended(t->keyed);
    t->keyed = NULL;
}

void transaction_end(struct transaction *t)
{
    struct engine *engine = t->engine;
    transaction_release(t);
    if (t->before)
        t->before->next = t->next;
    else
        engine->transactions = t->next;
    if (t->next)
        t->next->before = t->before;
    plan_release(&t->plan);
    free(t);
}

void transaction_free_all(struct engine *engine)
{
    for (struct transaction *t = engine->transactions, *next; t; t = next) {
        next = t->next;
        plan_release(&t->plan);
        free(t);
    }
    engine->transactions = NULL;
}

void transaction_moved(struct transaction *t)
{
    t->moved_ns = t->engine->now_ns;
    if (t->submission)
        t->submission->moved_ns = t->moved_ns;
}

/* It has all its locks, or will not have them. */
static void stop_planning(struct transaction *t)
{
    if (t->state > PLANNING)
        return;
    t->state = PLANNED;
    if (t->submission)
        engine_locked(t->engine, t->submission);
}

void transaction_answer(struct transaction *t, bool done, const struct error *error)
{
    struct submission *submission = t->submission;
    if (!submission)
        return;
    stop_planning(t);
    if (done && !t->keyed) /* else it was told for what is kept */
        plan_tell_results(&t->plan);
    t->submission = NULL;
    for (uint32_t i = 0; i < t->plan.count; i++) {
        struct op *op = &submission->ops[t->plan.first + i];
        if (!done && error)
            op_refuse(op, error);
        if (!done)
            op->result = OP_REFUSED;
        else if (op->result != OP_SAME)
            op->result = OP_DONE;
        if (done || op->error) /* nothing was said about the others, which may be tried again */
            task_count(t->engine, submission, op);
    }
    if (t->keyed) {
        keyed_answered(t->keyed, submission, t->plan.first, t->plan.count);
        return;
    }
    for (uint32_t left = t->plan.count; left > 0; left--) /* with the last it is somebody else's again */
        engine_answered(t->engine, submission);
}

/* Nothing was sent: it ends here. `op` counts from the plan's first. */
static void refuse(struct transaction *t, uint32_t op, const struct error *error)
{
    if (t->submission && error)
        op_refuse(&t->submission->ops[t->plan.first + op], error);
    transaction_answer(t, false, NULL);
    transaction_end(t);
}

/* ---- planning ---- */

static struct engine_database_metrics *metrics_of(const struct transaction *t)
{
    table_id table = t->submission->ops[t->plan.first].table;
    return &t->engine->metrics.databases[t->engine->schema->tables[table].database];
}

/* What is kept of it is one of its operations. Its key's lock is held already, and to be held for what is promised. */
static void add_keep(struct transaction *t)
{
    plan_tell_results(&t->plan);
    if (!keyed_put(t->keyed, t->submission, t->plan.first, t->plan.count, plan_room_to_keep(&t->plan)))
        panic("out of memory for an outcome");
    lockset_want(&t->plan.locks, keyed_lock(t->keyed), true);
    lockset_held(&t->plan.locks);
}

static void planned(struct transaction *t)
{
    struct error error;
    struct part *away;
    locks_settle(&t->owner);
    stop_planning(t);
    if (t->keyed)
        add_keep(t);
    histogram_add(&metrics_of(t)->check, t->engine->now_ns - t->step_ns, t->plan.count);
    if (!commit_place(t, &error))
        refuse(t, 0, &error);
    else if ((away = commit_part_away(t))) {
        peer_error(&t->engine->peers[away->database], &error);
        refuse(t, t->plan.parts[away->database].op_of[0], &error);
    } else
        commit_begin(t);
}

static void refuse_planned(struct transaction *t)
{
    locks_settle(&t->owner);
    stop_planning(t);
    commit_refuse_planned(t);
}

static void go_on(struct transaction *t);

/* All that was wanted is held. */
static void locked(struct transaction *t)
{
    lockset_held(&t->plan.locks);
    transaction_moved(t);
    if (t->plan.facts.wanted == 0) {
        go_on(t);
        return;
    }
    t->state = PLANNING;
    facts_ask(&t->plan.facts);
}

static void go_on(struct transaction *t)
{
    struct error error;
    transaction_moved(t);
    switch (plan_round(&t->plan)) {
    case PLAN_DONE:
        planned(t);
        return;
    case PLAN_REFUSED:
        refuse_planned(t);
        return;
    case PLAN_MORE:
        break;
    }
    t->state = LOCKING_MORE;
    t->waits_since_ns = t->engine->now_ns;
    if (!locks_take_more(t->engine->locks, &t->owner, t->plan.locks.wants, &t->plan.locks.want_count)) {
        error_set(&error, ERROR_INTERNAL, "out of memory");
        refuse(t, 0, &error);
    } else if (t->owner.waiting == 0)
        locked(t);
}

static void told(struct facts *facts, uint32_t op, const struct error *error)
{
    struct transaction *t = of_facts(facts);
    if (t->owner.wounded)
        return; /* it begins anew in a moment */
    if (error)
        refuse(t, op, error);
    else
        go_on(t);
}

/* What was noted while nothing was locked has to be asked under the locks: it stays noted. */
static void lock_first(struct transaction *t)
{
    struct error error;
    t->state = LOCKING;
    t->waits_since_ns = t->engine->now_ns;
    t->owner.plans = true;
    if (!locks_take(t->engine->locks, &t->owner, t->plan.locks.wants, &t->plan.locks.want_count)) {
        error_set(&error, ERROR_INTERNAL, "out of memory");
        refuse(t, 0, &error);
    } else if (t->owner.waiting == 0)
        locked(t);
}

static void granted(struct lock_owner *owner)
{
    struct transaction *t = (struct transaction *)(void *)owner;
    if (owner->wounded) {
        plan_forget(&t->plan);
        lock_first(t);
        return;
    }
    if (t->state == LOCKING) {
        histogram_add(&metrics_of(t)->wait, t->engine->now_ns - t->step_ns, t->plan.count);
        t->step_ns = t->engine->now_ns;
    }
    locked(t);
}

/* ---- beginning ---- */

/* Inserts get their keys and DEFAULTs now and once; an upsert only the key that it does not give, see plan.c. */
static bool complete(struct transaction *t, uint32_t i, struct error *error)
{
    struct engine *engine = t->engine;
    struct op *op = &t->submission->ops[t->plan.first + i];
    const struct schema_table *table = &engine->schema->tables[op->table];
    struct assigned assigned;
    if (op->kind == OP_UPSERT) {
        if (!row_read(table, t->submission->rows.bytes + op->row_at, op->row_len, engine->values, error))
            return false;
        if (table->rowid_column == SCHEMA_NONE || (engine->values[table->rowid_column].type != VALUE_NULL &&
                                                   engine->values[table->rowid_column].type != VALUE_ABSENT))
            return true;
    } else if (op->kind != OP_INSERT)
        return true;
    return task_read_row(engine, t->submission, op, &t->plan.assigned, &assigned, error);
}

/* Whether an operation's own shard is away. */
static bool is_away(const struct transaction *t, uint32_t i, struct error *error)
{
    table_id table = t->submission->ops[t->plan.first + i].table;
    const struct peer *peer = &t->engine->peers[t->engine->schema->tables[table].database];
    if (!peer_is_away(peer))
        return false;
    peer_error(peer, error);
    return true;
}

static bool waits_for_shard(const struct lock_owner *owner)
{
    const struct transaction *t = (const struct transaction *)(const void *)owner;
    return t->state != LOCKING && t->state != LOCKING_MORE;
}

static uint64_t moved_ns(const struct lock_owner *owner)
{
    const struct transaction *t = (const struct transaction *)(const void *)owner;
    return t->submission && t->submission->moved_ns > t->moved_ns ? t->submission->moved_ns : t->moved_ns;
}

static bool is_nothing_wanted(const struct transaction *t)
{
    return t->plan.locks.want_count == 0 && t->plan.facts.wanted == 0;
}

void transaction_begin(struct engine *engine, struct submission *submission, uint32_t first, uint32_t count)
{
    struct error error;
    struct transaction *t = calloc(1, sizeof *t);
    if (!t || !plan_init(&t->plan, engine, submission, first, count, told))
        panic("out of memory for a transaction");
    t->engine = engine;
    t->submission = submission;
    t->step_ns = t->moved_ns = engine->now_ns;
    t->keyed = submission->engine;
    if (t->keyed)
        t->plan.keeps_on = keyed_database(t->keyed, submission, first);
    lock_owner_init(&t->owner, granted);
    t->owner.waits_for_shard = waits_for_shard;
    t->owner.moved_ns = moved_ns;
    t->owner.age = ++engine->owners_begun;
    t->next = engine->transactions;
    if (t->next)
        t->next->before = t;
    engine->transactions = t;
    if (count > LIMIT_BATCH_ROWS_MAX) {
        error_set(&error, ERROR_TOO_LARGE, "a transaction of %u rows: at most %d", count, LIMIT_BATCH_ROWS_MAX);
        refuse(t, 0, &error);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        if (!complete(t, i, &error) || is_away(t, i, &error)) {
            refuse(t, i, &error);
            return;
        }
    if (plan_round(&t->plan) == PLAN_REFUSED && is_nothing_wanted(t))
        refuse_planned(t);
    else
        lock_first(t);
}

/* In LOCKING or LOCKING_MORE: whether it has to end; it has, then. */
static void tick_locking(struct transaction *t)
{
    struct error error;
    for (uint32_t i = 0; i < t->plan.count && peer_any_is_away(t->engine); i++)
        if (is_away(t, i, &error)) {
            refuse(t, i, &error);
            return;
        }
    if (!engine_waits_too_long(t->engine, &t->owner, t->submission, t->waits_since_ns))
        return;
    locks_error(&error);
    if (t->submission->atomic && !locks_is_behind_shard(t->engine->locks, &t->owner))
        error_set(&error, ERROR_CONFLICT,
                  "an operation under way has had a key that this transaction needs for too long");
    refuse(t, 0, &error);
}

void transaction_tick(struct engine *engine)
{
    for (struct transaction *t = engine->transactions, *next; t; t = next) {
        next = t->next;
        if (t->state == LOCKING || t->state == LOCKING_MORE)
            tick_locking(t);
        else
            commit_tick(t);
    }
}

void transaction_stop(struct engine *engine)
{
    struct error error;
    error_set(&error, ERROR_UNAVAILABLE, "the coordinator is stopping");
    for (struct transaction *t = engine->transactions; t; t = t->next)
        transaction_answer(t, false, &error);
}

bool transaction_any_busy(const struct engine *engine)
{
    for (const struct transaction *t = engine->transactions; t; t = t->next)
        if (t->submission || commit_is_busy(t))
            return true;
    return false;
}
