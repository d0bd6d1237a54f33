/* SPDX-License-Identifier: Apache-2.0 */
/* recovery.h - from started shards to an engine that serves.
 *
 * Every shard is connected, asked what it holds, claimed under an epoch higher than any of theirs, and then what an
 * earlier coordinator left in doubt is resolved: committed where the home shard has the decision, else aborted (the
 * home has committed the newer epoch by then, so an absent decision can never appear any more). At last the decisions
 * are forgotten. A shard that fails on the way ends the start. Engine thread only. */
#ifndef SHEAF_RECOVERY_H
#define SHEAF_RECOVERY_H

#include "core.h"

struct recovery;

/* `ended` is called once: with NULL when the engine may serve. NULL: out of memory. */
struct recovery *recovery_new(struct engine *engine, void (*ended)(struct engine *engine, const struct error *error));
void recovery_free(struct recovery *recovery);

/* After an event of a peer, which has seen it already. */
void recovery_event(struct recovery *recovery, const struct link_event *event);

#endif
