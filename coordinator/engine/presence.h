/* SPDX-License-Identifier: Apache-2.0 */
/* presence.h - which rowids exist in the tables that others name by rowid, as exact sets in memory.
 *
 * A set is known from the start for a table that is empty, and else read from its shard in chunks once so many single
 * questions were asked that reading is cheaper. While it is being read, and for a table whose set was given up because
 * all sets together passed the byte budget, the answer is NOT_KNOWN: ask the shard. Exactness: every insert that passes
 * the engine is added when its outcome is known and before its locks fall; a shard answers in order, so a chunk never
 * misses a row whose insert was acknowledged before the chunk arrived.
 *
 * Per table a sorted list of 2^32-wide pieces, each a Roaring bitmap. Engine thread only. */
#ifndef SHEAF_PRESENCE_H
#define SHEAF_PRESENCE_H

#include "schema.h"

#define PRESENCE_ASKED_MIN 4096u /* so many questions are sent singly before a set is read */

enum presence_answer { PRESENCE_THERE, PRESENCE_ABSENT, PRESENCE_NOT_KNOWN };

struct presence;

struct presence *presence_new(const struct schema *schema, size_t bytes_max); /* NULL: out of memory */
void presence_free(struct presence *presence);

/* The table holds no row at all: its set is known. */
void presence_is_empty(struct presence *presence, table_id table);

enum presence_answer presence_look(struct presence *presence, table_id table, int64_t rowid);

/* Whether the set should be read now: it was asked often enough. Says so once; after presence_chunk with `complete`,
 * presence_put_off or presence_give_up, it is over. */
bool presence_wants_reading(struct presence *presence, table_id table);

/* A row is there. Ignored for tables that nobody names by rowid. */
void presence_add(struct presence *presence, table_id table, int64_t rowid);

/* A row is there no more. A shard answers in order: what it told before it deleted the row came before. */
void presence_remove(struct presence *presence, table_id table, int64_t rowid);

/* A chunk of ascending rowids of a set that is being read. */
void presence_chunk(struct presence *presence, table_id table, const int64_t *rowids, uint32_t count, bool complete);

/* The reading of a set was broken off: it begins anew when the set was asked often enough again. */
void presence_put_off(struct presence *presence, table_id table);

/* The set is freed and will not be read again. */
void presence_give_up(struct presence *presence, table_id table);

#endif
