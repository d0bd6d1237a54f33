/* SPDX-License-Identifier: Apache-2.0 */
#include "query.h"

#include "peer.h"

#include <stdlib.h>

struct question {
    struct lock_owner owner; /* first: a lock_owner is its question */
    struct ask ask;
    struct engine *engine;
    struct query *query;
    struct question *next, *before;
    uint64_t begun_ns;
    uint64_t asked_ns;
    bool asked;
};

static void question_free(struct question *question)
{
    buffer_release(&question->ask.body);
    free(question);
}

void query_free_all(struct engine *engine)
{
    while (engine->questions) {
        struct question *next = engine->questions->next;
        question_free(engine->questions);
        engine->questions = next;
    }
}

static void end(struct question *question, const struct error *error)
{
    struct engine *engine = question->engine;
    struct query *query = question->query;
    locks_release(engine->locks, &question->owner);
    if (question->before)
        question->before->next = question->next;
    else
        engine->questions = question->next;
    if (question->next)
        question->next->before = question->before;
    query->ok = !error;
    if (error)
        query->error = *error;
    question_free(question);
    query->finished(query);
}

static void answered(struct ask *ask, struct cursor *body, const struct error *refusal)
{
    struct question *question = ask->context;
    struct error error;
    if (!refusal && !buffer_put(&question->query->answer, body->at, cursor_left(body))) {
        error_set(&error, ERROR_INTERNAL, "out of memory");
        refusal = &error;
    }
    end(question, refusal);
}

static struct peer *peer_of(const struct question *question)
{
    return &question->engine->peers[question->query->database];
}

static void granted(struct lock_owner *owner)
{
    struct question *question = (struct question *)(void *)owner;
    question->asked = true;
    question->asked_ns = question->engine->now_ns;
    peer_ask(peer_of(question), &question->ask);
}

static bool waits_for_shard(const struct lock_owner *owner)
{
    return ((const struct question *)(const void *)owner)->asked;
}

static uint64_t moved_ns(const struct lock_owner *owner)
{
    return ((const struct question *)(const void *)owner)->asked_ns;
}

void query_begin(struct engine *engine, struct query *query)
{
    struct lock_want want = {.exclusive = true};
    size_t count = 0;
    struct wire_scan scan;
    struct error error;
    struct question *question = calloc(1, sizeof *question);
    if (!question) {
        query->ok = false;
        error_set(&query->error, ERROR_INTERNAL, "out of memory");
        query->finished(query);
        return;
    }
    *question = (struct question){.ask = {.kind = query->kind, .answered = answered, .context = question},
                                  .engine = engine,
                                  .query = query,
                                  .next = engine->questions,
                                  .begun_ns = engine->now_ns};
    lock_owner_init(&question->owner, granted);
    question->owner.waits_for_shard = waits_for_shard;
    question->owner.moved_ns = moved_ns;
    question->owner.age = ++engine->owners_begun;
    if (question->next)
        question->next->before = question;
    engine->questions = question;
    struct cursor body = cursor_over(query->ask.bytes, query->ask.len);
    if (query->kind == WIRE_SCAN && wire_get_scan(&body, engine->schema, &scan, &error)) {
        want.key = rowkeys_table(engine->rowkeys, scan.table);
        count = 1;
    }
    buffer_move(&question->ask.body, &query->ask);
    buffer_clear(&query->answer);
    if (peer_is_away(peer_of(question))) {
        peer_error(peer_of(question), &error);
        end(question, &error);
    } else if (!locks_take(engine->locks, &question->owner, &want, &count)) {
        error_set(&error, ERROR_INTERNAL, "out of memory");
        end(question, &error);
    } else if (question->owner.waiting == 0)
        granted(&question->owner);
}

void query_tick(struct engine *engine)
{
    struct error error;
    for (struct question *question = engine->questions, *next; question; question = next) {
        next = question->next;
        if (question->asked)
            continue;
        if (peer_is_away(peer_of(question)))
            peer_error(peer_of(question), &error);
        else if (engine_waits_too_long(engine, &question->owner, NULL, question->begun_ns))
            error_set(&error, ERROR_UNAVAILABLE, "a transaction on this table has no outcome yet");
        else
            continue;
        end(question, &error);
    }
}

void query_stop(struct engine *engine)
{
    struct error error;
    error_set(&error, ERROR_UNAVAILABLE, "the coordinator is stopping");
    while (engine->questions)
        end(engine->questions, &error);
}
