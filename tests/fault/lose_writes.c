/* SPDX-License-Identifier: Apache-2.0 */
/* lose_writes: a library to preload, which notes what a disk could still lose, and cuts the power.
 *
 *   LOSE_ROOT   whatever is below this folder is on the disk; nothing of its path may be a symbolic link
 *   LOSE_NOTES  a folder on the same file system and outside of it: `control` (struct control), `power` (a FIFO: a byte
 *               when the power is off), `graves/` (what was unlinked, by the number of the step), and a file of notes
 *               from each process, which power.py reads
 *   LOSE_SYNC_US  how long a sync takes. It is only noted: no process outlives a real power cut here
 *
 * Each write, truncation, sync and change of a name is a step, which is numbered over all processes and noted, with
 * what it overwrites, before it is done. When the power is off no step comes to its end any more. Files that are mapped
 * (-shm) and sockets are not looked at. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* As power.py knows them. */
enum what { WRITE = 1, TRUNCATE, SYNC, CREATE, UNLINK, RENAME, MKDIR, FAILED };

struct control {
    _Atomic uint64_t steps;
    _Atomic uint64_t off;
    _Atomic uint64_t cut_at;          /* the step that is not done any more; 0: none */
    _Atomic uint64_t dies_at;         /* from this step on, who would sync a WAL dies instead, once; 0: nobody */
    _Atomic uint64_t cut_after_death; /* steps */
};

struct note {
    uint64_t bytes; /* of all of it */
    uint64_t step, what, inode;
    int64_t at, count, size; /* `size` of the file before; FAILED: `at` is the step that was not done */
    uint64_t path_len, old_len;
};

#define REAL(result, name, ...) ((result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))

static struct control *control;
static const char *root, *notes;
static int notes_fd = -1;
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static int real_open(const char *path, int flags)
{
    return REAL(int, open, const char *, int, ...)(path, flags | O_CLOEXEC, 0600);
}

static void begin(void)
{
    char path[PATH_MAX];
    root = getenv("LOSE_ROOT");
    notes = getenv("LOSE_NOTES");
    if (!root || !notes)
        return;
    snprintf(path, sizeof path, "%s/control", notes);
    int fd = real_open(path, O_RDWR);
    control = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    snprintf(path, sizeof path, "%s/notes.%ld", notes, (long)getpid());
    int low_fd = real_open(path, O_WRONLY | O_CREAT | O_APPEND);
    notes_fd = fcntl(low_fd, F_DUPFD_CLOEXEC, 100); /* the low ones are the program's */
    if (control == MAP_FAILED || notes_fd < 0)
        abort();
    close(fd);
    close(low_fd);
}

/* ---- paths ---- */

static int ends_with(const char *path, const char *end)
{
    size_t len = strlen(path), end_len = strlen(end);
    return len >= end_len && strcmp(path + len - end_len, end) == 0;
}

static int is_on_disk(const char *path)
{
    pthread_once(&once, begin);
    size_t len = control ? strlen(root) : 0;
    return len && strncmp(path, root, len) == 0 && (path[len] == '/' || path[len] == '\0') && !ends_with(path, "-shm");
}

static int path_of(int fd, char path[PATH_MAX])
{
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(name, path, PATH_MAX - 1);
    path[len > 0 ? len : 0] = '\0';
    return len > 0;
}

/* The folder's own path and the last name. */
static int path_at(int folder_fd, const char *name, char path[PATH_MAX])
{
    char given[PATH_MAX], folder[PATH_MAX] = ".";
    if (name[0] != '/' && folder_fd != AT_FDCWD && !path_of(folder_fd, folder))
        return 0;
    int len = snprintf(given, sizeof given, "%s%s%s", name[0] == '/' ? "" : folder, name[0] == '/' ? "" : "/", name);
    char *slash = len < (int)sizeof given ? strrchr(given, '/') : NULL;
    if (!slash)
        return 0;
    *slash = '\0';
    if (!realpath(*given ? given : "/", folder))
        return 0;
    return snprintf(path, PATH_MAX, "%s/%s", folder, slash + 1) < PATH_MAX;
}

/* A file of the disk; not one that a name no longer leads to. */
static int is_file(int fd, char path[PATH_MAX], struct stat *ret_is)
{
    return path_of(fd, path) && is_on_disk(path) && fstat(fd, ret_is) == 0 && ret_is->st_nlink > 0;
}

static int is_regular(const char *path, struct stat *ret_is)
{
    return is_on_disk(path) && lstat(path, ret_is) == 0 && S_ISREG(ret_is->st_mode);
}

/* ---- steps ---- */

static void stall(void)
{
    for (;;)
        pause();
}

static void power_off(void)
{
    char path[PATH_MAX];
    atomic_store(&control->off, 1);
    snprintf(path, sizeof path, "%s/power", notes);
    int fd = real_open(path, O_WRONLY | O_NONBLOCK);
    if (fd < 0 || REAL(ssize_t, write, int, const void *, size_t)(fd, "", 1) != 1)
        abort();
    stall();
}

/* The number of a step that may be done. Holds the lock that end_step gives back. */
static uint64_t begin_step(int syncs_wal)
{
    pthread_mutex_lock(&one_at_a_time);
    if (atomic_load(&control->off))
        stall();
    uint64_t step = atomic_fetch_add(&control->steps, 1) + 1, cut_at = atomic_load(&control->cut_at);
    if (cut_at && step >= cut_at)
        power_off();
    uint64_t dies_at = atomic_load(&control->dies_at);
    if (syncs_wal && dies_at && step >= dies_at && atomic_compare_exchange_strong(&control->dies_at, &dies_at, 0)) {
        atomic_store(&control->cut_at, step + atomic_load(&control->cut_after_death));
        kill(getpid(), SIGKILL);
        stall();
    }
    return step;
}

static void end_step(void)
{
    int number = errno;
    pthread_mutex_unlock(&one_at_a_time);
    errno = number;
}

/* `second`: of a rename. `old`: what is overwritten, taken over. */
static void put_note(struct note note, const char *path, const char *second, void *old)
{
    int number = errno;
    size_t path_len = strlen(path) + 1 + strlen(second) + 1;
    note.path_len = path_len;
    note.bytes = sizeof note + path_len + note.old_len;
    char *bytes = malloc(note.bytes);
    if (!bytes)
        abort();
    memcpy(bytes, &note, sizeof note);
    memcpy(bytes + sizeof note, path, strlen(path) + 1);
    memcpy(bytes + sizeof note + strlen(path) + 1, second, strlen(second) + 1);
    if (note.old_len)
        memcpy(bytes + sizeof note + path_len, old, note.old_len);
    if (REAL(ssize_t, write, int, const void *, size_t)(notes_fd, bytes, note.bytes) != (ssize_t)note.bytes)
        abort();
    free(bytes);
    free(old);
    errno = number;
}

static void note_failure(uint64_t step)
{
    put_note((struct note){.what = FAILED, .at = (int64_t)step}, "", "", NULL);
}

/* What is there from `at` on, at most `count` bytes. */
static void *read_old(int fd, int64_t at, int64_t count, uint64_t *ret_len)
{
    char name[64], *bytes = count > 0 ? malloc((size_t)count) : NULL;
    int own_fd = -1;
    *ret_len = 0;
    if (count <= 0)
        return NULL;
    if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY) { /* nobody locks such a file by fcntl, which closing ended */
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        own_fd = real_open(name, O_RDONLY);
    }
    ssize_t got = pread(own_fd >= 0 ? own_fd : fd, bytes, (size_t)count, at);
    if (own_fd >= 0)
        close(own_fd);
    if (!bytes || got < 0)
        abort();
    *ret_len = (uint64_t)got;
    return bytes;
}

/* ---- bytes ---- */

static void note_write(int fd, const char *path, const struct stat *is, int64_t at, size_t count)
{
    struct note note = {.step = begin_step(0), .what = WRITE, .inode = is->st_ino, .size = is->st_size};
    int64_t old = at < is->st_size ? is->st_size - at : 0;
    note.at = at;
    note.count = (int64_t)count;
    void *bytes = read_old(fd, at, old < note.count ? old : note.count, &note.old_len);
    put_note(note, path, "", bytes);
}

static ssize_t write_at(ssize_t (*real)(int, const void *, size_t, off_t), int fd, const void *bytes, size_t count,
                        off_t at)
{
    char path[PATH_MAX];
    struct stat is;
    if (!is_file(fd, path, &is) || !S_ISREG(is.st_mode))
        return real(fd, bytes, count, at);
    note_write(fd, path, &is, at, count);
    ssize_t result = real(fd, bytes, count, at);
    end_step();
    return result;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at)
{
    return write_at(REAL(ssize_t, pwrite, int, const void *, size_t, off_t), fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at)
{
    return write_at(REAL(ssize_t, pwrite64, int, const void *, size_t, off_t), fd, bytes, count, at);
}

ssize_t write(int fd, const void *bytes, size_t count)
{
    char path[PATH_MAX];
    struct stat is;
    ssize_t (*real)(int, const void *, size_t) = REAL(ssize_t, write, int, const void *, size_t);
    if (!is_file(fd, path, &is) || !S_ISREG(is.st_mode))
        return real(fd, bytes, count);
    off_t at = fcntl(fd, F_GETFL) & O_APPEND ? is.st_size : lseek(fd, 0, SEEK_CUR);
    note_write(fd, path, &is, at, count);
    ssize_t result = real(fd, bytes, count);
    end_step();
    return result;
}

static void note_truncation(int fd, const char *path, const struct stat *is, int64_t size)
{
    struct note note = {.step = begin_step(0), .what = TRUNCATE, .inode = is->st_ino, .size = is->st_size};
    note.at = size;
    void *bytes = read_old(fd, size, is->st_size - size, &note.old_len);
    put_note(note, path, "", bytes);
}

static int truncate_to(int (*real)(int, off_t), int fd, off_t size)
{
    char path[PATH_MAX];
    struct stat is;
    if (!is_file(fd, path, &is))
        return real(fd, size);
    note_truncation(fd, path, &is, size);
    int result = real(fd, size);
    end_step();
    return result;
}

int ftruncate(int fd, off_t size)
{
    return truncate_to(REAL(int, ftruncate, int, off_t), fd, size);
}

int ftruncate64(int fd, off64_t size)
{
    return truncate_to(REAL(int, ftruncate64, int, off_t), fd, size);
}

static int sync_it(int (*real)(int), int fd)
{
    char path[PATH_MAX];
    struct stat is;
    if (!is_file(fd, path, &is))
        return real(fd);
    const char *wait_us = getenv("LOSE_SYNC_US");
    const struct timespec wait = {0, wait_us ? atol(wait_us) * 1000 : 0};
    struct note note = {.step = begin_step(ends_with(path, "-wal")), .what = SYNC, .inode = is.st_ino};
    nanosleep(&wait, NULL);
    if (atomic_load(&control->off))
        stall();
    put_note(note, path, "", NULL);
    end_step();
    return 0;
}

int fsync(int fd)
{
    return sync_it(REAL(int, fsync, int), fd);
}

int fdatasync(int fd)
{
    return sync_it(REAL(int, fdatasync, int), fd);
}

/* ---- names ---- */

static void note_emptying(const char *path, const struct stat *is)
{
    int fd = real_open(path, O_RDONLY);
    if (fd < 0)
        return;
    note_truncation(fd, path, is, 0);
    close(fd);
    end_step();
}

static int open_at(int (*real)(int, const char *, int, ...), int folder_fd, const char *name, int flags, mode_t mode)
{
    char path[PATH_MAX];
    struct stat is;
    if (!(flags & (O_CREAT | O_TRUNC)) || !path_at(folder_fd, name, path) || !is_on_disk(path))
        return real(folder_fd, name, flags, mode);
    if (lstat(path, &is) == 0) {
        if ((flags & O_TRUNC) && S_ISREG(is.st_mode))
            note_emptying(path, &is);
        return real(folder_fd, name, flags, mode);
    }
    struct note note = {.step = begin_step(0), .what = CREATE};
    put_note(note, path, "", NULL);
    int fd = real(folder_fd, name, flags, mode);
    if (fd < 0)
        note_failure(note.step);
    end_step();
    return fd;
}

static mode_t mode_of(int flags, va_list more)
{
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0;
}

#define OPEN(name, folder_fd, at, parameters)                                                  \
    int name parameters                                                                        \
    {                                                                                          \
        va_list more;                                                                          \
        va_start(more, flags);                                                                 \
        mode_t mode = mode_of(flags, more);                                                    \
        va_end(more);                                                                          \
        int (*real)(int, const char *, int, ...) = REAL(int, at, int, const char *, int, ...); \
        return open_at(real, folder_fd, path, flags, mode);                                    \
    }

OPEN(open, AT_FDCWD, openat, (const char *path, int flags, ...))
OPEN(open64, AT_FDCWD, openat64, (const char *path, int flags, ...))
OPEN(openat, folder_fd, openat, (int folder_fd, const char *path, int flags, ...))
OPEN(openat64, folder_fd, openat64, (int folder_fd, const char *path, int flags, ...))

/* What a name leads to now can be had again. A lock file cannot: whoever has it open looks whether it has a name. */
static void bury(uint64_t step, const char *path)
{
    char grave[PATH_MAX];
    snprintf(grave, sizeof grave, "%s/graves/%llu", notes, (unsigned long long)step);
    if (!ends_with(path, ".lock") && link(path, grave) != 0)
        abort();
}

int unlinkat(int folder_fd, const char *name, int flags)
{
    char path[PATH_MAX];
    struct stat is;
    int (*real)(int, const char *, int) = REAL(int, unlinkat, int, const char *, int);
    if (flags || !path_at(folder_fd, name, path) || !is_regular(path, &is))
        return real(folder_fd, name, flags);
    struct note note = {.step = begin_step(0), .what = UNLINK, .inode = is.st_ino};
    bury(note.step, path);
    put_note(note, path, "", NULL);
    int result = real(folder_fd, name, flags);
    end_step();
    return result;
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    char from_path[PATH_MAX], to_path[PATH_MAX];
    struct stat is;
    int (*real)(int, const char *, int, const char *) = REAL(int, renameat, int, const char *, int, const char *);
    if (!path_at(from_fd, from, from_path) || !path_at(to_fd, to, to_path) || !is_regular(from_path, &is))
        return real(from_fd, from, to_fd, to);
    struct note note = {.step = begin_step(0), .what = RENAME};
    if (is_regular(to_path, &is))
        bury(note.step, to_path);
    put_note(note, from_path, to_path, NULL);
    int result = real(from_fd, from, to_fd, to);
    end_step();
    return result;
}

int rename(const char *from, const char *to)
{
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int mkdir(const char *name, mode_t mode)
{
    char path[PATH_MAX];
    int (*real)(const char *, mode_t) = REAL(int, mkdir, const char *, mode_t);
    if (!path_at(AT_FDCWD, name, path) || !is_on_disk(path) || access(path, F_OK) == 0)
        return real(name, mode);
    struct note note = {.step = begin_step(0), .what = MKDIR};
    put_note(note, path, "", NULL);
    int result = real(name, mode);
    if (result != 0)
        note_failure(note.step);
    end_step();
    return result;
}
