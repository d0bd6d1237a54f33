/* SPDX-License-Identifier: Apache-2.0 */
/* sockets.h - a directory for the sockets of local shards: 0700, ours alone, with a short path.
 *
 * A supervisor has one only while a shard of its own starts: once a socket is dialled its name is not needed. Made
 * fresh under $XDG_RUNTIME_DIR, else $TMPDIR, else /tmp: the first that exists and leaves room for a socket's path
 * (which ends at 107 bytes, so it cannot stand in the data directory). Its name is sheaf-PID-XXXXXX, and it is locked
 * (flock on the directory itself) for as long as it lives. What a killed coordinator left is removed when the next one
 * starts: directories of the same user whose process is gone and whose lock is free (a pid alone says nothing about a
 * process of another container). */
#ifndef SHEAF_SOCKETS_H
#define SHEAF_SOCKETS_H

#include "error.h"
#include "limits.h"

#include <stdint.h>

struct sockets {
    char path[LIMIT_SOCKET_PATH_MAX + 1]; /* "" when there is none */
    int lock_fd;
};

bool sockets_make(struct sockets *sockets, struct error *error);
/* With all that is in it. Harmless on a zeroed struct. */
void sockets_remove(struct sockets *sockets);

/* "DIRECTORY/GENERATION" into `path`. */
void sockets_path(const struct sockets *sockets, uint64_t generation, char *path, size_t size);

#endif
