/* SPDX-License-Identifier: Apache-2.0 */
#include "link.h"

#include "clock.h"
#include "failpoint.h"
#include "wire.h"

#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define URL_BYTES 192
#define DIAL_INSTANT_MS 100
#define LAST_WORDS_MS 1000
#define CLOSE_MS 2000 /* it takes less than one */

/* Messages on their way out, oldest first: a ring that grows. Bounded by what the engine lets be in flight. */
struct outbox {
    nng_msg **messages;
    size_t first;
    size_t count;
    size_t capacity;
};

struct link {
    struct link_setup setup;
    nng_socket socket;
    nng_aio *receive;
    nng_aio *send;
    char url[URL_BYTES];
    pthread_t dialler;
    bool dialler_runs; /* to be joined; supervisor's thread only */
    pthread_t closer;

    pthread_mutex_t lock; /* over all below; never held while nng or the listener is called */
    enum link_state state;
    struct error why;      /* BROKEN */
    bool piped;            /* the one connection was made, */
    bool unpiped;          /* and has ended */
    bool dialled;          /* the dialler is at its end */
    bool closed;           /* and so is the closer */
    pthread_cond_t ending; /* of one of these three */
    bool sending;          /* `send` is busy: whoever set this owns it */
    struct outbox outbox;

    uint64_t unanswered; /* requests, without pings */
    uint64_t progress;   /* the shard's counter, from its last pong */
    uint64_t moved_ns;   /* when the counter last moved, or an answer came, or there was nothing to do */
    uint64_t alive_ns;   /* when anything last came */
    uint64_t pinged_ns;  /* when the unanswered ping went; 0: none */
    uint64_t pings;

    struct link *next_given_up;
};

/* See link_last_words. */
static _Atomic(struct link *) given_up;

static bool outbox_put(struct outbox *outbox, nng_msg *message)
{
    if (outbox->count == outbox->capacity) {
        size_t capacity = outbox->capacity ? 2 * outbox->capacity : 16;
        nng_msg **messages = calloc(capacity, sizeof *messages);
        if (!messages)
            return false;
        for (size_t i = 0; i < outbox->count; i++)
            messages[i] = outbox->messages[(outbox->first + i) % outbox->capacity];
        free(outbox->messages);
        *outbox = (struct outbox){.messages = messages, .count = outbox->count, .capacity = capacity};
    }
    outbox->messages[(outbox->first + outbox->count++) % outbox->capacity] = message;
    return true;
}

static nng_msg *outbox_take(struct outbox *outbox)
{
    if (!outbox->count)
        return NULL;
    nng_msg *message = outbox->messages[outbox->first];
    outbox->first = (outbox->first + 1) % outbox->capacity;
    outbox->count--;
    return message;
}

/* Under the lock: the descriptor is the supervisor's, who closes it once no link has it any more. */
static void wake(const struct link *link)
{
    uint64_t one = 1;
    if (link->setup.wake_fd < 0)
        return; /* given up */
    /* An eventfd's write fails only when its counter is full, and then it is readable anyway. */
    if (write(link->setup.wake_fd, &one, sizeof one) < 0)
        return;
}

/* The first reason stays. */
static void break_with(struct link *link, const char *what, const char *detail)
{
    pthread_mutex_lock(&link->lock);
    bool first = link->state != LINK_BROKEN;
    if (first) {
        link->state = LINK_BROKEN;
        error_set(&link->why, ERROR_UNAVAILABLE, "%s%s%s", what, detail ? ": " : "", detail ? detail : "");
    }
    if (first)
        wake(link);
    pthread_mutex_unlock(&link->lock);
}

/* ---- nng's callbacks ---- */

static void pipe_changed(nng_pipe pipe, nng_pipe_ev event, void *context)
{
    struct link *link = context;
    if (event == NNG_PIPE_EV_REM_POST) {
        break_with(link, "the connection broke", NULL);
        pthread_mutex_lock(&link->lock);
        link->unpiped = true;
        pthread_cond_signal(&link->ending);
        pthread_mutex_unlock(&link->lock);
        return;
    }
    pthread_mutex_lock(&link->lock);
    bool second = link->piped;
    link->piped = true;
    pthread_mutex_unlock(&link->lock);
    if (second) /* nng dialled again by itself: what is queued here is not for that peer's next life */
        nng_pipe_close(pipe);
}

static void sent(void *context)
{
    struct link *link = context;
    int result = nng_aio_result(link->send);
    if (result) {
        nng_msg_free(nng_aio_get_msg(link->send));
        nng_aio_set_msg(link->send, NULL);
        break_with(link, "sending failed", nng_strerror(result));
        return; /* `sending` stays set: nothing more goes out here */
    }
    /* While it is owned: as soon as `sending` is unset, another thread puts its message there. */
    nng_aio_set_msg(link->send, NULL);
    pthread_mutex_lock(&link->lock);
    nng_msg *next = outbox_take(&link->outbox);
    link->sending = next;
    pthread_mutex_unlock(&link->lock);
    if (!next)
        return;
    nng_aio_set_msg(link->send, next);
    nng_send_aio(link->socket, link->send);
}

static void pong(struct link *link, bool done, struct cursor *body, uint64_t now)
{
    uint64_t progress = 0;
    struct error ignored;
    bool told = done && wire_get_ping_answer(body, &progress, &ignored);
    pthread_mutex_lock(&link->lock);
    link->pinged_ns = 0;
    /* Without a counter nothing is known about progress: only the pings' own deadline can judge such a shard. */
    if (!told || progress != link->progress)
        link->moved_ns = now;
    if (told)
        link->progress = progress;
    link->alive_ns = now;
    pthread_mutex_unlock(&link->lock);
}

/* Hands a message on, or ends it: pongs and what an earlier generation said stay here. */
static void deliver(struct link *link, nng_msg *message)
{
    struct link_event event = {.kind = LINK_MESSAGE,
                               .database = link->setup.database,
                               .generation = link->setup.generation,
                               .bytes = nng_msg_body(message),
                               .len = nng_msg_len(message),
                               .handle = message};
    struct wire_header header;
    struct cursor body;
    struct error refusal, error;
    bool done;
    uint64_t now = clock_monotonic_ns();
    if (!wire_get_answer(event.bytes, event.len, &header, &done, &refusal, &body, &error)) {
        nng_msg_free(message);
        break_with(link, "the shard sent what is no answer", error.text);
        return;
    }
    if (header.generation != link->setup.generation) {
        nng_msg_free(message);
        return;
    }
    if (header.kind == WIRE_PING) {
        FAILPOINT("answer.before", "ping");
        pong(link, done, &body, now);
        FAILPOINT("answer.after", "ping");
        nng_msg_free(message);
        return;
    }
    pthread_mutex_lock(&link->lock);
    link->unanswered -= link->unanswered > 0;
    link->alive_ns = link->moved_ns = now;
    pthread_mutex_unlock(&link->lock);
    FAILPOINT("answer.before", wire_kind_name(header.kind));
    link->setup.listener(link->setup.context, &event);
    FAILPOINT("answer.after", wire_kind_name(header.kind));
}

static void received(void *context)
{
    struct link *link = context;
    int result = nng_aio_result(link->receive);
    if (result) {
        break_with(link, "receiving failed", nng_strerror(result));
        return;
    }
    nng_msg *message = nng_aio_get_msg(link->receive);
    nng_aio_set_msg(link->receive, NULL);
    deliver(link, message);
    nng_recv_aio(link->socket, link->receive);
}

/* ---- for the supervisor ---- */

static bool fill_in(struct link *link)
{
    return nng_pair0_open(&link->socket) == 0 &&
           nng_socket_set_size(link->socket, NNG_OPT_RECVMAXSZ, LIMIT_MESSAGE_BYTES_MAX) == 0 &&
           nng_pipe_notify(link->socket, NNG_PIPE_EV_ADD_PRE, pipe_changed, link) == 0 &&
           nng_pipe_notify(link->socket, NNG_PIPE_EV_REM_POST, pipe_changed, link) == 0 &&
           nng_aio_alloc(&link->receive, received, link) == 0 && nng_aio_alloc(&link->send, sent, link) == 0;
}

struct link *link_new(const struct link_setup *setup, struct error *error)
{
    struct link *link = calloc(1, sizeof *link);
    if (!link) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    link->setup = *setup;
    link->moved_ns = link->alive_ns = clock_monotonic_ns();
    pthread_mutex_init(&link->lock, NULL);
    clock_cond_init(&link->ending);
    if (!fill_in(link)) {
        link_free(link);
        error_set(error, ERROR_INTERNAL, "no socket could be made: out of memory or descriptors");
        return NULL;
    }
    return link;
}

static void dial_peer(struct link *link)
{
    nng_dialer dialer;
    /* Not nng_dial: when the socket is closed meanwhile, it and the closing both end the dialer, and it leaks. */
    int result = nng_dialer_create(&dialer, link->socket, link->url);
    if (!result)
        result = nng_dialer_start(dialer, 0);
    if (result) {
        char what[URL_BYTES + 32];
        snprintf(what, sizeof what, "%s cannot be reached", link->url);
        break_with(link, what, nng_strerror(result));
        return;
    }
    pthread_mutex_lock(&link->lock);
    if (link->state == LINK_DIALLING)
        link->state = LINK_OPEN;
    wake(link);
    pthread_mutex_unlock(&link->lock);
}

/* A thread does nothing but end after this. */
static void at_its_end(struct link *link, bool *which)
{
    pthread_mutex_lock(&link->lock);
    *which = true;
    pthread_cond_signal(&link->ending);
    pthread_mutex_unlock(&link->lock);
}

static void *dial(void *context)
{
    struct link *link = context;
    dial_peer(link);
    at_its_end(link, &link->dialled);
    return NULL;
}

bool link_dial(struct link *link, const char *url, struct error *error)
{
    if ((size_t)snprintf(link->url, sizeof link->url, "%s", url) >= sizeof link->url)
        return error_set(error, ERROR_PARSE, "the address %s is too long", url);
    int result = pthread_create(&link->dialler, NULL, dial, link);
    if (result)
        return error_set(error, ERROR_INTERNAL, "no thread to dial with: %s", strerror(result));
    link->dialler_runs = true;
    return true;
}

enum link_state link_state(struct link *link, struct error *ret_why)
{
    pthread_mutex_lock(&link->lock);
    enum link_state state = link->state;
    if (state == LINK_BROKEN)
        *ret_why = link->why;
    pthread_mutex_unlock(&link->lock);
    return state;
}

void link_receive(struct link *link)
{
    nng_recv_aio(link->socket, link->receive);
}

/* Waits for one of its ends; whether it has come. The lock is held. */
static bool wait_for(struct link *link, const bool *which, uint64_t ms)
{
    struct timespec until = clock_until_ms(ms);
    while (!*which && pthread_cond_timedwait(&link->ending, &link->lock, &until) == 0)
        ;
    return *which;
}

/* nng 1.5.2 never ends a connection that is closed between the head of a message, which has been read, and the rest of
 * it (ipc_pipe_recv_cb: nni_aio_begin fails, and whoever waits for the message is never told). Its one reaper waits for
 * that, so nng_close does not return, of this socket and of every later one. So what the dead have said is read to its
 * end first, and whoever reads ends the connection. Where a message could not be sent to them meanwhile nng closes by
 * itself, and too early: then this link is given up, and its memory, its descriptors and a thread with it, and those of
 * every later one. All else goes on. */
void link_last_words(struct link *link)
{
    pthread_mutex_lock(&link->lock);
    if (link->piped && !atomic_load(&given_up))
        wait_for(link, &link->unpiped, LAST_WORDS_MS);
    pthread_mutex_unlock(&link->lock);
}

/* nng 1.5.2 may leak the connection, or wait for ever, when a socket is closed in the instant at which its dialler
 * begins or succeeds. Either takes well under the time given here; a dialler that is still at it then waits for its
 * peer, and that it can be called back from. */
static bool dialler_ended(struct link *link)
{
    pthread_mutex_lock(&link->lock);
    bool ended = wait_for(link, &link->dialled, DIAL_INSTANT_MS);
    pthread_mutex_unlock(&link->lock);
    if (ended)
        pthread_join(link->dialler, NULL);
    return ended;
}

static void *close_socket(void *context)
{
    struct link *link = context;
    nng_close(link->socket);
    at_its_end(link, &link->closed);
    return NULL;
}

/* False: it is closing for ever. No operation is under way any more, but an event of the connection may still come. */
static bool is_closed(struct link *link)
{
    if (link->receive)
        nng_aio_stop(link->receive);
    if (link->send)
        nng_aio_stop(link->send);
    if (pthread_create(&link->closer, NULL, close_socket, link) != 0) {
        nng_close(link->socket);
        return true;
    }
    pthread_mutex_lock(&link->lock);
    bool closed = wait_for(link, &link->closed, atomic_load(&given_up) ? 0 : CLOSE_MS);
    pthread_mutex_unlock(&link->lock);
    if (closed)
        pthread_join(link->closer, NULL);
    else
        pthread_detach(link->closer);
    return closed;
}

void link_free(struct link *link)
{
    if (!link)
        return;
    if (link->dialler_runs && dialler_ended(link))
        link->dialler_runs = false;
    if (!is_closed(link)) {
        pthread_mutex_lock(&link->lock);
        link->setup.wake_fd = -1;
        pthread_mutex_unlock(&link->lock);
        link->next_given_up = atomic_load(&given_up);
        while (!atomic_compare_exchange_weak(&given_up, &link->next_given_up, link))
            ;
        return;
    }
    if (link->dialler_runs)
        pthread_join(link->dialler, NULL);
    nng_aio_free(link->receive);
    if (link->send)
        nng_msg_free(nng_aio_get_msg(link->send));
    nng_aio_free(link->send);
    for (nng_msg *message; (message = outbox_take(&link->outbox));)
        nng_msg_free(message);
    free(link->outbox.messages);
    pthread_cond_destroy(&link->ending);
    pthread_mutex_destroy(&link->lock);
    free(link);
}

/* ---- sending ---- */

static const char no_memory[] = "out of memory for a message";

/* Takes the message over, also when it returns false. */
static bool post(struct link *link, nng_msg *message, bool ping)
{
    pthread_mutex_lock(&link->lock);
    bool open = link->state == LINK_OPEN, start = open && !link->sending;
    bool taken = start || (open && outbox_put(&link->outbox, message));
    link->sending |= start;
    if (taken && !ping && link->unanswered++ == 0)
        link->moved_ns = clock_monotonic_ns(); /* until now the counter had nothing to move for */
    pthread_mutex_unlock(&link->lock);
    if (start) {
        nng_aio_set_msg(link->send, message);
        nng_send_aio(link->socket, link->send);
    } else if (!taken) {
        nng_msg_free(message);
        if (open && !ping)
            break_with(link, no_memory, NULL);
    }
    return taken;
}

bool link_send(struct link *link, const void *head, size_t head_len, const void *body, size_t body_len)
{
    nng_msg *message = NULL;
    if (nng_msg_alloc(&message, 0) == 0 && nng_msg_reserve(message, head_len + body_len) == 0 &&
        (!head_len || nng_msg_append(message, head, head_len) == 0) &&
        (!body_len || nng_msg_append(message, body, body_len) == 0)) {
        FAILPOINT_MESSAGE("send.before", head, head_len);
        bool posted = post(link, message, false);
        FAILPOINT_MESSAGE("send.after", head, head_len);
        return posted;
    }
    nng_msg_free(message);
    break_with(link, no_memory, NULL);
    return false;
}

void link_ping(struct link *link, uint64_t now_ns)
{
    pthread_mutex_lock(&link->lock);
    bool due = link->state == LINK_OPEN && !link->pinged_ns;
    struct wire_header header = {.kind = WIRE_PING, .generation = link->setup.generation, .request = ++link->pings};
    if (due)
        link->pinged_ns = now_ns;
    pthread_mutex_unlock(&link->lock);
    if (!due)
        return;
    struct buffer bytes = {0};
    nng_msg *message;
    bool made = wire_put_request(&bytes, &header) && wire_put_nothing(&bytes) && !nng_msg_alloc(&message, 0);
    if (made && !nng_msg_append(message, bytes.bytes, bytes.len)) {
        FAILPOINT("send.before", "ping");
        post(link, message, true);
        FAILPOINT("send.after", "ping");
    } else { /* out of memory: that is not the shard's fault, and the next heartbeat tries again */
        if (made)
            nng_msg_free(message);
        pthread_mutex_lock(&link->lock);
        link->pinged_ns = 0;
        pthread_mutex_unlock(&link->lock);
    }
    buffer_release(&bytes);
}

bool link_is_mute(struct link *link, uint64_t now_ns, uint64_t mute_ns, struct error *ret_why)
{
    pthread_mutex_lock(&link->lock);
    /* callbacks may have written a later time than the caller's */
    bool silent = link->pinged_ns && now_ns >= link->pinged_ns + mute_ns && now_ns >= link->alive_ns + mute_ns;
    bool stuck = link->unanswered && now_ns >= link->moved_ns + mute_ns;
    pthread_mutex_unlock(&link->lock);
    unsigned long long mute_ms = mute_ns / 1000000u;
    if (silent)
        error_set(ret_why, ERROR_UNAVAILABLE, "shardd answered no ping for %llu ms", mute_ms);
    else if (stuck)
        error_set(ret_why, ERROR_UNAVAILABLE, "shardd made no progress with its requests for %llu ms", mute_ms);
    return silent || stuck;
}

void link_forgive(struct link *link, uint64_t now_ns)
{
    pthread_mutex_lock(&link->lock);
    link->alive_ns = link->moved_ns = now_ns;
    if (link->pinged_ns)
        link->pinged_ns = now_ns;
    pthread_mutex_unlock(&link->lock);
}
