/* SPDX-License-Identifier: Apache-2.0 */
#include "transaction.h"

#include "batcher.h"
#include "keyed.h"
#include "outcome.h"
#include "plan.h"
#include "task.h"
#include "wire.h"

#include <stdlib.h>

#define NS_PER_MS 1000000u
#define ENTRY_HEAD_BYTES 512u /* of an entry, beside its ops: more than it takes */

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

static struct part *part_of(struct batch_member *member)
{
    return (struct part *)(void *)member;
}

static struct transaction *of_facts(struct facts *facts)
{
    return (struct transaction *)(void *)((char *)facts - offsetof(struct transaction, plan.facts));
}

static struct peer *peer_of(const struct part *part)
{
    return &part->transaction->engine->peers[part->database];
}

static const struct plan_part *planned_for(const struct part *part)
{
    return &part->transaction->plan.parts[part->database];
}

/* ---- life ---- */

/* Its outcome is on every shard. */
static void release(struct transaction *t)
{
    locks_release(t->engine->locks, &t->owner);
    if (t->keyed)
        keyed_ended(t->keyed);
    t->keyed = NULL;
}

static void end(struct transaction *t)
{
    struct engine *engine = t->engine;
    release(t);
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

static void moved(struct transaction *t)
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

/* The user learns the outcome, once. Without `error`, refused when an op has one of its own. */
static void answer(struct transaction *t, bool done, const struct error *error)
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
    answer(t, false, NULL);
    end(t);
}

/* ---- entries ---- */

static struct buffer *room(struct part *part, size_t bytes)
{
    struct buffer *body = batcher_room(&part->transaction->engine->batchers[part->database], bytes);
    if (!body)
        panic("out of memory for a transaction's entry");
    return body;
}

static void added(struct part *part, bool ok)
{
    struct transaction *t = part->transaction;
    if (!ok || !batcher_added(&t->engine->batchers[part->database], &part->member))
        panic("out of memory for a transaction's entry");
    if (part->state != PART_WAITS)
        t->under_way++;
    part->state = PART_SENT;
}

static size_t entry_bytes(const struct part *part)
{
    return planned_for(part)->ops.len + ENTRY_HEAD_BYTES;
}

static bool put_ops(const struct part *part, struct buffer *body)
{
    return buffer_put(body, planned_for(part)->ops.bytes, planned_for(part)->ops.len);
}

/* Which of the submission's operations number `op` on this part's shard comes from. */
static struct op *op_of(const struct part *part, uint32_t op)
{
    const struct transaction *t = part->transaction;
    if (op >= planned_for(part)->count)
        panic("an answer about an operation that was not sent");
    return &t->submission->ops[t->plan.first + planned_for(part)->op_of[op]];
}

/* ---- after the decision ---- */

/* Whether the part can have its entry now; else it is sent when the shard is back. */
static bool is_reached(struct part *part)
{
    if (peer_of(part)->state == PEER_READY)
        return true;
    if (part->state != PART_WAITS)
        part->transaction->under_way++;
    part->state = PART_WAITS;
    return false;
}

static void send_resolve(struct part *part)
{
    if (is_reached(part))
        added(part, wire_put_resolve(room(part, ENTRY_HEAD_BYTES), part->transaction->id, part->transaction->commit));
}

static void send_forget(struct part *part)
{
    if (is_reached(part))
        added(part, wire_put_forget(room(part, ENTRY_HEAD_BYTES), part->transaction->id));
}

/* Every participant has resolved: nobody will ask the home again. */
static void resolved(struct transaction *t)
{
    if (!t->commit || t->forgetting) {
        end(t);
        return;
    }
    plan_tell_presence(&t->plan);
    release(t);
    t->forgetting = true;
    send_forget(t->home);
}

static void resolve(struct transaction *t, bool commit)
{
    t->state = RESOLVING;
    t->commit = commit;
    for (uint16_t i = 0; i < t->part_count; i++)
        if (t->parts[i].state == PART_PREPARED)
            send_resolve(&t->parts[i]);
    if (t->under_way == 0)
        resolved(t);
}

/* ---- which operation is the first that fails ---- */

static void tell_refusals(struct transaction *t)
{
    for (const struct plan_refusal *refusal = t->plan.refusals; refusal && t->submission; refusal = refusal->next)
        op_refuse(&t->submission->ops[t->plan.first + refusal->op], &refusal->error);
}

/* The first operation that is refused so far; the plan's count when it is none. */
static uint32_t first_refused(const struct transaction *t)
{
    uint32_t first = 0;
    while (first < t->plan.count && !t->submission->ops[t->plan.first + first].error)
        first++;
    return first;
}

/* What the operations before `limit` write there: how much of the part's. */
static uint32_t before(const struct plan_part *part, uint32_t limit, size_t *ret_len)
{
    struct cursor ops = cursor_over(part->ops.bytes, part->ops.len);
    struct wire_op op;
    uint32_t count = 0;
    *ret_len = 0;
    while (count < part->count && part->op_of[count] < limit && wire_get_op(&ops, &op, NULL) &&
           op.kind != WIRE_ENTRY_KEEP) {
        count++;
        *ret_len = (size_t)(ops.at - part->ops.bytes);
    }
    return count;
}

static void send_try(struct part *part, uint32_t limit)
{
    const struct plan_part *planned = planned_for(part);
    size_t len;
    uint32_t count = before(planned, limit, &len);
    if (count == 0 || count > LIMIT_BATCH_ROWS_MAX || len + ENTRY_HEAD_BYTES > LIMIT_BATCH_BYTES_MAX ||
        peer_of(part)->state != PEER_READY)
        return;
    struct buffer *body = room(part, len + ENTRY_HEAD_BYTES);
    added(part, wire_put_try(body, count) && buffer_put(body, planned->ops.bytes, len));
}

/* The user is told what is known by now. */
static void give_up_trying(struct transaction *t)
{
    if (t->submission && first_refused(t) == t->plan.count)
        tell_refusals(t); /* those of the end */
    answer(t, false, NULL);
}

static void tried(struct transaction *t)
{
    give_up_trying(t);
    resolve(t, false);
}

/* How many operations there are before the first that is refused for good. */
static uint32_t untried(const struct transaction *t)
{
    uint32_t first = t->submission ? first_refused(t) : 0;
    if (t->submission && first < t->plan.count &&
        !outcome_is_final_code(t->submission->ops[t->plan.first + first].error->code))
        return 0;
    return first;
}

/* It is refused, for a reason that some shards had no say in: what would they have said to the operations before? One
 * SQLite file would not have come further than the first that fails. */
static void try_others(struct transaction *t)
{
    uint32_t limit = untried(t);
    t->state = TRYING;
    for (uint16_t i = 0; i < t->part_count; i++)
        if (t->parts[i].state == PART_IDLE)
            send_try(&t->parts[i], limit);
    if (t->under_way == 0)
        tried(t);
}

/* A shard that fails itself has said nothing. */
static void try_settled(struct part *part, uint32_t op, const struct error *error)
{
    struct transaction *t = part->transaction;
    part->state = PART_DONE;
    t->under_way--;
    if (error && t->submission && outcome_is_final_code(error->code))
        op_refuse(op_of(part, op), error);
    if (t->under_way == 0)
        tried(t);
}

/* ---- outcomes of entries ---- */

static void prepare_settled(struct part *part, uint32_t op, const struct error *error)
{
    struct transaction *t = part->transaction;
    part->state = error ? PART_DONE : PART_PREPARED;
    t->under_way--;
    if (error) {
        t->commit = false;
        if (t->submission)
            op_refuse(op_of(part, op), error);
    }
    if (t->under_way > 0)
        return;
    if (t->commit) {
        const char *names[LIMIT_DATABASES_MAX];
        uint32_t count = 0;
        for (uint16_t i = 0; i < t->part_count; i++)
            if (&t->parts[i] != t->home)
                names[count++] = t->engine->schema->databases[t->parts[i].database].name;
        t->state = DECIDING;
        struct buffer *body = room(t->home, entry_bytes(t->home));
        added(t->home,
              wire_put_decide(body, t->id, names, count, planned_for(t->home)->count) && put_ops(t->home, body));
        return;
    }
    try_others(t);
}

static void decide_settled(struct part *part, uint32_t op, const struct error *error)
{
    struct transaction *t = part->transaction;
    part->state = PART_DONE;
    t->under_way--;
    if (error && t->submission)
        op_refuse(op_of(part, op), error);
    answer(t, !error, NULL);
    resolve(t, !error);
}

/* A promise that cannot be kept keeps its locks and is tried again: it must never be forgotten. */
static void resolve_settled(struct part *part, const struct error *error)
{
    struct transaction *t = part->transaction;
    if (error) {
        part->state = PART_WAITS;
        engine_say(t->engine, LOG_LEVEL_ERROR, part->database, error->text);
        return;
    }
    part->state = PART_DONE;
    if (--t->under_way == 0)
        resolved(t);
}

static void group_settled(struct part *part, uint32_t op, const struct error *error)
{
    struct transaction *t = part->transaction;
    t->under_way--;
    if (error && t->submission)
        op_refuse(op_of(part, op), error);
    if (!error)
        plan_tell_presence(&t->plan);
    answer(t, !error, NULL);
    end(t);
}

static void settled(struct batch_member *member, uint32_t op, const struct error *error)
{
    struct part *part = part_of(member);
    if (!error)
        moved(part->transaction);
    switch (part->transaction->state) {
    case GROUPED:
        group_settled(part, op, error);
        return;
    case PREPARING:
        prepare_settled(part, op, error);
        return;
    case TRYING:
        try_settled(part, op, error);
        return;
    case DECIDING:
        decide_settled(part, op, error);
        return;
    case RESOLVING:
        resolve_settled(part, error);
        return;
    case LOCKING:
    case LOCKING_MORE:
    case PLANNING:
    case PLANNED:
        break;
    }
    panic("an outcome of a transaction that has sent nothing");
}

static void same(struct batch_member *member, uint32_t op)
{
    struct part *part = part_of(member);
    if (part->transaction->submission && part->transaction->state != RESOLVING && part->transaction->state != TRYING)
        op_of(part, op)->result = OP_SAME;
}

/* Nothing will be decided: the outcome is known before every participant has said a word. */
static void give_up_preparing(struct part *part)
{
    struct transaction *t = part->transaction;
    struct error error;
    peer_error(peer_of(part), &error);
    if (t->commit)
        op_refuse(op_of(part, 0), &error);
    t->commit = false;
    answer(t, false, NULL);
}

static void overdue(struct batch_member *member, const struct error *error)
{
    struct part *part = part_of(member);
    if (part->transaction->state == TRYING)
        give_up_trying(part->transaction);
    else if (part->transaction->state != PREPARING)
        answer(part->transaction, false, error);
    else if (part->transaction->submission)
        give_up_preparing(part);
}

static const struct batch_member_kind member_kind = {same, settled, overdue};

/* ---- sending ---- */

/* A promise carries the rows and the whole lock set. */
static void prepare(struct transaction *t)
{
    struct buffer locks = {0};
    bool ok = lockset_put(&t->plan.locks, &locks);
    const char *home = t->engine->schema->databases[t->home->database].name;
    t->state = PREPARING;
    t->commit = true;
    t->id = t->engine->epoch << 32 | ++t->engine->transactions_begun;
    for (uint16_t i = 0; i < t->part_count; i++) {
        struct part *part = &t->parts[i];
        if (part == t->home)
            continue;
        struct buffer *body = room(part, entry_bytes(part) + locks.len);
        added(part, ok && wire_put_prepare(body, t->id, home, locks.bytes, locks.len, planned_for(part)->count) &&
                        put_ops(part, body));
    }
    buffer_release(&locks);
}

static void group(struct transaction *t)
{
    struct part *part = &t->parts[0];
    t->state = GROUPED;
    struct buffer *body = room(part, entry_bytes(part));
    added(part, wire_put_group(body, planned_for(part)->count) && put_ops(part, body));
}

/* The home is where most is done: what is prepared is written twice. */
static bool place(struct transaction *t, struct error *error)
{
    const struct schema *schema = t->engine->schema;
    for (database_id d = 0; d < schema->database_count; d++) {
        if (!t->plan.parts[d].count)
            continue;
        struct part *part = &t->parts[t->part_count++];
        *part = (struct part){.member.kind = &member_kind, .transaction = t, .database = d};
        if (!t->home || t->plan.parts[d].count > planned_for(t->home)->count)
            t->home = part;
        size_t locks = t->plan.locks.count * LOCKSET_BYTES_EACH;
        uint32_t rows = t->plan.parts[d].count - (d == t->plan.keeps_on);
        if (entry_bytes(part) + locks > LIMIT_BATCH_BYTES_MAX || rows > LIMIT_BATCH_ROWS_MAX)
            return error_set(error, ERROR_TOO_LARGE,
                             "a transaction of %u rows and %zu bytes in database %s: at most %d rows and %d bytes",
                             rows, entry_bytes(part) + locks, schema->databases[d].name, LIMIT_BATCH_ROWS_MAX,
                             LIMIT_BATCH_BYTES_MAX);
    }
    return true;
}

/* ---- planning ---- */

static struct engine_database_metrics *metrics_of(const struct transaction *t)
{
    table_id table = t->submission->ops[t->plan.first].table;
    return &t->engine->metrics.databases[t->engine->schema->tables[table].database];
}

/* NULL: all can be reached. */
static struct part *part_away(struct transaction *t)
{
    for (uint16_t i = 0; i < t->part_count; i++)
        if (peer_is_away(peer_of(&t->parts[i])))
            return &t->parts[i];
    return NULL;
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
    if (!place(t, &error))
        refuse(t, 0, &error);
    else if ((away = part_away(t))) {
        peer_error(peer_of(away), &error);
        refuse(t, planned_for(away)->op_of[0], &error);
    } else if (t->part_count == 0) { /* all is as it was asked to be */
        answer(t, true, NULL);
        end(t);
    } else if (t->part_count == 1)
        group(t);
    else
        prepare(t);
}

/* What one operation on its own meets is told in the order of plan.h: references first. */
static void refuse_planned(struct transaction *t)
{
    bool atomic = t->submission->atomic;
    locks_settle(&t->owner);
    stop_planning(t);
    if (!t->plan.refused_at_end || !atomic)
        tell_refusals(t);
    for (database_id d = 0; atomic && d < t->engine->schema->database_count; d++)
        if (t->plan.parts[d].count)
            t->parts[t->part_count++] = (struct part){.member.kind = &member_kind, .transaction = t, .database = d};
    try_others(t);
}

static void go_on(struct transaction *t);

/* All that was wanted is held. */
static void locked(struct transaction *t)
{
    lockset_held(&t->plan.locks);
    moved(t);
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
    moved(t);
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

static void tick_preparing(struct transaction *t)
{
    for (uint16_t i = 0; i < t->part_count && t->submission; i++)
        if (t->parts[i].state == PART_SENT && peer_is_away(peer_of(&t->parts[i])))
            give_up_preparing(&t->parts[i]);
}

static void tick_trying(struct transaction *t)
{
    for (uint16_t i = 0; i < t->part_count; i++)
        if (t->parts[i].state == PART_SENT && peer_is_away(peer_of(&t->parts[i])))
            give_up_trying(t);
}

static void tick_resolving(struct transaction *t)
{
    for (uint16_t i = 0; i < t->part_count; i++)
        if (t->parts[i].state == PART_WAITS && t->forgetting)
            send_forget(&t->parts[i]);
        else if (t->parts[i].state == PART_WAITS)
            send_resolve(&t->parts[i]);
}

void transaction_tick(struct engine *engine)
{
    for (struct transaction *t = engine->transactions, *next; t; t = next) {
        next = t->next;
        if (t->state == LOCKING || t->state == LOCKING_MORE)
            tick_locking(t);
        else if (t->state == PREPARING)
            tick_preparing(t);
        else if (t->state == TRYING)
            tick_trying(t);
        else if (t->state == RESOLVING)
            tick_resolving(t);
    }
}

void transaction_stop(struct engine *engine)
{
    struct error error;
    error_set(&error, ERROR_UNAVAILABLE, "the coordinator is stopping");
    for (struct transaction *t = engine->transactions; t; t = t->next)
        answer(t, false, &error);
}

bool transaction_any_busy(const struct engine *engine)
{
    for (const struct transaction *t = engine->transactions; t; t = t->next) {
        if (t->submission)
            return true;
        for (uint16_t i = 0; i < t->part_count; i++)
            if ((t->parts[i].state == PART_SENT || t->parts[i].state == PART_WAITS) &&
                !peer_is_gone(&engine->peers[t->parts[i].database]))
                return true;
    }
    return false;
}
