/* SPDX-License-Identifier: Apache-2.0 */
/* style.h - how single things look to a person: colour, durations, sizes, widths of text.
 *
 * Colour is used only where style_colour says so: a terminal, NO_COLOR unset or empty, TERM not "dumb". */
#ifndef SHEAF_STYLE_H
#define SHEAF_STYLE_H

#include "buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum style { STYLE_PLAIN, STYLE_BOLD, STYLE_DIM, STYLE_GREEN, STYLE_YELLOW, STYLE_RED };

bool style_colour(int fd);

/* Columns of the terminal behind `fd`, between 40 and 80; 80 when it is none. */
unsigned style_width(int fd);

/* Appends text in a style; plain without `colour`. False only when memory is out; likewise below. */
bool style_put(struct buffer *out, enum style style, bool colour, const char *text, size_t len);

#define STYLE_SHORT 24

/* "0", "350 ns", "1.2 µs", "35 ms", "1.25 s", "3 min 20 s", "2 h 5 min": three digits that count. `text` has
 * STYLE_SHORT bytes; returns it. */
const char *style_duration(uint64_t ns, char *text);

/* "0 B", "1023 B", "1.5 KiB", "38 MiB". */
const char *style_bytes(uint64_t bytes, char *text);

/* "12", "4.2", "311k", "1.25M": for rates. */
const char *style_rate(double per_second, char *text);

/* Appends text made fit for a terminal: control characters, invalid UTF-8, bidirectional controls as \xNN or \u{N}. */
bool style_escape(struct buffer *out, const char *text, size_t len);

/* Bytes of the UTF-8 code point that `text` begins with (len >= 1); 0: not well formed. */
size_t style_decode(const char *text, size_t len, uint32_t *ret_point);

/* Columns that clean UTF-8 takes on a terminal: combining marks 0, East Asian wide 2. */
size_t style_columns(const char *text, size_t len);

/* Bytes of the longest prefix that takes at most `columns`; never inside a code point or before a combining mark. */
size_t style_fit(const char *text, size_t len, size_t columns);

#endif
