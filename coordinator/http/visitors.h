/* SPDX-License-Identifier: Apache-2.0 */
/* visitors.h - the connections that are open, and until when each may do what it does.
 *
 * libmicrohttpd only knows inactivity: a client that sends a byte a second would live for ever. So each connection has
 * a deadline of its own for what it is at, and at its end the socket is shut down, which libmicrohttpd sees as its end.
 * While the engine works on a request there is none: that has its own. Server thread only. */
#ifndef SHEAF_VISITORS_H
#define SHEAF_VISITORS_H

#include "limits.h"

#include <stdbool.h>
#include <stdint.h>

enum visitor_state {
    VISITOR_CAME,     /* no request yet: header_ms */
    VISITOR_IDLE,     /* between two requests, up to the headers of the next: idle_ms */
    VISITOR_SENDING,  /* its body is coming: transfer_ms */
    VISITOR_WAITING,  /* for its outcome: no deadline here */
    VISITOR_TAKING,   /* its answer is going out: transfer_ms */
    VISITOR_SHUT_DOWN /* its end is under way */
};

struct visitor {
    struct visitor *before, *next; /* in order of their last change */
    int fd;
    enum visitor_state state;
    uint64_t deadline_ns; /* 0: none */
};

struct visitors {
    const struct limits *limits;
    struct visitor *first, *last;
    uint32_t count;
    uint32_t leaving; /* of those: VISITOR_SHUT_DOWN */
};

/* NULL: out of memory. */
struct visitor *visitors_add(struct visitors *visitors, int fd, uint64_t now_ns);
void visitors_remove(struct visitors *visitors, struct visitor *visitor); /* frees it */

void visitors_move(struct visitors *visitors, struct visitor *visitor, enum visitor_state state, uint64_t now_ns);

/* Ends those whose deadline has passed. */
void visitors_tick(struct visitors *visitors, uint64_t now_ns);
/* Ends the one that has been without a request for longest. False: there is none. */
bool visitors_evict(struct visitors *visitors, uint64_t now_ns);
/* Ends all that have no request. */
void visitors_dismiss(struct visitors *visitors, uint64_t now_ns);

#endif
