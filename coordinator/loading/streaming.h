/* SPDX-License-Identifier: Apache-2.0 */
/* streaming.h - the inputs of one table, straight to the engine: for a table that neither refers to itself nor stands
 * in a circle.
 *
 * Blocks until every record has its verdict, or the run stops and what was begun is finished. One thread per table. */
#ifndef SHEAF_STREAMING_H
#define SHEAF_STREAMING_H

#include "run.h"

/* `inputs`: positions in the options' inputs, in their order. A failure is left in the run. */
void streaming_run(struct run *run, const size_t *inputs, size_t count);

#endif
