/* SPDX-License-Identifier: Apache-2.0 */
#include "serve.h"

#include "batch.h"
#include "channel.h"
#include "children.h"
#include "clock.h"
#include "failpoint.h"
#include "log.h"
#include "owner.h"
#include "read.h"
#include "wire.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define DRAIN_MAX 8u /* batches that share one commit */
#define EXIT_OUTCOME_UNKNOWN 3

/* A batch that is applied and waits for the commit it shares. */
struct waiting {
    struct wire_header header;
    struct buffer answer;
    size_t body_at; /* in the answer: the commit's time is put in when it is known */
};

struct serve {
    struct store *store;
    struct batch *batch; /* these three are NULL before the first claim, which completes the file */
    struct read *read;
    struct children *children;
    struct channel *channel;
    bool claimed;
    uint64_t epoch, coordinator; /* who claimed */
    struct waiting waiting[DRAIN_MAX];
    unsigned waiting_count;
    uint64_t io_ns; /* so long one read, write or sync of a file may take */
    uint64_t busy_ns;
    bool stop;
    int status;
};

/* ---- answers ---- */

/* An answer that is lost while its connection lives is waited for in vain: what was asked is asked again only when the
 * connection was lost. So the shard ends with it. */
static void send_answer(struct serve *serve, const struct buffer *bytes)
{
    if (serve->status)
        return;
    FAILPOINT_MESSAGE("answer.before", bytes->bytes, bytes->len);
    bool sent = channel_send(serve->channel, bytes);
    FAILPOINT_MESSAGE("answer.after", bytes->bytes, bytes->len);
    if (sent)
        return;
    log_error("the coordinator does not take an answer; ending", LOG_NUMBER("bytes", bytes->len));
    serve->status = EXIT_OUTCOME_UNKNOWN;
    serve->stop = true;
}

static void send_error(struct serve *serve, const struct wire_header *header, const struct error *error)
{
    struct buffer bytes = {0};
    if (wire_put_error(&bytes, header, error))
        send_answer(serve, &bytes);
    buffer_release(&bytes);
}

/* The answer's body was built by `handle`, or it failed. */
typedef bool handler(struct serve *serve, const struct wire_header *header, struct cursor *body, struct buffer *answer,
                     struct error *error);

static void answer_with(struct serve *serve, const struct wire_header *header, struct cursor *body, handler *handle)
{
    struct buffer bytes = {0};
    struct error error = {0};
    bool ok = wire_put_done(&bytes, header) || error_set(&error, ERROR_INTERNAL, "out of memory");
    if (ok && handle(serve, header, body, &bytes, &error))
        send_answer(serve, &bytes);
    else
        send_error(serve, header, &error);
    buffer_release(&bytes);
}

/* ---- hello ---- */

static bool ready_to_write(struct serve *serve, struct error *error)
{
    if (!serve->batch && !(serve->batch = batch_new(serve->store, error)))
        return false;
    if (!serve->children && !(serve->children = children_new(serve->store, error)))
        return false;
    return serve->read || (serve->read = read_new(serve->store, error));
}

static bool handle_hello(struct serve *serve, const struct wire_header *header, struct cursor *body,
                         struct buffer *answer, struct error *error)
{
    struct wire_hello hello;
    struct wire_hello_answer state;
    if (!wire_get_hello(body, &hello, error))
        return false;
    if (hello.protocol != WIRE_PROTOCOL)
        return error_set(error, ERROR_UNAVAILABLE, "database %s: the coordinator speaks protocol %llu, this shardd %d",
                         store_database(serve->store), (unsigned long long)hello.protocol, WIRE_PROTOCOL);
    if (!store_is_meant(serve->store, &hello, error))
        return false;
    if (hello.claim) {
        if (!store_claim(serve->store, header->epoch, header->coordinator, &hello, error) ||
            !ready_to_write(serve, error))
            return false;
        serve->claimed = true;
        serve->epoch = header->epoch;
        serve->coordinator = header->coordinator;
        log_info("claimed", LOG_NUMBER("epoch", header->epoch));
    }
    if (!store_describe(serve->store, &state, error))
        return false;
    bool ok = wire_put_hello_answer(answer, &state) || error_set(error, ERROR_INTERNAL, "out of memory");
    wire_hello_answer_release(&state);
    return ok;
}

/* ---- writes ---- */

/* A batch whose outcome is not known: nothing may be answered; the next hello tells. */
static void give_up(struct serve *serve, const char *what, const struct error *error)
{
    log_error(what, LOG_TEXT("error", error->text));
    serve->status = EXIT_OUTCOME_UNKNOWN;
    serve->stop = true;
    serve->waiting_count = 0;
}

static void refuse_waiting(struct serve *serve, const struct error *error)
{
    batch_abandon(serve->batch);
    log_warn("batches given up", LOG_TEXT("error", error->text), LOG_NUMBER("batches", serve->waiting_count));
    for (unsigned i = 0; i < serve->waiting_count; i++)
        send_error(serve, &serve->waiting[i].header, error);
    serve->waiting_count = 0;
}

static void commit_waiting(struct serve *serve)
{
    struct error error;
    uint64_t commit_ns;
    if (!serve->waiting_count)
        return;
    switch (batch_commit(serve->batch, &commit_ns, &error)) {
    case COMMIT_DONE:
        break;
    case COMMIT_NOT_BEGUN:
        refuse_waiting(serve, &error);
        return;
    case COMMIT_UNKNOWN:
        give_up(serve, "commit failed, its outcome is unknown; ending", &error);
        return;
    }
    for (unsigned i = 0; i < serve->waiting_count; i++) {
        struct waiting *waiting = &serve->waiting[i];
        wire_set_commit_ns(&waiting->answer, waiting->body_at, commit_ns);
        send_answer(serve, &waiting->answer);
    }
    serve->waiting_count = 0;
}

static void handle_write(struct serve *serve, const struct wire_header *header, struct cursor *body)
{
    struct error error = {0};
    struct waiting *waiting = &serve->waiting[serve->waiting_count];
    buffer_clear(&waiting->answer);
    waiting->header = *header;
    if (!wire_put_done(&waiting->answer, header)) {
        error_set(&error, ERROR_INTERNAL, "out of memory");
        send_error(serve, header, &error);
        return;
    }
    waiting->body_at = waiting->answer.len;
    switch (batch_apply(serve->batch, body, &waiting->answer, &error)) {
    case BATCH_APPLIED:
        if (++serve->waiting_count == DRAIN_MAX)
            commit_waiting(serve);
        return;
    case BATCH_REPEATED:
        send_answer(serve, &waiting->answer);
        return;
    case BATCH_REFUSED:
        send_error(serve, header, &error);
        return;
    case BATCH_FAILED:
        serve->waiting_count++;
        refuse_waiting(serve, &error);
        return;
    case BATCH_UNKNOWN:
        give_up(serve, "what a batch came to cannot be read; ending", &error);
        return;
    }
}

/* ---- questions ---- */

static bool handle_exists(struct serve *serve, const struct wire_header *header, struct cursor *body,
                          struct buffer *answer, struct error *error)
{
    struct wire_exists ask;
    (void)header;
    return wire_get_exists(body, store_schema(serve->store), &ask, error) &&
           read_exists(serve->read, &ask, answer, error);
}

static bool handle_keys(struct serve *serve, const struct wire_header *header, struct cursor *body,
                        struct buffer *answer, struct error *error)
{
    struct wire_keys ask;
    (void)header;
    return wire_get_keys(body, store_schema(serve->store), &ask, error) && read_keys(serve->read, &ask, answer, error);
}

static bool handle_scan(struct serve *serve, const struct wire_header *header, struct cursor *body,
                        struct buffer *answer, struct error *error)
{
    struct wire_scan ask;
    (void)header;
    return wire_get_scan(body, store_schema(serve->store), &ask, error) && read_scan(serve->read, &ask, answer, error);
}

static bool handle_read(struct serve *serve, const struct wire_header *header, struct cursor *body,
                        struct buffer *answer, struct error *error)
{
    struct wire_read ask;
    (void)header;
    return wire_get_read(body, store_schema(serve->store), &ask, error) && read_rows(serve->read, &ask, answer, error);
}

static bool handle_children(struct serve *serve, const struct wire_header *header, struct cursor *body,
                            struct buffer *answer, struct error *error)
{
    struct wire_children_ask ask;
    (void)header;
    return wire_get_children(body, store_schema(serve->store), &ask, error) &&
           children_find(serve->children, &ask, answer, error);
}

static bool handle_kept(struct serve *serve, const struct wire_header *header, struct cursor *body,
                        struct buffer *answer, struct error *error)
{
    struct wire_kept_ask ask;
    (void)header;
    return wire_get_kept(body, &ask, error) && answers_find(batch_answers(serve->batch), &ask, answer, error);
}

static bool handle_probe(struct serve *serve, const struct wire_header *header, struct cursor *body,
                         struct buffer *answer, struct error *error)
{
    (void)header;
    return batch_probe(serve->batch, body, answer, error);
}

static bool handle_stats(struct serve *serve, const struct wire_header *header, struct cursor *body,
                         struct buffer *answer, struct error *error)
{
    (void)header;
    if (!wire_get_nothing(body, error))
        return false;
    const struct batch_counts *counts = batch_counts(serve->batch);
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    struct wire_stats *stats = calloc(1, sizeof *stats);
    if (!stats)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    *stats = (struct wire_stats){.rows_accepted = counts->accepted,
                                 .rows_same = counts->same,
                                 .rows_refused = counts->refused,
                                 .batches = counts->batches,
                                 .busy_ns = serve->busy_ns,
                                 .cpu_ns = clock_cpu_ns(),
                                 .memory_bytes = (uint64_t)usage.ru_maxrss * 1024u,
                                 .decode = counts->decode,
                                 .apply = counts->apply,
                                 .commit = counts->commit,
                                 .batch_rows = counts->batch_rows};
    store_sizes(serve->store, &stats->file_bytes, &stats->wal_bytes);
    bool ok = wire_put_stats_answer(answer, stats) || error_set(error, ERROR_INTERNAL, "out of memory");
    free(stats);
    return ok;
}

static bool handle_ping(struct serve *serve, const struct wire_header *header, struct cursor *body,
                        struct buffer *answer, struct error *error)
{
    (void)header;
    return wire_get_nothing(body, error) && (wire_put_ping_answer(answer, channel_progressed(serve->channel)) ||
                                             error_set(error, ERROR_INTERNAL, "out of memory"));
}

/* ---- dispatch ---- */

/* Whether the sender may ask this now: all but the first messages need a claim, and the claim must be the sender's. */
static bool is_entitled(const struct serve *serve, const struct wire_header *header, struct error *error)
{
    switch (header->kind) {
#define X(number, name, NAME, needs_claim) \
    case number:                           \
        if (!(needs_claim))                \
            return true;                   \
        break;
        WIRE_REQUESTS(X)
#undef X
    default:
        return error_set(error, ERROR_PARSE, "there is no message of kind %u", header->kind);
    }
    if (!serve->claimed || header->epoch != serve->epoch || header->coordinator != serve->coordinator)
        return error_set(error, ERROR_UNAVAILABLE, "database %s: %s", store_database(serve->store),
                         serve->claimed ? "a newer coordinator has taken over" : "no coordinator has claimed it yet");
    return true;
}

static void dispatch(struct serve *serve, const struct wire_header *header, struct cursor *body)
{
    struct error error;
    FAILPOINT("request.before", wire_kind_name(header->kind));
    if (header->kind != WIRE_WRITE)
        commit_waiting(serve);
    if (serve->stop)
        return; /* the commit failed: nothing more is answered */
    if (!is_entitled(serve, header, &error)) {
        send_error(serve, header, &error);
        return;
    }
    switch ((enum wire_kind)header->kind) {
    case WIRE_HELLO:
        answer_with(serve, header, body, handle_hello);
        break;
    case WIRE_WRITE:
        handle_write(serve, header, body);
        break;
    case WIRE_EXISTS:
        answer_with(serve, header, body, handle_exists);
        break;
    case WIRE_KEYS:
        answer_with(serve, header, body, handle_keys);
        break;
    case WIRE_SCAN:
        answer_with(serve, header, body, handle_scan);
        break;
    case WIRE_PROBE:
        answer_with(serve, header, body, handle_probe);
        break;
    case WIRE_READ:
        answer_with(serve, header, body, handle_read);
        break;
    case WIRE_CHILDREN:
        answer_with(serve, header, body, handle_children);
        break;
    case WIRE_KEPT:
        answer_with(serve, header, body, handle_kept);
        break;
    case WIRE_STATS:
        answer_with(serve, header, body, handle_stats);
        break;
    case WIRE_PING:
        answer_with(serve, header, body, handle_ping);
        break;
    }
}

static void handle_message(struct serve *serve, nng_msg *message)
{
    struct wire_header header = {0};
    struct cursor body;
    struct error error;
    uint64_t begun = clock_monotonic_ns();
    if (wire_get_request(nng_msg_body(message), nng_msg_len(message), &header, &body, &error))
        dispatch(serve, &header, &body);
    else
        log_warn("dropped what is no message", LOG_NUMBER("bytes", nng_msg_len(message)),
                 LOG_TEXT("error", error.text));
    FAILPOINT("request.after", wire_kind_name(header.kind));
    if (header.kind != WIRE_HELLO) /* a run's own time begins behind it */
        serve->busy_ns += clock_monotonic_ns() - begun;
    channel_progress(serve->channel);
}

int serve_run(struct serve *serve)
{
    while (!serve->stop) {
        nng_msg *message = channel_take(serve->channel, serve->waiting_count == 0);
        if (message) {
            handle_message(serve, message);
            nng_msg_free(message);
        } else if (serve->waiting_count) {
            commit_waiting(serve); /* nothing else has arrived: these need not wait */
        } else {
            break; /* stopped, and all is finished */
        }
    }
    if (!serve->status)
        commit_waiting(serve);
    return serve->status;
}

void serve_stop(struct serve *serve)
{
    channel_stop(serve->channel);
}

void serve_progress(void *context)
{
    struct serve *serve = context;
    channel_progress(serve->channel);
}

/* ---- life ---- */

/* From nng's threads. */
static uint64_t io_progress(void *context)
{
    const struct serve *serve = context;
    return owner_io_progress(clock_monotonic_ns(), serve->io_ns);
}

struct serve *serve_open(struct store *store, const char *url, int64_t io_ms, struct error *error)
{
    struct serve *serve = calloc(1, sizeof *serve);
    if (!serve) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    serve->store = store;
    serve->io_ns = (uint64_t)io_ms * 1000000u;
    if (!(serve->channel = channel_open(url, io_progress, serve, error))) {
        serve_close(serve);
        return NULL;
    }
    return serve;
}

void serve_close(struct serve *serve)
{
    if (!serve)
        return;
    channel_close(serve->channel);
    for (unsigned i = 0; i < DRAIN_MAX; i++)
        buffer_release(&serve->waiting[i].answer);
    batch_free(serve->batch);
    read_free(serve->read);
    children_free(serve->children);
    free(serve);
}
