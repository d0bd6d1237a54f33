/* SPDX-License-Identifier: Apache-2.0 */
/* release.h - staged rows on their way to the engine, in chunks: some in flight, settled in their order.
 *
 * A chunk whose rows do not need each other goes as single operations; one that holds a row and its parent, or circles,
 * goes as one transaction. When a chunk is refused, what was refused of it is tried once more by itself, row by row or
 * circle by circle, after all that went before it is settled: that one row was refused must not cost the others, nor a
 * row whose parent came in late.
 *
 * Inside the room only; used by cycle_release.c. */
#ifndef SHEAF_RELEASE_H
#define SHEAF_RELEASE_H

#include "cycle.h"

struct release;

struct release *release_new(struct cycle *cycle, struct error *error);
void release_free(struct release *release); /* nothing may be in flight */

/* Rows in the chunk being filled. */
uint32_t release_pending(const struct release *release);
bool release_is_full(const struct release *release);
bool release_is_atomic(const struct release *release);

/* Adds a staged row, which becomes ROW_SENT. `opens_unit`: it does not have to be committed with the row before it;
 * used where the chunk must be taken apart again. */
bool release_add(struct release *release, uint32_t seq, bool opens_unit);
/* The chunk being filled must be one transaction; its rows may be tried one by one (false: unit by unit, never less).
 */
void release_make_atomic(struct release *release, bool row_by_row);

/* Sends the chunk being filled, if it holds anything. */
bool release_send(struct release *release);
/* Sends it and settles everything. Also after a failure: what is in flight must come back. */
bool release_drain(struct release *release, bool fine);

#endif
