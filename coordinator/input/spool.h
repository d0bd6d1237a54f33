/* SPDX-License-Identifier: Apache-2.0 */
/* spool.h - bytes that a pipe gave and that may be wanted again, in a file without a name.
 *
 * The file is made with the first spool_put, in $TMPDIR, else /var/tmp, else /tmp. Bytes are put behind all others and
 * are got from `at` on. One thread. */
#ifndef SHEAF_SPOOL_H
#define SHEAF_SPOOL_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct spool {
    int fd; /* -1: none yet */
    off_t at;
    off_t len;
};

/* ERROR_IO, naming the directory. */
bool spool_put(struct spool *spool, const uint8_t *bytes, size_t len, struct error *error);

/* How many bytes came, as read(2) says it; moves `at`. */
ssize_t spool_get(struct spool *spool, uint8_t *bytes, size_t len);

static inline bool spool_is_over(const struct spool *spool)
{
    return spool->at == spool->len;
}

/* Gives back the room of what stands before `at`; where it is not given back nothing is lost. */
void spool_forget(struct spool *spool, off_t at);

/* Forgets everything, and gives the file's room back. */
void spool_clear(struct spool *spool);
void spool_close(struct spool *spool);

#endif
