/* SPDX-License-Identifier: Apache-2.0 */
/* files.h - database files opened to be read and nothing else, whoever else has them open.
 *
 * A file is read through two connections: the snapshot, one read transaction for the file's whole check, and one that
 * sees what is there now. How they are opened depends on what stands beside the file:
 *   no -wal, or an empty one that nobody maps     as immutable: leaves no trace, needs no right to write the directory
 *   a -wal and no -shm: nobody has it open        with locks and index of our own in memory (VFS unix-none): likewise
 *   both: perhaps a program that writes           as any reader of SQLite; the writer goes on
 * The first two hold only while nobody opens the file: file_was_taken tells afterwards whether somebody did, and then
 * nothing that was read counts.
 *
 * Order: file_open, the rest in any order, file_close. One thread. */
#ifndef SHEAF_FILES_H
#define SHEAF_FILES_H

#include "error.h"

#include <sqlite3.h>
#include <stdint.h>

struct file;

enum file_result {
    FILE_OPENED,
    FILE_MISSING,
    FILE_DAMAGED,   /* SQLite does not take it for a database, or it is not whole */
    FILE_UNREADABLE /* rights, the disk, a lock, memory: says nothing about what is in it */
};

/* Opens the file and takes its snapshot. `cache_bytes`: for each of the two connections. The error's text does not
 * name the file. */
enum file_result file_open(const char *path, int64_t cache_bytes, struct file **ret_file, struct error *error);
void file_close(struct file *file); /* NULL is fine */

sqlite3 *file_snapshot(struct file *file);
sqlite3 *file_now(struct file *file);

/* Grows with every commit of another program that `file_now` can see; 0 when it cannot be read. */
int64_t file_version(struct file *file);

/* Whether another program has committed since file_open. */
bool file_was_written(struct file *file);
/* Whether another program has opened or changed it although nobody had it open at file_open. */
bool file_was_taken(const struct file *file);

/* What a failure of either connection means. */
enum file_result file_result_of(int sqlite_result);

#endif
