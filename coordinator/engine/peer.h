/* SPDX-License-Identifier: Apache-2.0 */
/* peer.h - one shard as the engine sees it: is it there, what was it asked, what did it answer.
 *
 * A shard that refuses the hello, or is not what it was, is started again by links, with growing delay, until what is
 * wrong is gone: its file was missing, its disk full.
 *
 * Asks are sent in the order in which they were given and kept until they are answered. When the connection is lost
 * they stay; when it is back, the shard has said hello to this coordinator's epoch again, and all that is unanswered is
 * sent once more, in order, byte for byte: a write carries its batch number, so what had been applied is answered from
 * the shard's notes; everything else changes nothing. An answer that makes no sense is none: a shard that gives one is
 * started again and asked again, too. Engine thread only. */
#ifndef SHEAF_PEER_H
#define SHEAF_PEER_H

#include "core.h"
#include "wire.h"

/* Owned by whoever asks, until `answered` was called. */
struct ask {
    enum wire_kind kind;
    uint8_t head[16]; /* the body's first bytes; */
    uint8_t head_len;
    struct buffer body; /* and the rest of it */
    /* `body` is NULL with a refusal: the shard's own, or ERROR_UNAVAILABLE when it was away or silent for too long
     * (never for a write that may have reached it: that one is kept until the shard answers). */
    void (*answered)(struct ask *ask, struct cursor *body, const struct error *refusal);
    /* Asked before: whether this can be an answer to it; else `error` says why not. NULL: whatever it is. */
    bool (*fits)(const struct ask *ask, struct cursor body, const struct error *refusal, struct error *error);
    void *context;

    struct ask *next; /* the peer's own from here */
    uint64_t request;
    uint64_t asked_ns;
    uint64_t generation; /* in which it was last sent; 0: not yet */
};

enum peer_state {
    PEER_AWAY,
    PEER_CONNECTED, /* no hello yet */
    PEER_GREETING,  /* hello under way */
    PEER_READY
};

struct peer {
    struct engine *engine;
    database_id database;
    enum peer_state state;
    uint64_t generation;
    uint64_t away_since_ns; /* when it was READY last */
    struct ask hello;
    struct wire_hello_answer said;   /* the last answer to a hello */
    void (*back)(struct peer *peer); /* it is about to be READY again after a loss; `said` is fresh */
    struct ask *first, *last;        /* unanswered */
    struct error why;                /* what ended the last connection, or refuses a new one; */
    bool refused;                    /* in the latter case: links start it again, and then it is asked again */
};

void peer_init(struct peer *peer, struct engine *engine, database_id database);
/* No answer will be read any more: refuses what is under way. Writes that were sent stay; what became of them is for
 * the next start to find out. */
void peer_stop(struct peer *peer);
void peer_release(struct peer *peer);

void peer_ask(struct peer *peer, struct ask *ask);
/* An ask that is under way is wanted no more: `answered` will not be called. */
void peer_take_back(struct peer *peer, struct ask *ask);

/* Says hello and gives the outcome to `answered`: of a peer that is PEER_CONNECTED, before it is READY. */
void peer_hello(struct peer *peer, bool claim,
                void (*answered)(struct ask *ask, struct cursor *body, const struct error *refusal));
/* Reads an answer to it into `said`. */
bool peer_take_hello(struct peer *peer, struct cursor *body, struct error *error);
/* The hello with claim went well: sends what waits. */
void peer_is_ready(struct peer *peer);

/* What links has to say about it; does not take over the event. */
void peer_event(struct peer *peer, const struct link_event *event);

/* Refuses what has waited too long: questions, whether the shard is away or says nothing, and writes that it has not
 * got. */
void peer_tick(struct peer *peer);

/* Whether it is away, and has been for as long as an operation waits for that (away_ms): what needs it is refused. */
bool peer_is_away(const struct peer *peer);
bool peer_any_is_away(const struct engine *engine);
/* Refuses what such a one was asked, but for writes that may have reached it. Whether there was anything. */
bool peer_refuse_away(struct peer *peer);

/* Whether it has been away for so long that a stop does not wait for it any more. */
bool peer_is_gone(const struct peer *peer);

/* "database users is not available: …", or has not answered in time when it is there. */
void peer_error(const struct peer *peer, struct error *error);

#endif
