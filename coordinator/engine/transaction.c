/* SPDX-License-Identifier: Apache-2.0 */
#include "transaction.h"

#include "batcher.h"
#include "references.h"
#include "task.h"
#include "transaction_rows.h"
#include "wire.h"

#include <stdlib.h>

#define NS_PER_MS 1000000u
#define ENTRY_HEAD_BYTES 512u /* of an entry and of each of its ops, beside the rows: more than they take */
#define OP_HEAD_BYTES 16u

enum transaction_state { LOCKING, CHECKING, GROUPED, PREPARING, DECIDING, RESOLVING };

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
    struct checker checker;
    struct engine *engine;
    struct submission *submission; /* NULL: the user has been answered */
    struct transaction *next, *before;
    enum transaction_state state;
    uint64_t id;
    uint64_t begun_ns;
    uint64_t step_ns; /* when the present step began */
    bool commit;      /* in RESOLVING */
    bool forgetting;
    struct transaction_rows rows;
    uint32_t under_way; /* parts with an entry under way or to be sent again */
    uint16_t part_count;
    struct part *home;
    struct part parts[LIMIT_DATABASES_MAX];
};

static struct part *part_of(struct batch_member *member)
{
    return (struct part *)(void *)member;
}

static struct transaction *of_checker(struct checker *checker)
{
    return (struct transaction *)(void *)((char *)checker - offsetof(struct transaction, checker));
}

/* ---- life ---- */

static void end(struct transaction *t)
{
    struct engine *engine = t->engine;
    locks_release(engine->locks, &t->owner);
    if (t->before)
        t->before->next = t->next;
    else
        engine->transactions = t->next;
    if (t->next)
        t->next->before = t->before;
    references_release(&t->checker);
    transaction_rows_release(&t->rows);
    free(t);
}

void transaction_free_all(struct engine *engine)
{
    for (struct transaction *t = engine->transactions, *next; t; t = next) {
        next = t->next;
        references_release(&t->checker);
        transaction_rows_release(&t->rows);
        free(t);
    }
    engine->transactions = NULL;
}

/* The user learns the outcome, once. Without `error`, refused when an op has one of its own. */
static void answer(struct transaction *t, bool done, const struct error *error)
{
    struct submission *submission = t->submission;
    if (!submission)
        return;
    t->submission = NULL;
    for (uint32_t i = 0; i < submission->count; i++) {
        struct op *op = &submission->ops[i];
        if (!done && error)
            op_refuse(op, error);
        if (!done)
            op->result = OP_REFUSED;
        else if (op->result != OP_SAME)
            op->result = OP_DONE;
        if (done || op->error) /* nothing was said about the others, which may be tried again */
            task_count(t->engine, submission, op);
    }
    for (uint32_t left = submission->count; left > 0; left--) /* with the last it is somebody else's again */
        engine_answered(t->engine, submission);
}

/* Nothing was sent: it ends here. */
static void refuse(struct transaction *t, uint32_t op, const struct error *error)
{
    if (t->submission && error)
        op_refuse(&t->submission->ops[op], error);
    answer(t, false, NULL);
    end(t);
}

static void arrive(struct transaction *t)
{
    for (size_t i = 0; i < t->rows.arrival_count; i++)
        presence_add(t->engine->presence, t->rows.arrivals[i].table, t->rows.arrivals[i].rowid);
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

static size_t entry_bytes(const struct transaction *t, const struct part *part)
{
    return t->rows.bytes[part->database] + (size_t)t->rows.ops[part->database] * OP_HEAD_BYTES + ENTRY_HEAD_BYTES;
}

static bool put_ops(const struct transaction *t, const struct part *part, struct buffer *body)
{
    const struct submission *submission = t->submission;
    bool ok = true;
    for (uint32_t i = 0; ok && i < submission->count; i++) {
        const struct op *op = &submission->ops[i];
        if (t->engine->schema->tables[op->table].database == part->database)
            ok = wire_put_op(body, op->table, op->same_is_fine ? WIRE_FLAG_SAME_IS_FINE : 0,
                             submission->rows.bytes + op->row_at, op->row_len);
    }
    return ok;
}

/* Which of the submission's operations is number `op` on this part's shard. */
static struct op *op_of(const struct part *part, uint32_t op)
{
    const struct transaction *t = part->transaction;
    for (uint32_t i = 0; i < t->submission->count; i++)
        if (t->engine->schema->tables[t->submission->ops[i].table].database == part->database && op-- == 0)
            return &t->submission->ops[i];
    panic("an answer about an operation that was not sent");
}

/* ---- after the decision ---- */

static void send_resolve(struct part *part)
{
    added(part, wire_put_resolve(room(part, ENTRY_HEAD_BYTES), part->transaction->id, part->transaction->commit));
}

/* Every participant has resolved: nobody will ask the home again. */
static void resolved(struct transaction *t)
{
    if (!t->commit || t->forgetting) {
        end(t);
        return;
    }
    arrive(t);
    locks_release(t->engine->locks, &t->owner);
    t->forgetting = true;
    added(t->home, wire_put_forget(room(t->home, ENTRY_HEAD_BYTES), t->id));
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
    if (t->commit && t->submission) {
        const char *names[LIMIT_DATABASES_MAX];
        uint32_t count = 0;
        for (uint16_t i = 0; i < t->part_count; i++)
            if (&t->parts[i] != t->home)
                names[count++] = t->engine->schema->databases[t->parts[i].database].name;
        t->state = DECIDING;
        struct buffer *body = room(t->home, entry_bytes(t, t->home));
        added(t->home,
              wire_put_decide(body, t->id, names, count, t->rows.ops[t->home->database]) && put_ops(t, t->home, body));
        return;
    }
    answer(t, false, NULL);
    resolve(t, false);
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
        arrive(t);
    answer(t, !error, NULL);
    end(t);
}

static void settled(struct batch_member *member, uint32_t op, const struct error *error)
{
    struct part *part = part_of(member);
    switch (part->transaction->state) {
    case GROUPED:
        group_settled(part, op, error);
        return;
    case PREPARING:
        prepare_settled(part, op, error);
        return;
    case DECIDING:
        decide_settled(part, op, error);
        return;
    case RESOLVING:
        resolve_settled(part, error);
        return;
    case LOCKING:
    case CHECKING:
        break;
    }
    panic("an outcome of a transaction that has sent nothing");
}

static void same(struct batch_member *member, uint32_t op)
{
    struct part *part = part_of(member);
    if (part->transaction->submission && part->transaction->state != RESOLVING)
        op_of(part, op)->result = OP_SAME;
}

static void overdue(struct batch_member *member, const struct error *error)
{
    answer(part_of(member)->transaction, false, error);
}

static const struct batch_member_kind member_kind = {same, settled, overdue};

/* The time of a step, for each of its rows. */
static void count_step(struct transaction *t, size_t histogram_at)
{
    for (uint16_t i = 0; i < t->part_count; i++) {
        database_id d = t->parts[i].database;
        char *metrics = (char *)&t->engine->metrics.databases[d];
        histogram_add((struct histogram *)(void *)(metrics + histogram_at), t->engine->now_ns - t->step_ns,
                      t->rows.ops[d]);
    }
    t->step_ns = t->engine->now_ns;
}

/* ---- sending ---- */

/* A promise carries the rows and the whole lock set. */
static void prepare(struct transaction *t)
{
    struct buffer locks = {0};
    bool ok = transaction_rows_locks(&t->rows, &locks);
    const char *home = t->engine->schema->databases[t->home->database].name;
    t->state = PREPARING;
    t->commit = true;
    t->id = t->engine->epoch << 32 | ++t->engine->transactions_begun;
    for (uint16_t i = 0; i < t->part_count; i++) {
        struct part *part = &t->parts[i];
        if (part == t->home)
            continue;
        struct buffer *body = room(part, entry_bytes(t, part) + locks.len);
        added(part, ok && wire_put_prepare(body, t->id, home, locks.bytes, locks.len, t->rows.ops[part->database]) &&
                        put_ops(t, part, body));
    }
    buffer_release(&locks);
}

static void group(struct transaction *t)
{
    struct part *part = &t->parts[0];
    t->state = GROUPED;
    struct buffer *body = room(part, entry_bytes(t, part));
    added(part, wire_put_group(body, t->rows.ops[part->database]) && put_ops(t, part, body));
}

/* ---- checking ---- */

static bool brings(struct checker *checker, const struct schema_reference *reference, const struct value *child)
{
    struct transaction *t = of_checker(checker);
    return transaction_rows_bring(&t->rows, t->engine, t->submission, reference, child);
}

static void refuse_missing(struct transaction *t)
{
    struct checker *checker = &t->checker;
    struct engine *engine = t->engine;
    references_sort(checker);
    for (uint32_t i = 0, to; i < checker->missing_count; i = to) {
        struct op *op = &t->submission->ops[checker->missing[i].op];
        struct error error;
        for (to = i + 1; to < checker->missing_count && checker->missing[to].op == checker->missing[i].op;)
            to++;
        if (row_read(&engine->schema->tables[op->table], t->submission->rows.bytes + op->row_at, op->row_len,
                     engine->values, &error))
            references_refusal(engine, op->table, engine->values, &checker->missing[i], to - i, &error);
        op_refuse(op, &error);
    }
    refuse(t, 0, NULL);
}

static void checked(struct checker *checker)
{
    struct transaction *t = of_checker(checker);
    count_step(t, offsetof(struct engine_database_metrics, check));
    if (checker->missing_count)
        refuse_missing(t);
    else if (checker->failed)
        refuse(t, 0, checker->error);
    else if (t->part_count == 1)
        group(t);
    else
        prepare(t);
}

static void granted(struct lock_owner *owner)
{
    struct transaction *t = (struct transaction *)(void *)owner;
    struct engine *engine = t->engine;
    struct error error;
    count_step(t, offsetof(struct engine_database_metrics, wait));
    t->state = CHECKING;
    t->checker.pending = 1; /* until all rows have been looked at */
    for (uint32_t i = 0; i < t->submission->count; i++) {
        const struct op *op = &t->submission->ops[i];
        if (!engine->schema->tables[op->table].reference_count)
            continue;
        if (!row_read(&engine->schema->tables[op->table], t->submission->rows.bytes + op->row_at, op->row_len,
                      engine->values, &error))
            panic("a row that was read before cannot be read: %s", error.text);
        references_row(engine->references, &t->checker, op->table, engine->values, i);
    }
    if (--t->checker.pending == 0)
        checked(&t->checker);
}

/* ---- beginning ---- */

/* The home is where most is done: what is prepared is written twice. */
static bool place(struct transaction *t, struct error *error)
{
    const struct schema *schema = t->engine->schema;
    size_t locks = t->rows.want_count * 9;
    for (database_id d = 0; d < schema->database_count; d++) {
        if (!t->rows.ops[d])
            continue;
        struct part *part = &t->parts[t->part_count++];
        *part = (struct part){.member.kind = &member_kind, .transaction = t, .database = d};
        if (!t->home || t->rows.ops[d] > t->rows.ops[t->home->database])
            t->home = part;
        if (t->rows.ops[d] > LIMIT_BATCH_ROWS_MAX || entry_bytes(t, part) + locks > LIMIT_BATCH_BYTES_MAX)
            return error_set(error, ERROR_TOO_LARGE,
                             "a transaction of %u rows and %zu bytes in database %s: at most %d rows and %d bytes",
                             t->rows.ops[d], entry_bytes(t, part) + locks, schema->databases[d].name,
                             LIMIT_BATCH_ROWS_MAX, LIMIT_BATCH_BYTES_MAX);
    }
    return true;
}

void transaction_begin(struct engine *engine, struct submission *submission)
{
    uint32_t op = 0;
    struct error error;
    struct transaction *t = calloc(1, sizeof *t);
    if (!t)
        panic("out of memory for a transaction");
    t->engine = engine;
    t->submission = submission;
    t->begun_ns = t->step_ns = engine->now_ns;
    t->checker = (struct checker){.checked = checked, .brings = brings};
    lock_owner_init(&t->owner, granted);
    t->next = engine->transactions;
    if (t->next)
        t->next->before = t;
    engine->transactions = t;
    if (submission->count > LIMIT_BATCH_ROWS_MAX) {
        error_set(&error, ERROR_TOO_LARGE, "a transaction of %u rows: at most %d", submission->count,
                  LIMIT_BATCH_ROWS_MAX);
        refuse(t, 0, &error);
    } else if (!transaction_rows_read(engine, submission, &t->rows, &op, &error) || !place(t, &error)) {
        refuse(t, op, &error);
    } else if (!locks_take(engine->locks, &t->owner, t->rows.wants, &t->rows.want_count)) {
        error_set(&error, ERROR_INTERNAL, "out of memory");
        refuse(t, 0, &error);
    } else if (t->owner.waiting == 0)
        granted(&t->owner);
}

void transaction_tick(struct engine *engine)
{
    uint64_t waits = (uint64_t)engine->limits.answer_ms * NS_PER_MS;
    struct error error;
    error_set(&error, ERROR_UNAVAILABLE, "an earlier row with a key that this transaction needs has no outcome yet");
    for (struct transaction *t = engine->transactions, *next; t; t = next) {
        next = t->next;
        if (t->state == LOCKING && engine->now_ns - t->begun_ns > waits) {
            refuse(t, 0, &error);
            continue;
        }
        if (t->state != RESOLVING)
            continue;
        for (uint16_t i = 0; i < t->part_count; i++)
            if (t->parts[i].state == PART_WAITS && engine->peers[t->parts[i].database].state == PEER_READY) {
                if (t->forgetting)
                    added(&t->parts[i], wire_put_forget(room(&t->parts[i], ENTRY_HEAD_BYTES), t->id));
                else
                    send_resolve(&t->parts[i]);
            }
    }
}

bool transaction_any_busy(const struct engine *engine)
{
    for (const struct transaction *t = engine->transactions; t; t = t->next) {
        if (t->state != RESOLVING)
            return true;
        for (uint16_t i = 0; i < t->part_count; i++)
            if ((t->parts[i].state == PART_SENT || t->parts[i].state == PART_WAITS) &&
                !peer_is_gone(&engine->peers[t->parts[i].database]))
                return true;
    }
    return false;
}
