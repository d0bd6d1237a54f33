/* SPDX-License-Identifier: Apache-2.0 */
#include "cache.h"

#include <sqlite3.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE_BYTES 4096 /* SQLite's default page */

bool cache_reserve(int64_t bytes, struct error *error)
{
    int header_bytes;
    if (sqlite3_config(SQLITE_CONFIG_SINGLETHREAD) != SQLITE_OK ||
        sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) != SQLITE_OK ||
        sqlite3_config(SQLITE_CONFIG_PCACHE_HDRSZ, &header_bytes) != SQLITE_OK)
        return error_set(error, ERROR_INTERNAL, "the page cache comes too late");
    int slot_bytes = PAGE_BYTES + (header_bytes + 7) / 8 * 8;
    int64_t slots = bytes / slot_bytes;
    if (slots > INT32_MAX)
        slots = INT32_MAX;
    size_t size = (size_t)slots * (size_t)slot_bytes;
    void *block = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED)
        return error_set(error, ERROR_INTERNAL, "out of memory for a page cache of %lld bytes", (long long)bytes);
    memset(block, 0, size < CACHE_TOUCHED_MAX ? size : CACHE_TOUCHED_MAX);
    return sqlite3_config(SQLITE_CONFIG_PAGECACHE, block, slot_bytes, (int)slots) == SQLITE_OK ||
           error_set(error, ERROR_INTERNAL, "the page cache comes too late");
}
