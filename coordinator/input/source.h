/* SPDX-License-Identifier: Apache-2.0 */
/* source.h - a file, pipe or stdin as a window of bytes that slides over it.
 *
 * The reader of a format looks at bytes[at..end), takes what it has understood with source_take, and asks for more with
 * source_more, which keeps the window. A window never outgrows LIMIT_ROW_BYTES_MAX and a block: a reader that meets
 * a record which is longer gives it up. Behind `end` stand SOURCE_PADDING readable bytes, so that words may be loaded
 * there. One thread, but for source_progress. */
#ifndef SHEAF_SOURCE_H
#define SHEAF_SOURCE_H

#include "error.h"
#include "limits.h"
#include "spool.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SOURCE_BLOCK ((size_t)262144)
#define SOURCE_PADDING ((size_t)16)
#define SOURCE_RECORD_VIEW ((size_t)LIMIT_ROW_BYTES_MAX + 2) /* the longest record and its CRLF */

struct source {
    char *path; /* as the user wrote it */
    int fd;
    bool waits; /* not a regular file: its bytes come when they come */
    bool ended;
    bool hurried; /* source_more_soon does not wait */
    bool (*interrupted)(void);
    uint8_t *bytes;
    size_t at;
    size_t end;
    size_t capacity;
    _Atomic uint64_t read;
    uint64_t size; /* 0: not known */
    bool marked;
    off_t mark;         /* in the file, or in the spool */
    uint64_t mark_read; /* `read` there */
    struct spool spool; /* of what cannot be read twice: from the mark on, and what a rewind has left to be read */
};

enum source_result {
    SOURCE_MORE,
    SOURCE_END,
    SOURCE_INTERRUPTED,
    SOURCE_WAITS, /* of source_more_soon only */
    SOURCE_FAILED
};

/* ERROR_IO "PATH: …". */
bool source_open(struct source *source, const char *path, bool (*interrupted)(void), struct error *error);
void source_close(struct source *source);

/* MORE: at least one byte more. END: there is none, and `ended` is set. FAILED: ERROR_IO, without the path. */
enum source_result source_more(struct source *source, struct error *error);

/* The same, but WAITS where a hurried source has nothing yet: for a reader that can begin its record again. */
enum source_result source_more_soon(struct source *source, struct error *error);

/* Takes everything up to and with the next line feed, keeping nothing. END: the file ended before. */
enum source_result source_skip_line(struct source *source, struct error *error);

/* The window's beginning is where source_rewind goes back to, however much has been taken until then; source_unmark
 * says that it will not. One mark at a time. False: ERROR_IO, without the path. */
bool source_mark(struct source *source, struct error *error);
bool source_rewind(struct source *source, struct error *error);
void source_unmark(struct source *source);

static inline const uint8_t *source_window(const struct source *source)
{
    return source->bytes + source->at;
}
static inline size_t source_waiting(const struct source *source)
{
    return source->end - source->at;
}
static inline void source_take(struct source *source, size_t len)
{
    source->at += len;
}

/* Takes a byte order mark at the beginning. WAITS, when it is hurried: nothing is taken, to be called again. */
enum source_result source_skip_mark(struct source *source, struct error *error);

#endif
