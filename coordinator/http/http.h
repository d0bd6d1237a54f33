/* SPDX-License-Identifier: Apache-2.0 */
/* http.h - what every request needs and none changes: the engine, the schema, the limits, who may ask.
 *
 * Filled before the server's thread starts and only read afterwards, but `counts`, which is that thread's own, and
 * `room`, which is everybody's. */
#ifndef SHEAF_HTTP_H
#define SHEAF_HTTP_H

#include "buffer.h"
#include "engine.h"
#include "limits.h"
#include "room.h"
#include "schema.h"

struct done;
struct gather;

struct http_counts {
    uint64_t answers[6]; /* by the first digit of the status */
    uint64_t connections;
    uint64_t evicted; /* connections ended to make room */
    uint32_t open;
    uint32_t working;       /* requests that the engine has */
    uint64_t waiting_ops;   /* of those */
    uint64_t bodies_bytes;  /* of all requests */
    uint64_t answers_bytes; /* as the room said when these were copied */
};

struct http {
    struct engine *engine;
    const struct schema *schema;
    const struct limits *limits;
    const char *token; /* NULL: none is asked for */
    const char *name;  /* a host name that this server goes by; NULL: none */
    struct done *done;
    struct gather *gather;
    struct buffer schema_json;
    struct buffer openapi_json;
    struct http_counts counts;
    struct room room;
};

#endif
