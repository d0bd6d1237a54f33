/* SPDX-License-Identifier: Apache-2.0 */
/* spawn.h - starts one shardd process and reads what it says of its start.
 *
 * posix_spawn, because nng panics in a forked child that does not exec. The child gets /dev/null as stdin, stderr as
 * stdout too (results on stdout stay clean), stderr, and as descriptor 3 a pipe for one line: `ready`, or
 * `failed CODE TEXT`. It gets no other descriptor, no blocked signals, default dispositions, and a process group of its
 * own: Ctrl-C is the coordinator's, which finishes what it accepted and then stops its shards. */
#ifndef SHEAF_SPAWN_H
#define SHEAF_SPAWN_H

#include "error.h"
#include "limits.h"

#include <stdint.h>
#include <sys/types.h>

struct spawn_order {
    const char *program; /* a path, or a name to look for in PATH */
    const char *database;
    const char *data;
    const char *url;
    int64_t cache_bytes;
    const struct limits *limits;
    const char *log_format;
    const char *log_level;
};

struct spawned {
    pid_t pid;
    int pid_fd;   /* readable when the process has ended */
    int ready_fd; /* not blocking */
};

/* The thread that calls this must outlive the process: PR_SET_PDEATHSIG fires when the spawning thread ends. */
bool spawn_shard(const struct spawn_order *order, struct spawned *ret_spawned, struct error *error);

enum spawn_word { SPAWN_SILENT, SPAWN_READY, SPAWN_REFUSED, SPAWN_ENDED };

/* The line as far as it was read. Zeroed = nothing yet. */
struct spawn_line {
    char text[1200];
    size_t len;
};

/* Reads what is there. SILENT: no whole line yet; REFUSED: `failed …`, `error` filled from it; ENDED: end of file
 * without a line that means anything. */
enum spawn_word spawn_listen(int ready_fd, struct spawn_line *line, struct error *error);

/* "shardd was killed by signal 9 (SIGKILL)", "shardd exited with status 3". */
void spawn_status_text(int status, char *text, size_t size);

#endif
