/* SPDX-License-Identifier: Apache-2.0 */
#include "peer.h"

#include "links.h"

#include <stdio.h>
#include <string.h>

#define NS_PER_MS 1000000u

static const char *name_of(const struct peer *peer)
{
    return peer->engine->schema->databases[peer->database].name;
}

void peer_init(struct peer *peer, struct engine *engine, database_id database)
{
    *peer = (struct peer){.engine = engine, .database = database, .away_since_ns = engine->now_ns};
    error_set(&peer->why, ERROR_UNAVAILABLE, "it has not been started yet");
}

void peer_release(struct peer *peer)
{
    wire_hello_answer_release(&peer->said);
    buffer_release(&peer->hello.body);
}

/* What links say of it names it already. */
static const char *why_unnamed(const struct peer *peer)
{
    char name[sizeof "database : " + LIMIT_NAME_BYTES_MAX];
    int len = snprintf(name, sizeof name, "database %s: ", name_of(peer));
    return peer->why.text + (strncmp(peer->why.text, name, (size_t)len) == 0 ? len : 0);
}

void peer_error(const struct peer *peer, struct error *error)
{
    if (peer->state == PEER_READY)
        error_set(error, ERROR_UNAVAILABLE, "database %s has not answered in time", name_of(peer));
    else
        error_set(error, ERROR_UNAVAILABLE, "database %s is not available: %s", name_of(peer), why_unnamed(peer));
}

static bool is_away_for(const struct peer *peer, int64_t ms)
{
    return peer->state != PEER_READY && peer->engine->now_ns - peer->away_since_ns >= (uint64_t)ms * NS_PER_MS;
}

bool peer_is_away(const struct peer *peer)
{
    return is_away_for(peer, peer->engine->limits.away_ms);
}

bool peer_any_is_away(const struct engine *engine)
{
    for (database_id d = 0; d < engine->schema->database_count; d++)
        if (peer_is_away(&engine->peers[d]))
            return true;
    return false;
}

bool peer_is_gone(const struct peer *peer)
{
    return is_away_for(peer, peer->engine->limits.answer_ms);
}

static void send(struct peer *peer, struct ask *ask)
{
    struct engine *engine = peer->engine;
    struct wire_header header = {.kind = ask->kind,
                                 .epoch = engine->epoch,
                                 .coordinator = engine->coordinator,
                                 .generation = peer->generation,
                                 .request = ask->request};
    buffer_clear(&engine->head);
    ask->generation = peer->generation;
    /* what cannot be sent is lost like what was sent: all of it is sent again when the connection is back */
    if (wire_put_request(&engine->head, &header) && buffer_put(&engine->head, ask->head, ask->head_len))
        (void)links_send(engine->links, peer->database, peer->generation, engine->head.bytes, engine->head.len,
                         ask->body.bytes, ask->body.len);
    else
        panic("out of memory for the head of a message");
}

void peer_ask(struct peer *peer, struct ask *ask)
{
    ask->request = ++peer->engine->requests;
    ask->asked_ns = peer->engine->now_ns;
    ask->generation = 0;
    ask->next = NULL;
    if (peer->last)
        peer->last->next = ask;
    else
        peer->first = ask;
    peer->last = ask;
    if (peer->state == PEER_READY)
        send(peer, ask);
}

void peer_hello(struct peer *peer, bool claim,
                void (*answered)(struct ask *ask, struct cursor *body, const struct error *refusal))
{
    struct engine *engine = peer->engine;
    struct wire_hello hello = {.protocol = WIRE_PROTOCOL,
                               .claim = claim,
                               .cluster = engine->cluster,
                               .cluster_len = strlen(engine->cluster),
                               .database = name_of(peer),
                               .database_len = strlen(name_of(peer)),
                               .schema = engine->schema->text,
                               .schema_len = strlen(engine->schema->text),
                               .placement = (const char *)engine->placement.bytes,
                               .placement_len = engine->placement.len};
    peer->state = PEER_GREETING;
    peer->hello.kind = WIRE_HELLO;
    peer->hello.answered = answered;
    peer->hello.context = peer;
    peer->hello.request = ++engine->requests;
    buffer_clear(&peer->hello.body);
    if (!wire_put_hello(&peer->hello.body, &hello))
        panic("out of memory for a hello");
    send(peer, &peer->hello);
}

bool peer_take_hello(struct peer *peer, struct cursor *body, struct error *error)
{
    wire_hello_answer_release(&peer->said);
    memset(&peer->said, 0, sizeof peer->said);
    return wire_get_hello_answer(body, &peer->said, error);
}

void peer_is_ready(struct peer *peer)
{
    peer->state = PEER_READY;
    peer->engine->peers_changed = true;
    for (struct ask *ask = peer->first; ask; ask = ask->next)
        send(peer, ask);
}

/* Each new reason is told once, however often it is tried again. */
static void refused(struct peer *peer, const struct error *why)
{
    if (strcmp(peer->why.text, why->text) != 0)
        engine_say(peer->engine, LOG_LEVEL_ERROR, peer->database, why->text);
    peer->why = *why;
    peer->refused = true;
    links_restart(peer->engine->links, peer->database, peer->generation);
}

static void greeted_again(struct ask *ask, struct cursor *body, const struct error *refusal)
{
    struct peer *peer = ask->context;
    struct error error;
    if (refusal || !peer_take_hello(peer, body, &error)) {
        refused(peer, refusal ? refusal : &error);
        return;
    }
    peer->back(peer);
    engine_say(peer->engine, LOG_LEVEL_INFO, peer->database, "shard is back");
    peer_is_ready(peer);
}

/* A claim creates what is missing, so first: is the file still there? */
static void probed_again(struct ask *ask, struct cursor *body, const struct error *refusal)
{
    struct peer *peer = ask->context;
    struct error error = {0};
    if (refusal)
        error = *refusal;
    else if (peer_take_hello(peer, body, &error) && !peer->said.fresh) {
        peer_hello(peer, true, greeted_again);
        return;
    } else if (!error.code)
        error_set(&error, ERROR_UNAVAILABLE, "its file is missing or empty, and was not before");
    refused(peer, &error);
}

static void lost(struct peer *peer, const struct link_event *event)
{
    if (peer->state == PEER_READY) { /* else it was away already, however often it was seen */
        peer->away_since_ns = peer->engine->now_ns;
        peer->engine->peers_changed = true;
    }
    if (peer->refused) { /* as was wished: what stands against it is known */
        peer->refused = false;
        peer->state = PEER_AWAY;
        return;
    }
    /* while it is tried again and again, each new reason once; of the first start the one who asked for it is told */
    bool is_news = peer->state != PEER_AWAY || strcmp(peer->why.text, event->error.text) != 0;
    if (is_news && (event->kind == LINK_LOST || peer->engine->serving))
        engine_say(peer->engine, LOG_LEVEL_WARN, peer->database, event->error.text);
    peer->state = PEER_AWAY;
    peer->why = event->error;
}

static void unlink_ask(struct peer *peer, struct ask *before, struct ask *ask)
{
    if (before)
        before->next = ask->next;
    else
        peer->first = ask->next;
    if (peer->last == ask)
        peer->last = before;
    ask->next = NULL;
}

void peer_take_back(struct peer *peer, struct ask *ask)
{
    struct ask *before = NULL;
    for (struct ask *at = peer->first; at != ask; at = at->next)
        before = at;
    unlink_ask(peer, before, ask);
}

static void settle(struct peer *peer, struct ask *before, struct ask *ask, struct cursor *body,
                   const struct error *refusal)
{
    unlink_ask(peer, before, ask);
    ask->answered(ask, body, refusal);
}

static bool makes_sense(struct peer *peer, const struct ask *ask, const struct cursor *body,
                        const struct error *refusal)
{
    const struct cursor none = {NULL, NULL};
    struct error error;
    if (!ask->fits || ask->fits(ask, refusal ? none : *body, refusal, &error))
        return true;
    error_prefix(&error, "database %s: an answer that makes no sense (%s): ", name_of(peer), wire_kind_name(ask->kind));
    error.code = ERROR_UNAVAILABLE;
    refused(peer, &error);
    return false;
}

static void message(struct peer *peer, const struct link_event *event)
{
    struct wire_header header;
    struct error refusal, error;
    struct cursor body;
    bool done;
    if (!wire_get_answer(event->bytes, event->len, &header, &done, &refusal, &body, &error)) {
        engine_say(peer->engine, LOG_LEVEL_WARN, peer->database, error.text);
        return;
    }
    if (header.generation != peer->generation || header.coordinator != peer->engine->coordinator)
        return;
    if (peer->state == PEER_GREETING && header.request == peer->hello.request) {
        peer->hello.answered(&peer->hello, done ? &body : NULL, done ? NULL : &refusal);
        return;
    }
    struct ask *before = NULL;
    for (struct ask *ask = peer->first; ask; before = ask, ask = ask->next)
        if (ask->request == header.request) {
            if (makes_sense(peer, ask, &body, done ? NULL : &refusal))
                settle(peer, before, ask, done ? &body : NULL, done ? NULL : &refusal);
            return;
        }
}

void peer_event(struct peer *peer, const struct link_event *event)
{
    switch (event->kind) {
    case LINK_CONNECTED:
        peer->state = PEER_CONNECTED;
        peer->generation = event->generation;
        if (peer->engine->serving)
            peer_hello(peer, false, probed_again);
        return;
    case LINK_MESSAGE:
        if (peer->state != PEER_AWAY)
            message(peer, event);
        return;
    case LINK_LOST:
    case LINK_FAILED:
        lost(peer, event);
        return;
    }
}

/* Refuses what `is_refused` says, in order. A write that may have reached the shard stays: it is kept until answered.
 */
static bool refuse_some(struct peer *peer, bool (*is_refused)(const struct peer *peer, const struct ask *ask),
                        const struct error *error)
{
    struct ask *before = NULL;
    bool any = false;
    for (struct ask *ask = peer->first, *next; ask; ask = next) {
        next = ask->next;
        if ((ask->kind == WIRE_WRITE && ask->generation != 0) || !is_refused(peer, ask)) {
            before = ask;
            continue;
        }
        settle(peer, before, ask, NULL, error);
        any = true;
    }
    return any;
}

static bool is_any(const struct peer *peer, const struct ask *ask)
{
    (void)peer;
    (void)ask;
    return true;
}

static bool is_late(const struct peer *peer, const struct ask *ask)
{
    return peer->engine->now_ns - ask->asked_ns > (uint64_t)peer->engine->limits.answer_ms * NS_PER_MS;
}

bool peer_refuse_away(struct peer *peer)
{
    struct error error;
    if (!peer->first || !peer_is_away(peer))
        return false;
    peer_error(peer, &error);
    return refuse_some(peer, is_any, &error);
}

void peer_tick(struct peer *peer)
{
    struct error error;
    peer_error(peer, &error);
    refuse_some(peer, is_late, &error);
}

void peer_stop(struct peer *peer)
{
    struct error error;
    error_set(&error, ERROR_UNAVAILABLE, "the coordinator is stopping");
    refuse_some(peer, is_any, &error);
}
