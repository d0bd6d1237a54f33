/* SPDX-License-Identifier: Apache-2.0 */
/* listen.h - the sockets that clients come to: a TCP address, and Unix sockets in the data directory.
 *
 * Bound before the shards are started, so that a wrong address costs nothing, and opened (listen_open) when they are
 * ready: until then a client is refused by the system. A Unix socket is 0600; where its path is too long for a socket
 * it is made under a short one, and a link to it stands in its place. The caller holds the directory's lock: a
 * socket or a link that stands there is left over, and anything else is refused (ERROR_UNAVAILABLE). */
#ifndef SHEAF_LISTEN_H
#define SHEAF_LISTEN_H

#include "error.h"
#include "sockets.h"

#include <stdbool.h>

#define LISTEN_NAME_SIZE 272 /* [host]:port */

struct listener {
    int fd;                      /* -1: none */
    char name[LISTEN_NAME_SIZE]; /* "127.0.0.1:8080", with the port that it got; of a Unix socket its path in DIR */
    char *link;                  /* of a Unix socket: the same path; owned */
    struct sockets sockets;      /* where it really is, if not there */
};

/* HOST:PORT; HOST is a name or an address, one of IPv6 in brackets. *ret_loopback: nobody else can reach it.
 * ERROR_PARSE: it is no such address; ERROR_UNAVAILABLE: it cannot be had. */
bool listen_tcp(const char *address, struct listener *ret_listener, bool *ret_loopback, struct error *error);

/* DIRECTORY/NAME. Before any other thread is made: it sets the umask for a moment. */
bool listen_unix(const char *directory, const char *name, struct listener *ret_listener, struct error *error);

/* From now on clients are let in. */
bool listen_open(const struct listener *listener, struct error *error);

/* Takes no more; removes what the file system shows of it. */
void listen_close(struct listener *listener);

#endif
