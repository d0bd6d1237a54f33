/* SPDX-License-Identifier: Apache-2.0 */
#include "msgpack_measure.h"

#include <stdbool.h>

/* An item's header: how long the count in it is, and what the count counts. */
struct head {
    uint8_t width;
    uint8_t items_each; /* per count: items of a container; 0: bytes */
    uint64_t fixed;     /* count when width is 0, bytes beside the count otherwise */
};

/* 0xc0 to 0xdf, https://github.com/msgpack/msgpack/blob/master/spec.md */
static const struct head heads[32] = {
    [0xc4 - 0xc0] = {1, 0, 0}, [0xc5 - 0xc0] = {2, 0, 0},  [0xc6 - 0xc0] = {4, 0, 0}, /* bin */
    [0xc7 - 0xc0] = {1, 0, 1}, [0xc8 - 0xc0] = {2, 0, 1},  [0xc9 - 0xc0] = {4, 0, 1}, /* ext */
    [0xca - 0xc0] = {0, 0, 4}, [0xcb - 0xc0] = {0, 0, 8},                             /* float */
    [0xcc - 0xc0] = {0, 0, 1}, [0xcd - 0xc0] = {0, 0, 2},  [0xce - 0xc0] = {0, 0, 4}, [0xcf - 0xc0] = {0, 0, 8},
    [0xd0 - 0xc0] = {0, 0, 1}, [0xd1 - 0xc0] = {0, 0, 2},  [0xd2 - 0xc0] = {0, 0, 4}, [0xd3 - 0xc0] = {0, 0, 8},
    [0xd4 - 0xc0] = {0, 0, 2}, [0xd5 - 0xc0] = {0, 0, 3},  [0xd6 - 0xc0] = {0, 0, 5}, /* fixext */
    [0xd7 - 0xc0] = {0, 0, 9}, [0xd8 - 0xc0] = {0, 0, 17}, [0xd9 - 0xc0] = {1, 0, 0}, [0xda - 0xc0] = {2, 0, 0},
    [0xdb - 0xc0] = {4, 0, 0},                            /* str */
    [0xdc - 0xc0] = {2, 1, 0}, [0xdd - 0xc0] = {4, 1, 0}, /* array */
    [0xde - 0xc0] = {2, 2, 0}, [0xdf - 0xc0] = {4, 2, 0}, /* map */
};

static struct head head_of(uint8_t first)
{
    if (first >= 0xc0 && first <= 0xdf)
        return heads[first - 0xc0];
    if ((first & 0xe0) == 0xa0)
        return (struct head){0, 0, first & 0x1f};
    if ((first & 0xf0) == 0x80 || (first & 0xf0) == 0x90)
        return (struct head){0, (first & 0x10) ? 1 : 2, first & 0x0f};
    return (struct head){0, 0, 0};
}

enum msgpack_measured msgpack_measure_on(struct msgpack_measure *measure, const uint8_t *bytes, size_t len,
                                         size_t *ret_used)
{
    size_t at = 0;

    for (;;) {
        uint64_t step = measure->bytes < len - at ? measure->bytes : len - at;
        at += (size_t)step;
        measure->bytes -= step;
        *ret_used = at;
        if (measure->bytes > 0)
            return MSGPACK_MORE;
        if (measure->items == 0)
            return MSGPACK_WHOLE;
        if (at == len)
            return MSGPACK_MORE;
        if (bytes[at] == 0xc1)
            return MSGPACK_INVALID;
        struct head head = head_of(bytes[at]);
        if (len - at < (size_t)1 + head.width)
            return MSGPACK_MORE;
        uint64_t count = head.width ? 0 : head.fixed;
        for (uint8_t i = 1; i <= head.width; i++)
            count = count << 8 | bytes[at + i];
        at += (size_t)1 + head.width;
        measure->items--;
        if (head.items_each == 0)
            measure->bytes = count + (head.width ? head.fixed : 0);
        else if (measure->items > UINT64_MAX - count * head.items_each)
            return MSGPACK_INVALID;
        else
            measure->items += count * head.items_each;
    }
}
