/* SPDX-License-Identifier: Apache-2.0 */
/* output.h - whole writes to a descriptor, with their failures named. */
#ifndef SHEAF_OUTPUT_H
#define SHEAF_OUTPUT_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>

/* Writes all of it, going on after EINTR and short writes; waits where the descriptor would block. On failure ERROR_IO:
 * "NAME: why"; *ret_broken_pipe (may be NULL) tells a reader that went away (EPIPE; SIGPIPE must be ignored). */
bool output_write(int fd, const char *name, const void *bytes, size_t len, bool *ret_broken_pipe, struct error *error);

/* Replaces the content of a file: writes beside it, fsync, rename; a path that is no regular file (a pipe, /dev/stderr)
 * is written straight. On failure ERROR_IO naming the file, and what was there before is untouched. */
bool output_file(const char *path, const void *bytes, size_t len, struct error *error);

#endif
