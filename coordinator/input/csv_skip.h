/* SPDX-License-Identifier: Apache-2.0 */
/* csv_skip.h - the rest of a CSV record that is too long to be kept.
 *
 * Goes on where csv_split.h stopped, keeping nothing, and by its rules: a record ends where its last field does,
 * whatever line ends its quoted fields hold. Where a quote turns out to have been forgotten (text follows the closing
 * quote, the file ends before it, or none comes for LIMIT_QUOTE_BYTES_MAX) the source goes back, and the next record
 * begins on the line after the one on which that quote opened. */
#ifndef SHEAF_CSV_SKIP_H
#define SHEAF_CSV_SKIP_H

#include "csv_split.h"
#include "source.h"

struct csv_skipped {
    uint64_t lines;    /* line feeds taken */
    size_t first_line; /* the quote that was open in the view was forgotten: the record is this long (with its line
                          end); else 0 */
};

/* Takes the record that begins the window, of which `split` has seen `view` bytes. MORE: the window begins with the
 * next one. END: there is none. */
enum source_result csv_skip_record(const struct csv_split *split, struct source *source,
                                   struct csv_skipped *ret_skipped, struct error *error);

#endif
