/* SPDX-License-Identifier: Apache-2.0 */
/* careful.h - a block of rows up to the first that is refused, and not one beyond it.
 *
 * For loads that stop at the first error. The rows go as one transaction; when some row is refused, what stands before
 * it goes once more without the rest, and then that row alone, whose verdict is final: only so is it known to be there
 * already where its DEFAULTs name absent parents. Nearly always that is one attempt for a block, and a few for the
 * last. Only for tables that do not refer to themselves: a row's verdict must not hang on a later one.
 *
 * Inside the room only; used by streaming.c. */
#ifndef SHEAF_CAREFUL_H
#define SHEAF_CAREFUL_H

#include "block.h"

/* Blocks until it is answered. Then the block ends with the refused row, if there is one: records behind it were never
 * read, as far as anybody counts, and the run is stopped. */
void careful_send(struct run *run, struct block *block);

#endif
