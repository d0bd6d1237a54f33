/* SPDX-License-Identifier: Apache-2.0 */
/* link.h - one connection to one shard: an nng PAIR0 socket that dials once, for one generation.
 *
 * A fresh socket per generation, because PAIR0 keeps queued messages for the next peer: here there is never a next one
 * (a second pipe is refused). Carries messages both ways through asynchronous operations, pings, and knows how long ago
 * the shard showed life. What arrives with another generation in its header is dropped.
 *
 * nng's threads run the callbacks; they call the listener with MESSAGE events and write to `wake_fd` when link_state
 * changes, and wait for nothing. Order: link_new, link_dial, once it is LINK_OPEN link_receive, link_send…, link_free.
 * link_send from any thread; all else from the supervisor's. */
#ifndef SHEAF_LINK_H
#define SHEAF_LINK_H

#include "links.h"

struct link;

enum link_state {
    LINK_DIALLING,
    LINK_OPEN,
    LINK_BROKEN /* could not be dialled, or was open and is no more */
};

struct link_setup {
    database_id database;
    uint64_t generation;
    links_listener *listener;
    void *context;
    int wake_fd; /* an eventfd */
};

struct link *link_new(const struct link_setup *setup, struct error *error);

/* Dials in a thread of its own: a peer that accepts and then says nothing would hold the caller for seconds. */
bool link_dial(struct link *link, const char *url, struct error *error);

/* Fills `ret_why` when it is LINK_BROKEN (without the database's name). */
enum link_state link_state(struct link *link, struct error *ret_why);

/* From now on messages are delivered. */
void link_receive(struct link *link);

/* False when the link is not open, or is broken now: without memory for the message, what is behind it may not be sent
 * either. Never blocks. */
bool link_send(struct link *link, const void *head, size_t head_len, const void *body, size_t body_len);

/* Sends a ping unless the last one is still unanswered. */
void link_ping(struct link *link, uint64_t now_ns);

/* Whether a ping waits for its answer, or requests wait while the shard's progress counter stands still, for mute_ns
 * and nothing else came either. `ret_why` says which. */
bool link_is_mute(struct link *link, uint64_t now_ns, uint64_t mute_ns, struct error *ret_why);

/* This process itself stood still (SIGSTOP, a suspended machine): nobody is to blame for the time until now. */
void link_forgive(struct link *link, uint64_t now_ns);

/* The shard's process has ended or been killed: waits until all that it sent has been delivered, and not for ever. To
 * be called before link_free wherever it can be. */
void link_last_words(struct link *link);

/* Closes the connection, even one that is being dialled; after it returns no callback runs. NULL is fine. */
void link_free(struct link *link);

#endif
