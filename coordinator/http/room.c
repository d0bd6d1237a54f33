/* SPDX-License-Identifier: Apache-2.0 */
#include "room.h"

#include "limits.h"

static bool refuse(struct error *error)
{
    return error_set(error, ERROR_BUSY, "answers that nobody has taken yet fill all the room there is for them");
}

static uint64_t counted(uint64_t bytes)
{
    return bytes > LIMIT_ANSWER_BYTES_SMALL ? bytes : 0;
}

bool room_take(struct room *room, uint64_t bytes, uint64_t *ret_taken, struct error *error)
{
    uint64_t taken = room_take_always(room, bytes);

    if (taken > 0 && atomic_load(&room->used) > room->most) {
        room_give(room, taken);
        return refuse(error);
    }
    *ret_taken = taken;
    return true;
}

uint64_t room_take_always(struct room *room, uint64_t bytes)
{
    uint64_t taken = counted(bytes);

    atomic_fetch_add(&room->used, taken);
    return taken;
}

void room_give(struct room *room, uint64_t taken)
{
    atomic_fetch_sub(&room->used, taken);
}

bool room_is_left(const struct room *room, struct error *error)
{
    return atomic_load(&room->used) < room->most || refuse(error);
}
