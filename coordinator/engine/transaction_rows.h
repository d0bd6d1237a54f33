/* SPDX-License-Identifier: Apache-2.0 */
/* transaction_rows.h - what a transaction's rows are, taken together: their locks, keys and places.
 *
 * Read once, when the transaction begins. */
#ifndef SHEAF_TRANSACTION_ROWS_H
#define SHEAF_TRANSACTION_ROWS_H

#include "core.h"

/* A key that others may name, and which of the rows has it. */
struct brought {
    uint64_t key;
    uint32_t op;
};

/* A row that will be in a table whose rowids are known by heart. */
struct arrival {
    table_id table;
    int64_t rowid;
};

struct transaction_rows {
    struct brought *brought; /* by key */
    size_t brought_count;
    struct arrival *arrivals;
    size_t arrival_count;
    struct lock_want *wants; /* merged by locks_take later */
    size_t want_count;
    size_t bytes[LIMIT_DATABASES_MAX]; /* of rows, per database */
    uint32_t ops[LIMIT_DATABASES_MAX]; /* likewise */
};

/* Completes every row. On failure `*ret_op` is the one that is to blame. */
bool transaction_rows_read(struct engine *engine, struct submission *submission, struct transaction_rows *ret_rows,
                           uint32_t *ret_op, struct error *error);
void transaction_rows_release(struct transaction_rows *rows);

/* Whether one of the rows is the parent that `child` names. */
bool transaction_rows_bring(const struct transaction_rows *rows, struct engine *engine,
                            const struct submission *submission, const struct schema_reference *reference,
                            const struct value *child);

/* The lock set as it is kept with a prepared transaction: nine bytes each, the key (little-endian) and 1 for an
 * exclusive one. */
bool transaction_rows_locks(const struct transaction_rows *rows, struct buffer *bytes);

#endif
