/* SPDX-License-Identifier: Apache-2.0 */
/* rowkeys.h - which keys a row takes and which it names, as lock keys.
 *
 * A row takes each of its primary and unique keys, exclusively: who names it as a parent waits for its commit, and of
 * two rows with one key the earlier wins. It takes each parent key that it names, shared. Keys with a NULL are not
 * locked. A key that cannot be computed here (an expression, a generated column) locks as a whole table's; that one and
 * a partial index's are taken in order of arrival by a single row that refers to nothing, since its place in the batch
 * decides.
 *
 * Immutable once made. */
#ifndef SHEAF_ROWKEYS_H
#define SHEAF_ROWKEYS_H

#include "affinity.h"
#include "locks.h"
#include "schema.h"

struct rowkeys;

struct rowkeys *rowkeys_new(const struct schema *schema); /* NULL: out of memory */
void rowkeys_free(struct rowkeys *rowkeys);

/* The most wants a row of this table has. */
size_t rowkeys_wants_max(const struct rowkeys *rowkeys, table_id table);

/* Fills `wants` (room for that many) and returns their count; the same key may come twice. */
size_t rowkeys_wants(const struct rowkeys *rowkeys, table_id table, const struct value *values, bool atomic,
                     struct lock_want *wants);

/* The lock key of what `values` (of a row of the reference's child) name; false when one of them is NULL: then there is
 * nothing to check. */
bool rowkeys_named(const struct rowkeys *rowkeys, const struct schema_reference *reference, const struct value *values,
                   uint64_t *ret_key);

/* The lock key of key number `key` of a row of `table`; false when it has a NULL. */
bool rowkeys_taken(const struct rowkeys *rowkeys, table_id table, uint16_t key, const struct value *values,
                   uint64_t *ret_key);

/* The lock key of what identifies a row: `values` of its primary key in the key's order, of a table without one its
 * rowid. False when one of them is NULL: no such row. */
bool rowkeys_row(const struct rowkeys *rowkeys, table_id table, const struct value *values, uint64_t *ret_key);
uint64_t rowkeys_rowid(const struct rowkeys *rowkeys, table_id table, int64_t rowid);

/* Whether the key locks more than itself: all of the table, or rows that a partial index leaves out. */
bool rowkeys_is_coarse(const struct rowkeys *rowkeys, table_id table, uint16_t key);

/* The lock key of the table as such: shared by transactions of several shards while they are decided, exclusive for who
 * must see none of them half. */
uint64_t rowkeys_table(const struct rowkeys *rowkeys, table_id table);

/* The lock key of an idempotency key. */
uint64_t rowkeys_request(const void *key, size_t len);

/* Whether the child's values name just this parent row, as SQLite compares them: each as its column stores it, the
 * child's then with the parent's affinity, texts by the key's collation. */
bool rowkeys_names(struct affinity_scratch *scratch, const struct schema *schema,
                   const struct schema_reference *reference, const struct value *child, const struct value *parent);

/* Whether a row inserted on its own names itself, as SQLite sees it: at once its values are compared as they are
 * stored, texts byte by byte whatever the collation (fkLookupParent's OP_Ne has none), also where the reference is
 * DEFERRABLE. When references are checked `at_end` the row is looked up when it is there. */
bool rowkeys_names_itself(struct affinity_scratch *scratch, const struct schema *schema,
                          const struct schema_reference *reference, const struct value *row, bool at_end);

#endif
