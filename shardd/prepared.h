/* SPDX-License-Identifier: Apache-2.0 */
/* prepared.h - the rows that outlive a crash: promises of transactions that other shards take part in.
 *
 * Invariants
 *  P1  A row of _sheaf_prepared is committed before its PREPARE is answered as done.
 *
 *  P2  What was prepared can be applied: its ops succeeded in a savepoint, and the coordinator's locks keep every key,
 *      unique value and parent as they were. RESOLVE with commit that meets a refusal is a broken invariant: nothing is
 *      committed and the process ends.
 *
 *  P3  A row of _sheaf_decision is committed in the same SQLite transaction as the home's own ops: that commit decides
 *      the whole.
 *
 *  P4  RESOLVE and FORGET of what is not there are done already: they may be repeated.
 *
 * Inside the caller's transaction; main thread. */
#ifndef SHEAF_PREPARED_H
#define SHEAF_PREPARED_H

#include "error.h"
#include "insert.h"
#include "wire.h"

#include <sqlite3.h>

/* Keeps the ops and locks of a PREPARE whose ops were tried and undone by the caller. */
bool prepared_keep(sqlite3 *connection, uint64_t epoch, const struct wire_entry *entry, struct error *error);

/* What was kept: the ops' bytes (copied) and their count. *ret_found false: not there. */
bool prepared_find(sqlite3 *connection, uint64_t txn, struct buffer *ops, uint32_t *ret_count, bool *ret_found,
                   struct error *error);
bool prepared_drop(sqlite3 *connection, uint64_t txn, struct error *error);

bool prepared_decide(sqlite3 *connection, const struct wire_entry *entry, struct error *error);
bool prepared_forget(sqlite3 *connection, uint64_t txn, struct error *error);

/* Into a hello's answer: what is prepared and decided here; table states are raised to cover prepared rowids. */
bool prepared_describe(sqlite3 *connection, const struct schema *schema, struct wire_hello_answer *answer,
                       struct error *error);

#endif
