/* SPDX-License-Identifier: Apache-2.0 */
/* lines.h - bytes of a stream become lines, in bounded memory.
 *
 * Holds at most one line of `line_max` bytes and what was read beyond it; of a longer line only the fact that it was
 * there is kept. A last line without its end counts as one. Lines of blanks only (space, tab, carriage return) are
 * counted and passed over, a byte order mark at the beginning is passed over. One thread.
 *
 * Order: lines_new; then repeatedly lines_room, put bytes there, lines_filled (0 at the end of the stream), lines_next
 * until LINES_MORE. */
#ifndef SHEAF_LINES_H
#define SHEAF_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lines;

enum lines_result {
    LINES_LINE,     /* a line, without its end, valid until lines_room is called */
    LINES_TOO_LONG, /* one that is longer than line_max: told as soon as that is clear */
    LINES_MORE,     /* fill again */
    LINES_END       /* all lines of a stream that ended were told */
};

/* NULL: out of memory. */
struct lines *lines_new(size_t line_max);
void lines_free(struct lines *lines);

/* Where to put bytes, and how many at most (never 0). */
void *lines_room(struct lines *lines, size_t *ret_room);
void lines_filled(struct lines *lines, size_t len);

enum lines_result lines_next(struct lines *lines, const char **ret_line, size_t *ret_len, uint64_t *ret_number);

/* Bytes that are there and not told yet: a bound of how many lines follow before LINES_MORE. */
size_t lines_waiting(const struct lines *lines);

#endif
