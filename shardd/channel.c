/* SPDX-License-Identifier: Apache-2.0 */
#include "channel.h"

#include "clock.h"
#include "failpoint.h"
#include "inbox.h"
#include "limits.h"
#include "wire.h"

#include <nng/protocol/pair0/pair.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define SEND_TIMEOUT_MS 5000 /* for a peer that is there and does not read */

struct channel {
    struct inbox *inbox;
    nng_socket socket;
    bool listening;
    nng_aio *receive;
    nng_aio *pong;
    atomic_bool pong_busy;
    /* A message that nng does not take at once. The main thread waits for it no longer than it says itself, and an nng
     * thread tells that it is over: for that a condition and so a lock is needed, which guards `over` alone. */
    nng_aio *late;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool over;
    atomic_uint peers;
    atomic_uint_least64_t progress;
    channel_beside *beside;
    void *context;
};

/* ---- transport threads ---- */

static void receive_next(struct channel *channel)
{
    nng_recv_aio(channel->socket, channel->receive);
}

/* At once, from nng's thread: a shard whose main thread works is not mute. One pong at a time; a ping during it needs
 * none. */
static void answer_ping(struct channel *channel, const struct wire_header *header)
{
    if (atomic_exchange(&channel->pong_busy, true))
        return;
    struct buffer bytes = {0};
    nng_msg *answer = NULL;
    if (wire_put_done(&bytes, header) && wire_put_ping_answer(&bytes, channel_progressed(channel)) &&
        nng_msg_alloc(&answer, 0) == 0 && nng_msg_append(answer, bytes.bytes, bytes.len) == 0) {
        FAILPOINT("answer.before", "ping");
        nng_aio_set_msg(channel->pong, answer);
        nng_send_aio(channel->socket, channel->pong);
        FAILPOINT("answer.after", "ping");
    } else {
        if (answer)
            nng_msg_free(answer);
        atomic_store(&channel->pong_busy, false);
    }
    buffer_release(&bytes);
}

static void pong_sent(void *context)
{
    struct channel *channel = context;
    if (nng_aio_result(channel->pong) != 0)
        nng_msg_free(nng_aio_get_msg(channel->pong));
    atomic_store(&channel->pong_busy, false);
}

static void late_sent(void *context)
{
    struct channel *channel = context;
    pthread_mutex_lock(&channel->lock);
    channel->over = true;
    pthread_mutex_unlock(&channel->lock);
    pthread_cond_signal(&channel->ended);
}

static void received(void *context)
{
    struct channel *channel = context;
    int result = nng_aio_result(channel->receive);
    if (result == NNG_ECLOSED || result == NNG_ECANCELED)
        return;
    if (result != 0) {
        receive_next(channel);
        return;
    }
    nng_msg *message = nng_aio_get_msg(channel->receive);
    struct wire_header header;
    struct cursor body;
    if (wire_get_request(nng_msg_body(message), nng_msg_len(message), &header, &body, NULL) &&
        header.kind == WIRE_PING && wire_get_nothing(&body, NULL)) {
        FAILPOINT("request.before", "ping");
        answer_ping(channel, &header);
        FAILPOINT("request.after", "ping");
        nng_msg_free(message);
    } else if (!inbox_put(channel->inbox, message)) {
        return; /* channel_take goes on */
    }
    receive_next(channel);
}

/* ADD_PRE, not ADD_POST: the first request may be here before that one, and its answer must not be dropped. */
static void peer_changed(nng_pipe pipe, nng_pipe_ev event, void *context)
{
    struct channel *channel = context;
    (void)pipe;
    if (event == NNG_PIPE_EV_ADD_PRE)
        atomic_fetch_add(&channel->peers, 1);
    else if (event == NNG_PIPE_EV_REM_POST)
        atomic_fetch_sub(&channel->peers, 1);
}

/* ---- main thread ---- */

nng_msg *channel_take(struct channel *channel, bool wait)
{
    bool room;
    nng_msg *message = inbox_take(channel->inbox, wait, &room);
    if (room)
        receive_next(channel);
    return message;
}

/* nng's own timeouts are by the clock of the day, which may be set while a send waits; so it gets none. False: the
 * message is still the caller's. */
static bool send_late(struct channel *channel, nng_msg *message)
{
    struct timespec until = clock_until_ms(SEND_TIMEOUT_MS);
    pthread_mutex_lock(&channel->lock);
    channel->over = false;
    pthread_mutex_unlock(&channel->lock);
    nng_aio_set_msg(channel->late, message);
    nng_send_aio(channel->socket, channel->late);
    pthread_mutex_lock(&channel->lock);
    while (!channel->over && pthread_cond_timedwait(&channel->ended, &channel->lock, &until) == 0)
        ;
    bool over = channel->over;
    pthread_mutex_unlock(&channel->lock);
    if (!over)
        nng_aio_cancel(channel->late);
    nng_aio_wait(channel->late);
    return nng_aio_result(channel->late) == 0;
}

static bool send_message(struct channel *channel, nng_msg *message)
{
    int result = nng_sendmsg(channel->socket, message, NNG_FLAG_NONBLOCK);
    return result == 0 || (result == NNG_EAGAIN && send_late(channel, message));
}

bool channel_send(struct channel *channel, const struct buffer *bytes)
{
    nng_msg *message;
    if (atomic_load(&channel->peers) == 0)
        return true;
    if (nng_msg_alloc(&message, 0) != 0)
        return false;
    if (nng_msg_append(message, bytes->bytes, bytes->len) == 0 && send_message(channel, message))
        return true;
    nng_msg_free(message);
    return atomic_load(&channel->peers) == 0;
}

void channel_stop(struct channel *channel)
{
    inbox_stop(channel->inbox);
}

void channel_progress(struct channel *channel)
{
    atomic_fetch_add(&channel->progress, 1);
}

uint64_t channel_progressed(const struct channel *channel)
{
    return atomic_load(&channel->progress) + channel->beside(channel->context);
}

/* ---- life ---- */

static bool nng_failed(int result, const char *doing, const char *url, struct error *error)
{
    return error_set(error, ERROR_UNAVAILABLE, "%s %s: %s", doing, url, nng_strerror(result));
}

static bool listen_on(struct channel *channel, const char *url, struct error *error)
{
    int result = nng_pair0_open(&channel->socket);
    if (result != 0)
        return nng_failed(result, "opening a socket for", url, error);
    channel->listening = true;
    nng_socket_set_size(channel->socket, NNG_OPT_RECVMAXSZ, LIMIT_MESSAGE_BYTES_MAX);
    nng_pipe_notify(channel->socket, NNG_PIPE_EV_ADD_PRE, peer_changed, channel);
    nng_pipe_notify(channel->socket, NNG_PIPE_EV_REM_POST, peer_changed, channel);
    if ((result = nng_aio_alloc(&channel->receive, received, channel)) != 0 ||
        (result = nng_aio_alloc(&channel->pong, pong_sent, channel)) != 0 ||
        (result = nng_aio_alloc(&channel->late, late_sent, channel)) != 0 ||
        (result = nng_listen(channel->socket, url, NULL, 0)) != 0)
        return nng_failed(result, "listening on", url, error);
    receive_next(channel);
    return true;
}

struct channel *channel_open(const char *url, channel_beside *beside, void *context, struct error *error)
{
    struct channel *channel = calloc(1, sizeof *channel);
    if (!channel) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    channel->beside = beside;
    channel->context = context;
    pthread_mutex_init(&channel->lock, NULL);
    clock_cond_init(&channel->ended);
    channel->inbox = inbox_new(error);
    if (!channel->inbox || !listen_on(channel, url, error)) {
        channel_close(channel);
        return NULL;
    }
    return channel;
}

void channel_close(struct channel *channel)
{
    if (!channel)
        return;
    if (channel->listening)
        nng_close(channel->socket);
    if (channel->receive)
        nng_aio_free(channel->receive);
    if (channel->pong)
        nng_aio_free(channel->pong);
    if (channel->late)
        nng_aio_free(channel->late);
    pthread_cond_destroy(&channel->ended);
    pthread_mutex_destroy(&channel->lock);
    inbox_free(channel->inbox);
    free(channel);
}
