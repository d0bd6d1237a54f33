/* SPDX-License-Identifier: Apache-2.0 */
#include "store_sync.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES 262144

/* SQLite keeps the system's number for each file. */
static bool failed(sqlite3_file *file, int result, const char *doing, struct error *error)
{
    int number = 0;
    file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &number);
    return error_set(error, ERROR_IO, "%s: %s", doing, number ? strerror(number) : sqlite3_errstr(result));
}

static bool write_again(sqlite3_file *file, sqlite3_int64 size, struct error *error)
{
    int result = SQLITE_OK;
    uint8_t *chunk = malloc(CHUNK_BYTES);
    if (!chunk)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    for (sqlite3_int64 at = 0; result == SQLITE_OK && at < size; at += CHUNK_BYTES) {
        int count = size - at < CHUNK_BYTES ? (int)(size - at) : CHUNK_BYTES;
        result = file->pMethods->xRead(file, chunk, count, at);
        if (result == SQLITE_OK)
            result = file->pMethods->xWrite(file, chunk, count, at);
    }
    free(chunk);
    return result == SQLITE_OK || failed(file, result, "writing its WAL again", error);
}

static bool sync_file(sqlite3_file *file, const char *doing, struct error *error)
{
    int result = file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
    return result == SQLITE_OK || failed(file, result, doing, error);
}

bool store_sync(sqlite3 *connection, struct error *error)
{
    sqlite3_file *file = NULL, *wal = NULL;
    sqlite3_int64 size = 0;
    if (sqlite3_file_control(connection, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK ||
        sqlite3_file_control(connection, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal) != SQLITE_OK || !file->pMethods ||
        !wal->pMethods)
        return error_set(error, ERROR_INTERNAL, "SQLite does not show its files");
    int result = wal->pMethods->xFileSize(wal, &size);
    if (result != SQLITE_OK)
        return failed(wal, result, "looking at its WAL", error);
    /* the first sync of a WAL that SQLite opened is one of its directory as well */
    if (size > 0 && (!write_again(wal, size, error) || !sync_file(wal, "syncing its WAL", error)))
        return false;
    return sync_file(file, "syncing", error);
}
