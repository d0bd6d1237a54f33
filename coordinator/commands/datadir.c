/* SPDX-License-Identifier: Apache-2.0 */
#include "datadir.h"

#include "buffer.h"
#include "failpoint.h"
#include "limits.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_NAME "sheaf.lock"
#define CLUSTER_NAME "sheaf.cluster"
#define CLUSTER_NEW_NAME "sheaf.cluster.new"
#define CLUSTER_FORMAT 1
#define CLUSTER_NAME_MAX 30
/* A note is a schema, its placement (every table with its database) and a few words. */
#define CLUSTER_BYTES_MAX (LIMIT_SCHEMA_BYTES_MAX + LIMIT_TABLES_MAX * 2 * (LIMIT_NAME_BYTES_MAX + 2) + 4096)

struct datadir {
    char *path;
    int fd;
    mode_t mode;
    int lock_fd;
    bool made, made_lock; /* by this datadir_open */
};

static bool failed(struct error *error, const char *path, const char *name, const char *what)
{
    int number = errno;
    return error_set(error, ERROR_IO, "%s%s%s: %s: %s", path, name ? "/" : "", name ? name : "", what,
                     strerror(number));
}

/* ---- the directory and its lock ---- */

/* So that the directory, and the note in it, are still there after a power cut: whoever made them may have died before
 * they were on the disk, and what follows is acknowledged. */
static bool sync_names(const struct datadir *datadir, struct error *error)
{
    const char *path = datadir->path;
    size_t len = strlen(path) + sizeof "/..";
    char *parent = malloc(len);
    if (!parent)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    snprintf(parent, len, "%s/..", path);
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(parent);
    /* a parent that we may not read cannot be synced by us, and is no reason to refuse */
    bool fine =
        ((fd < 0 || fsync(fd) == 0) && fsync(datadir->fd) == 0) || failed(error, path, NULL, "cannot be made durable");
    if (fd >= 0)
        close(fd);
    return fine;
}

static bool enter(struct datadir *datadir, struct error *error)
{
    datadir->fd = open(datadir->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return datadir->fd >= 0 || failed(error, datadir->path, NULL, "the data directory cannot be opened");
}

/* Said here, and not by the first shard that cannot make its WAL. */
static bool is_writable(const struct datadir *datadir, struct error *error)
{
    return faccessat(datadir->fd, ".", W_OK | X_OK, AT_EACCESS) == 0 ||
           failed(error, datadir->path, NULL, "the data directory cannot be written");
}

static bool is_ours_alone(struct datadir *datadir, struct error *error)
{
    struct stat status;
    if (fstat(datadir->fd, &status) < 0)
        return failed(error, datadir->path, NULL, "the data directory cannot be looked at");
    datadir->mode = status.st_mode & 07777;
    return !(datadir->mode & (S_IWGRP | S_IWOTH)) ||
           error_set(error, ERROR_IO,
                     "%s: the data directory can be written by others (its mode is %04o): make it 0700", datadir->path,
                     (unsigned)datadir->mode);
}

static bool make(struct datadir *datadir, struct error *error)
{
    bool made = mkdir(datadir->path, 0700) == 0;
    if (!made && errno != EEXIST)
        return failed(error, datadir->path, NULL, "the data directory cannot be made");
    datadir->made = made;
    return enter(datadir, error) && is_writable(datadir, error) && is_ours_alone(datadir, error) &&
           sync_names(datadir, error);
}

/* The pid that the holder of the lock wrote; it may be writing it at this moment. */
static bool held_by_another(const struct datadir *datadir, struct error *error)
{
    char text[32] = "";
    ssize_t len = pread(datadir->lock_fd, text, sizeof text - 1, 0);
    long pid = len > 0 ? strtol(text, NULL, 10) : 0;
    if (pid > 0)
        return error_set(error, ERROR_UNAVAILABLE, "%s: the data directory is in use by process %ld", datadir->path,
                         pid);
    return error_set(error, ERROR_UNAVAILABLE, "%s: the data directory is in use by another process", datadir->path);
}

static int open_lock(struct datadir *datadir)
{
    const int flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(datadir->fd, LOCK_NAME, flags | O_CREAT | O_EXCL, 0600);
    datadir->made_lock = fd >= 0;
    return fd >= 0 || errno != EEXIST ? fd : openat(datadir->fd, LOCK_NAME, flags | O_CREAT, 0600);
}

/* Whoever undid its start took its lock file with it: it may be the one that was opened here. */
static bool is_gone(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && status.st_nlink == 0;
}

/* A flock can be asked about only by taking it, and who starts at that moment would be refused. This lock is the open
 * file's, like a flock, and not the process's. */
static struct flock whole_file(void)
{
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

static bool lock(struct datadir *datadir, struct error *error)
{
    char pid[32];
    for (bool gone = true; gone;) {
        datadir->lock_fd = open_lock(datadir);
        if (datadir->lock_fd < 0)
            return failed(error, datadir->path, LOCK_NAME, "cannot be opened for writing");
        if (flock(datadir->lock_fd, LOCK_EX | LOCK_NB) < 0) {
            datadir->made_lock = false;
            return errno == EWOULDBLOCK ? held_by_another(datadir, error)
                                        : failed(error, datadir->path, LOCK_NAME, "cannot be locked");
        }
        gone = is_gone(datadir->lock_fd);
        if (gone)
            close(datadir->lock_fd);
    }
    struct flock whole = whole_file();
    /* where there are no such locks, a check takes what is under way for left over, and nothing else is lost */
    if (fcntl(datadir->lock_fd, F_OFD_SETLK, &whole) < 0 && errno != EINVAL)
        return failed(error, datadir->path, LOCK_NAME, "cannot be locked");
    int len = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(datadir->lock_fd, 0) < 0 || pwrite(datadir->lock_fd, pid, (size_t)len, 0) != len)
        return failed(error, datadir->path, LOCK_NAME, "cannot be written");
    return true;
}

static struct datadir *new_datadir(const char *path, struct error *error)
{
    struct datadir *datadir = calloc(1, sizeof *datadir);
    if (datadir)
        *datadir = (struct datadir){.path = strdup(path), .fd = -1, .lock_fd = -1};
    if (datadir && datadir->path)
        return datadir;
    error_set(error, ERROR_INTERNAL, "out of memory");
    datadir_close(datadir);
    return NULL;
}

struct datadir *datadir_open(const char *path, struct error *error)
{
    struct datadir *datadir = new_datadir(path, error);
    if (datadir && make(datadir, error) && lock(datadir, error))
        return datadir;
    datadir_undo(datadir);
    return NULL;
}

struct datadir *datadir_look(const char *path, struct error *error)
{
    struct datadir *datadir = new_datadir(path, error);
    if (datadir && enter(datadir, error))
        return datadir;
    datadir_close(datadir);
    return NULL;
}

bool datadir_is_held(const struct datadir *datadir)
{
    struct flock whole = whole_file();
    int fd = openat(datadir->fd, LOCK_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    bool held = fd >= 0 && fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
    if (fd >= 0)
        close(fd);
    return held;
}

void datadir_close(struct datadir *datadir)
{
    if (!datadir)
        return;
    if (datadir->lock_fd >= 0)
        close(datadir->lock_fd);
    if (datadir->fd >= 0)
        close(datadir->fd);
    free(datadir->path);
    free(datadir);
}

void datadir_undo(struct datadir *datadir)
{
    if (datadir && datadir->made_lock)
        unlinkat(datadir->fd, LOCK_NAME, 0);
    if (datadir && datadir->made)
        rmdir(datadir->path);
    datadir_close(datadir);
}

bool datadir_others_may_look_in(const struct datadir *datadir)
{
    return datadir->mode & (S_IROTH | S_IXOTH);
}

bool datadir_has_link(const struct datadir *datadir, const char *name)
{
    struct stat status;
    return fstatat(datadir->fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode);
}

const char *datadir_path(const struct datadir *datadir)
{
    return datadir->path;
}

/* ---- ids ---- */

static bool name_is_fine(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)name[i]) && name[i] != '_' && name[i] != '-')
            return false;
    return len >= 1 && len <= CLUSTER_NAME_MAX;
}

bool cluster_id_new(const char *name, char id[CLUSTER_ID_SIZE], struct error *error)
{
    uint8_t random[16];
    if (name && !name_is_fine(name))
        return error_set(error, ERROR_PARSE, "the cluster name %s is not of 1 to %d letters, digits, _ and -", name,
                         CLUSTER_NAME_MAX);
    if (getrandom(random, sizeof random, 0) != sizeof random)
        return error_set(error, ERROR_INTERNAL, "no random numbers: %s", strerror(errno));
    size_t len = name ? (size_t)snprintf(id, CLUSTER_ID_SIZE, "%s.", name) : 0;
    for (size_t i = 0; i < sizeof random; i++)
        len += (size_t)snprintf(id + len, CLUSTER_ID_SIZE - len, "%02x", random[i]);
    return true;
}

bool cluster_id_has_name(const char *id, const char *name)
{
    const char *dot = strchr(id, '.');
    return dot && strlen(name) == (size_t)(dot - id) && !strncmp(id, name, strlen(name));
}

/* ---- the note ----
 *
 *   sheaf cluster 1
 *   id 4f1d…
 *   schema BYTES            (-1: there is none yet)
 *   placement BYTES
 *                           (an empty line)
 *   the schema's bytes, the placement's bytes, and nothing more */

static bool read_all(int fd, struct buffer *bytes)
{
    for (;;) {
        if (bytes->len > CLUSTER_BYTES_MAX) {
            errno = EFBIG;
            return false;
        }
        if (!buffer_reserve(bytes, 65536)) {
            errno = ENOMEM;
            return false;
        }
        ssize_t got = read(fd, bytes->bytes + bytes->len, 65536);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0;
        bytes->len += (size_t)got;
    }
}

static char *copy_text(const uint8_t *bytes, size_t len)
{
    char *text = malloc(len + 1);
    if (text) {
        memcpy(text, bytes, len);
        text[len] = '\0';
    }
    return text;
}

static bool understand(const struct datadir *datadir, const struct buffer *bytes, struct cluster *ret_cluster,
                       struct error *error)
{
    struct cluster cluster = {0};
    int format = 0, head = 0;
    long long schema_len = 0, placement_len = 0;
    const char *text = (const char *)bytes->bytes; /* NUL-terminated by the caller */
    if (sscanf(text, "sheaf cluster %d", &format) == 1 && format > CLUSTER_FORMAT)
        return error_set(error, ERROR_IO, "%s/%s: written by a newer Sheaf (format %d)", datadir->path, CLUSTER_NAME,
                         format);
    int found = sscanf(text, "sheaf cluster %d\nid %63[0-9A-Za-z_.-]\nschema %lld\nplacement %lld%n", &format,
                       cluster.id, &schema_len, &placement_len, &head);
    bool fine = found == 4 && format == CLUSTER_FORMAT && !strncmp(text + head, "\n\n", 2) && schema_len >= -1 &&
                schema_len <= LIMIT_SCHEMA_BYTES_MAX && placement_len >= 0 && placement_len <= CLUSTER_BYTES_MAX;
    size_t at = (size_t)head + 2;
    cluster.schema_len = fine && schema_len > 0 ? (size_t)schema_len : 0;
    cluster.placement_len = fine ? (size_t)placement_len : 0;
    if (!fine || bytes->len != at + cluster.schema_len + cluster.placement_len)
        return error_set(error, ERROR_IO, "%s/%s: damaged: it is not what Sheaf wrote there", datadir->path,
                         CLUSTER_NAME);
    if (schema_len >= 0) {
        cluster.schema = copy_text(bytes->bytes + at, cluster.schema_len);
        cluster.placement = copy_text(bytes->bytes + at + cluster.schema_len, cluster.placement_len);
        if (!cluster.schema || !cluster.placement) {
            cluster_release(&cluster);
            return error_set(error, ERROR_INTERNAL, "out of memory");
        }
    }
    *ret_cluster = cluster;
    return true;
}

bool cluster_read(const struct datadir *datadir, struct cluster *ret_cluster, struct error *error)
{
    struct buffer bytes = {0};
    int fd = openat(datadir->fd, CLUSTER_NAME, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        *ret_cluster = (struct cluster){0};
        return true;
    }
    bool fine = false;
    if (fd < 0 || !read_all(fd, &bytes)) {
        failed(error, datadir->path, CLUSTER_NAME, "cannot be read");
    } else if (!buffer_put(&bytes, "", 1)) {
        error_set(error, ERROR_INTERNAL, "out of memory");
    } else {
        bytes.len--; /* the NUL is only for sscanf */
        fine = understand(datadir, &bytes, ret_cluster, error);
    }
    if (fd >= 0)
        close(fd);
    buffer_release(&bytes);
    return fine;
}

static bool write_all(int fd, const struct buffer *bytes)
{
    for (size_t done = 0; done < bytes->len;) {
        ssize_t put = write(fd, bytes->bytes + done, bytes->len - done);
        if (put < 0 && errno != EINTR)
            return false;
        done += put > 0 ? (size_t)put : 0;
    }
    return true;
}

static bool replace(const struct datadir *datadir, const struct buffer *bytes, struct error *error)
{
    int fd = openat(datadir->fd, CLUSTER_NEW_NAME, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return failed(error, datadir->path, CLUSTER_NEW_NAME, "cannot be made");
    bool fine = write_all(fd, bytes) && fsync(fd) == 0;
    if (!fine)
        failed(error, datadir->path, CLUSTER_NEW_NAME, "cannot be written");
    if (close(fd) < 0 && fine)
        fine = failed(error, datadir->path, CLUSTER_NEW_NAME, "cannot be written");
    FAILPOINT("cluster.before", NULL);
    if (fine && (renameat(datadir->fd, CLUSTER_NEW_NAME, datadir->fd, CLUSTER_NAME) < 0 || fsync(datadir->fd) < 0))
        fine = failed(error, datadir->path, CLUSTER_NAME, "cannot be put in place");
    FAILPOINT("cluster.after", NULL);
    if (!fine)
        unlinkat(datadir->fd, CLUSTER_NEW_NAME, 0);
    return fine;
}

bool cluster_write(const struct datadir *datadir, const struct cluster *cluster, struct error *error)
{
    struct buffer bytes = {0};
    bool claims = cluster->schema != NULL;
    bool fine =
        buffer_format(&bytes, "sheaf cluster %d\nid %s\nschema %lld\nplacement %zu\n\n", CLUSTER_FORMAT, cluster->id,
                      claims ? (long long)cluster->schema_len : -1LL, claims ? cluster->placement_len : 0) &&
        (!claims || (buffer_put(&bytes, cluster->schema, cluster->schema_len) &&
                     buffer_put(&bytes, cluster->placement, cluster->placement_len)));
    if (!fine)
        error_set(error, ERROR_INTERNAL, "out of memory");
    else
        fine = replace(datadir, &bytes, error);
    buffer_release(&bytes);
    return fine;
}

void cluster_remove(const struct datadir *datadir)
{
    unlinkat(datadir->fd, CLUSTER_NAME, 0);
}

void cluster_release(struct cluster *cluster)
{
    free(cluster->schema);
    free(cluster->placement);
    *cluster = (struct cluster){0};
}
