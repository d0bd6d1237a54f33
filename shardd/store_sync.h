/* SPDX-License-Identifier: Apache-2.0 */
/* store_sync.h - what an earlier owner of a file left behind, brought to the disk.
 *
 * A process that dies while its COMMIT syncs, or whose sync fails, leaves frames in the WAL that SQLite's recovery
 * takes for committed, and recovery does not sync: the next owner would tell of batches that a power cut takes away.
 * And one more sync alone is not enough, because the kernel takes what it could not write once for written. So what is
 * valid of the WAL is written over with its own bytes, then it (and with it its directory) and the database file are
 * synced. Where there is nothing in the WAL, which is so after every proper end, that costs one sync of a file that is
 * clean.
 *
 * Writing is safe because every byte keeps its value, for whoever reads meanwhile and after a power cut in the middle.
 * Main thread, once, when the WAL's write lock is held and before anything of the file is told. */
#ifndef SHEAF_STORE_SYNC_H
#define SHEAF_STORE_SYNC_H

#include "error.h"

#include <sqlite3.h>

/* ERROR_IO: the disk fails; nothing may be told. */
bool store_sync(sqlite3 *connection, struct error *error);

#endif
