/* SPDX-License-Identifier: Apache-2.0 */
/* descriptors.h - how many more files and sockets this process may open.
 *
 * Its soft limit is often far below what the hard one allows. No state; while nothing else opens files at the same
 * time. */
#ifndef SHEAF_DESCRIPTORS_H
#define SHEAF_DESCRIPTORS_H

#include <stdint.h>

/* Raises the soft limit, as far as the hard one allows, so that `wanted` more can be opened than are open now; how many
 * of these can be. */
uint64_t descriptors_make_room(uint64_t wanted);

#endif
