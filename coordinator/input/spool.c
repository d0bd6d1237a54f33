/* SPDX-License-Identifier: Apache-2.0 */
#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *directory(void)
{
    const char *named = getenv("TMPDIR");

    if (named && *named)
        return named;
    return access("/var/tmp", W_OK | X_OK) == 0 ? "/var/tmp" : "/tmp";
}

static bool open_file(struct spool *spool, struct error *error)
{
    char path[4096];
    int len = snprintf(path, sizeof path, "%s/sheaf-XXXXXX", directory());

    if (len < 0 || (size_t)len >= sizeof path)
        return error_set(error, ERROR_IO, "%s: %s", directory(), strerror(ENAMETOOLONG));
    spool->fd = mkostemp(path, O_CLOEXEC);
    if (spool->fd < 0)
        return error_set(error, ERROR_IO, "%s: %s", directory(), strerror(errno));
    unlink(path);
    return true;
}

bool spool_put(struct spool *spool, const uint8_t *bytes, size_t len, struct error *error)
{
    if (spool->fd < 0 && !open_file(spool, error))
        return false;
    while (len > 0) {
        ssize_t put = pwrite(spool->fd, bytes, len, spool->len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return error_set(error, ERROR_IO, "%s: %s", directory(), strerror(put < 0 ? errno : ENOSPC));
        bytes += put;
        len -= (size_t)put;
        spool->len += put;
    }
    return true;
}

ssize_t spool_get(struct spool *spool, uint8_t *bytes, size_t len)
{
    ssize_t got = pread(spool->fd, bytes, len, spool->at);

    spool->at += got > 0 ? got : 0;
    return got;
}

void spool_forget(struct spool *spool, off_t at)
{
    if (at > 0)
        (void)fallocate(spool->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, at);
}

void spool_clear(struct spool *spool)
{
    spool->at = spool->len = 0;
    if (spool->fd >= 0 && ftruncate(spool->fd, 0) != 0)
        spool_close(spool); /* a new one will do as well */
}

void spool_close(struct spool *spool)
{
    if (spool->fd >= 0)
        close(spool->fd);
    *spool = (struct spool){.fd = -1};
}
