/* SPDX-License-Identifier: Apache-2.0 */
#include "arena.h"

#include "error.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES 4064u /* with its head and malloc's own, a page */

struct arena_chunk {
    struct arena_chunk *next;
    size_t used, size;
    _Alignas(max_align_t) unsigned char bytes[];
};

void *arena_take(struct arena *arena, size_t bytes)
{
    size_t align = _Alignof(max_align_t);
    struct arena_chunk *chunk = arena->chunks;
    bytes = (bytes + align - 1) / align * align;
    if (!chunk || chunk->size - chunk->used < bytes) {
        size_t size = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
        if (!(chunk = malloc(sizeof *chunk + size)))
            panic("out of memory for %zu bytes", size);
        *chunk = (struct arena_chunk){.next = arena->chunks, .size = size};
        arena->chunks = chunk;
    }
    void *taken = chunk->bytes + chunk->used;
    chunk->used += bytes;
    return taken;
}

void *arena_copy(struct arena *arena, const void *bytes, size_t len)
{
    void *copy = arena_take(arena, len);
    if (len)
        memcpy(copy, bytes, len);
    return copy;
}

void arena_clear(struct arena *arena)
{
    struct arena_chunk *kept = arena->chunks;
    if (!kept)
        return;
    while (kept->next) {
        struct arena_chunk *next = kept->next->next;
        free(kept->next);
        kept->next = next;
    }
    kept->used = 0;
}

void arena_release(struct arena *arena)
{
    while (arena->chunks) {
        struct arena_chunk *next = arena->chunks->next;
        free(arena->chunks);
        arena->chunks = next;
    }
}
