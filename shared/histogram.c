/* SPDX-License-Identifier: Apache-2.0 */
#include "histogram.h"

#include "pack.h"

static unsigned slot_of(uint64_t value)
{
    if (value < HISTOGRAM_STEPS)
        return (unsigned)value;
    unsigned power = 63u - (unsigned)__builtin_clzll(value); /* at least 4 */
    if (power >= HISTOGRAM_POWERS)
        return HISTOGRAM_SLOTS - 1;
    return (power - 3u) * HISTOGRAM_STEPS + (unsigned)(value >> (power - 4u)) % HISTOGRAM_STEPS;
}

/* The largest value that counts in `slot`. */
static uint64_t slot_top(unsigned slot)
{
    if (slot < HISTOGRAM_STEPS)
        return slot;
    unsigned power = slot / HISTOGRAM_STEPS + 3u;
    return ((uint64_t)(HISTOGRAM_STEPS + slot % HISTOGRAM_STEPS + 1u) << (power - 4u)) - 1u;
}

void histogram_add(struct histogram *histogram, uint64_t value, uint64_t times)
{
    if (!times)
        return;
    histogram->count += times;
    histogram->sum += value * times;
    if (value > histogram->max)
        histogram->max = value;
    histogram->slots[slot_of(value)] += times;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    into->count += from->count;
    into->sum += from->sum;
    if (from->max > into->max)
        into->max = from->max;
    for (unsigned i = 0; i < HISTOGRAM_SLOTS; i++)
        into->slots[i] += from->slots[i];
}

bool histogram_subtract(struct histogram *into, const struct histogram *from)
{
    unsigned last = 0;
    for (unsigned i = 0; i < HISTOGRAM_SLOTS; i++)
        if (into->slots[i] < from->slots[i])
            return false;
    into->count -= from->count;
    into->sum -= from->sum;
    for (unsigned i = 0; i < HISTOGRAM_SLOTS; i++) {
        into->slots[i] -= from->slots[i];
        if (into->slots[i])
            last = i;
    }
    if (!into->count)
        into->max = 0;
    else if (last < HISTOGRAM_SLOTS - 1 && slot_top(last) < into->max)
        into->max = slot_top(last);
    return true;
}

uint64_t histogram_percentile(const struct histogram *histogram, double share)
{
    if (!histogram->count)
        return 0;
    uint64_t wanted = (uint64_t)(share * (double)histogram->count + 0.999999);
    if (wanted < 1)
        wanted = 1;
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_SLOTS; i++) {
        seen += histogram->slots[i];
        if (seen >= wanted) {
            uint64_t top = slot_top(i);
            return i == HISTOGRAM_SLOTS - 1 || top > histogram->max ? histogram->max : top;
        }
    }
    return histogram->max;
}

bool histogram_pack(const struct histogram *histogram, struct buffer *buffer)
{
    uint32_t used = 0;
    for (unsigned i = 0; i < HISTOGRAM_SLOTS; i++)
        used += histogram->slots[i] != 0;
    bool ok = pack_array(buffer, 3 + 2 * used) && pack_uint(buffer, histogram->count) &&
              pack_uint(buffer, histogram->sum) && pack_uint(buffer, histogram->max);
    for (unsigned i = 0; ok && i < HISTOGRAM_SLOTS; i++)
        if (histogram->slots[i])
            ok = pack_uint(buffer, i) && pack_uint(buffer, histogram->slots[i]);
    return ok;
}

bool histogram_unpack(struct cursor *cursor, struct histogram *ret_histogram, struct error *error)
{
    struct histogram result = {0};
    uint32_t items;
    if (!cursor_array(cursor, &items) || items < 3 || items % 2 == 0 || !cursor_uint(cursor, &result.count) ||
        !cursor_uint(cursor, &result.sum) || !cursor_uint(cursor, &result.max))
        return error_set(error, ERROR_PARSE, "a histogram begins with its count, sum and max");
    for (uint32_t i = 3; i < items; i += 2) {
        uint64_t slot, times;
        if (!cursor_uint(cursor, &slot) || !cursor_uint(cursor, &times) || slot >= (uint64_t)HISTOGRAM_SLOTS)
            return error_set(error, ERROR_PARSE, "a histogram's slot is a number below %u", HISTOGRAM_SLOTS);
        result.slots[slot] += times;
    }
    *ret_histogram = result;
    return true;
}
