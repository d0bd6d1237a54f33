/* SPDX-License-Identifier: Apache-2.0 */
/* key.h - lock keys: the hash of a deliberately coarse normal form of a key's values.
 *
 * Two keys that SQLite could hold equal under any affinity and any built-in collation have the same hash:
 * whatever reads as a number is its double (1 = 1.0 = ' 1.0 '), text loses trailing blanks and ASCII case,
 * -0.0 is 0.0. It may say "same" too often, never too seldom; a unit test asks SQLite. No allocation. */
#ifndef SHEAF_KEY_H
#define SHEAF_KEY_H

#include "value.h"

struct key_hash {
    uint64_t bits;
};

/* Starts a key of `space`: callers give each (table, key) pair a number of its own. */
struct key_hash key_start(uint32_t space);

/* Adds the next value of the key, in the key's column order. */
struct key_hash key_add(struct key_hash hash, const struct value *value);

/* Whether text reads wholly as a number the way SQLite's affinity does (blanks around it allowed, no hex, no
 * "inf"/"nan"); gives its double. */
bool key_reads_as_number(const char *text, size_t len, double *ret_number);

#endif
