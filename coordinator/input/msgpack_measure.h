/* SPDX-License-Identifier: Apache-2.0 */
/* msgpack_measure.h - where an item of msgpack ends, without the whole of it in memory.
 *
 * Containers are followed by counting the items still to come, so that neither depth nor a header's promise of four
 * billion items takes memory. Start with {.items = 1}. */
#ifndef SHEAF_MSGPACK_MEASURE_H
#define SHEAF_MSGPACK_MEASURE_H

#include <stddef.h>
#include <stdint.h>

struct msgpack_measure {
    uint64_t items; /* still to come */
    uint64_t bytes; /* still to come of the item under way */
};

enum msgpack_measured { MSGPACK_MORE, MSGPACK_WHOLE, MSGPACK_INVALID };

/* Goes on over `bytes`; *ret_used says how far. MORE leaves at most a header of nine bytes unused. */
enum msgpack_measured msgpack_measure_on(struct msgpack_measure *measure, const uint8_t *bytes, size_t len,
                                         size_t *ret_used);

#endif
