/* SPDX-License-Identifier: Apache-2.0 */
/* histogram.h - how long things take, mergeable over threads and processes.
 *
 * Log-linear: 16 steps for each power of two, so a reported value is at most 6.25% above the true one; 0 to 2^40 (18
 * minutes in ns), larger values count in the last step. Plain data, zeroed = empty, no allocation. One thread writes;
 * copies are merged by whoever gathers them. */
#ifndef SHEAF_HISTOGRAM_H
#define SHEAF_HISTOGRAM_H

#include "buffer.h"
#include "cursor.h"
#include "error.h"

#include <stdint.h>

#define HISTOGRAM_STEPS 16u
#define HISTOGRAM_POWERS 40u
#define HISTOGRAM_SLOTS (HISTOGRAM_STEPS * (HISTOGRAM_POWERS - 3u))

struct histogram {
    uint64_t count;
    uint64_t sum;
    uint64_t max;
    uint64_t slots[HISTOGRAM_SLOTS];
};

/* Counts `value` `times` times. */
void histogram_add(struct histogram *histogram, uint64_t value, uint64_t times);
void histogram_merge(struct histogram *into, const struct histogram *from);
/* Takes out what was counted before, when `from` is an earlier state of `into`; the largest of what is left is then
 * known to a step. False, and nothing done: it is none, for whoever counts began anew. */
bool histogram_subtract(struct histogram *into, const struct histogram *from);
/* The value that `share` (0..1) of the counted ones do not exceed; 0 when empty; never above max. */
uint64_t histogram_percentile(const struct histogram *histogram, double share);

/* [count, sum, max, slot, times, slot, times, …] only slots that are not empty. */
bool histogram_pack(const struct histogram *histogram, struct buffer *buffer);
bool histogram_unpack(struct cursor *cursor, struct histogram *ret_histogram, struct error *error);

#endif
