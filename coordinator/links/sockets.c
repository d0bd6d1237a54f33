/* SPDX-License-Identifier: Apache-2.0 */
#include "sockets.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "sheaf-"
#define NAME_ROOM 21 /* a slash and the digits of a generation */

/* Removes a directory with the sockets in it; there are no deeper ones. */
static void remove_flat(int parent_fd, const char *name)
{
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(directory));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            unlinkat(fd, entry->d_name, 0);
    closedir(directory);
    unlinkat(parent_fd, name, AT_REMOVEDIR);
}

/* Whether `name` is sheaf-PID-XXXXXX, ours, of a process that is gone, and nobody holds its lock. */
static bool is_stale(int parent_fd, const char *name)
{
    struct stat status;
    char *end;
    if (strncmp(name, PREFIX, strlen(PREFIX)))
        return false;
    long pid = strtol(name + strlen(PREFIX), &end, 10);
    if (pid <= 0 || *end != '-' || strlen(end) != 7 || (pid_t)pid == getpid())
        return false;
    if (kill((pid_t)pid, 0) == 0 || errno != ESRCH)
        return false;
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool stale = fstat(fd, &status) == 0 && status.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0;
    close(fd);
    return stale;
}

static void sweep(const char *parent)
{
    DIR *directory = opendir(parent);
    if (!directory)
        return;
    for (struct dirent *entry; (entry = readdir(directory));)
        if (is_stale(dirfd(directory), entry->d_name))
            remove_flat(dirfd(directory), entry->d_name);
    closedir(directory);
}

static bool make_under(const char *parent, struct sockets *sockets, struct error *error)
{
    char path[LIMIT_SOCKET_PATH_MAX + 1];
    int len = snprintf(path, sizeof path, "%s/" PREFIX "%ld-XXXXXX", parent, (long)getpid());
    if (len < 0 || (size_t)len + NAME_ROOM > LIMIT_SOCKET_PATH_MAX)
        return error_set(error, ERROR_IO, "%s: too long a path for sockets", parent);
    sweep(parent);
    if (!mkdtemp(path)) /* 0700 */
        return error_set(error, ERROR_IO, "%s: no directory for sockets can be made there: %s", parent,
                         strerror(errno));
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0) {
        error_set(error, ERROR_IO, "%s: cannot be locked: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        rmdir(path);
        return false;
    }
    memcpy(sockets->path, path, (size_t)len + 1);
    sockets->lock_fd = fd;
    return true;
}

bool sockets_make(struct sockets *sockets, struct error *error)
{
    const char *parents[] = {getenv("XDG_RUNTIME_DIR"), getenv("TMPDIR"), "/tmp"};
    for (size_t i = 0; i < sizeof parents / sizeof *parents; i++)
        if (parents[i] && parents[i][0] == '/' && make_under(parents[i], sockets, error))
            return true;
    return false;
}

void sockets_remove(struct sockets *sockets)
{
    if (!sockets->path[0])
        return;
    remove_flat(AT_FDCWD, sockets->path);
    close(sockets->lock_fd);
    sockets->path[0] = '\0';
}

void sockets_path(const struct sockets *sockets, uint64_t generation, char *path, size_t size)
{
    snprintf(path, size, "%s/%" PRIu64, sockets->path, generation);
}
