/* SPDX-License-Identifier: Apache-2.0 */
/* room.h - the memory for answers: those that are made and not yet taken by their clients, all requests together.
 *
 * Of a client that asks for pages and never reads the library keeps one answer; that of many such clients would be as
 * much as they like. A small answer (LIMIT_ANSWER_BYTES_SMALL) is let out whatever others take, and not counted: who
 * asks for little is served. Any thread. */
#ifndef SHEAF_ROOM_H
#define SHEAF_ROOM_H

#include "error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct room {
    atomic_uint_fast64_t used;
    uint64_t most;
};

/* Takes room, which the caller gives back. False: there is not that much, and none was taken. *ret_taken: 0 for what is
 * small. */
bool room_take(struct room *room, uint64_t bytes, uint64_t *ret_taken, struct error *error);
/* Likewise, of what has to be said however full it is. */
uint64_t room_take_always(struct room *room, uint64_t bytes);
void room_give(struct room *room, uint64_t taken);

/* False: nothing that will be large should begin. */
bool room_is_left(const struct room *room, struct error *error);

#endif
