/* SPDX-License-Identifier: Apache-2.0 */
/* progress.h - how far a long piece of work is, on stderr, while it runs.
 *
 * On a terminal one line redrawn in place at most ten times a second, else a line every five seconds. A thread of its
 * own asks `look`, so that must be callable from any thread and not block. The cursor rests at the line's start, so
 * that a log line overwrites the bar.
 *
 * Order: progress_start, then progress_stop when the work is over and before anything else is written to the terminal.
 */
#ifndef SHEAF_PROGRESS_H
#define SHEAF_PROGRESS_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress_state {
    uint64_t rows;        /* done: accepted, there already or refused */
    uint64_t refused;     /* of these */
    uint64_t bytes_done;  /* of the input */
    uint64_t bytes_total; /* 0: not known: no bar and no time left, only counts */
};

typedef void progress_look(void *context, struct progress_state *ret_state);

struct progress;

/* `fd` is where it goes (2). NULL: out of memory or of threads. */
struct progress *progress_start(int fd, progress_look *look, void *context, struct error *error);

/* Wipes the bar; waits for the thread. NULL is fine. */
void progress_stop(struct progress *progress);

#define PROGRESS_LINE_MAX 512

/* One line, without line end, of at most `columns` (>= 40). `per_second` is the present rate of rows, `left_ns` the
 * estimate of the time left (0: none is given). `text` has PROGRESS_LINE_MAX bytes; returns it. */
const char *progress_line(const struct progress_state *state, double per_second, uint64_t left_ns, bool bar,
                          unsigned columns, char *text);

#endif
