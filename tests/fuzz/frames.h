/* SPDX-License-Identifier: Apache-2.0 */
/* frames.h - an input that is a sequence: of messages, of answers.
 *
 * Behind some bytes of head come frames, each two bytes of length (the low one first) and as many bytes; the last one
 * may be cut. Mutated as a sequence: a frame is changed inside, doubled, dropped, or changes its place. */
#ifndef SHEAF_FUZZ_FRAMES_H
#define SHEAF_FUZZ_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAMES_MAX 64

struct frame {
    const uint8_t *bytes;
    size_t len;
};

/* The next frame; moves *at behind it. False at the end. */
bool frames_next(const uint8_t **at, const uint8_t *end, struct frame *ret_frame);

/* For LLVMFuzzerCustomMutator. */
size_t frames_mutate(uint8_t *bytes, size_t len, size_t len_max, unsigned seed, size_t head);

#endif
