/* SPDX-License-Identifier: Apache-2.0 */
#include "serve.h"

#include "batch.h"
#include "clock.h"
#include "inbox.h"
#include "log.h"
#include "read.h"
#include "wire.h"

#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define DRAIN_MAX 8u         /* batches that share one commit */
#define SEND_TIMEOUT_MS 5000 /* for a peer that is there and does not read */
#define EXIT_OUTCOME_UNKNOWN 3

/* A batch that is applied and waits for the commit it shares. */
struct waiting {
    struct wire_header header;
    struct buffer answer;
};

struct serve {
    struct store *store;
    struct batch *batch; /* both NULL before the first claim of a fresh file */
    struct read *read;
    struct inbox *inbox;
    nng_socket socket;
    bool listening;
    nng_aio *receive;
    nng_aio *pong;
    atomic_bool pong_busy;
    atomic_uint peers;
    _Atomic(nng_msg *) held; /* received when the inbox was full: nothing more is received until it has found room */
    atomic_uint_least64_t progress;
    bool claimed;
    uint64_t epoch, coordinator; /* who claimed */
    struct waiting waiting[DRAIN_MAX];
    unsigned waiting_count;
    uint64_t busy_ns;
    bool stop;
    int status;
};

/* ---- transport threads ---- */

static void receive_next(struct serve *serve)
{
    nng_recv_aio(serve->socket, serve->receive);
}

/* At once, from nng's thread: a shard whose main thread works is not mute. One pong at a time; a ping during it needs
 * none. */
static void answer_ping(struct serve *serve, const struct wire_header *header)
{
    if (atomic_exchange(&serve->pong_busy, true))
        return;
    struct buffer bytes = {0};
    nng_msg *answer = NULL;
    if (wire_put_done(&bytes, header) && wire_put_ping_answer(&bytes, atomic_load(&serve->progress)) &&
        nng_msg_alloc(&answer, 0) == 0 && nng_msg_append(answer, bytes.bytes, bytes.len) == 0) {
        nng_aio_set_msg(serve->pong, answer);
        nng_send_aio(serve->socket, serve->pong);
    } else {
        if (answer)
            nng_msg_free(answer);
        atomic_store(&serve->pong_busy, false);
    }
    buffer_release(&bytes);
}

static void pong_sent(void *context)
{
    struct serve *serve = context;
    if (nng_aio_result(serve->pong) != 0)
        nng_msg_free(nng_aio_get_msg(serve->pong));
    atomic_store(&serve->pong_busy, false);
}

static void received(void *context)
{
    struct serve *serve = context;
    int result = nng_aio_result(serve->receive);
    if (result == NNG_ECLOSED || result == NNG_ECANCELED)
        return;
    if (result != 0) {
        receive_next(serve);
        return;
    }
    nng_msg *message = nng_aio_get_msg(serve->receive);
    struct wire_header header;
    struct cursor body;
    if (wire_get_request(nng_msg_body(message), nng_msg_len(message), &header, &body, NULL) &&
        header.kind == WIRE_PING) {
        answer_ping(serve, &header);
        nng_msg_free(message);
    } else if (!inbox_put(serve->inbox, message)) {
        atomic_store(&serve->held, message);
        return;
    }
    receive_next(serve);
}

/* ADD_PRE, not ADD_POST: the first request may be here before that one, and its answer must not be dropped. */
static void peer_changed(nng_pipe pipe, nng_pipe_ev event, void *context)
{
    struct serve *serve = context;
    (void)pipe;
    if (event == NNG_PIPE_EV_ADD_PRE)
        atomic_fetch_add(&serve->peers, 1);
    else if (event == NNG_PIPE_EV_REM_POST)
        atomic_fetch_sub(&serve->peers, 1);
}

void serve_progress(void *context)
{
    struct serve *serve = context;
    atomic_fetch_add(&serve->progress, 1);
}

/* ---- answers ---- */

static void send_bytes(struct serve *serve, const struct buffer *bytes)
{
    nng_msg *message;
    if (atomic_load(&serve->peers) == 0 || nng_msg_alloc(&message, 0) != 0)
        return;
    if (nng_msg_append(message, bytes->bytes, bytes->len) != 0 || nng_sendmsg(serve->socket, message, 0) != 0)
        nng_msg_free(message);
}

static void send_error(struct serve *serve, const struct wire_header *header, const struct error *error)
{
    struct buffer bytes = {0};
    if (wire_put_error(&bytes, header, error))
        send_bytes(serve, &bytes);
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
        send_bytes(serve, &bytes);
    else
        send_error(serve, header, &error);
    buffer_release(&bytes);
}

/* ---- hello ---- */

static bool ready_to_write(struct serve *serve, struct error *error)
{
    if (!serve->batch && !(serve->batch = batch_new(serve->store, error)))
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

/* A COMMIT whose outcome is not known: nothing may be answered; the next hello tells. */
static void give_up(struct serve *serve, const struct error *error)
{
    log_error("commit failed, its outcome is unknown; ending", LOG_TEXT("error", error->text));
    serve->status = EXIT_OUTCOME_UNKNOWN;
    serve->stop = true;
    serve->waiting_count = 0;
}

static void commit_waiting(struct serve *serve)
{
    struct error error;
    uint64_t commit_ns;
    if (!serve->waiting_count)
        return;
    if (!batch_commit(serve->batch, &commit_ns, &error)) {
        give_up(serve, &error);
        return;
    }
    for (unsigned i = 0; i < serve->waiting_count; i++)
        send_bytes(serve, &serve->waiting[i].answer);
    serve->waiting_count = 0;
}

static void refuse_waiting(struct serve *serve, const struct error *error)
{
    batch_abandon(serve->batch);
    log_warn("batches given up", LOG_TEXT("error", error->text), LOG_NUMBER("batches", serve->waiting_count + 1));
    for (unsigned i = 0; i < serve->waiting_count; i++)
        send_error(serve, &serve->waiting[i].header, error);
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
    switch (batch_apply(serve->batch, body, &waiting->answer, &error)) {
    case BATCH_APPLIED:
        if (++serve->waiting_count == DRAIN_MAX)
            commit_waiting(serve);
        return;
    case BATCH_REPEATED:
        send_bytes(serve, &waiting->answer);
        return;
    case BATCH_REFUSED:
        send_error(serve, header, &error);
        return;
    case BATCH_FAILED:
        refuse_waiting(serve, &error);
        send_error(serve, header, &error);
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
    (void)body;
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
    (void)body;
    return wire_put_ping_answer(answer, atomic_load(&serve->progress)) ||
           error_set(error, ERROR_INTERNAL, "out of memory");
}

static bool handle_stop(struct serve *serve, const struct wire_header *header, struct cursor *body,
                        struct buffer *answer, struct error *error)
{
    (void)header;
    (void)body;
    serve->stop = true;
    return wire_put_nothing(answer) || error_set(error, ERROR_INTERNAL, "out of memory");
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
    if (header->kind != WIRE_WRITE)
        commit_waiting(serve);
    if (serve->stop && header->kind != WIRE_WRITE)
        return;
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
    case WIRE_STATS:
        answer_with(serve, header, body, handle_stats);
        break;
    case WIRE_PING:
        answer_with(serve, header, body, handle_ping);
        break;
    case WIRE_STOP:
        answer_with(serve, header, body, handle_stop);
        break;
    }
}

/* Takes the next message, and lets receiving go on when it had stopped. */
static nng_msg *take(struct serve *serve, bool wait)
{
    nng_msg *message = inbox_take(serve->inbox, wait);
    nng_msg *held = message ? atomic_exchange(&serve->held, NULL) : NULL;
    if (held) {
        if (!inbox_put(serve->inbox, held))
            panic("no room in an inbox that a message was just taken from");
        receive_next(serve);
    }
    return message;
}

static void handle_message(struct serve *serve, nng_msg *message)
{
    struct wire_header header;
    struct cursor body;
    struct error error;
    uint64_t begun = clock_monotonic_ns();
    if (wire_get_request(nng_msg_body(message), nng_msg_len(message), &header, &body, &error))
        dispatch(serve, &header, &body);
    else
        log_warn("dropped what is no message", LOG_NUMBER("bytes", nng_msg_len(message)),
                 LOG_TEXT("error", error.text));
    serve->busy_ns += clock_monotonic_ns() - begun;
    atomic_fetch_add(&serve->progress, 1);
}

int serve_run(struct serve *serve)
{
    while (!serve->stop) {
        nng_msg *message = take(serve, serve->waiting_count == 0);
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
    inbox_stop(serve->inbox);
}

/* ---- life ---- */

static bool nng_failed(int result, const char *doing, const char *url, struct error *error)
{
    return error_set(error, ERROR_UNAVAILABLE, "%s %s: %s", doing, url, nng_strerror(result));
}

static bool listen_on(struct serve *serve, const char *url, struct error *error)
{
    int result = nng_pair0_open(&serve->socket);
    if (result != 0)
        return nng_failed(result, "opening a socket for", url, error);
    serve->listening = true;
    nng_socket_set_size(serve->socket, NNG_OPT_RECVMAXSZ, LIMIT_MESSAGE_BYTES_MAX);
    nng_socket_set_ms(serve->socket, NNG_OPT_SENDTIMEO, SEND_TIMEOUT_MS);
    nng_pipe_notify(serve->socket, NNG_PIPE_EV_ADD_PRE, peer_changed, serve);
    nng_pipe_notify(serve->socket, NNG_PIPE_EV_REM_POST, peer_changed, serve);
    if ((result = nng_aio_alloc(&serve->receive, received, serve)) != 0 ||
        (result = nng_aio_alloc(&serve->pong, pong_sent, serve)) != 0 ||
        (result = nng_listen(serve->socket, url, NULL, 0)) != 0)
        return nng_failed(result, "listening on", url, error);
    receive_next(serve);
    return true;
}

struct serve *serve_open(struct store *store, const char *url, struct error *error)
{
    struct serve *serve = calloc(1, sizeof *serve);
    if (!serve) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    serve->store = store;
    serve->inbox = inbox_new(error);
    if (!serve->inbox || (store_schema(store) && !ready_to_write(serve, error)) || !listen_on(serve, url, error)) {
        serve_close(serve);
        return NULL;
    }
    return serve;
}

void serve_close(struct serve *serve)
{
    if (!serve)
        return;
    if (serve->listening)
        nng_close(serve->socket);
    if (serve->receive)
        nng_aio_free(serve->receive);
    if (serve->pong)
        nng_aio_free(serve->pong);
    nng_msg *held = atomic_exchange(&serve->held, NULL);
    if (held)
        nng_msg_free(held);
    inbox_free(serve->inbox);
    for (unsigned i = 0; i < DRAIN_MAX; i++)
        buffer_release(&serve->waiting[i].answer);
    batch_free(serve->batch);
    read_free(serve->read);
    free(serve);
}
