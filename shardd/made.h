/* SPDX-License-Identifier: Apache-2.0 */
/* made.h - the rows without a primary key that the entry at hand has inserted, for its later ops to name
 * (WIRE_FLAG_MADE_HERE): the rowid is known only when the row is there, and is another one each time the entry is run.
 *
 * Owns a list, zeroed = empty. Order: made_clear before each entry, made_note for each of its inserts in ascending
 * order, made_key for the ops behind them. Main thread. */
#ifndef SHEAF_MADE_H
#define SHEAF_MADE_H

#include "buffer.h"
#include "error.h"
#include "wire.h"

struct made_row {
    uint32_t op; /* which of the entry's ops has inserted it */
    table_id table;
    int64_t rowid;
};

struct made {
    struct made_row *rows; /* ascending; allocated */
    uint32_t count, capacity;
};

void made_clear(struct made *made);
void made_release(struct made *made);

/* False: out of memory. */
bool made_note(struct made *made, uint32_t op, table_id table, int64_t rowid);

/* The row that `op` means. NULL, ERROR_INTERNAL: no op before it has inserted such a row. */
const struct made_row *made_find(const struct made *made, const struct wire_op *op, struct error *error);

/* The row's key, as its shard knows it. False: out of memory. */
bool made_key(const struct made_row *row, struct buffer *ret_key);

#endif
