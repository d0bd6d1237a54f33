/* SPDX-License-Identifier: Apache-2.0 */
#include "frames.h"

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#define LENGTH_BYTES 2u
#define FRAME_BYTES_MAX 65535u

bool frames_next(const uint8_t **at, const uint8_t *end, struct frame *ret_frame)
{
    if ((size_t)(end - *at) < LENGTH_BYTES)
        return false;
    size_t len = (size_t)(*at)[0] | (size_t)(*at)[1] << 8;
    *at += LENGTH_BYTES;
    if (len > (size_t)(end - *at))
        len = (size_t)(end - *at);
    *ret_frame = (struct frame){*at, len};
    *at += len;
    return true;
}

static unsigned frames_of(const uint8_t *bytes, size_t len, struct frame frames[FRAMES_MAX])
{
    const uint8_t *at = bytes, *end = bytes + len;
    unsigned count = 0;
    while (count < FRAMES_MAX && frames_next(&at, end, &frames[count]))
        count++;
    return count;
}

static size_t put(const struct frame *frames, unsigned count, uint8_t *out, size_t len_max)
{
    size_t len = 0;
    for (unsigned i = 0; i < count && len + LENGTH_BYTES + frames[i].len <= len_max; i++) {
        out[len++] = (uint8_t)frames[i].len;
        out[len++] = (uint8_t)(frames[i].len >> 8);
        memcpy(out + len, frames[i].bytes, frames[i].len);
        len += frames[i].len;
    }
    return len;
}

/* frames[to] takes the place behind frames[at]. */
static unsigned doubled(struct frame frames[FRAMES_MAX], unsigned count, unsigned from, unsigned at)
{
    if (count == FRAMES_MAX)
        return count;
    const struct frame copy = frames[from];
    memmove(&frames[at + 1], &frames[at], (count - at) * sizeof *frames);
    frames[at] = copy;
    return count + 1;
}

static unsigned dropped(struct frame frames[FRAMES_MAX], unsigned count, unsigned at)
{
    memmove(&frames[at], &frames[at + 1], (count - at - 1) * sizeof *frames);
    return count - 1;
}

size_t frames_mutate(uint8_t *bytes, size_t len, size_t len_max, unsigned seed, size_t head)
{
    struct frame frames[FRAMES_MAX];
    if (len <= head || seed % 16 == 0)
        return LLVMFuzzerMutate(bytes, len, len_max);
    unsigned count = frames_of(bytes + head, len - head, frames);
    uint8_t *out = malloc(len_max), *changed = malloc(len_max);
    if (out && changed && count > 0) {
        unsigned at = seed / 16 % count, other = seed / 1024 % count;
        if (seed % 16 == 1 && count > 1) {
            count = dropped(frames, count, at);
        } else if (seed % 16 == 2) {
            count = doubled(frames, count, at, other);
        } else if (seed % 16 == 3) {
            const struct frame first = frames[at];
            frames[at] = frames[other];
            frames[other] = first;
        } else if (frames[at].len < len_max) {
            size_t room =
                len_max - len + frames[at].len < FRAME_BYTES_MAX ? len_max - len + frames[at].len : FRAME_BYTES_MAX;
            memcpy(changed, frames[at].bytes, frames[at].len);
            frames[at] = (struct frame){changed, LLVMFuzzerMutate(changed, frames[at].len, room)};
        }
        size_t put_len = put(frames, count, out, len_max - head);
        memcpy(bytes + head, out, put_len);
        len = head + put_len;
    }
    free(out);
    free(changed);
    return len;
}
