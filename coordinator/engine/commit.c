/* SPDX-License-Identifier: Apache-2.0 */
#include "commit.h"

#include "outcome.h"
#include "wire.h"

#define ENTRY_HEAD_BYTES 512u /* of an entry, beside its ops: more than it takes */

static struct part *part_of(struct batch_member *member)
{
    return (struct part *)(void *)member;
}

static struct peer *peer_of(const struct part *part)
{
    return &part->transaction->engine->peers[part->database];
}

static const struct plan_part *planned_for(const struct part *part)
{
    return &part->transaction->plan.parts[part->database];
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
        transaction_end(t);
        return;
    }
    plan_tell_presence(&t->plan);
    transaction_release(t);
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
    transaction_answer(t, false, NULL);
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
    transaction_answer(t, !error, NULL);
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
    transaction_answer(t, !error, NULL);
    transaction_end(t);
}

static void settled(struct batch_member *member, uint32_t op, const struct error *error)
{
    struct part *part = part_of(member);
    if (!error)
        transaction_moved(part->transaction);
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
    transaction_answer(t, false, NULL);
}

static void overdue(struct batch_member *member, const struct error *error)
{
    struct part *part = part_of(member);
    if (part->transaction->state == TRYING)
        give_up_trying(part->transaction);
    else if (part->transaction->state != PREPARING)
        transaction_answer(part->transaction, false, error);
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
bool commit_place(struct transaction *t, struct error *error)
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

struct part *commit_part_away(struct transaction *t)
{
    for (uint16_t i = 0; i < t->part_count; i++)
        if (peer_is_away(peer_of(&t->parts[i])))
            return &t->parts[i];
    return NULL;
}

void commit_begin(struct transaction *t)
{
    if (t->part_count == 0) { /* all is as it was asked to be */
        transaction_answer(t, true, NULL);
        transaction_end(t);
    } else if (t->part_count == 1)
        group(t);
    else
        prepare(t);
}

/* What one operation on its own meets is told in the order of plan.h: references first. */
void commit_refuse_planned(struct transaction *t)
{
    bool atomic = t->submission->atomic;
    if (!t->plan.refused_at_end || !atomic)
        tell_refusals(t);
    for (database_id d = 0; atomic && d < t->engine->schema->database_count; d++)
        if (t->plan.parts[d].count)
            t->parts[t->part_count++] = (struct part){.member.kind = &member_kind, .transaction = t, .database = d};
    try_others(t);
}

/* ---- for the transaction ---- */

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

void commit_tick(struct transaction *t)
{
    if (t->state == PREPARING)
        tick_preparing(t);
    else if (t->state == TRYING)
        tick_trying(t);
    else if (t->state == RESOLVING)
        tick_resolving(t);
}

bool commit_is_busy(const struct transaction *t)
{
    for (uint16_t i = 0; i < t->part_count; i++)
        if ((t->parts[i].state == PART_SENT || t->parts[i].state == PART_WAITS) &&
            !peer_is_gone(&t->engine->peers[t->parts[i].database]))
            return true;
    return false;
}
