/* SPDX-License-Identifier: Apache-2.0 */
/* What other threads call: it only posts to the mailbox, or to where the engine runs. */
#include "core.h"

#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

struct engine *engine_elsewhere(const struct engine_calls *calls, void *context)
{
    struct engine *engine = calloc(1, sizeof *engine);
    if (engine) {
        engine->calls = calls;
        engine->calls_context = context;
    }
    return engine;
}

void engine_submit(struct engine *engine, struct submission *submission)
{
    if (engine->calls) {
        engine->calls->submit(engine->calls_context, submission);
        return;
    }
    mailbox_submit(engine->mailbox, submission);
}

void engine_ask(struct engine *engine, struct query *query)
{
    const struct mail mail = {.kind = MAIL_QUERY, .query = query};
    if (engine->calls) {
        engine->calls->ask(engine->calls_context, query);
        return;
    }
    mailbox_post(engine->mailbox, &mail);
}

static void wait_over(sem_t *over)
{
    while (sem_wait(over) != 0)
        continue; /* EINTR */
    sem_destroy(over);
}

static void submission_over(struct submission *submission)
{
    sem_post(submission->context);
}

void engine_submit_and_wait(struct engine *engine, struct submission *submission)
{
    sem_t over;
    if (sem_init(&over, 0, 0) != 0)
        panic("no semaphore");
    submission->finished = submission_over;
    submission->context = &over;
    engine_submit(engine, submission);
    wait_over(&over);
}

static void query_over(struct query *query)
{
    sem_post(query->context);
}

bool engine_ask_and_wait(struct engine *engine, struct query *query)
{
    sem_t over;
    if (sem_init(&over, 0, 0) != 0)
        panic("no semaphore");
    query->finished = query_over;
    query->context = &over;
    engine_ask(engine, query);
    wait_over(&over);
    return query->ok;
}

bool engine_metrics(struct engine *engine, struct engine_metrics *ret_metrics, struct error *error)
{
    struct metrics_request request = {.metrics = ret_metrics};
    const struct mail mail = {.kind = MAIL_METRICS, .metrics = &request};
    *ret_metrics = (struct engine_metrics){0};
    if (engine->calls)
        return engine->calls->metrics(engine->calls_context, ret_metrics, error);
    if (sem_init(&request.over, 0, 0) != 0)
        return error_set(error, ERROR_INTERNAL, "no semaphore");
    mailbox_post(engine->mailbox, &mail);
    wait_over(&request.over);
    return request.ok || error_set(error, ERROR_INTERNAL, "out of memory");
}

bool engine_ready(struct engine *engine, struct error *error)
{
    struct ready_request request = {0};
    const struct mail mail = {.kind = MAIL_READY, .ready = &request};
    if (sem_init(&request.over, 0, 0) != 0)
        return error_set(error, ERROR_INTERNAL, "no semaphore");
    mailbox_post(engine->mailbox, &mail);
    wait_over(&request.over);
    if (request.error.code != ERROR_NONE)
        *error = request.error;
    return request.error.code == ERROR_NONE;
}

void engine_metrics_release(struct engine_metrics *metrics)
{
    free(metrics->databases);
    *metrics = (struct engine_metrics){0};
}
