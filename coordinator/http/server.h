/* SPDX-License-Identifier: Apache-2.0 */
/* server.h - HTTP over libmicrohttpd: connections and requests, on one thread of its own.
 *
 * The loop is ours, not the library's (its own epoll thread stalls when exactly 128, 256, … sockets are ready): poll on
 * the library's epoll descriptor, the listeners and what is done; requests that wait for the engine are suspended and
 * resumed on this thread. A refusal that is known before the body has come is answered after it, or the client, still
 * writing, would see a reset connection instead. Only a head that could be read in two ways (framing.h) is answered
 * at once, with the connection's end. At `connections` open ones a new one ends the one that has been idle
 * longest; where the process may not open as many files, at as many as it may.
 *
 * Order: server_start, server_close_door, the engine's end, server_stop. */
#ifndef SHEAF_SERVER_H
#define SHEAF_SERVER_H

#include "http.h"
#include "listen.h"

struct server;

struct server_options {
    struct http *http;
    const struct listener *listeners; /* open */
    uint32_t listener_count;          /* at most 2 */
};

struct server *server_start(const struct server_options *options, struct error *error);

/* How many connections there may be at once. */
uint64_t server_connections(const struct server *server);

/* No new connection is taken and no new request given to the engine, when this returns. */
void server_close_door(struct server *server);

/* Everything that was given to the engine has its outcome: brings the answers out, for a second at most, and ends. */
void server_stop(struct server *server);

#endif
