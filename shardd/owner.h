/* SPDX-License-Identifier: Apache-2.0 */
/* owner.h - one writer: nobody else can write a shard's file while its shardd lives.
 *
 * Two means. The lock file NAME.db.lock, held with flock, tells a second shardd (never the database file itself:
 * closing any descriptor of it would drop SQLite's own POSIX locks). And a thin VFS over SQLite's "unix" one whose
 * shared-memory locking takes the WAL write lock once and keeps it until the file is closed: other programs read and
 * back up, a foreign write gets "database is locked", our own commits and checkpoints work. All is normal again after
 * close and after kill -9: the kernel drops both locks. https://sqlite.org/walformat.html section 2.3 lists the locks.
 *
 * Order: owner_lock, then databases opened with OWNER_VFS, closed, owner_unlock. Main thread. */
#ifndef SHEAF_OWNER_H
#define SHEAF_OWNER_H

#include "error.h"

#include <stdint.h>

#define OWNER_VFS "sheaf-owner"

/* Makes the VFS known to SQLite. Once per process. */
bool owner_register_vfs(struct error *error);

/* A counter of what the VFS reads, writes and syncs, for one who asks now and then, from any one thread: it has moved
 * since the last time when the disk has done something since, and when something is under way that began, as far as the
 * one who asks has seen, no longer than within_ns ago. So a slow disk moves it and one that hangs does not. SQLite is
 * used by one thread only. */
uint64_t owner_io_progress(uint64_t now_ns, uint64_t within_ns);

/* Takes the lock file `path`, waiting up to wait_ms for a predecessor that is just ending. Writes our pid into it.
 * Gives the descriptor; -1: ERROR_UNAVAILABLE names the process that holds it where the kernel tells,
 * ERROR_IO that it cannot be made. */
int owner_lock(const char *path, int64_t wait_ms, struct error *error);
void owner_unlock(int descriptor);
/* The same, and takes the lock file away. */
void owner_undo(int descriptor, const char *path);

#endif
