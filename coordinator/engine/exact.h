/* SPDX-License-Identifier: Apache-2.0 */
/* exact.h - keys as bytes that are equal just when SQLite holds the keys equal.
 *
 * Affinity is applied, text is folded as the key's collation compares it, and a real that is a whole number is that
 * integer. Unlike a lock key (key.h) this says neither too much nor too little; it is what a transaction's own view of
 * the rows is looked up by. Running out of memory is a panic. Engine thread. */
#ifndef SHEAF_EXACT_H
#define SHEAF_EXACT_H

#include "affinity.h"
#include "buffer.h"
#include "schema.h"

/* All append to `bytes`, and return false, with an incomplete key, when one of the values is NULL or ABSENT. */

/* Key number `key` of a row. */
bool exact_key(struct affinity_scratch *scratch, const struct schema_table *table, uint16_t key,
               const struct value *row, struct buffer *bytes);

/* The same from the key's own values, in the key's order. */
bool exact_values(struct affinity_scratch *scratch, const struct schema_table *table, uint16_t key,
                  const struct value *values, struct buffer *bytes);

/* The parent key that a row of the reference's child names. */
bool exact_named(struct affinity_scratch *scratch, const struct schema *schema,
                 const struct schema_reference *reference, const struct value *row, struct buffer *bytes);

/* A rowid. */
void exact_rowid(int64_t rowid, struct buffer *bytes);

/* A hash of an exact key about something: `about` is what kind of thing, and which. */
uint64_t exact_hash(uint64_t about, const struct buffer *exact);

#endif
