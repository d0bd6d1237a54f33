/* SPDX-License-Identifier: Apache-2.0 */
#include "batcher.h"

#include "wire.h"

#include <stdlib.h>
#include <string.h>

#define NS_PER_MS 1000000u
#define MEMBERS_START 256u

static void shard_is_back(struct peer *peer);

void batcher_init(struct batcher *batcher, struct engine *engine, struct peer *peer)
{
    *batcher = (struct batcher){.engine = engine, .peer = peer, .next_number = 1};
    peer->back = shard_is_back;
}

static void batch_free_all(struct batch *batch)
{
    while (batch) {
        struct batch *next = batch->next;
        buffer_release(&batch->ask.body);
        free(batch->members);
        free(batch);
        batch = next;
    }
}

void batcher_release(struct batcher *batcher)
{
    batch_free_all(batcher->first);
    batch_free_all(batcher->first_sent);
    batch_free_all(batcher->first_again);
    batch_free_all(batcher->free);
}

void batcher_start(struct batcher *batcher, uint64_t last_batch)
{
    batcher->next_number = last_batch + 1;
}

bool batcher_is_idle(const struct batcher *batcher)
{
    return !batcher->first && !batcher->first_sent && !batcher->first_again;
}

/* ---- filling ---- */

static void append(struct batch **first, struct batch **last, struct batch *batch)
{
    batch->next = NULL;
    if (*last)
        (*last)->next = batch;
    else
        *first = batch;
    *last = batch;
}

static struct batch *new_batch(struct batcher *batcher)
{
    struct batch *batch = batcher->free;
    if (batch) {
        batcher->free = batch->next;
        batch->count = 0;
        batch->overdue = false;
        batch->losses = 0;
        buffer_clear(&batch->ask.body);
    } else if (!(batch = calloc(1, sizeof *batch)))
        return NULL;
    batch->batcher = batcher;
    batch->begun_ns = batcher->engine->now_ns;
    append(&batcher->first, &batcher->last, batch);
    return batch;
}

static bool is_full(const struct batch *batch)
{
    return batch->count >= LIMIT_BATCH_ROWS_SOFT || batch->ask.body.len >= LIMIT_BATCH_BYTES_SOFT;
}

struct buffer *batcher_room(struct batcher *batcher, size_t bytes)
{
    struct batch *batch = batcher->last;
    if (!batch || is_full(batch) || (batch->count && batch->ask.body.len + bytes > LIMIT_BATCH_BYTES_SOFT))
        batch = new_batch(batcher);
    return batch ? &batch->ask.body : NULL;
}

bool batcher_added(struct batcher *batcher, struct batch_member *member)
{
    struct batch *batch = batcher->last;
    if (batch->count == batch->capacity) {
        uint32_t capacity = batch->capacity ? batch->capacity * 2 : MEMBERS_START;
        struct batch_member **larger = realloc(batch->members, capacity * sizeof(struct batch_member *));
        if (!larger)
            return false;
        batch->members = larger;
        batch->capacity = capacity;
    }
    batch->members[batch->count++] = member;
    return true;
}

bool batcher_row(struct batcher *batcher, struct batch_member *member, table_id table, unsigned flags,
                 const uint8_t *row, size_t row_len)
{
    struct buffer *body = batcher_room(batcher, row_len);
    if (!body)
        return false;
    size_t before = body->len;
    if (wire_put_op(body, table, flags, row, row_len) && batcher_added(batcher, member))
        return true;
    body->len = before;
    return false;
}

/* ---- outcomes ---- */

static void recycle(struct batcher *batcher, struct batch *batch)
{
    if (batch->ask.body.capacity >
        4 * (size_t)LIMIT_BATCH_BYTES_SOFT) /* one huge transaction is no reason to keep it */
        buffer_release(&batch->ask.body);
    batch->next = batcher->free;
    batcher->free = batch;
}

static void refuse_all(struct batch *batch, const struct error *error)
{
    for (uint32_t i = 0; i < batch->count; i++)
        if (batch->members[i])
            batch->members[i]->kind->settled(batch->members[i], 0, error);
}

static void next_failure(struct wire_write_answer *answer, struct wire_failure *failure, uint32_t *left)
{
    if (*left == 0 || !wire_get_failure(&answer->failures, failure, NULL)) {
        failure->entry = UINT32_MAX;
        *left = 0;
    } else
        --*left;
}

static void next_same(struct wire_write_answer *answer, uint32_t *entry, uint32_t *op, uint32_t *left)
{
    if (*left == 0 || !wire_get_same(&answer->same, entry, op, NULL)) {
        *entry = UINT32_MAX;
        *left = 0;
    } else
        --*left;
}

/* Both lists ascend, like the members. */
static void settle_all(struct batch *batch, struct wire_write_answer *answer)
{
    struct wire_failure failure;
    uint32_t same_entry, same_op, failures = answer->failure_count, sames = answer->same_count;
    next_failure(answer, &failure, &failures);
    next_same(answer, &same_entry, &same_op, &sames);
    for (uint32_t i = 0; i < batch->count; i++) {
        struct batch_member *member = batch->members[i];
        for (; same_entry == i; next_same(answer, &same_entry, &same_op, &sames))
            if (member)
                member->kind->same(member, same_op);
        bool failed = failure.entry == i;
        if (member)
            member->kind->settled(member, failed ? failure.op : 0, failed ? &failure.error : NULL);
        if (failed)
            next_failure(answer, &failure, &failures);
    }
}

static void take_sent(struct batcher *batcher, struct batch *batch)
{
    struct batch *before = NULL;
    for (struct batch *at = batcher->first_sent; at != batch; at = at->next)
        before = at;
    if (before)
        before->next = batch->next;
    else
        batcher->first_sent = batch->next;
    if (batcher->last_sent == batch)
        batcher->last_sent = before;
    batch->next = NULL;
    batcher->sent--;
}

/* All that were behind the refused one are back: they go first, under new numbers. */
static void finish_rewind(struct batcher *batcher)
{
    if (!batcher->rewinding || (batcher->last_sent && batcher->last_sent->number > batcher->rewind_to))
        return;
    batcher->rewinding = false;
    batcher->next_number = batcher->rewind_to;
    if (!batcher->first_again)
        return;
    batcher->last_again->next = batcher->first;
    if (!batcher->first)
        batcher->last = batcher->last_again;
    batcher->first = batcher->first_again;
    batcher->first_again = batcher->last_again = NULL;
}

static void batch_refused(struct batcher *batcher, struct batch *batch, const struct error *error)
{
    bool behind = batcher->rewinding && batch->number > batcher->rewind_to && batch->ask.generation != 0;
    if (!batcher->rewinding || batch->number < batcher->rewind_to) {
        batcher->rewinding = true;
        batcher->rewind_to = batch->number;
    }
    if (behind)
        append(&batcher->first_again, &batcher->last_again, batch);
    else {
        refuse_all(batch, error);
        recycle(batcher, batch);
    }
    finish_rewind(batcher);
}

/* Both lists ascend and name operations of entries that are in the batch. */
static bool names_what_was_sent(const struct batch *batch, struct wire_write_answer answer)
{
    struct cursor entries = cursor_over(batch->ask.body.bytes, batch->ask.body.len);
    struct wire_entry entry;
    struct wire_failure failure;
    uint32_t same_entry, same_op, failures = answer.failure_count, sames = answer.same_count, named = 0;
    uint32_t wanted = failures + sames;
    next_failure(&answer, &failure, &failures);
    next_same(&answer, &same_entry, &same_op, &sames);
    for (uint32_t i = 0; named < wanted && i < batch->count && wire_get_entry(&entries, &entry, NULL); i++) {
        uint32_t ops = entry.op_count ? entry.op_count : 1; /* a row on its own is one */
        for (; same_entry == i && same_op < ops; next_same(&answer, &same_entry, &same_op, &sames))
            named++;
        if (failure.entry == i && failure.op < ops) {
            named++;
            next_failure(&answer, &failure, &failures);
        }
    }
    return named == wanted;
}

static bool fits(const struct ask *ask, struct cursor body, const struct error *refusal, struct error *error)
{
    const struct batch *batch = ask->context;
    struct wire_write_answer answer;
    if (refusal) /* what is in the file is answered from the shard's notes */
        return batch->number > batch->batcher->peer->said.last_batch ||
               error_set(error, ERROR_PARSE, "batch %llu is in its file and is refused: %s",
                         (unsigned long long)batch->number, refusal->text);
    if (!wire_get_write_answer(&body, &answer, error))
        return false;
    if (answer.batch != batch->number)
        return error_set(error, ERROR_PARSE, "of batch %llu it tells of batch %llu", (unsigned long long)batch->number,
                         (unsigned long long)answer.batch);
    return names_what_was_sent(batch, answer) ||
           error_set(error, ERROR_PARSE, "it tells of operations that are not in batch %llu",
                     (unsigned long long)batch->number);
}

static void answered(struct ask *ask, struct cursor *body, const struct error *refusal)
{
    struct batch *batch = ask->context;
    struct batcher *batcher = batch->batcher;
    struct engine *engine = batcher->engine;
    struct wire_write_answer answer;
    struct error error;
    take_sent(batcher, batch);
    if (refusal && batch->number <= batcher->peer->said.last_batch)
        panic("database %s: batch %llu is in its file and was refused when it came again: %s",
              engine->schema->databases[batcher->peer->database].name, (unsigned long long)batch->number,
              refusal->text);
    if (refusal) {
        batch_refused(batcher, batch, refusal);
        return;
    }
    if (!wire_get_write_answer(body, &answer, &error) || answer.batch != batch->number)
        panic("database %s: the answer of batch %llu makes no sense: %s",
              engine->schema->databases[batcher->peer->database].name, (unsigned long long)batch->number, error.text);
    struct engine_database_metrics *metrics = &engine->metrics.databases[batcher->peer->database];
    metrics->batches++;
    histogram_add(&metrics->batch_rows, batch->count, 1);
    histogram_add(&metrics->round_trip, engine->now_ns - batch->sent_ns, 1);
    engine->batch_sent_ns = batch->sent_ns;
    settle_all(batch, &answer);
    recycle(batcher, batch);
}

/* ---- sending ---- */

static void send(struct batcher *batcher)
{
    struct batch *batch = batcher->first;
    batcher->first = batch->next;
    if (!batcher->first)
        batcher->last = NULL;
    append(&batcher->first_sent, &batcher->last_sent, batch);
    batcher->sent++;
    batch->number = batcher->next_number++;
    batch->sent_ns = batcher->engine->now_ns;
    batch->ask.kind = WIRE_WRITE;
    batch->ask.answered = answered;
    batch->ask.fits = fits;
    batch->ask.context = batch;
    struct buffer *head = &batcher->engine->head;
    buffer_clear(head);
    if (!wire_put_write(head, batch->number, batch->count) || head->len > sizeof batch->ask.head)
        panic("the head of a batch takes %zu bytes", head->len);
    memcpy(batch->ask.head, head->bytes, head->len);
    batch->ask.head_len = (uint8_t)head->len;
    peer_ask(batcher->peer, &batch->ask);
}

void batcher_pump(struct batcher *batcher)
{
    while (batcher->first && batcher->first->count && !batcher->rewinding &&
           (batcher->sent == 0 || (batcher->sent < batcher->engine->limits.batches_in_flight &&
                                   (batcher->first != batcher->last || is_full(batcher->first)))))
        send(batcher);
}

static bool waits_too_long(const struct batcher *batcher, uint64_t since_ns)
{
    return batcher->engine->now_ns - since_ns > (uint64_t)batcher->engine->limits.answer_ms * NS_PER_MS;
}

/* What was not sent, or came back out of order, has had no effect and can be said so: all of it, or only what waits too
 * long. The oldest stand first. */
static void refuse_waiting(struct batcher *batcher, struct batch **first, struct batch **last, bool all,
                           const struct error *error)
{
    while (*first && (all || waits_too_long(batcher, (*first)->begun_ns))) {
        struct batch *batch = *first;
        *first = batch->next;
        if (!*first)
            *last = NULL;
        refuse_all(batch, error);
        recycle(batcher, batch);
    }
}

/* Nothing of what is in flight beyond said.last_batch is in the file or can still come to it: the shard reads in order,
 * and its hello came after all that. */
static void give_up(struct batcher *batcher)
{
    struct error error;
    error_set(&error, ERROR_UNAVAILABLE,
              "database %s was lost %lld times while it took these rows, and they are not in it (its log says why): %s",
              batcher->engine->schema->databases[batcher->peer->database].name,
              (long long)batcher->engine->limits.batch_losses, batcher->peer->why.text);
    for (struct batch *batch = batcher->first_sent, *next; batch; batch = next) {
        next = batch->next;
        if (batch->number <= batcher->peer->said.last_batch)
            continue;
        take_sent(batcher, batch);
        peer_take_back(batcher->peer, &batch->ask);
        refuse_all(batch, &error);
        recycle(batcher, batch);
    }
    batcher->next_number = batcher->peer->said.last_batch + 1;
    finish_rewind(batcher);
    refuse_waiting(batcher, &batcher->first, &batcher->last, true, &error);
}

static void shard_is_back(struct peer *peer)
{
    struct batcher *batcher = &peer->engine->batchers[peer->database];
    bool hopeless = false;
    for (struct batch *batch = batcher->first_sent; batch; batch = batch->next)
        if (batch->number > peer->said.last_batch && batch->ask.generation != 0)
            hopeless |= ++batch->losses >= batcher->engine->limits.batch_losses;
    if (hopeless)
        give_up(batcher);
}

bool batcher_refuse_away(struct batcher *batcher)
{
    struct error error;
    if ((!batcher->first && !batcher->first_again) || !peer_is_away(batcher->peer))
        return false;
    peer_error(batcher->peer, &error);
    refuse_waiting(batcher, &batcher->first_again, &batcher->last_again, true, &error);
    refuse_waiting(batcher, &batcher->first, &batcher->last, true, &error);
    return true;
}

static void tell_overdue(struct batch *batch)
{
    struct error error;
    const struct batcher *batcher = batch->batcher;
    error_set(&error, ERROR_UNKNOWN, "database %s has not answered in time: whether the row is there is not known",
              batcher->engine->schema->databases[batcher->peer->database].name);
    batch->overdue = true;
    for (uint32_t i = 0; i < batch->count; i++)
        if (batch->members[i])
            batch->members[i]->kind->overdue(batch->members[i], &error);
}

void batcher_tick(struct batcher *batcher)
{
    struct error error;
    peer_error(batcher->peer, &error);
    refuse_waiting(batcher, &batcher->first_again, &batcher->last_again, false, &error);
    refuse_waiting(batcher, &batcher->first, &batcher->last, false, &error);
    for (struct batch *batch = batcher->first_sent; batch; batch = batch->next)
        if (!batch->overdue && waits_too_long(batcher, batch->sent_ns) && batch->ask.generation != 0)
            tell_overdue(batch);
}

uint32_t batcher_stranded(const struct batcher *batcher)
{
    uint32_t count = 0;
    for (const struct batch *batch = batcher->first_sent; batch && batcher->peer->state != PEER_READY;
         batch = batch->next)
        if (!batch->overdue && batch->ask.generation != 0)
            count += batch->count;
    return count;
}

void batcher_stop(struct batcher *batcher)
{
    struct error error;
    error_set(&error, ERROR_UNAVAILABLE, "the coordinator is stopping");
    refuse_waiting(batcher, &batcher->first_again, &batcher->last_again, true, &error);
    refuse_waiting(batcher, &batcher->first, &batcher->last, true, &error);
    for (struct batch *batch = batcher->first_sent; batch; batch = batch->next)
        if (!batch->overdue)
            tell_overdue(batch);
}
