/* SPDX-License-Identifier: Apache-2.0 */
/* watch_syncs: a library to preload, which tells what a process writes to its WAL and syncs, and makes its disk slow or
 * broken while a test wants it so.
 *
 *   WATCH_LOG    a file that takes a line for each: nanoseconds (CLOCK_MONOTONIC), pid, what, path. `what` is `begin`
 *                and `end` or `failed` of a sync, and `write` to a WAL
 *   WATCH_GATE   where there is a FIFO of this name, a sync of a WAL opens it and then waits for its end
 *   WATCH_FAIL   where there is a file of this name, a sync of a WAL takes it away and fails */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define PATH_BYTES 512

static void path_of(int fd, char path[PATH_BYTES])
{
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(name, path, PATH_BYTES - 1);
    path[len > 0 ? len : 0] = '\0';
}

static int is_wal(const char *path)
{
    size_t len = strlen(path);
    return len > 4 && strcmp(path + len - 4, "-wal") == 0;
}

static void note(const char *what, const char *path)
{
    char line[PATH_BYTES + 100];
    struct timespec now;
    const char *log = getenv("WATCH_LOG");
    int fd = log ? open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int len = snprintf(line, sizeof line, "%lld %ld %s %s\n", (long long)now.tv_sec * 1000000000LL + now.tv_nsec,
                       (long)getpid(), what, path);
    if (write(fd, line, (size_t)len) != len)
        abort();
    close(fd);
}

static void wait_at_gate(void)
{
    char byte;
    const char *gate = getenv("WATCH_GATE");
    int fd = gate ? open(gate, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    while (read(fd, &byte, 1) > 0)
        ;
    close(fd);
}

static int sync_as(const char *name, int fd)
{
    char path[PATH_BYTES];
    const char *fail = getenv("WATCH_FAIL");
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    path_of(fd, path);
    note("begin", path);
    if (is_wal(path)) {
        wait_at_gate();
        if (fail && unlink(fail) == 0) {
            note("failed", path);
            errno = EIO;
            return -1;
        }
    }
    int result = real(fd), number = errno;
    note(result ? "failed" : "end", path);
    errno = number;
    return result;
}

int fsync(int fd)
{
    return sync_as("fsync", fd);
}

int fdatasync(int fd)
{
    return sync_as("fdatasync", fd);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at)
{
    char path[PATH_BYTES];
    ssize_t (*real)(int, const void *, size_t, off64_t) =
        (ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
    path_of(fd, path);
    if (is_wal(path))
        note("write", path);
    return real(fd, bytes, count, at);
}
