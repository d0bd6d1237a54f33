/* SPDX-License-Identifier: Apache-2.0 */
/* lookup.h - one row read by its key.
 *
 * Takes a shared lock on what identifies the row: it waits for a write of that row, on one shard or several, to have
 * its outcome, and sees all of it. Ends as `not_found` when there is no such row. Engine thread only. */
#ifndef SHEAF_LOOKUP_H
#define SHEAF_LOOKUP_H

#include "core.h"

void lookup_begin(struct engine *engine, struct submission *submission, struct op *op);

/* Refuses those that have waited too long for a lock, or wait for one while their shard is away. */
void lookup_tick(struct engine *engine);
/* At a stop, after that of the peers: refuses the others. */
void lookup_stop(struct engine *engine);

void lookup_free_all(struct engine *engine);

#endif
