/* SPDX-License-Identifier: Apache-2.0 */
#include "store_sync.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* https://sqlite.org/fileformat2.html section 4.1 */
#define HEAD_BYTES 32
#define HEAD_PAGE_AT 8
#define HEAD_SALT_AT 16
#define FRAME_HEAD_BYTES 24
#define FRAME_SALT_AT 8
#define SALT_BYTES 8

/* SQLite keeps the system's number for each file. */
static bool failed(sqlite3_file *file, int result, const char *doing, struct error *error)
{
    int number = 0;
    file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &number);
    return error_set(error, ERROR_IO, "%s: %s", doing, number ? strerror(number) : sqlite3_errstr(result));
}

static uint32_t big_endian(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static int read_and_write(sqlite3_file *file, uint8_t *bytes, int count, sqlite3_int64 at, const uint8_t *salt)
{
    int result = file->pMethods->xRead(file, bytes, count, at);
    if (result == SQLITE_OK && salt && memcmp(bytes + FRAME_SALT_AT, salt, SALT_BYTES) != 0)
        return SQLITE_DONE; /* from here on they are of an earlier time of this file */
    return result == SQLITE_OK ? file->pMethods->xWrite(file, bytes, count, at) : result;
}

/* The head, and the frames that recovery may believe. */
static bool write_again(sqlite3_file *file, sqlite3_int64 size, struct error *error)
{
    uint8_t head[HEAD_BYTES], *frame;
    if (size < HEAD_BYTES)
        return true;
    int result = read_and_write(file, head, HEAD_BYTES, 0, NULL);
    if (result != SQLITE_OK)
        return failed(file, result, "writing its WAL again", error);
    uint32_t page = big_endian(head + HEAD_PAGE_AT), count = FRAME_HEAD_BYTES + page;
    if (page < 512 || page > 65536)
        return true; /* nor does SQLite believe any frame behind it */
    if (!(frame = malloc(count)))
        return error_set(error, ERROR_INTERNAL, "out of memory");
    for (sqlite3_int64 at = HEAD_BYTES; result == SQLITE_OK && at + count <= size; at += count)
        result = read_and_write(file, frame, (int)count, at, head + HEAD_SALT_AT);
    free(frame);
    return result == SQLITE_OK || result == SQLITE_DONE || failed(file, result, "writing its WAL again", error);
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
