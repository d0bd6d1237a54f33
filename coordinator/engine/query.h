/* SPDX-License-Identifier: Apache-2.0 */
/* query.h - questions of front ends to one shard (struct query, engine.h).
 *
 * A scan takes the table's own lock first, which transactions of several shards share while they are decided: a page
 * shows all of such a transaction or nothing of it. Engine thread only. */
#ifndef SHEAF_QUERY_H
#define SHEAF_QUERY_H

#include "core.h"

void query_begin(struct engine *engine, struct query *query);

/* Refuses scans that have waited too long for transactions, or wait for them while their shard is away. */
void query_tick(struct engine *engine);
/* At a stop, after that of the peers: refuses the others. */
void query_stop(struct engine *engine);

void query_free_all(struct engine *engine);

#endif
