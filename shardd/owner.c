/* SPDX-License-Identifier: Apache-2.0 */
#include "owner.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <unistd.h>

#define WAL_WRITE_LOCK 0

/* ---- the VFS ---- */

/* What SQLite sees as its file: our methods and whether the write lock is held, then the unix VFS's own file. */
struct owned_file {
    sqlite3_file base;
    bool holds_write_lock;
    sqlite3_file *real;
};

static sqlite3_vfs owner_vfs;
static sqlite3_vfs *unix_vfs;

static atomic_uint_least64_t io_steps; /* odd: the disk is at work */

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct owned_file *)file)->real;
}

#define FORWARD(method, parameters, arguments)            \
    static int forward_##method parameters                \
    {                                                     \
        return real_of(file)->pMethods->method arguments; \
    }

/* What may wait for the disk. */
#define FORWARD_IO(method, parameters, arguments)               \
    static int forward_##method parameters                      \
    {                                                           \
        atomic_fetch_add(&io_steps, 1);                         \
        int result = real_of(file)->pMethods->method arguments; \
        atomic_fetch_add(&io_steps, 1);                         \
        return result;                                          \
    }

FORWARD_IO(xRead, (sqlite3_file * file, void *bytes, int count, sqlite3_int64 at), (real_of(file), bytes, count, at))
FORWARD_IO(xWrite, (sqlite3_file * file, const void *bytes, int count, sqlite3_int64 at),
           (real_of(file), bytes, count, at))
FORWARD_IO(xTruncate, (sqlite3_file * file, sqlite3_int64 size), (real_of(file), size))
FORWARD_IO(xSync, (sqlite3_file * file, int flags), (real_of(file), flags))
FORWARD(xFileSize, (sqlite3_file * file, sqlite3_int64 *size), (real_of(file), size))
FORWARD(xLock, (sqlite3_file * file, int level), (real_of(file), level))
FORWARD(xUnlock, (sqlite3_file * file, int level), (real_of(file), level))
FORWARD(xCheckReservedLock, (sqlite3_file * file, int *held), (real_of(file), held))
FORWARD(xFileControl, (sqlite3_file * file, int operation, void *argument), (real_of(file), operation, argument))
FORWARD(xSectorSize, (sqlite3_file * file), (real_of(file)))
FORWARD(xDeviceCharacteristics, (sqlite3_file * file), (real_of(file)))
FORWARD(xShmMap, (sqlite3_file * file, int page, int size, int extend, void volatile **memory),
        (real_of(file), page, size, extend, memory))
FORWARD(xFetch, (sqlite3_file * file, sqlite3_int64 at, int count, void **memory), (real_of(file), at, count, memory))
FORWARD(xUnfetch, (sqlite3_file * file, sqlite3_int64 at, void *memory), (real_of(file), at, memory))

/* A disk that cannot be read: SQLite would say that the file is malformed. */
static int own_xRead(sqlite3_file *file, void *bytes, int count, sqlite3_int64 at)
{
    int result = forward_xRead(file, bytes, count, at);
    return result == SQLITE_IOERR_CORRUPTFS ? SQLITE_IOERR_READ : result;
}

static void forward_xShmBarrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

/* The write lock is taken once and kept: giving it back is answered as done, taking it again too. */
static int own_xShmLock(sqlite3_file *file, int first, int count, int flags)
{
    struct owned_file *owned = (struct owned_file *)file;
    bool write_lock = first == WAL_WRITE_LOCK && count == 1 && (flags & SQLITE_SHM_EXCLUSIVE);
    if (write_lock && owned->holds_write_lock)
        return SQLITE_OK;
    int result = owned->real->pMethods->xShmLock(owned->real, first, count, flags);
    if (write_lock && (flags & SQLITE_SHM_LOCK) && result == SQLITE_OK)
        owned->holds_write_lock = true;
    return result;
}

static int own_xShmUnmap(sqlite3_file *file, int delete_it)
{
    struct owned_file *owned = (struct owned_file *)file;
    if (owned->holds_write_lock) {
        owned->real->pMethods->xShmLock(owned->real, WAL_WRITE_LOCK, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
        owned->holds_write_lock = false;
    }
    return owned->real->pMethods->xShmUnmap(owned->real, delete_it);
}

static int own_xClose(sqlite3_file *file)
{
    return real_of(file)->pMethods ? real_of(file)->pMethods->xClose(real_of(file)) : SQLITE_OK;
}

static const sqlite3_io_methods owned_methods = {
    .iVersion = 3,
    .xClose = own_xClose,
    .xRead = own_xRead,
    .xWrite = forward_xWrite,
    .xTruncate = forward_xTruncate,
    .xSync = forward_xSync,
    .xFileSize = forward_xFileSize,
    .xLock = forward_xLock,
    .xUnlock = forward_xUnlock,
    .xCheckReservedLock = forward_xCheckReservedLock,
    .xFileControl = forward_xFileControl,
    .xSectorSize = forward_xSectorSize,
    .xDeviceCharacteristics = forward_xDeviceCharacteristics,
    .xShmMap = forward_xShmMap,
    .xShmLock = own_xShmLock,
    .xShmBarrier = forward_xShmBarrier,
    .xShmUnmap = own_xShmUnmap,
    .xFetch = forward_xFetch,
    .xUnfetch = forward_xUnfetch,
};

static int own_xOpen(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    (void)vfs;
    struct owned_file *owned = (struct owned_file *)file;
    owned->base.pMethods = NULL;
    owned->holds_write_lock = false;
    owned->real = (sqlite3_file *)(owned + 1);
    owned->real->pMethods = NULL;
    int result = unix_vfs->xOpen(unix_vfs, name, owned->real, flags, ret_flags);
    if (owned->real->pMethods)
        owned->base.pMethods = &owned_methods;
    return result;
}

bool owner_register_vfs(struct error *error)
{
    unix_vfs = sqlite3_vfs_find("unix");
    if (!unix_vfs)
        return error_set(error, ERROR_INTERNAL, "this SQLite has no unix VFS");
    owner_vfs = *unix_vfs;
    owner_vfs.zName = OWNER_VFS;
    owner_vfs.pNext = NULL;
    owner_vfs.szOsFile = (int)sizeof(struct owned_file) + unix_vfs->szOsFile;
    owner_vfs.xOpen = own_xOpen;
    if (sqlite3_vfs_register(&owner_vfs, 0) != SQLITE_OK)
        return error_set(error, ERROR_INTERNAL, "registering the VFS failed");
    return true;
}

uint64_t owner_io_progress(uint64_t now_ns, uint64_t within_ns)
{
    static atomic_uint_least64_t seen, since_ns, waited; /* the last odd number, from when on, how often */
    uint64_t steps = atomic_load(&io_steps);
    if (steps % 2 && steps != atomic_exchange(&seen, steps))
        atomic_store(&since_ns, now_ns);
    if (steps % 2 && now_ns - atomic_load(&since_ns) <= within_ns)
        atomic_fetch_add(&waited, 1);
    return steps + atomic_load(&waited);
}

/* ---- the lock file ---- */

static void on_alarm(int number)
{
    (void)number; /* only to interrupt flock */
}

/* flock that gives up: the alarm repeats, so that one that fires before flock sleeps is not the last. */
static int lock_within(int descriptor, int64_t wait_ms)
{
    if (flock(descriptor, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno != EWOULDBLOCK || wait_ms <= 0)
        return errno;
    struct sigaction alarm_action = {.sa_handler = on_alarm}, before;
    struct itimerval timer = {.it_value = {wait_ms / 1000, (wait_ms % 1000) * 1000}, .it_interval = {0, 50000}},
                     none = {0};
    sigaction(SIGALRM, &alarm_action, &before);
    setitimer(ITIMER_REAL, &timer, NULL);
    int result = flock(descriptor, LOCK_EX) == 0 ? 0 : errno;
    setitimer(ITIMER_REAL, &none, NULL);
    sigaction(SIGALRM, &before, NULL);
    return result;
}

static bool write_pid(int descriptor)
{
    char text[32];
    int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    return ftruncate(descriptor, 0) == 0 && pwrite(descriptor, text, (size_t)len, 0) == len;
}

/* Opens and locks it; again when its holder took it away meanwhile (owner_undo). */
static int open_locked(const char *path, int64_t wait_ms, int *ret_result)
{
    for (;;) {
        struct stat status;
        int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        *ret_result = descriptor >= 0 ? lock_within(descriptor, wait_ms) : errno;
        if (descriptor < 0 || *ret_result != 0 || fstat(descriptor, &status) != 0 || status.st_nlink > 0)
            return descriptor;
        close(descriptor);
    }
}

/* The process that has the flock, as the kernel tells: the pid in the file is that of the last shardd, which may be
 * gone. 0: not known (it is in another container, or this file system numbers its devices in another way). */
static long holder_of(int descriptor)
{
    struct stat is;
    char line[256];
    long holder = 0;
    FILE *locks = fstat(descriptor, &is) == 0 ? fopen("/proc/locks", "re") : NULL;
    while (locks && holder <= 0 && fgets(line, sizeof line, locks)) {
        long pid;
        unsigned major_number, minor_number;
        unsigned long long inode;
        if (sscanf(line, "%*d: FLOCK %*s %*s %ld %x:%x:%llu", &pid, &major_number, &minor_number, &inode) == 4 &&
            inode == is.st_ino && makedev(major_number, minor_number) == is.st_dev)
            holder = pid;
    }
    if (locks)
        fclose(locks);
    return holder > 0 ? holder : 0;
}

static void name_of(long pid, char *name, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/comm", pid);
    FILE *file = fopen(path, "re");
    if (!file || !fgets(name, (int)size, file))
        snprintf(name, size, "a program");
    name[strcspn(name, "\n")] = '\0';
    if (file)
        fclose(file);
}

static bool held(const char *path, int descriptor, struct error *error)
{
    char name[64];
    long pid = holder_of(descriptor);
    if (!pid) {
        ssize_t len = pread(descriptor, name, sizeof name - 1, 0);
        name[len > 0 ? len : 0] = '\0';
        name[strspn(name, "0123456789")] = '\0';
        return error_set(error, ERROR_UNAVAILABLE, "%s is held by another program, perhaps by the last shardd (pid %s)",
                         path, name);
    }
    name_of(pid, name, sizeof name);
    return error_set(error, ERROR_UNAVAILABLE, "%s is held by %s (pid %ld)", path, name, pid);
}

int owner_lock(const char *path, int64_t wait_ms, struct error *error)
{
    int result, descriptor = open_locked(path, wait_ms, &result);
    if (descriptor < 0) {
        error_set(error, ERROR_IO, "%s: %s", path, strerror(result));
        return -1;
    }
    if (result == 0 && write_pid(descriptor))
        return descriptor;
    if (result == 0) {
        error_set(error, ERROR_IO, "%s: cannot be written: %s", path, strerror(errno));
        owner_undo(descriptor, path);
        return -1;
    }
    if (result == EINTR || result == EWOULDBLOCK)
        held(path, descriptor, error);
    else
        error_set(error, ERROR_IO, "%s: %s", path, strerror(result));
    close(descriptor);
    return -1;
}

void owner_unlock(int descriptor)
{
    if (descriptor >= 0)
        close(descriptor);
}

void owner_undo(int descriptor, const char *path)
{
    if (descriptor >= 0)
        unlink(path);
    owner_unlock(descriptor);
}
