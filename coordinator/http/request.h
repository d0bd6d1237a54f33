/* SPDX-License-Identifier: Apache-2.0 */
/* request.h - one HTTP request, from its headers to its answer, as those see it who handle it; the library that carries
 * it is the server's business (server.h).
 *
 * A handler is called once, when the whole body is there, and does one of three things:
 * - answers at once: request_refuse, or fills `answer` and `status`
 * - request_submit, request_ask or gather_put: the work goes elsewhere, and `render` is called when it is over, which
 *   then answers at once
 * All of it on the server's thread. Memory that runs out is an answer as well: request_finish looks at `failed`. */
#ifndef SHEAF_REQUEST_H
#define SHEAF_REQUEST_H

#include "http.h"

enum method { METHOD_GET, METHOD_POST, METHOD_PATCH, METHOD_DELETE, METHOD_OTHER };

struct request_headers { /* as they were sent; NULL: not there */
    const char *authorization;
    const char *host;
    const char *origin;
    const char *content_type;
    const char *content_encoding;
    const char *if_match;
    const char *if_none_match;
    const char *idempotency_key;
};

enum request_state { REQUEST_COMING, REQUEST_WORKING, REQUEST_ANSWERED };

struct request {
    struct http *http;
    enum method method;
    struct request_headers headers;
    char *target;          /* as it was sent, taken apart; owned: what follows lies in it */
    const char *authority; /* of http://HOST/…, which then counts and not what Host says; else NULL */
    const char *path;      /* raw, up to a question mark */
    size_t path_len;
    const char *query; /* what follows that; NULL: there is none */
    struct buffer body;
    void (*handle)(struct request *request); /* by route_find; NULL: refused before the body came */
    enum request_state state;

    /* while it is worked on */
    table_id table;
    struct buffer known_as; /* the path as an Idempotency-Key belongs to it, with a NUL; empty: as it is */
    struct error *refusal;  /* what it will be refused for when its key is noted; owned */
    int64_t refused_op;
    struct work *work; /* owned */
    struct query ask;  /* owned */
    uint32_t limit;    /* of a page */
    void (*render)(struct request *request);
    struct request *next_done;

    /* the answer */
    unsigned status;
    struct buffer answer;
    const char *media; /* its type */
    const char *allow; /* the methods that would do; NULL: no such header */
    char etag[40];     /* "": no such header */
    bool failed;       /* memory ran out on the way */
    uint64_t taken;    /* of http->room: by the answer, and before by what it is made of */

    void *server; /* the server's own, as what follows; NULL: its headers are not all there */
    void *connection;
    const char *target_end; /* where it came */
    bool target_is_sound;
    bool ends; /* its connection with it */
};

/* NULL: out of memory. */
struct request *request_new(struct http *http, const char *target);
void request_free(struct request *request);

/* {"ok":false,"error":{…}} with the status of its code. `op`: which operation of an atomic batch; -1: none. */
void request_refuse(struct request *request, const struct error *error);
void request_refuse_op(struct request *request, const struct error *error, int64_t op);
/* The same, of a write that could not be given to the engine: under its Idempotency-Key, if it has one, the refusal is
 * known first, so that the key stands for this request from now on. request->table: where that is kept; SCHEMA_NONE: by
 * the key's hash. */
void request_refuse_write(struct request *request, const struct error *error, int64_t op);
/* The answer is complete. */
void request_reply(struct request *request, unsigned status);

/* Gives request->work to the engine, under the request's Idempotency-Key if it writes and has one; then also one
 * without operations. A key that was used for another request, or cannot be looked up, is an answer without `render`.
 */
void request_submit(struct request *request, void (*render)(struct request *request));
/* Asks request->ask. */
void request_ask(struct request *request, void (*render)(struct request *request));
/* For a gatherer: the request is its own until it gives it to done_put. */
void request_leave(struct request *request, void (*render)(struct request *request));

/* Its work is over: renders, and lets go of what that needed. */
void request_finish(struct request *request);

/* Takes the room that the answer needs until the request is freed; of a read for which there is none, the answer is
 * that. */
void request_weigh(struct request *request);

#endif
