/* SPDX-License-Identifier: Apache-2.0 */
#include "keyed.h"

#include "batcher.h"
#include "outcome.h"
#include "peer.h"
#include "wire.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS 1000000u
#define ENTRY_HEAD_BYTES 512u /* of an entry with a KEEP, beside the outcome: more than it takes */

enum keyed_state { KEYED_LOCKING, KEYED_ASKING, KEYED_CLAIMING, KEYED_READY };

/* What one database has kept. */
struct kept_ask {
    struct ask ask;
    struct keyed *keyed;
    database_id database;
    uint32_t from; /* the index that it was asked from */
};

/* An entry that keeps and does nothing else: a claim, or a refusal. */
struct keeping {
    struct batch_member member; /* first: a member is its keeping */
    struct keyed *keyed;
    struct keeping *next;
    struct submission *submission; /* NULL: answered */
    uint32_t first, count;         /* the ops that were refused */
};

struct keyed {
    struct lock_owner owner; /* first: a lock_owner is its keyed */
    struct engine *engine;
    struct submission *submission; /* until it is READY */
    struct keyed *next, *before;
    enum keyed_state state;
    bool atomic;
    bool claimed;
    bool reused; /* something is kept with another digest */
    uint64_t lock;
    uint64_t begun_ns;
    int64_t at_ms;
    database_id home;
    uint32_t asking;          /* questions under way */
    uint32_t held;            /* what has to end before the key is free */
    struct keeping *keepings; /* all there were */
    struct kept_ask asks[];   /* per database */
};

static struct keeping *keeping_of(struct batch_member *member)
{
    return (struct keeping *)(void *)member;
}

/* ---- the time (I5) ---- */

static int64_t kept_now_ms(const struct engine *engine)
{
    return engine->kept_from_ms + (int64_t)((engine->now_ns - engine->kept_from_ns) / NS_PER_MS);
}

void keyed_heard(struct engine *engine, int64_t kept_at_ms)
{
    if (kept_at_ms > INT64_MAX / 2) /* of no engine's */
        kept_at_ms = 0;
    if (kept_at_ms > kept_now_ms(engine)) {
        engine->kept_from_ms = kept_at_ms;
        engine->kept_from_ns = engine->now_ns;
    }
}

/* ---- life ---- */

static void keyed_free(struct keyed *keyed)
{
    for (struct keeping *keeping = keyed->keepings, *next; keeping; keeping = next) {
        next = keeping->next;
        free(keeping);
    }
    for (database_id d = 0; d < keyed->engine->schema->database_count; d++)
        buffer_release(&keyed->asks[d].ask.body);
    free(keyed);
}

void keyed_free_all(struct engine *engine)
{
    while (engine->keyed) {
        struct keyed *next = engine->keyed->next;
        keyed_free(engine->keyed);
        engine->keyed = next;
    }
}

bool keyed_any_waiting(const struct engine *engine)
{
    for (const struct keyed *keyed = engine->keyed; keyed; keyed = keyed->next)
        if (keyed->state != KEYED_READY)
            return true;
    return false;
}

void keyed_ended(struct keyed *keyed)
{
    struct engine *engine = keyed->engine;
    if (--keyed->held > 0)
        return;
    locks_release(engine->locks, &keyed->owner);
    if (keyed->before)
        keyed->before->next = keyed->next;
    else
        engine->keyed = keyed->next;
    if (keyed->next)
        keyed->next->before = keyed->before;
    keyed_free(keyed);
}

/* ---- what is kept ---- */

database_id keyed_database(const struct keyed *keyed, const struct submission *submission, uint32_t op)
{
    return keyed->atomic ? keyed->home : keyed->engine->schema->tables[submission->ops[op].table].database;
}

uint64_t keyed_lock(const struct keyed *keyed)
{
    return keyed->lock;
}

static bool put_keep(const struct keyed *keyed, const struct submission *submission, uint32_t index,
                     const struct buffer *outcome, struct buffer *ops)
{
    const struct submission_key *key = &submission->key;
    const struct wire_keep keep = {.key = key->bytes,
                                   .key_len = key->len,
                                   .index = index,
                                   .digest = key->digest.bytes,
                                   .at_ms = keyed->at_ms,
                                   .outcome = outcome->bytes,
                                   .outcome_len = outcome->len};
    return wire_put_keep(ops, &keep);
}

static uint32_t index_of(const struct keyed *keyed, uint32_t first)
{
    return keyed->atomic ? KEYED_WHOLE : first;
}

bool keyed_put(const struct keyed *keyed, const struct submission *submission, uint32_t first, uint32_t count,
               struct buffer *ops)
{
    struct buffer outcome = {0};
    bool ok = outcome_put_done(submission, first, count, &outcome) &&
              put_keep(keyed, submission, index_of(keyed, first), &outcome, ops);
    buffer_release(&outcome);
    return ok;
}

/* An entry of its own. */
static void keep(struct keyed *keyed, const struct batch_member_kind *kind, struct submission *submission,
                 uint32_t first, uint32_t count, database_id database, uint32_t index, const struct buffer *outcome)
{
    struct keeping *keeping = calloc(1, sizeof *keeping);
    struct batcher *batcher = &keyed->engine->batchers[database];
    struct buffer *body = batcher_room(batcher, outcome->len + ENTRY_HEAD_BYTES);
    if (!keeping || !body)
        panic("out of memory for an outcome");
    *keeping = (struct keeping){.member.kind = kind,
                                .keyed = keyed,
                                .next = keyed->keepings,
                                .submission = submission,
                                .first = first,
                                .count = count};
    keyed->keepings = keeping;
    keyed->held++;
    if (!wire_put_group(body, 1) || !put_keep(keyed, submission, index, outcome, body) ||
        !batcher_added(batcher, &keeping->member))
        panic("out of memory for an outcome");
}

static void same(struct batch_member *member, uint32_t op)
{
    (void)member;
    (void)op;
}

/* ---- answers ---- */

static void tell(struct keyed *keyed, struct submission *submission, uint32_t count)
{
    struct engine *engine = keyed->engine;
    for (; count > 0; count--) /* with the last it may be somebody else's again */
        engine_answered(engine, submission);
}

/* The refusal could not be kept, or nobody knows whether it was: a retry may meet something else, so it is not told. */
static void refuse_instead(struct submission *submission, uint32_t first, uint32_t count, const struct error *error)
{
    bool told = false;
    for (uint32_t i = first; i < first + count; i++) {
        struct op *op = &submission->ops[i];
        if (op->error && !told) {
            *op->error = *error;
            told = true;
        } else {
            free(op->error);
            op->error = NULL;
        }
    }
}

static void refusal_answered(struct keeping *keeping, const struct error *error)
{
    struct submission *submission = keeping->submission;
    if (!submission)
        return;
    keeping->submission = NULL;
    if (error)
        refuse_instead(submission, keeping->first, keeping->count, error);
    tell(keeping->keyed, submission, keeping->count);
}

static void refusal_settled(struct batch_member *member, uint32_t op, const struct error *error)
{
    struct keeping *keeping = keeping_of(member);
    (void)op;
    refusal_answered(keeping, error);
    keyed_ended(keeping->keyed);
}

static void refusal_overdue(struct batch_member *member, const struct error *error)
{
    refusal_answered(keeping_of(member), error);
}

static const struct batch_member_kind refusal_kind = {same, refusal_settled, refusal_overdue};

void keyed_answered(struct keyed *keyed, struct submission *submission, uint32_t first, uint32_t count)
{
    struct buffer outcome = {0};
    if (submission->ops[first].result != OP_REFUSED || !outcome_is_final(submission, first, count)) {
        tell(keyed, submission, count);
        return;
    }
    for (uint32_t i = first; i < first + count; i++) { /* they were said for when it is done */
        submission->ops[i].inserted = false;
        submission->ops[i].new_key = (struct op_bytes){0, 0};
    }
    if (!outcome_put_refused(submission, first, count, &outcome))
        panic("out of memory for an outcome");
    keep(keyed, &refusal_kind, submission, first, count, keyed_database(keyed, submission, first),
         index_of(keyed, first), &outcome);
    buffer_release(&outcome);
}

bool keyed_answers(struct engine *engine, struct submission *submission, uint32_t at)
{
    struct keyed *keyed = submission->engine;
    if (submission->ops[at].result == OP_PENDING)
        return false;
    for (uint32_t left = keyed->atomic ? submission->count : 1; left > 0; left--)
        engine_answered(engine, submission);
    keyed_ended(keyed);
    return true;
}

/* ---- looking it up ---- */

static bool does_nothing(const struct submission *submission)
{
    return submission->ops[0].kind == OP_NOTHING;
}

static void ready(struct keyed *keyed)
{
    struct submission *submission = keyed->submission;
    if (does_nothing(submission) && submission->ops[0].result == OP_PENDING)
        submission->ops[0].result = OP_DONE;
    keyed->state = KEYED_READY;
    keyed->submission = NULL;
    engine_queue(keyed->engine, submission);
}

/* Ops of `database`, or all when it is SCHEMA_NONE, but those that have an outcome. */
static void refuse(struct keyed *keyed, database_id database, const struct error *error)
{
    const struct schema *schema = keyed->engine->schema;
    struct submission *submission = keyed->submission;
    for (uint32_t i = 0; i < submission->count; i++)
        if (submission->ops[i].result == OP_PENDING &&
            (database == SCHEMA_NONE || schema->tables[submission->ops[i].table].database == database))
            op_refuse(&submission->ops[i], error);
}

static void refuse_all(struct keyed *keyed, const struct error *error)
{
    refuse(keyed, SCHEMA_NONE, error);
    ready(keyed);
}

/* Whatever outcomes have been found are those of another body. */
static void refuse_reused(struct keyed *keyed)
{
    struct submission *submission = keyed->submission;
    struct error error;
    for (uint32_t i = 0; i < submission->count; i++) {
        struct op *op = &submission->ops[i];
        free(op->error);
        op->error = NULL;
        op->result = OP_PENDING;
        op->key_assigned = op->inserted = op->replayed = false;
        op->new_key = (struct op_bytes){0, 0};
    }
    error_set(&error, ERROR_KEY_REUSED, "this idempotency key came before with another request");
    refuse_all(keyed, &error);
}

static void claim_settled(struct batch_member *member, uint32_t op, const struct error *error)
{
    struct keyed *keyed = keeping_of(member)->keyed;
    (void)op;
    if (keyed->state == KEYED_CLAIMING && error)
        refuse_all(keyed, error);
    else if (keyed->state == KEYED_CLAIMING)
        ready(keyed);
    keyed_ended(keyed);
}

/* Nothing has been begun. */
static void claim_overdue(struct batch_member *member, const struct error *error)
{
    struct keyed *keyed = keeping_of(member)->keyed;
    struct error unavailable;
    (void)error;
    peer_error(&keyed->engine->peers[keyed->home], &unavailable);
    refuse_all(keyed, &unavailable);
}

static const struct batch_member_kind claim_kind = {same, claim_settled, claim_overdue};

static bool needs_claim(const struct keyed *keyed)
{
    const struct submission *submission = keyed->submission;
    bool elsewhere = false;
    if (keyed->claimed)
        return false;
    if (does_nothing(submission))
        return submission->ops[0].result == OP_PENDING;
    if (keyed->atomic)
        return false;
    for (uint32_t i = 0; i < submission->count; i++) {
        elsewhere |= keyed_database(keyed, submission, i) != keyed->home;
        if (elsewhere && submission->ops[i].result == OP_PENDING)
            return true;
    }
    return false;
}

static void looked_up(struct keyed *keyed)
{
    const struct buffer nothing = {0};
    if (keyed->reused)
        refuse_reused(keyed);
    else if (needs_claim(keyed)) {
        keyed->state = KEYED_CLAIMING;
        keep(keyed, &claim_kind, keyed->submission, 0, 0, keyed->home, KEYED_CLAIM, &nothing);
    } else
        ready(keyed);
}

/* One thing that is kept under the key. */
static bool take_one(struct keyed *keyed, const struct wire_keep *one, struct error *error)
{
    struct submission *submission = keyed->submission;
    if (memcmp(one->digest, submission->key.digest.bytes, WIRE_DIGEST_BYTES) != 0) {
        keyed->reused = true;
        return true;
    }
    if (one->index == KEYED_CLAIM) {
        keyed->claimed = true;
        return true;
    }
    if (keyed->atomic ? one->index != KEYED_WHOLE : one->index >= submission->count)
        return error_set(error, ERROR_INTERNAL, "what is kept for this idempotency key is of another request");
    if (submission->ops[keyed->atomic ? 0 : one->index].result != OP_PENDING)
        return true;
    return outcome_get(one->outcome, one->outcome_len, submission, keyed->atomic ? 0 : one->index,
                       keyed->atomic ? submission->count : 1, error);
}

static void ask(struct kept_ask *kept, uint32_t from);

/* True: the next page is asked for. */
static bool take_page(struct kept_ask *kept, struct cursor *body)
{
    struct keyed *keyed = kept->keyed;
    struct wire_kept page;
    struct wire_keep one = {0};
    struct error error;
    bool ok = wire_get_kept_answer(body, &page, &error);
    for (uint32_t i = 0; ok && i < page.count; i++)
        ok = wire_get_kept_one(&page.list, &one, &error) && take_one(keyed, &one, &error);
    if (!ok) {
        error.code = ERROR_INTERNAL;
        refuse(keyed, SCHEMA_NONE, &error);
    }
    if (!ok || keyed->reused || page.complete || page.count == 0)
        return false;
    ask(kept, one.index + 1);
    return true;
}

/* Each has an index that is above the one before it, and none is below what was asked for. */
static bool fits(const struct ask *asked, struct cursor body, const struct error *refusal, struct error *error)
{
    const struct kept_ask *kept = asked->context;
    struct wire_kept page;
    struct wire_keep one;
    if (refusal)
        return true;
    if (!wire_get_kept_answer(&body, &page, error))
        return false;
    uint64_t from = kept->from;
    for (uint32_t i = 0; i < page.count; i++) {
        if (!wire_get_kept_one(&page.list, &one, error))
            return false;
        if (one.index < from)
            return error_set(error, ERROR_PARSE, "its indexes do not ascend");
        from = (uint64_t)one.index + 1;
    }
    return page.complete || from <= UINT32_MAX || error_set(error, ERROR_PARSE, "nothing can follow the last index");
}

static void answered(struct ask *asked, struct cursor *body, const struct error *refusal)
{
    struct kept_ask *kept = asked->context;
    struct keyed *keyed = kept->keyed;
    if (refusal) /* without its home nothing is known of the key, without another only nothing of that one's ops */
        refuse(keyed, kept->database == keyed->home ? SCHEMA_NONE : kept->database, refusal);
    else if (take_page(kept, body))
        return;
    if (--keyed->asking == 0)
        looked_up(keyed);
}

static void ask(struct kept_ask *kept, uint32_t from)
{
    struct keyed *keyed = kept->keyed;
    const struct submission_key *key = &keyed->submission->key;
    const struct wire_kept_ask question = {.key = key->bytes, .key_len = key->len, .from = from, .at_ms = keyed->at_ms};
    kept->from = from;
    buffer_clear(&kept->ask.body);
    if (!wire_put_kept(&kept->ask.body, &question))
        panic("out of memory for a question");
    peer_ask(&keyed->engine->peers[kept->database], &kept->ask);
}

static void granted(struct lock_owner *owner)
{
    struct keyed *keyed = (struct keyed *)(void *)owner;
    const struct submission *submission = keyed->submission;
    bool wanted[LIMIT_DATABASES_MAX] = {false};
    if (keyed->state != KEYED_LOCKING)
        return;
    keyed->state = KEYED_ASKING;
    keyed->at_ms = kept_now_ms(keyed->engine);
    wanted[keyed->home] = true;
    for (uint32_t i = 0; i < submission->count; i++)
        wanted[keyed_database(keyed, submission, i)] = true;
    keyed->asking = 1; /* until all have been asked */
    for (database_id d = 0; d < keyed->engine->schema->database_count; d++)
        if (wanted[d]) {
            keyed->asking++;
            ask(&keyed->asks[d], 0);
        }
    if (--keyed->asking == 0)
        looked_up(keyed);
}

static database_id home_of(const struct engine *engine, const struct submission_key *key)
{
    uint64_t number;
    if (key->table != SCHEMA_NONE)
        return engine->schema->tables[key->table].database;
    struct row_tag tag = row_tag(key->bytes, key->len); /* the same in every life */
    memcpy(&number, tag.bytes, sizeof number);
    return (database_id)(le64toh(number) % engine->schema->database_count);
}

static bool is_home_away(const struct keyed *keyed, struct error *error)
{
    const struct peer *peer = &keyed->engine->peers[keyed->home];
    if (!peer_is_away(peer))
        return false;
    peer_error(peer, error);
    return true;
}

void keyed_begin(struct engine *engine, struct submission *submission)
{
    size_t databases = engine->schema->database_count;
    struct keyed *keyed = calloc(1, sizeof *keyed + databases * sizeof *keyed->asks);
    size_t count = 1;
    if (!keyed)
        panic("out of memory for an idempotency key");
    keyed->engine = engine;
    keyed->submission = submission;
    keyed->atomic = submission->atomic;
    keyed->held = submission->atomic ? 1 : submission->count;
    keyed->home = home_of(engine, &submission->key);
    keyed->lock = rowkeys_request(submission->key.bytes, submission->key.len);
    keyed->begun_ns = engine->now_ns;
    for (database_id d = 0; d < databases; d++)
        keyed->asks[d] = (struct kept_ask){
            .ask = {.kind = WIRE_KEPT, .answered = answered, .fits = fits, .context = &keyed->asks[d]},
            .keyed = keyed,
            .database = d};
    keyed->next = engine->keyed;
    if (keyed->next)
        keyed->next->before = keyed;
    engine->keyed = keyed;
    submission->engine = keyed;
    if (submission->parsed_ns == 0)
        submission->parsed_ns = engine->now_ns;
    lock_owner_init(&keyed->owner, granted);
    keyed->owner.age = ++engine->owners_begun;
    struct lock_want want = {.key = keyed->lock, .exclusive = true};
    struct error error;
    if (is_home_away(keyed, &error))
        refuse_all(keyed, &error);
    else if (!locks_take(engine->locks, &keyed->owner, &want, &count))
        panic("out of memory for an idempotency key");
    else if (keyed->owner.waiting == 0)
        granted(&keyed->owner);
}

void keyed_tick(struct engine *engine)
{
    uint64_t waits = (uint64_t)engine->limits.lock_ms * NS_PER_MS;
    struct error error;
    for (struct keyed *keyed = engine->keyed; keyed; keyed = keyed->next) {
        if (keyed->state != KEYED_LOCKING)
            continue;
        if (!is_home_away(keyed, &error)) {
            if (engine->now_ns - keyed->begun_ns <= waits)
                continue;
            error_set(&error, ERROR_UNAVAILABLE, "an earlier request with this idempotency key has no outcome yet");
        }
        refuse_all(keyed, &error);
    }
}

void keyed_stop(struct engine *engine)
{
    struct error error;
    error_set(&error, ERROR_UNAVAILABLE, "the coordinator is stopping");
    for (struct keyed *keyed = engine->keyed; keyed; keyed = keyed->next)
        if (keyed->state != KEYED_READY)
            refuse_all(keyed, &error);
}
