/* SPDX-License-Identifier: Apache-2.0 */
#include "files.h"

#include "buffer.h"
#include "trust.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define BUSY_MS 5000 /* a shard that is just starting recovers its WAL under a lock */

enum way { WAY_IMMUTABLE, WAY_ALONE, WAY_SHARED };

/* Of the file, its -wal and its -shm; st_nlink 0: not there. */
struct looks {
    struct stat file, wal, shm;
};

struct file {
    char *path;
    enum way way;
    struct looks before;
    int64_t version_before;
    sqlite3 *snapshot, *now;
    sqlite3_stmt *version;
};

/* ---- how to open it ---- */

static void look_at(const char *path, const char *ending, struct stat *ret_is)
{
    char *whole = NULL;
    *ret_is = (struct stat){0};
    if (asprintf(&whole, "%s%s", path, ending) < 0)
        return;
    if (stat(whole, ret_is) != 0)
        *ret_is = (struct stat){0};
    free(whole);
}

static void look(const char *path, struct looks *ret_looks)
{
    look_at(path, "", &ret_looks->file);
    look_at(path, "-wal", &ret_looks->wal);
    look_at(path, "-shm", &ret_looks->shm);
}

static bool is_there(const struct stat *is)
{
    return is->st_nlink > 0;
}

static enum way way_of(const char *path, const struct looks *looks)
{
    struct stat journal;
    look_at(path, "-journal", &journal);
    if (is_there(&journal)) /* only SQLite knows whether it has to be rolled back first */
        return WAY_SHARED;
    if (!is_there(&looks->wal) || (looks->wal.st_size == 0 && !is_there(&looks->shm)))
        return WAY_IMMUTABLE;
    return is_there(&looks->shm) ? WAY_SHARED : WAY_ALONE;
}

static bool same_look(const struct stat *a, const struct stat *b)
{
    return a->st_nlink == b->st_nlink && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

bool file_was_taken(const struct file *file)
{
    struct looks now;
    if (file->way == WAY_SHARED)
        return false;
    look(file->path, &now);
    return !same_look(&file->before.file, &now.file) || !same_look(&file->before.wal, &now.wal) ||
           !same_look(&file->before.shm, &now.shm);
}

/* ---- connections ---- */

enum file_result file_result_of(int sqlite_result)
{
    int result = sqlite_result & 0xff;
    return result == SQLITE_OK                                   ? FILE_OPENED
           : result == SQLITE_CORRUPT || result == SQLITE_NOTADB ? FILE_DAMAGED
                                                                 : FILE_UNREADABLE;
}

static char *uri_of(const char *path, enum way way)
{
    static const char *const parameters[] = {"?mode=ro&immutable=1", "?mode=ro&vfs=unix-none", "?mode=ro"};
    struct buffer uri = {0};
    bool ok = buffer_put_text(&uri, *path == '/' ? "file://" : "file:");
    for (; ok && *path; path++)
        ok = isalnum((unsigned char)*path) || strchr("/._-", *path)
                 ? buffer_put(&uri, path, 1)
                 : buffer_format(&uri, "%%%02X", (unsigned char)*path);
    if (ok && buffer_put_text(&uri, parameters[way]) && buffer_put(&uri, "", 1))
        return (char *)uri.bytes;
    buffer_release(&uri);
    return NULL;
}

/* A file is trusted no more than a schema is (trust.h): its generated columns and CHECKs come from whoever made it. */
static int set_up(sqlite3 *connection, enum way way, int64_t cache_bytes)
{
    char sql[200];
    sqlite3_extended_result_codes(connection, 1);
    sqlite3_busy_timeout(connection, BUSY_MS);
    sqlite3_limit(connection, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_db_config(connection, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    /* the mode of locking first: the others may read the file already */
    snprintf(sql, sizeof sql,
             "%s PRAGMA query_only = ON; PRAGMA cell_size_check = ON;"
             "PRAGMA mmap_size = 0; PRAGMA cache_size = -%lld;",
             way == WAY_ALONE ? "PRAGMA locking_mode = EXCLUSIVE;" : "", (long long)(cache_bytes / 1024));
    return trust_functions(connection) ? sqlite3_exec(connection, sql, NULL, NULL, NULL) : sqlite3_errcode(connection);
}

static int connect_to(const char *uri, enum way way, int64_t cache_bytes, sqlite3 **ret_connection)
{
    int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
    int result = sqlite3_open_v2(uri, ret_connection, flags, NULL);
    return result == SQLITE_OK ? set_up(*ret_connection, way, cache_bytes) : result;
}

/* The version is asked first: a commit between the two is one that counts as written meanwhile. */
static int open_both(struct file *file, const char *uri, int64_t cache_bytes, sqlite3 **ret_failed)
{
    int result = connect_to(uri, file->way, cache_bytes, &file->now);
    *ret_failed = file->now;
    if (result == SQLITE_OK)
        result = sqlite3_exec(file->now, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_prepare_v2(file->now, "PRAGMA data_version", -1, &file->version, NULL);
    if (result != SQLITE_OK)
        return result;
    file->version_before = file_version(file);
    result = connect_to(uri, file->way, cache_bytes, &file->snapshot);
    *ret_failed = file->snapshot;
    return result == SQLITE_OK
               ? sqlite3_exec(file->snapshot, "BEGIN; SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL)
               : result;
}

enum file_result file_open(const char *path, int64_t cache_bytes, struct file **ret_file, struct error *error)
{
    struct file *file = calloc(1, sizeof *file);
    char *uri = NULL;
    sqlite3 *failed = NULL;
    enum file_result result = FILE_UNREADABLE;
    if (!file || !(file->path = strdup(path)))
        goto no_memory;
    look(path, &file->before);
    file->way = way_of(path, &file->before);
    struct stat is;
    if (stat(path, &is) != 0) {
        result = errno == ENOENT ? FILE_MISSING : FILE_UNREADABLE;
        error_set(error, ERROR_IO, "%s", strerror(errno));
        goto out;
    }
    if (!(uri = uri_of(path, file->way)))
        goto no_memory;
    result = file_result_of(open_both(file, uri, cache_bytes, &failed));
    free(uri);
    if (result == FILE_OPENED) {
        *ret_file = file;
        return FILE_OPENED;
    }
    error_set(error, result == FILE_DAMAGED ? ERROR_PARSE : ERROR_IO, "%s",
              failed ? sqlite3_errmsg(failed) : "out of memory");
    goto out;
no_memory:
    error_set(error, ERROR_INTERNAL, "out of memory");
out:
    file_close(file);
    return result;
}

void file_close(struct file *file)
{
    if (!file)
        return;
    sqlite3_finalize(file->version);
    sqlite3_close(file->snapshot);
    sqlite3_close(file->now);
    free(file->path);
    free(file);
}

sqlite3 *file_snapshot(struct file *file)
{
    return file->snapshot;
}

sqlite3 *file_now(struct file *file)
{
    return file->now;
}

int64_t file_version(struct file *file)
{
    int64_t version = sqlite3_step(file->version) == SQLITE_ROW ? sqlite3_column_int64(file->version, 0) : 0;
    sqlite3_reset(file->version);
    return version;
}

bool file_was_written(struct file *file)
{
    return file_version(file) != file->version_before;
}
