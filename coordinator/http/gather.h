/* SPDX-License-Identifier: Apache-2.0 */
/* gather.h - a thread of its own for answers that need every shard: /v1/stats and /metrics.
 *
 * A shard may be slow to tell, and the server's thread must not wait for it. Requests that come while one gathering is
 * under way share the next. The thread writes the answer's bytes and gives the request to done_put.
 * Order: gather_start, gather_put…, gather_stop before the engine's end. */
#ifndef SHEAF_GATHER_H
#define SHEAF_GATHER_H

#include "http.h"

struct gather;
struct request;

enum gather_form { GATHER_JSON, GATHER_PROMETHEUS };

struct gather *gather_start(struct http *http, struct error *error);
/* What is under way is finished; what waits is refused as unavailable. NULL is fine. */
void gather_stop(struct gather *gather);

/* Server thread. */
void gather_put(struct gather *gather, struct request *request, enum gather_form form);

#endif
