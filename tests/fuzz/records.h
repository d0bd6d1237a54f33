/* SPDX-License-Identifier: Apache-2.0 */
/* records.h - what an input of any format makes of bytes, checked; for the targets of the input room.
 *
 * The first three bytes say how the rest is given: the length of the first piece and of the others, and FLAG_…. The
 * rest is read twice, as a file and from a pipe in these pieces, and must come to the same. Of each record is checked
 * what its header (input.h) promises: the row can be read and written again as it is, `raw` and `line` are where the
 * record is in the input, nothing is in two records, and what lies between two of them is no record. The texts of a
 * CSV's row are what a simple splitter of its own finds in the record. */
#ifndef SHEAF_FUZZ_RECORDS_H
#define SHEAF_FUZZ_RECORDS_H

#include "input.h"

#define FLAG_GROWN 1u  /* a byte 0xc1 stands for 600,000 letters, so that records can be too long */
#define FLAG_SINGLE 2u /* the table has one column */
#define FLAG_TABS 4u   /* TSV rather than CSV */

/* Panics where something does not hold. */
void records_check(enum input_format format, const uint8_t *bytes, size_t len);

#endif
