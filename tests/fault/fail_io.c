/* SPDX-License-Identifier: Apache-2.0 */
/* fail_io: a library to preload, which counts what shards do with the files of a data directory (opens, reads, writes,
 * syncs, truncations, removals, or some of these) and lets the N-th of the calls fail, whichever process it is in.
 *
 *   FAIL_IO        a file that holds a struct control, which test_io_errors.py writes and all processes share
 *   FAIL_IO_DATA   the data directory, as a path without links
 *
 * What was written since a file's last sync is lost when a sync of it fails: that is what a kernel may do, which takes
 * such pages for clean and forgets them. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 512

struct control {
    int64_t left;  /* how many more go well; below zero: none fails any more */
    int64_t calls; /* counted so far */
    int32_t error; /* an errno; 0: a write that writes only half */
    int32_t times; /* so many fail, one after the other; of short ones those behind the first with ENOSPC */
    int32_t kinds; /* of calls that are counted and fail: 1 << enum call for each */
    char what[64]; /* the first that failed: call and file */
};

static struct control *control;
static const char *data;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void look(void)
{
    const char *path = getenv("FAIL_IO");
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open64");
    data = getenv("FAIL_IO_DATA");
    if (!path || !data || strcmp(program_invocation_short_name, "shardd") != 0)
        return;
    int fd = real(path, O_RDWR | O_CLOEXEC);
    void *memory = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        abort();
    close(fd);
    control = memory;
}

static int is_counted(const char *path)
{
    pthread_once(&once, look);
    size_t len = control ? strlen(data) : 0;
    return control && strncmp(path, data, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static void path_of(int fd, char path[PATH_BYTES])
{
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(name, path, PATH_BYTES - 1);
    path[len > 0 ? len : 0] = '\0';
}

enum verdict { GOES_WELL, FAILS, IS_SHORT };
enum call { READ, WRITE, SYNC, OPEN, OTHER };

/* Counts it. With FAILS errno says how. */
static enum verdict judge(enum call call, const char *name, const char *path)
{
    if (!is_counted(path) || !(control->kinds & 1 << call))
        return GOES_WELL;
    __atomic_add_fetch(&control->calls, 1, __ATOMIC_SEQ_CST);
    int64_t left = __atomic_fetch_sub(&control->left, 1, __ATOMIC_SEQ_CST);
    if (left > 0 || left <= -control->times)
        return GOES_WELL;
    if (left == 0)
        snprintf(control->what, sizeof control->what, "%s %s", name, strrchr(path, '/') + 1);
    if (control->error == 0 && call == WRITE && left == 0)
        return IS_SHORT;
    errno = control->error ? control->error : call == WRITE ? ENOSPC : EIO;
    return FAILS;
}

static ssize_t real_pwrite(int fd, const void *bytes, size_t count, off64_t at)
{
    return ((ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64"))(fd, bytes, count, at);
}

static ssize_t real_pread(int fd, void *bytes, size_t count, off64_t at)
{
    return ((ssize_t(*)(int, void *, size_t, off64_t))dlsym(RTLD_NEXT, "pread64"))(fd, bytes, count, at);
}

static int real_ftruncate(int fd, off64_t size)
{
    return ((int (*)(int, off64_t))dlsym(RTLD_NEXT, "ftruncate64"))(fd, size);
}

/* ---- what was not synced yet ---- */

/* Before a write or truncation: the file's size, and the bytes from `at` on that it takes away. */
struct change {
    struct change *before;
    char path[PATH_BYTES];
    off64_t size, at;
    ssize_t count;
    unsigned char bytes[];
};

static struct change *last_change;
static pthread_mutex_t changes = PTHREAD_MUTEX_INITIALIZER;

static int ends_in(const char *path, const char *ending)
{
    size_t len = strlen(path), end = strlen(ending);
    return len > end && strcmp(path + len - end, ending) == 0;
}

static void note_change(int fd, const char *path, off64_t at, size_t count)
{
    struct stat64 is;
    if (!is_counted(path) || !(ends_in(path, ".db") || ends_in(path, "-wal")) || fstat64(fd, &is) != 0)
        return;
    struct change *change = malloc(sizeof *change + count);
    if (!change)
        abort();
    snprintf(change->path, sizeof change->path, "%s", path);
    change->size = is.st_size;
    change->at = at;
    change->count = real_pread(fd, change->bytes, count, at);
    pthread_mutex_lock(&changes);
    change->before = last_change;
    last_change = change;
    pthread_mutex_unlock(&changes);
}

/* Of that file, the last first: they are on the disk now, or they are lost. */
static void settle_changes(int fd, const char *path, int lost)
{
    pthread_mutex_lock(&changes);
    for (struct change **at = &last_change, *change; (change = *at);) {
        if (strcmp(change->path, path) != 0) {
            at = &change->before;
            continue;
        }
        if (lost && (real_ftruncate(fd, change->size) != 0 ||
                     (change->count > 0 && real_pwrite(fd, change->bytes, (size_t)change->count, change->at) < 0)))
            abort();
        *at = change->before;
        free(change);
    }
    pthread_mutex_unlock(&changes);
}

/* ---- the calls ---- */

static int open_as(const char *name, const char *path, int flags, mode_t mode)
{
    if (judge(OPEN, "open", path) != GOES_WELL)
        return -1;
    return ((int (*)(const char *, int, ...))dlsym(RTLD_NEXT, name))(path, flags, mode);
}

#define OPEN(name)                                                                \
    int name(const char *path, int flags, ...)                                    \
    {                                                                             \
        va_list more;                                                             \
        va_start(more, flags);                                                    \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0; \
        va_end(more);                                                             \
        return open_as(#name, path, flags, mode);                                 \
    }

OPEN(open)
OPEN(open64)

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at)
{
    char path[PATH_BYTES];
    path_of(fd, path);
    enum verdict verdict = judge(count > 1 ? WRITE : OTHER, "write", path);
    if (verdict == FAILS)
        return -1;
    if (verdict == IS_SHORT)
        count /= 2;
    note_change(fd, path, at, count);
    return real_pwrite(fd, bytes, count, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at)
{
    return pwrite64(fd, bytes, count, at);
}

ssize_t pread64(int fd, void *bytes, size_t count, off64_t at)
{
    char path[PATH_BYTES];
    path_of(fd, path);
    return judge(READ, "read", path) == GOES_WELL ? real_pread(fd, bytes, count, at) : -1;
}

int ftruncate64(int fd, off64_t size)
{
    char path[PATH_BYTES];
    struct stat64 is;
    path_of(fd, path);
    if (judge(OTHER, "ftruncate", path) != GOES_WELL)
        return -1;
    if (fstat64(fd, &is) == 0)
        note_change(fd, path, size, is.st_size > size ? (size_t)(is.st_size - size) : 0);
    return real_ftruncate(fd, size);
}

int ftruncate(int fd, off_t size)
{
    return ftruncate64(fd, size);
}

int unlink(const char *path)
{
    return judge(OTHER, "unlink", path) == GOES_WELL ? ((int (*)(const char *))dlsym(RTLD_NEXT, "unlink"))(path) : -1;
}

int rename(const char *from, const char *to)
{
    return judge(OTHER, "rename", from) == GOES_WELL
               ? ((int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename"))(from, to)
               : -1;
}

static int sync_as(const char *name, int fd)
{
    char path[PATH_BYTES];
    path_of(fd, path);
    int result = judge(SYNC, name, path) == GOES_WELL ? ((int (*)(int))dlsym(RTLD_NEXT, name))(fd) : -1;
    int number = errno;
    settle_changes(fd, path, result != 0);
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
