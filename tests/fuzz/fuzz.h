/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz.h - what every target has: it is given an input, and panics or dies of a sanitizer where Sheaf is wrong. A
 * target leaves nothing behind, so that an input alone repeats what it did. */
#ifndef SHEAF_FUZZ_H
#define SHEAF_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len); /* 0 */

/* libFuzzer's own: changes the bytes in place, and gives their new length. */
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t len, size_t len_max);

#endif
