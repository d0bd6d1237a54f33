/* SPDX-License-Identifier: Apache-2.0 */
#include "engine.h"

#include "batcher.h"
#include "clock.h"
#include "core.h"
#include "keyed.h"
#include "lookup.h"
#include "peer.h"
#include "query.h"
#include "recovery.h"
#include "references.h"
#include "task.h"
#include "transaction.h"

#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define TICK_MS 100
#define OPS_PER_CLOCK 256u /* operations begun between two looks at the clock */

/* What engine_start waits for. */
struct start {
    sem_t over;
    struct error error; /* code NONE: it serves */
};

/* The engine and what only its start and end need. */
struct running {
    struct engine engine; /* first */
    struct start *start;
    uint64_t ticked_ns;
    uint64_t stop_ends_ns; /* what has no outcome by then is given up */
};

static struct running *running_of(struct engine *engine)
{
    return (struct running *)(void *)engine;
}

/* ---- for the parts ---- */

void engine_say(struct engine *engine, int level, database_id database, const char *text)
{
    if (engine->log)
        engine->log(engine->log_context, level, database, text);
}

void engine_say_op(struct engine *engine, const struct op *op)
{
    static const char *const outcomes[] = {"pending", "accepted", "already there", "refused"};
    struct error line; /* for its escaping */
    const struct schema_table *table = &engine->schema->tables[op->table];
    error_set(&line, ERROR_NONE, "row of %s at %llu: %s%s%s", table->name, (unsigned long long)op->position,
              outcomes[op->result], op->error ? ": " : "", op->error ? op->error->text : "");
    engine_say(engine, LOG_LEVEL_DEBUG, table->database, line.text);
}

bool engine_waits_too_long(const struct engine *engine, const struct lock_owner *owner,
                           const struct submission *submission, uint64_t since_ns)
{
    uint64_t waits = (uint64_t)engine->limits.lock_ms * 1000000u;
    return engine->now_ns - since_ns > waits && !(submission && engine->now_ns - submission->moved_ns <= waits) &&
           engine->now_ns - locks_moved_ns(engine->locks, owner) > waits;
}

/* `slot` of the first operation counts those without outcome. */
void engine_answered(struct engine *engine, struct submission *submission)
{
    engine->ops_active--;
    if (--submission->ops[0].slot == 0)
        submission->finished(submission);
}

/* ---- submissions ---- */

/* Which locks it needs is found out in steps, between which others could pass it. */
static bool has_to_plan(const struct op *op)
{
    return op->kind != OP_INSERT && op->kind != OP_READ;
}

/* An operation sees all earlier ones of its submission: what plans waits until these have their locks, and later ones
 * until it has its own. */
static bool has_to_wait(const struct submission *submission)
{
    return !submission->atomic && submission->without_locks > 0 &&
           (submission->plans || has_to_plan(&submission->ops[submission->begun]));
}

static void drop_first(struct engine *engine)
{
    engine->first_waiting = engine->first_waiting->next;
    if (!engine->first_waiting)
        engine->last_waiting = NULL;
}

void engine_locked(struct engine *engine, struct submission *submission)
{
    if (submission->atomic || --submission->without_locks > 0)
        return;
    submission->plans = false;
    if (!submission->set_aside)
        return;
    submission->set_aside = false;
    submission->next = engine->first_waiting;
    if (!engine->first_waiting)
        engine->last_waiting = submission;
    engine->first_waiting = submission;
    engine->resumed = true;
}

static void tell_granted(struct engine *engine)
{
    struct lock_owner *owner;
    while ((owner = locks_next_granted(engine->locks)))
        owner->granted(owner);
}

/* All of an atomic submission, else operation `at`. */
static void begin(struct engine *engine, struct submission *submission, uint32_t at)
{
    struct op *op = &submission->ops[at];
    if (submission->atomic)
        transaction_begin(engine, submission, 0, submission->count);
    else if (op->kind == OP_INSERT)
        task_begin(engine, submission, op);
    else if (op->kind == OP_READ)
        lookup_begin(engine, submission, op);
    else
        transaction_begin(engine, submission, at, 1);
}

/* Whether `more` may begin. An atomic submission larger than all that may be active goes alone. */
static bool has_room(const struct engine *engine, uint32_t more)
{
    int64_t active = engine->ops_active - engine->ops_stranded;
    return active <= 0 || active + more <= engine->limits.engine_ops_max;
}

/* The first one's next operation; with the last it stands in the line no more. */
static void begin_next(struct engine *engine)
{
    struct submission *submission = engine->first_waiting;
    uint32_t at = submission->begun++;
    if (at == 0) {
        submission->ops[0].slot = submission->count;
        if (submission->parsed_ns == 0)
            submission->parsed_ns = engine->now_ns;
    }
    if (submission->atomic || submission->begun == submission->count)
        drop_first(engine);
    engine->ops_active += submission->atomic ? submission->count : 1;
    if (submission->engine && keyed_answers(engine, submission, at))
        return;
    submission->without_locks++;
    submission->plans |= has_to_plan(&submission->ops[at]);
    begin(engine, submission, at);
}

static void begin_waiting(struct engine *engine)
{
    uint32_t begun = 0;
    engine->resumed = false;
    while (engine->first_waiting) {
        const struct submission *first = engine->first_waiting;
        if (!has_room(engine, first->atomic ? first->count : 1))
            return;
        tell_granted(engine); /* a release in between must not let a later one pass */
        if (has_to_wait(engine->first_waiting)) {
            engine->first_waiting->set_aside = true;
            drop_first(engine);
            continue;
        }
        begin_next(engine);
        if (++begun % OPS_PER_CLOCK == 0)
            engine->now_ns = clock_monotonic_ns();
    }
}

void engine_queue(struct engine *engine, struct submission *submission)
{
    submission->next = NULL;
    if (engine->last_waiting)
        engine->last_waiting->next = submission;
    else
        engine->first_waiting = submission;
    engine->last_waiting = submission;
}

static void take_submissions(struct engine *engine, struct submission *list)
{
    while (list) {
        struct submission *submission = list;
        list = list->next;
        submission->engine = NULL;
        submission->begun = submission->without_locks = 0;
        submission->moved_ns = engine->now_ns;
        submission->plans = submission->set_aside = false;
        if (submission->count == 0)
            submission->finished(submission);
        else if (submission->key.len)
            keyed_begin(engine, submission);
        else
            engine_queue(engine, submission);
    }
}

/* ---- metrics ---- */

static void take_metrics(struct engine *engine, struct metrics_request *request)
{
    size_t size = engine->metrics.count * sizeof *engine->metrics.databases;
    request->metrics->count = engine->metrics.count;
    request->metrics->busy_ns = clock_thread_cpu_ns();
    request->metrics->databases = malloc(size);
    request->ok = request->metrics->databases != NULL;
    if (request->ok)
        memcpy(request->metrics->databases, engine->metrics.databases, size);
    sem_post(&request->over);
}

static void take_ready(struct engine *engine, struct ready_request *request)
{
    for (database_id i = 0; i < engine->schema->database_count && request->error.code == ERROR_NONE; i++)
        if (engine->peers[i].state != PEER_READY)
            peer_error(&engine->peers[i], &request->error);
    sem_post(&request->over);
}

/* ---- the loop ---- */

static void start_ended(struct engine *engine, const struct error *error)
{
    struct start *start = running_of(engine)->start;
    running_of(engine)->start = NULL;
    engine->serving = !error;
    engine->stopping |= error != NULL;
    if (error)
        start->error = *error;
    sem_post(&start->over);
}

static void take_mail(struct engine *engine, struct mail *mail)
{
    switch (mail->kind) {
    case MAIL_LINK:
        peer_event(&engine->peers[mail->link.database], &mail->link);
        if (!engine->serving)
            recovery_event(engine->recovery, &mail->link);
        return;
    case MAIL_QUERY:
        query_begin(engine, mail->query);
        return;
    case MAIL_METRICS:
        take_metrics(engine, mail->metrics);
        return;
    case MAIL_READY:
        take_ready(engine, mail->ready);
        return;
    case MAIL_STOP:
        engine->stopping = true;
        running_of(engine)->stop_ends_ns = engine->now_ns + (uint64_t)engine->limits.stop_ms * 1000000u;
        return;
    }
}

static void tick(struct engine *engine)
{
    running_of(engine)->ticked_ns = engine->now_ns;
    engine->peers_changed = false;
    for (database_id d = 0; d < engine->schema->database_count; d++) {
        peer_tick(&engine->peers[d]);
        batcher_tick(&engine->batchers[d]);
    }
    engine->ops_stranded = 0;
    for (database_id d = 0; d < engine->schema->database_count; d++)
        engine->ops_stranded += batcher_stranded(&engine->batchers[d]);
    task_tick(engine);
    transaction_tick(engine);
    lookup_tick(engine);
    keyed_tick(engine);
    query_tick(engine);
}

/* What needs a shard that is away: whether anything was refused, after which others may go on. */
static bool refuse_away(struct engine *engine)
{
    bool any = false;
    for (database_id d = 0; engine->serving && d < engine->schema->database_count; d++) {
        any |= peer_refuse_away(&engine->peers[d]);
        any |= batcher_refuse_away(&engine->batchers[d]);
    }
    return any;
}

/* Everything that can go on without a new event. */
static void go_on(struct engine *engine)
{
    if (engine->serving && engine->peers_changed)
        tick(engine);
    do {
        tell_granted(engine);
        begin_waiting(engine);
        tell_granted(engine);
        references_pump(engine->references);
        again_pump(engine->again);
    } while (refuse_away(engine) || (engine->first_waiting && (engine->resumed || engine->ops_active == 0)));
    for (database_id d = 0; d < engine->schema->database_count; d++)
        batcher_pump(&engine->batchers[d]);
}

static bool is_busy(const struct engine *engine)
{
    return engine->first_waiting || engine->ops_active > 0 || keyed_any_waiting(engine) || engine->first_task ||
           transaction_any_busy(engine);
}

/* What was submitted has been answered, and what was decided is in every file: a shard that was lost just now is waited
 * for. One that has been away for longer than an operation waits resolves at the next start. */
static bool is_over(struct engine *engine)
{
    return engine->stopping && (!engine->serving || engine->now_ns >= running_of(engine)->stop_ends_ns ||
                                (!engine->first_waiting && engine->ops_active == 0 && !engine->questions &&
                                 !keyed_any_waiting(engine) && !transaction_any_busy(engine)));
}

/* Not begun yet. */
static void refuse_waiting(struct engine *engine)
{
    struct error error;
    error_set(&error, ERROR_UNAVAILABLE, "the coordinator is stopping");
    while (engine->first_waiting) {
        struct submission *submission = engine->first_waiting;
        uint32_t from = submission->begun;
        engine->first_waiting = submission->next;
        if (from == 0)
            submission->ops[0].slot = submission->count;
        engine->ops_active += submission->count - from;
        for (uint32_t i = from; i < submission->count; i++)
            if (submission->ops[i].result == OP_PENDING)
                op_refuse(&submission->ops[i], &error);
        for (uint32_t left = submission->count - from; left > 0; left--)
            engine_answered(engine, submission);
    }
    engine->last_waiting = NULL;
}

/* No answer will be read any more. Nobody is left without one of ours. */
static void leave(struct engine *engine)
{
    if (engine->serving && (engine->first_waiting || engine->ops_active > 0))
        engine_say(engine, LOG_LEVEL_WARN, SCHEMA_NONE, "stopped before every operation had its outcome");
    refuse_waiting(engine);
    for (database_id d = 0; d < engine->schema->database_count; d++)
        peer_stop(&engine->peers[d]);
    for (database_id d = 0; d < engine->schema->database_count; d++)
        batcher_stop(&engine->batchers[d]);
    task_stop(engine);
    transaction_stop(engine);
    lookup_stop(engine);
    query_stop(engine);
    keyed_stop(engine);
    refuse_waiting(engine); /* what that and the questions have let go, and what had been set aside */
}

static void *run(void *context)
{
    struct engine *engine = context;
    while (!is_over(engine)) {
        struct mail *mails;
        struct submission *submissions;
        bool watch = !engine->serving || is_busy(engine) || engine->transactions;
        for (database_id d = 0; d < engine->schema->database_count; d++)
            watch |= engine->peers[d].first != NULL;
        mailbox_take(engine->mailbox, watch ? TICK_MS : -1, &mails, &submissions);
        engine->now_ns = clock_monotonic_ns();
        while (mails) {
            struct mail *next = mails->next;
            take_mail(engine, mails);
            mail_free(mails);
            mails = next;
            go_on(engine);
        }
        take_submissions(engine, submissions);
        go_on(engine);
        if (engine->serving && engine->now_ns - running_of(engine)->ticked_ns > (uint64_t)TICK_MS * 1000000u) {
            tick(engine);
            go_on(engine);
        }
    }
    leave(engine);
    return NULL;
}

/* ---- start and stop ---- */

static void heard(void *context, const struct link_event *event)
{
    struct engine *engine = context;
    const struct mail mail = {.kind = MAIL_LINK, .link = *event};
    mailbox_post(engine->mailbox, &mail);
}

static void engine_free(struct engine *engine)
{
    links_close(engine->links);
    mailbox_free(engine->mailbox);
    task_free_all(engine);
    transaction_free_all(engine);
    lookup_free_all(engine);
    keyed_free_all(engine);
    query_free_all(engine);
    for (database_id d = 0; d < engine->schema->database_count; d++) {
        if (engine->batchers)
            batcher_release(&engine->batchers[d]);
        if (engine->peers)
            peer_release(&engine->peers[d]);
    }
    recovery_free(engine->recovery);
    references_free(engine->references);
    again_free(engine->again);
    assign_free(engine->assign);
    affinity_close(engine->scratch);
    rowkeys_free(engine->rowkeys);
    presence_free(engine->presence);
    locks_free(engine->locks);
    buffer_release(&engine->placement);
    buffer_release(&engine->head);
    free(engine->batchers);
    free(engine->peers);
    free(engine->values);
    free(engine->other_values);
    free(engine->wants);
    engine_metrics_release(&engine->metrics);
    free(running_of(engine));
}

static bool make_room(struct engine *engine)
{
    size_t columns = 1, wants = 1, databases = engine->schema->database_count;
    for (table_id t = 0; t < engine->schema->table_count; t++) {
        if (engine->schema->tables[t].column_count > columns)
            columns = engine->schema->tables[t].column_count;
        if (rowkeys_wants_max(engine->rowkeys, t) > wants)
            wants = rowkeys_wants_max(engine->rowkeys, t);
    }
    engine->metrics.count = (uint16_t)databases;
    return (engine->values = calloc(columns, sizeof *engine->values)) &&
           (engine->other_values = calloc(columns, sizeof *engine->other_values)) &&
           (engine->wants = calloc(wants, sizeof *engine->wants)) &&
           (engine->peers = calloc(databases + 1, sizeof *engine->peers)) &&
           (engine->batchers = calloc(databases + 1, sizeof *engine->batchers)) &&
           (engine->metrics.databases = calloc(databases + 1, sizeof *engine->metrics.databases));
}

static bool make_parts(struct engine *engine, struct error *error)
{
    if (!(engine->mailbox = mailbox_new()) || !(engine->locks = locks_new()) ||
        !(engine->presence = presence_new(engine->schema, (size_t)engine->limits.presence_bytes)) ||
        !(engine->rowkeys = rowkeys_new(engine->schema)) || !(engine->references = references_new(engine)) ||
        !(engine->again = again_new(engine)) || !(engine->recovery = recovery_new(engine, start_ended)) ||
        !make_room(engine) || !schema_placement_text(engine->schema, &engine->placement))
        return error_set(error, ERROR_INTERNAL, "out of memory");
    if (!(engine->scratch = affinity_open(error)) ||
        !(engine->assign = assign_new(engine->schema, engine->scratch, error)))
        return false;
    for (database_id d = 0; d < engine->schema->database_count; d++) {
        peer_init(&engine->peers[d], engine, d);
        batcher_init(&engine->batchers[d], engine, &engine->peers[d]);
    }
    return true;
}

static bool open_links(struct engine *engine, const struct engine_options *options, struct error *error)
{
    const struct links_options links = {.schema = options->schema,
                                        .data = options->data,
                                        .addresses = options->addresses,
                                        .limits = options->limits,
                                        .log_format = options->log_format,
                                        .log_level = options->log_level,
                                        .listener = heard,
                                        .context = engine};
    engine->links = links_open(&links, error);
    return engine->links != NULL;
}

/* Runs the engine's thread until the start has succeeded or failed. */
static bool start_thread(struct engine *engine, struct error *error)
{
    struct start start = {0};
    running_of(engine)->start = &start;
    if (sem_init(&start.over, 0, 0) != 0 || pthread_create(&engine->thread, NULL, run, engine) != 0)
        return error_set(error, ERROR_INTERNAL, "the engine's thread cannot be started");
    while (sem_wait(&start.over) != 0)
        continue; /* EINTR: a signal is for others to see */
    sem_destroy(&start.over);
    if (start.error.code == ERROR_NONE)
        return true;
    pthread_join(engine->thread, NULL);
    *error = start.error;
    return false;
}

struct engine *engine_start(const struct engine_options *options, struct error *error)
{
    struct running *running = calloc(1, sizeof *running);
    if (!running) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    struct engine *engine = &running->engine;
    engine->schema = options->schema;
    engine->limits = options->limits;
    if (options->patient)
        engine->limits.away_ms = engine->limits.lock_ms = engine->limits.answer_ms;
    engine->cluster = options->cluster;
    engine->first_use = options->first_use;
    engine->log = options->log;
    engine->log_context = options->log_context;
    engine->log_ops = options->log_level && !strcmp(options->log_level, "debug");
    engine->now_ns = engine->kept_from_ns = clock_monotonic_ns();
    bool ok = getrandom(&engine->coordinator, sizeof engine->coordinator, 0) == sizeof engine->coordinator ||
              error_set(error, ERROR_INTERNAL, "no random bytes");
    engine->coordinator >>= 1; /* SQLite's integers are signed */
    if (ok && make_parts(engine, error) && open_links(engine, options, error) && start_thread(engine, error))
        return engine;
    if (options->ret_unheard)
        *options->ret_unheard = !engine->claimed;
    engine_free(engine);
    return NULL;
}

void engine_stop(struct engine *engine)
{
    if (!engine)
        return;
    if (engine->calls) {
        engine->calls->stop(engine->calls_context);
        free(engine);
        return;
    }
    const struct mail mail = {.kind = MAIL_STOP};
    mailbox_post(engine->mailbox, &mail);
    pthread_join(engine->thread, NULL);
    engine_free(engine);
}
