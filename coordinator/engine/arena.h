/* SPDX-License-Identifier: Apache-2.0 */
/* arena.h - memory that is given back all at once.
 *
 * A zeroed struct is an empty arena. What arena_take gives is aligned for anything, not cleared, and lives until
 * arena_clear or arena_release. Running out of memory is a panic: the engine's operations are bounded by limits. One
 * thread. */
#ifndef SHEAF_ARENA_H
#define SHEAF_ARENA_H

#include <stddef.h>

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks; /* the newest first */
};

void *arena_take(struct arena *arena, size_t bytes);
void *arena_copy(struct arena *arena, const void *bytes, size_t len);
/* Forgets everything, keeping one chunk. */
void arena_clear(struct arena *arena);
void arena_release(struct arena *arena);

#endif
