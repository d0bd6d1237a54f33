/* SPDX-License-Identifier: Apache-2.0 */
#include "task.h"

#include "keyed.h"

#include <stdlib.h>

#define NS_PER_MS 1000000u
#define KEEP_BYTES 512u /* of what is kept of an insert: more than it takes */

static struct task *task_of_owner(struct lock_owner *owner)
{
    return (struct task *)(void *)owner;
}

static struct task *task_of_member(struct batch_member *member)
{
    return (struct task *)(void *)((char *)member - offsetof(struct task, member));
}

static struct task *task_of_checker(struct checker *checker)
{
    return (struct task *)(void *)((char *)checker - offsetof(struct task, checker));
}

static struct task *task_of_again(struct again_member *member)
{
    return (struct task *)(void *)((char *)member - offsetof(struct task, again));
}

static struct peer *peer_of(const struct task *task)
{
    return &task->engine->peers[task->engine->schema->tables[task->table].database];
}

static struct engine_database_metrics *metrics_of(struct engine *engine, table_id table)
{
    return &engine->metrics.databases[engine->schema->tables[table].database];
}

/* ---- life ---- */

static struct task *task_new(struct engine *engine)
{
    struct task *task = engine->free_tasks;
    if (task)
        engine->free_tasks = task->next;
    else if (!(task = malloc(sizeof *task)))
        return NULL;
    task->next = NULL;
    task->before = engine->last_task;
    if (engine->last_task)
        engine->last_task->next = task;
    else
        engine->first_task = task;
    engine->last_task = task;
    return task;
}

static void task_end(struct task *task)
{
    struct engine *engine = task->engine;
    locks_release(engine->locks, &task->owner);
    assign_settle(engine->assign, &task->claims, false);
    if (task->keyed)
        keyed_ended(task->keyed);
    if (task->checker.missing || task->checker.error)
        references_release(&task->checker);
    if (task->before)
        task->before->next = task->next;
    else
        engine->first_task = task->next;
    if (task->next)
        task->next->before = task->before;
    else
        engine->last_task = task->before;
    task->next = engine->free_tasks;
    engine->free_tasks = task;
}

void task_free_all(struct engine *engine)
{
    for (struct task *task = engine->first_task, *next; task; task = next) {
        next = task->next;
        references_release(&task->checker);
        free(task);
    }
    for (struct task *task = engine->free_tasks, *next; task; task = next) {
        next = task->next;
        free(task);
    }
    engine->first_task = engine->last_task = engine->free_tasks = NULL;
}

void task_count(struct engine *engine, const struct submission *submission, const struct op *op)
{
    struct engine_database_metrics *metrics = metrics_of(engine, op->table);
    if (op->result == OP_REFUSED)
        metrics->rows_refused++;
    else if (op->result == OP_SAME)
        metrics->rows_same++;
    else
        metrics->rows_accepted++;
    histogram_add(&metrics->total, engine->now_ns - submission->parsed_ns, 1);
    if (engine->log_ops)
        engine_say_op(engine, op);
}

/* It has its locks, or will not have them. */
static void stop_locking(struct task *task)
{
    if (task->state != TASK_LOCKING)
        return;
    task->state = TASK_CHECKING;
    if (task->submission)
        engine_locked(task->engine, task->submission);
}

/* The user learns the outcome, once. */
static void answer(struct task *task, const struct error *error)
{
    struct submission *submission = task->submission;
    struct op *op = task->op;
    if (!submission)
        return;
    stop_locking(task);
    task->submission = NULL;
    if (error)
        op_refuse(op, error);
    else if (op->result != OP_SAME)
        op->result = OP_DONE;
    task_count(task->engine, submission, op);
    if (task->keyed)
        keyed_answered(task->keyed, submission, (uint32_t)(op - submission->ops), 1);
    else
        engine_answered(task->engine, submission);
}

static void refuse(struct task *task, const struct error *error)
{
    answer(task, error);
    task_end(task);
}

/* ---- writing ---- */

static void same(struct batch_member *member, uint32_t op)
{
    struct task *task = task_of_member(member);
    (void)op;
    if (task->submission)
        task->op->result = OP_SAME;
}

static void settled(struct batch_member *member, uint32_t op, const struct error *error)
{
    struct task *task = task_of_member(member);
    uint64_t queued = 0;
    (void)op;
    if (task->submission)
        task->submission->moved_ns = task->engine->now_ns;
    if (error) {
        refuse(task, error);
        return;
    }
    if (task->engine->batch_sent_ns > task->step_ns)
        queued = task->engine->batch_sent_ns - task->step_ns;
    histogram_add(&metrics_of(task->engine, task->table)->queue, queued, 1);
    if (task->has_rowid)
        presence_add(task->engine->presence, task->table, task->rowid);
    assign_settle(task->engine->assign, &task->claims, true);
    answer(task, NULL);
    task_end(task);
}

static void overdue(struct batch_member *member, const struct error *error)
{
    answer(task_of_member(member), error);
}

static const struct batch_member_kind member_kind = {same, settled, overdue};

/* With a key: together with what is kept of it. */
static bool add_group(struct task *task, struct batcher *batcher)
{
    const struct submission *submission = task->submission;
    const struct op *op = task->op;
    struct buffer *body = batcher_room(batcher, op->row_len + KEEP_BYTES);
    if (!body)
        return false;
    size_t before = body->len;
    if (wire_put_group(body, 2) &&
        wire_put_op(body, task->table, 0, submission->rows.bytes + op->row_at, op->row_len) &&
        keyed_put(task->keyed, submission, (uint32_t)(op - submission->ops), 1, body) &&
        batcher_added(batcher, &task->member))
        return true;
    body->len = before;
    return false;
}

static void write_row(struct task *task)
{
    struct engine *engine = task->engine;
    struct batcher *batcher = &engine->batchers[engine->schema->tables[task->table].database];
    const struct op *op = task->op;
    struct error error;
    task->state = TASK_WRITING;
    task->step_ns = engine->now_ns;
    if (task->keyed ? add_group(task, batcher)
                    : batcher_row(batcher, &task->member, task->table, op->same_is_fine ? WIRE_FLAG_SAME_IS_FINE : 0,
                                  task->submission->rows.bytes + op->row_at, op->row_len))
        return;
    error_set(&error, ERROR_INTERNAL, "out of memory");
    refuse(task, &error);
}

/* ---- checking ---- */

/* A row that names itself. */
static bool brings(struct checker *checker, const struct schema_reference *reference, const struct value *child)
{
    struct task *task = task_of_checker(checker);
    return rowkeys_names_itself(task->engine->scratch, task->engine->schema, reference, child,
                                task->submission->references_at_end);
}

static void refuse_missing(struct task *task)
{
    struct engine *engine = task->engine;
    struct error error;
    const struct op *op = task->op;
    references_sort(&task->checker);
    if (row_read(&engine->schema->tables[task->table], task->submission->rows.bytes + op->row_at, op->row_len,
                 engine->values, &error))
        references_refusal(engine, task->table, engine->values, task->checker.missing, task->checker.missing_count,
                           &error);
    refuse(task, &error);
}

/* Its references were given by nobody, so that it may be there already with others. */
static void told_again(struct again_member *member, bool is_there, const struct error *failed)
{
    struct task *task = task_of_again(member);
    if (failed)
        refuse(task, failed);
    else if (!is_there)
        refuse_missing(task);
    else {
        task->op->result = OP_SAME;
        answer(task, NULL);
        task_end(task);
    }
}

static void missing(struct task *task)
{
    struct engine *engine = task->engine;
    const struct op *op = task->op;
    const uint8_t *row = task->submission->rows.bytes + op->row_at;
    struct error error;
    if (op->same_is_fine && row_read(&engine->schema->tables[task->table], row, op->row_len, engine->values, &error) &&
        again_is_possible(engine->schema, task->table, engine->values, task->checker.missing,
                          task->checker.missing_count))
        again_ask(engine->again, &task->again, task->table, row, op->row_len);
    else
        refuse_missing(task);
}

static void checked(struct checker *checker)
{
    struct task *task = task_of_checker(checker);
    histogram_add(&metrics_of(task->engine, task->table)->check, task->engine->now_ns - task->step_ns, 1);
    if (!task->submission)
        task_end(task);
    else if (checker->missing_count)
        missing(task);
    else if (checker->failed)
        refuse(task, checker->error);
    else
        write_row(task);
}

/* engine->values holds the row. */
static void check_row(struct task *task)
{
    struct engine *engine = task->engine;
    stop_locking(task);
    histogram_add(&metrics_of(engine, task->table)->wait, engine->now_ns - task->step_ns, 1);
    task->step_ns = engine->now_ns;
    if (engine->schema->tables[task->table].reference_count)
        references_row(engine->references, &task->checker, task->table, engine->values, 0);
    if (task->checker.pending == 0)
        checked(&task->checker);
}

static void granted(struct lock_owner *owner)
{
    struct task *task = task_of_owner(owner);
    const struct op *op = task->op;
    struct error error;
    if (task->submission)
        task->submission->moved_ns = task->engine->now_ns;
    if (!task->submission)
        task_end(task);
    else if (!row_read(&task->engine->schema->tables[task->table], task->submission->rows.bytes + op->row_at,
                       op->row_len, task->engine->values, &error))
        refuse(task, &error);
    else
        check_row(task);
}

static bool waits_for_shard(const struct lock_owner *owner)
{
    const struct task *task = (const struct task *)(const void *)owner;
    return task->state != TASK_LOCKING;
}

static uint64_t moved_ns(const struct lock_owner *owner)
{
    const struct task *task = (const struct task *)(const void *)owner;
    return task->submission && task->submission->moved_ns > task->step_ns ? task->submission->moved_ns : task->step_ns;
}

/* ---- beginning ---- */

/* The completed row stands behind the others of its submission, whose bytes may move for it. */
static bool rewrite(struct engine *engine, struct submission *submission, struct op *op, struct error *error)
{
    const struct schema_table *table = &engine->schema->tables[op->table];
    struct buffer row = {0};
    bool ok = row_write(table, engine->values, &row) && submission->rows.len + row.len <= UINT32_MAX;
    size_t at = submission->rows.len;
    ok = ok && buffer_put(&submission->rows, row.bytes, row.len);
    if (ok) {
        op->row_at = (uint32_t)at;
        op->row_len = (uint32_t)row.len;
    }
    buffer_release(&row);
    return (ok || error_set(error, ERROR_INTERNAL, "out of memory")) &&
           row_read(table, submission->rows.bytes + op->row_at, op->row_len, engine->values, error);
}

bool task_read_row(struct engine *engine, struct submission *submission, struct op *op, struct assign_claims *claims,
                   struct assigned *ret_assigned, struct error *error)
{
    if (!row_read(&engine->schema->tables[op->table], submission->rows.bytes + op->row_at, op->row_len, engine->values,
                  error) ||
        !assign_row(engine->assign, op->table, engine->values, claims, ret_assigned, error))
        return false;
    if (!ret_assigned->rewritten)
        return true;
    op->key_assigned = ret_assigned->key_assigned;
    op->rowid = ret_assigned->rowid;
    return rewrite(engine, submission, op, error);
}

void task_begin(struct engine *engine, struct submission *submission, struct op *op)
{
    struct assigned assigned = {0};
    struct error error;
    struct task *task = task_new(engine);
    if (!task)
        panic("out of memory for an operation");
    *task = (struct task){.next = task->next,
                          .before = task->before,
                          .engine = engine,
                          .submission = submission,
                          .keyed = submission->engine,
                          .op = op,
                          .table = op->table,
                          .member.kind = &member_kind,
                          .checker = {.checked = checked, .brings = brings},
                          .again = {told_again},
                          .begun_ns = engine->now_ns,
                          .step_ns = engine->now_ns};
    lock_owner_init(&task->owner, granted);
    task->owner.waits_for_shard = waits_for_shard;
    task->owner.moved_ns = moved_ns;
    task->owner.age = ++engine->owners_begun;
    if (!task_read_row(engine, submission, op, &task->claims, &assigned, &error)) {
        refuse(task, &error);
        return;
    }
    if (peer_is_away(peer_of(task))) {
        peer_error(peer_of(task), &error);
        refuse(task, &error);
        return;
    }
    task->has_rowid = assigned.has_rowid;
    task->rowid = assigned.rowid;
    size_t wants = rowkeys_wants(engine->rowkeys, op->table, engine->values, false, engine->wants);
    if (!locks_take(engine->locks, &task->owner, engine->wants, &wants)) {
        error_set(&error, ERROR_INTERNAL, "out of memory");
        refuse(task, &error);
    } else if (task->owner.waiting == 0)
        check_row(task);
}

void task_tick(struct engine *engine)
{
    uint64_t waits = (uint64_t)engine->limits.lock_ms * NS_PER_MS; /* nothing to look for among the younger */
    bool away = peer_any_is_away(engine);
    struct error error;
    for (struct task *task = engine->first_task, *next; task && (away || engine->now_ns - task->begun_ns > waits);
         task = next) {
        next = task->next;
        if (task->state != TASK_LOCKING)
            continue;
        if (peer_is_away(peer_of(task)))
            peer_error(peer_of(task), &error);
        else if (engine_waits_too_long(engine, &task->owner, task->submission, task->begun_ns))
            locks_error(&error);
        else
            continue;
        refuse(task, &error);
    }
}

void task_stop(struct engine *engine)
{
    struct error error;
    error_set(&error, ERROR_UNAVAILABLE, "the coordinator is stopping");
    for (struct task *task = engine->first_task; task; task = task->next)
        answer(task, &error);
}
