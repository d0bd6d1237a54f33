/* SPDX-License-Identifier: Apache-2.0 */
#include "visitors.h"

#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>

#define NS_PER_MS 1000000u

static void append(struct visitors *visitors, struct visitor *visitor)
{
    visitor->next = NULL;
    visitor->before = visitors->last;
    if (visitors->last)
        visitors->last->next = visitor;
    else
        visitors->first = visitor;
    visitors->last = visitor;
}

static void take_out(struct visitors *visitors, struct visitor *visitor)
{
    if (visitor->before)
        visitor->before->next = visitor->next;
    else
        visitors->first = visitor->next;
    if (visitor->next)
        visitor->next->before = visitor->before;
    else
        visitors->last = visitor->before;
}

static int64_t time_of(const struct limits *limits, enum visitor_state state)
{
    switch (state) {
    case VISITOR_CAME:
        return limits->header_ms;
    case VISITOR_IDLE:
        return limits->idle_ms;
    case VISITOR_SENDING:
    case VISITOR_TAKING:
        return limits->transfer_ms;
    case VISITOR_WAITING:
    case VISITOR_SHUT_DOWN:
        break;
    }
    return 0;
}

static void set_state(struct visitors *visitors, struct visitor *visitor, enum visitor_state state, uint64_t now_ns)
{
    int64_t time_ms = time_of(visitors->limits, state);

    visitor->state = state;
    visitor->deadline_ns = time_ms ? now_ns + (uint64_t)time_ms * NS_PER_MS : 0;
}

struct visitor *visitors_add(struct visitors *visitors, int fd, uint64_t now_ns)
{
    struct visitor *visitor = calloc(1, sizeof *visitor);

    if (!visitor)
        return NULL;
    visitor->fd = fd;
    set_state(visitors, visitor, VISITOR_CAME, now_ns);
    append(visitors, visitor);
    visitors->count++;
    return visitor;
}

void visitors_remove(struct visitors *visitors, struct visitor *visitor)
{
    take_out(visitors, visitor);
    visitors->count--;
    visitors->leaving -= visitor->state == VISITOR_SHUT_DOWN;
    free(visitor);
}

void visitors_move(struct visitors *visitors, struct visitor *visitor, enum visitor_state state, uint64_t now_ns)
{
    if (visitor->state == VISITOR_SHUT_DOWN)
        return;
    take_out(visitors, visitor);
    set_state(visitors, visitor, state, now_ns);
    append(visitors, visitor);
}

static void end(struct visitors *visitors, struct visitor *visitor, uint64_t now_ns)
{
    (void)shutdown(visitor->fd, SHUT_RDWR); /* fails when the client went first */
    visitors_move(visitors, visitor, VISITOR_SHUT_DOWN, now_ns);
    visitors->leaving++;
}

void visitors_tick(struct visitors *visitors, uint64_t now_ns)
{
    for (struct visitor *visitor = visitors->first, *next; visitor; visitor = next) {
        next = visitor->next;
        if (visitor->deadline_ns && visitor->deadline_ns <= now_ns)
            end(visitors, visitor, now_ns);
    }
}

static bool has_no_request(const struct visitor *visitor)
{
    return visitor->state == VISITOR_CAME || visitor->state == VISITOR_IDLE;
}

bool visitors_evict(struct visitors *visitors, uint64_t now_ns)
{
    for (struct visitor *visitor = visitors->first; visitor; visitor = visitor->next)
        if (has_no_request(visitor)) {
            end(visitors, visitor, now_ns);
            return true;
        }
    return false;
}

void visitors_dismiss(struct visitors *visitors, uint64_t now_ns)
{
    while (visitors_evict(visitors, now_ns))
        continue;
}
