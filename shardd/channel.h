/* SPDX-License-Identifier: Apache-2.0 */
/* channel.h - one nng PAIR0 socket that listens: what has arrived, and what is sent back.
 *
 * nng's threads put what arrives into an inbox, but for pings, which they answer themselves, at once and with a counter
 * that the main thread moves: a shard whose main thread works, or waits for its disk, is not mute. What nobody is there
 * to read is dropped. */
#ifndef SHEAF_CHANNEL_H
#define SHEAF_CHANNEL_H

#include "buffer.h"
#include "error.h"

#include <nng/nng.h>
#include <stdint.h>

struct channel;

/* What moves beside the main thread, a counter as well. Called at each ping, from nng's threads. */
typedef uint64_t channel_beside(void *context);

/* Opens the socket and listens on `url`. */
struct channel *channel_open(const char *url, channel_beside *beside, void *context, struct error *error);
void channel_close(struct channel *channel);

/* Main thread. The next message, which the caller frees; waits when there is none and `wait`. NULL: none, or stopped
 * and all is taken. */
nng_msg *channel_take(struct channel *channel, bool wait);
/* Main thread. Waits a bounded time for a peer that does not read. False: it is still there and has not got this one
 * (or memory is out), and will wait for it until the connection ends. */
bool channel_send(struct channel *channel, const struct buffer *bytes);

/* Any thread: channel_take waits no more. */
void channel_stop(struct channel *channel);
/* Any thread: the main thread has got on. */
void channel_progress(struct channel *channel);
/* Both counters together, as pings are answered with them. */
uint64_t channel_progressed(const struct channel *channel);

#endif
