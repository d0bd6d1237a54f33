/* SPDX-License-Identifier: Apache-2.0 */
/* cache.h - the page cache of this process: one block of memory, taken at the start.
 *
 * A shard's memory is then the same for a small file and a large one, and what a load will need is known before its
 * first row. SQLite takes pages from the block (https://sqlite.org/malloc.html#pagecache) and, beyond it, from the
 * heap: a limit on the cache stays PRAGMA cache_size's business. Never freed. */
#ifndef SHEAF_CACHE_H
#define SHEAF_CACHE_H

#include "error.h"

#include <stdint.h>

/* Before SQLite is first used, once. The first CACHE_TOUCHED_MAX bytes are really there afterwards; a larger cache that
 * somebody asked for comes as it is needed. ERROR_INTERNAL: out of memory, or SQLite was used already. */
bool cache_reserve(int64_t bytes, struct error *error);

#define CACHE_TOUCHED_MAX 16777216

#endif
