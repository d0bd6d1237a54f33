/* SPDX-License-Identifier: Apache-2.0 */
#include "request.h"

#include "done.h"
#include "json.h"
#include "status.h"
#include "work.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define OPS_OF_SMALL_ANSWER 64u /* an error has a KiB at most */

/* What follows the scheme of an absolute target; NULL: it has none. */
static char *behind_scheme(char *target)
{
    if (strncasecmp(target, "http://", 7) == 0)
        return target + 7;
    return strncasecmp(target, "https://", 8) == 0 ? target + 8 : NULL;
}

/* Sets authority, path and query. */
static void take_apart(struct request *request)
{
    char *path = request->target, *authority = behind_scheme(path);

    if (authority) { /* a byte down, over the slash, so that it has an end */
        size_t len = strcspn(authority, "/?");

        path = authority + len;
        request->authority = memmove(authority - 1, authority, len);
        authority[len - 1] = '\0';
    }
    size_t len = strcspn(path, "?");
    if (path[len] == '?') {
        path[len] = '\0';
        request->query = path + len + 1;
    }
    request->path = len == 0 && authority ? "/" : path;
    request->path_len = strlen(request->path);
}

struct request *request_new(struct http *http, const char *target)
{
    struct request *request = calloc(1, sizeof *request);

    if (!request)
        return NULL;
    request->http = http;
    request->table = SCHEMA_NONE;
    request->target = strdup(target);
    if (!request->target) {
        free(request);
        return NULL;
    }
    take_apart(request);
    request->media = "application/json";
    return request;
}

/* What the answer was made of. */
static void let_go(struct request *request)
{
    work_free(request->work);
    request->work = NULL;
    buffer_release(&request->ask.answer);
    room_give(&request->http->room, request->taken);
    request->taken = 0;
}

void request_free(struct request *request)
{
    if (!request)
        return;
    let_go(request);
    free(request->refusal);
    buffer_release(&request->known_as);
    buffer_release(&request->ask.ask);
    buffer_release(&request->body);
    buffer_release(&request->answer);
    free(request->target);
    free(request);
}

void request_reply(struct request *request, unsigned status)
{
    request->status = status;
    request->state = REQUEST_ANSWERED;
}

void request_refuse_op(struct request *request, const struct error *error, int64_t op)
{
    struct buffer *out = &request->answer;

    buffer_clear(out);
    request->etag[0] = '\0';
    request->media = "application/json";
    request->failed = !buffer_put_text(out, "{\"ok\":false,\"error\":") || !json_put_error(out, error) ||
                      (op >= 0 && (!buffer_put_text(out, ",\"op\":") || !json_put_integer(out, op))) ||
                      !buffer_put(out, "}", 1);
    request_reply(request, status_of(error->code));
}

void request_refuse(struct request *request, const struct error *error)
{
    request_refuse_op(request, error, -1);
}

void request_leave(struct request *request, void (*render)(struct request *request))
{
    request->state = REQUEST_WORKING;
    request->render = render;
    request->http->counts.working++;
}

static bool reads(const struct submission *submission)
{
    return submission->count == 1 && submission->ops[0].kind == OP_READ;
}

/* Engine thread. Rows wait in memory for the server's thread, too. */
static void submission_finished(struct submission *submission)
{
    struct request *request = submission->context;
    struct error error;

    if (reads(submission) && !room_take(&request->http->room, submission->rows.capacity, &request->taken, &error)) {
        buffer_release(&submission->rows);
        op_refuse(&submission->ops[0], &error);
    }
    done_put(request->http->done, request);
}

/* Beside path and body, what a request is known again by. */
static bool put_how(const struct request *request, struct buffer *how)
{
    static const char *const methods[] = {"GET", "POST", "PATCH", "DELETE", ""};
    const char *query = request->query ? request->query : "";
    const char *if_match = request->headers.if_match ? request->headers.if_match : "";

    return buffer_format(how, "%s ?%s If-Match: %s", methods[request->method], query, if_match) &&
           buffer_put(how, "", 1);
}

static bool has_key(const struct request *request)
{
    return request->headers.idempotency_key && request->method != METHOD_GET;
}

static bool set_key(struct request *request, struct error *error)
{
    const char *key = request->headers.idempotency_key;
    const char *path = request->known_as.len ? (const char *)request->known_as.bytes : request->path;
    struct buffer how = {0};
    bool fine = put_how(request, &how)
                    ? submission_set_key(request->work->submission, path, request->table, key, strlen(key),
                                         (const char *)how.bytes, request->body.bytes, request->body.len, error)
                    : error_set(error, ERROR_INTERNAL, "out of memory");

    buffer_release(&how);
    return fine;
}

void request_submit(struct request *request, void (*render)(struct request *request))
{
    struct http *http = request->http;
    struct submission *submission = request->work->submission;
    uint64_t waiting = http->counts.waiting_ops;
    struct error error;

    if (has_key(request) && submission->count == 0)
        work_note(request->work);
    if (waiting > 0 && waiting + submission->count > (uint64_t)http->limits->waiting_ops) {
        error_set(&error, ERROR_BUSY, "%llu operations wait already", (unsigned long long)waiting);
        request_refuse(request, &error);
        return;
    }
    if (submission->count > OPS_OF_SMALL_ANSWER && !room_is_left(&http->room, &error)) {
        request_refuse(request, &error);
        return;
    }
    if (has_key(request) && !set_key(request, &error)) {
        request_refuse(request, &error);
        return;
    }
    http->counts.waiting_ops += submission->count;
    submission->finished = submission_finished;
    submission->context = request;
    request_leave(request, render);
    engine_submit(http->engine, submission);
}

/* Engine thread. */
static void query_finished(struct query *query)
{
    struct request *request = query->context;

    if (query->ok && !room_take(&request->http->room, query->answer.capacity, &request->taken, &query->error)) {
        buffer_release(&query->answer);
        query->ok = false;
    }
    done_put(request->http->done, request);
}

void request_ask(struct request *request, void (*render)(struct request *request))
{
    struct error error;

    if (request->limit > LIMIT_PAGE_ROWS_STANDARD && !room_is_left(&request->http->room, &error)) {
        request_refuse(request, &error);
        return;
    }
    request->ask.finished = query_finished;
    request->ask.context = request;
    request_leave(request, render);
    engine_ask(request->http->engine, &request->ask);
}

static void render_refusal(struct request *request)
{
    request_refuse_op(request, request->refusal, request->refused_op);
}

void request_refuse_write(struct request *request, const struct error *error, int64_t op)
{
    struct error out_of_memory;

    if (!has_key(request) || error->code == ERROR_INTERNAL) {
        request_refuse_op(request, error, op);
        return;
    }
    work_free(request->work);
    request->work = work_new(request->http->schema, WORK_ATOMIC, 1);
    request->refusal = malloc(sizeof *request->refusal);
    if (!request->work || !request->refusal) {
        error_set(&out_of_memory, ERROR_INTERNAL, "out of memory");
        request_refuse(request, &out_of_memory);
        return;
    }
    *request->refusal = *error;
    request->refused_op = op;
    request_submit(request, render_refusal);
}

/* What the key says of the request as a whole. NULL: nothing. */
static const struct error *refusal_by_key(const struct request *request)
{
    const struct submission *submission = request->work ? request->work->submission : NULL;
    const struct op *op = submission && submission->count > 0 ? &submission->ops[0] : NULL;

    return op && op->error && (op->kind == OP_NOTHING || op->error->code == ERROR_KEY_REUSED) ? op->error : NULL;
}

void request_finish(struct request *request)
{
    const struct error *refusal = refusal_by_key(request);

    request->http->counts.working--;
    if (request->work)
        request->http->counts.waiting_ops -= request->work->submission->count;
    if (refusal)
        request_refuse(request, refusal);
    else
        request->render(request);
    let_go(request);
    request->http->counts.bodies_bytes -= request->body.len;
    buffer_release(&request->body);
}

void request_weigh(struct request *request)
{
    struct room *room = &request->http->room;
    struct error error;

    if (request->method != METHOD_GET)
        request->taken = room_take_always(room, request->answer.capacity);
    else if (!room_take(room, request->answer.capacity, &request->taken, &error)) {
        buffer_release(&request->answer);
        request_refuse(request, &error);
    }
}
