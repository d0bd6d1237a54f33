/* SPDX-License-Identifier: Apache-2.0 */
/* relay_server.h - lets `load` and `insert` of other processes use this one's engine.
 *
 * Each connection has a thread that reads and one that writes. What a connection has submitted and not yet read the
 * outcome of is bounded (RELAY_WAITING_OPS_MAX): beyond it nothing more is read from it, so that its sender waits.
 * Only processes of this user, or root, get in: the socket is 0600, and its peer is asked for.
 *
 * Order: relay_server_start, relay_server_close_door, the engine's end, relay_server_stop. */
#ifndef SHEAF_RELAY_SERVER_H
#define SHEAF_RELAY_SERVER_H

#include "engine.h"

#define RELAY_CONNECTIONS_MAX 16u
#define RELAY_WAITING_OPS_MAX 131072u

struct relay_server;

/* `listener`: a Unix socket that listens; it stays the caller's. */
struct relay_server *relay_server_start(struct engine *engine, const struct schema *schema, int listener,
                                        struct error *error);

/* Nothing more is taken, and the engine not called any more, when this returns. NULL is fine; likewise below. */
void relay_server_close_door(struct relay_server *server);

/* Everything that was given to the engine has its outcome: brings the answers out, for a second at most, and ends. */
void relay_server_stop(struct relay_server *server);

#endif
