/* SPDX-License-Identifier: Apache-2.0 */
/* demo_report.h - what `coordinator demo` prints: the verdicts, and the rows that are in the databases at the end. */
#ifndef SHEAF_DEMO_REPORT_H
#define SHEAF_DEMO_REPORT_H

#include "buffer.h"
#include "engine.h"
#include "error.h"
#include "schema.h"

#include <stdbool.h>

/* Appends the table of operations: `submissions` holds one operation each, in the order of demo_rows. False: out of
 * memory. */
bool demo_put_verdicts(struct submission *const *submissions, bool colour, struct buffer *out);

/* Appends every table of every database, as its shard reads it, page by page. */
bool demo_put_contents(struct engine *engine, const struct schema *schema, bool colour, struct buffer *out,
                       struct error *error);

#endif
