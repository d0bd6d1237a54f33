/* SPDX-License-Identifier: Apache-2.0 */
/* outputs.h - a file that a user wants written must not be one that the run reads, nor one of its databases.
 *
 * Files are told apart by what they are, not by their names: another path, a link or a redirected stdin is the same
 * file. What is no regular file (a terminal, a pipe, /dev/null) is always fine. Any thread. */
#ifndef SHEAF_OUTPUTS_H
#define SHEAF_OUTPUTS_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/* What is to be left alone. Views. */
struct outputs {
    const char *data;         /* the data directory: nothing in it is written by others */
    const char *const *files; /* read by the run; "-" is stdin, NULL is passed over */
    size_t count;
};

/* Whether `file`, which was found under `path`, may be overwritten; ERROR_PARSE "OPTION PATH: …" when not. */
bool outputs_may_replace(const struct outputs *outputs, const char *option, const char *path, const struct stat *file,
                         struct error *error);

/* The same of a path, which may be NULL; when it names nothing yet, whether a file may and can be made there. Makes
 * none. */
bool outputs_may_write(const struct outputs *outputs, const char *option, const char *path, struct error *error);

#endif
