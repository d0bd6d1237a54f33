/* SPDX-License-Identifier: Apache-2.0 */
/* parents.h - one reference over the files: every child's parent is looked up, compared as SQLite compares it.
 *
 * The children are streamed from their file's snapshot and looked up one by one in that of the parent's file, in
 * constant memory and without ATTACH, of which SQLite allows fewer than Sheaf allows databases. Snapshots of two files
 * are of two moments, so a child without a parent is looked at once more, as the files are now, and again until both
 * looks are of one moment. It dangles when at that moment it is there with the same values and its parent is not; while
 * a promise holds its parent it is in doubt. */
#ifndef SHEAF_PARENTS_H
#define SHEAF_PARENTS_H

#include "checked.h"
#include "rowkeys.h"

struct reference_figures {
    bool looked; /* false: a file it needs could not be used, or was read in part */
    uint64_t rows;
    uint64_t dangling;
    uint64_t in_doubt;
    uint64_t time_ns;
};

/* False only when memory is out. */
bool parents_check(struct checked *all, const struct schema *schema, const struct rowkeys *rowkeys,
                   reference_id reference, struct findings *findings, struct reference_figures *ret_figures,
                   struct error *error);

#endif
