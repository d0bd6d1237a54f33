/* SPDX-License-Identifier: Apache-2.0 */
/* leftovers.h - what transactions across databases left behind when they were cut short (design section 7).
 *
 * A promise (_sheaf_prepared) or a decision (_sheaf_decision) that stays is resolved by the next start, so it is in
 * doubt and not wrong; until then a reference may dangle whose parent or child waits in a promise. Each promise carries
 * the lock key of every parent that its transaction touches, and that tells such a reference from a broken one. A
 * promise that no start can resolve is wrong: its home is no database, or that file is missing.
 *
 * What a coordinator that is at work has promised or decided is not left over, however long it takes: a transaction's
 * number begins with its coordinator's epoch, and only the newest that any file was claimed in may still write. */
#ifndef SHEAF_LEFTOVERS_H
#define SHEAF_LEFTOVERS_H

#include "checked.h"

/* Whether a promise in the file, as it is now, holds this lock key; with the file's own read transaction open it is
 * that transaction's view. ERROR_IO: it cannot be read. */
bool leftovers_hold(struct checked *checked, uint64_t key, bool *ret_held, struct error *error);

/* Adds what was left in the snapshot and still is there. `held`: a coordinator had the directory after the snapshots
 * were taken. False only when memory is out. */
bool leftovers_report(struct checked *all, const struct schema *schema, bool held, struct findings *findings,
                      struct error *error);

void leftovers_release(struct leftover_keys *keys);

#endif
