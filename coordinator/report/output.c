/* SPDX-License-Identifier: Apache-2.0 */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool output_write(int fd, const char *name, const void *bytes, size_t len, bool *ret_broken_pipe, struct error *error)
{
    const uint8_t *at = bytes;

    while (len > 0) {
        ssize_t wrote = write(fd, at, len);

        if (wrote >= 0) {
            at += wrote;
            len -= (size_t)wrote;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            /* Some parent made our stdout non-blocking: that is not our failure. */
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
        } else if (errno != EINTR) {
            if (ret_broken_pipe)
                *ret_broken_pipe = errno == EPIPE;
            return error_set(error, ERROR_IO, "%s: %s", name, strerror(errno));
        }
    }
    return true;
}

/* The file is complete on disk under its own name, or not there. */
static bool write_beside(const char *path, const char *beside, const void *bytes, size_t len, struct error *error)
{
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool written;

    if (fd < 0)
        return error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
    written = output_write(fd, path, bytes, len, NULL, error);
    if (written && fsync(fd) != 0)
        written = error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
    if (close(fd) != 0 && written)
        written = error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
    if (written && rename(beside, path) != 0)
        written = error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
    if (!written)
        unlink(beside);
    return written;
}

bool output_file(const char *path, const void *bytes, size_t len, struct error *error)
{
    struct stat status;
    char *beside;
    bool written;

    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode)) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);

        if (fd < 0)
            return error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
        written = output_write(fd, path, bytes, len, NULL, error);
        if (close(fd) != 0 && written)
            written = error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
        return written;
    }
    if (asprintf(&beside, "%s.%ld.tmp", path, (long)getpid()) < 0)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    written = write_beside(path, beside, bytes, len, error);
    free(beside);
    return written;
}
