/* SPDX-License-Identifier: Apache-2.0 */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CAPACITY_FIRST (2 * SOURCE_BLOCK)
#define CAPACITY_MAX (SOURCE_RECORD_VIEW + SOURCE_BLOCK)
#define LOOK_MS 100 /* a signal may have gone to another thread: nothing then ends this thread's poll */

static bool open_fd(struct source *source, struct error *error)
{
    struct stat status;

    /* Without O_NONBLOCK, a pipe with a name that nobody writes to could not be interrupted. */
    source->fd = strcmp(source->path, "-") == 0 ? STDIN_FILENO
                                                : open(source->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (source->fd < 0 || fstat(source->fd, &status) != 0)
        return error_set(error, ERROR_IO, "%s: %s", source->path, strerror(errno));
    if (S_ISDIR(status.st_mode))
        return error_set(error, ERROR_IO, "%s: %s", source->path, strerror(EISDIR));
    source->waits = !S_ISREG(status.st_mode);
    if (!source->waits) {
        off_t at = lseek(source->fd, 0, SEEK_CUR);
        source->size = (uint64_t)(status.st_size - (at > 0 && at < status.st_size ? at : 0));
    }
    return true;
}

bool source_open(struct source *source, const char *path, bool (*interrupted)(void), struct error *error)
{
    *source = (struct source){.fd = -1, .interrupted = interrupted, .capacity = CAPACITY_FIRST, .spool.fd = -1};
    source->path = strdup(path);
    source->bytes = calloc(1, CAPACITY_FIRST + SOURCE_PADDING);
    bool fine = source->path && source->bytes ? open_fd(source, error)
                                              : error_set(error, ERROR_INTERNAL, "%s: out of memory", path);
    if (!fine)
        source_close(source);
    return fine;
}

void source_close(struct source *source)
{
    if (source->fd > STDIN_FILENO)
        close(source->fd);
    spool_close(&source->spool);
    free(source->path);
    free(source->bytes);
    source->path = NULL;
    source->bytes = NULL;
    source->fd = -1;
}

/* Room for a block behind the window, or for what is left of the largest window. */
static bool make_room(struct source *source, struct error *error)
{
    if (source->capacity - source->end >= SOURCE_BLOCK)
        return true;
    if (source->at > 0) {
        memmove(source->bytes, source->bytes + source->at, source_waiting(source));
        source->end -= source->at;
        source->at = 0;
    }
    if (source->capacity - source->end >= SOURCE_BLOCK || source->capacity == CAPACITY_MAX)
        return true;
    size_t capacity = source->capacity * 2 < CAPACITY_MAX ? source->capacity * 2 : CAPACITY_MAX;
    uint8_t *bytes = realloc(source->bytes, capacity + SOURCE_PADDING);
    if (!bytes)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    source->bytes = bytes;
    source->capacity = capacity;
    return true;
}

static enum source_result wait_for_bytes(const struct source *source, bool soon, struct error *error)
{
    struct pollfd fds = {.fd = source->fd, .events = POLLIN};

    for (;;) {
        if (source->interrupted && source->interrupted())
            return SOURCE_INTERRUPTED;
        int ready = poll(&fds, 1, soon ? 0 : source->interrupted ? LOOK_MS : -1);
        if (ready > 0)
            return SOURCE_MORE;
        if (ready == 0 && soon)
            return SOURCE_WAITS;
        if (ready < 0 && errno != EINTR) {
            error_set(error, ERROR_IO, "%s", strerror(errno));
            return SOURCE_FAILED;
        }
    }
}

/* Up to `len` bytes behind the window: read before and wanted again, or new. */
static ssize_t read_on(struct source *source, size_t len)
{
    return spool_is_over(&source->spool) ? read(source->fd, source->bytes + source->end, len)
                                         : spool_get(&source->spool, source->bytes + source->end, len);
}

/* What came new is kept for a rewind. */
static bool keep(struct source *source, size_t len, struct error *error)
{
    struct spool *spool = &source->spool;

    if (!source->waits || !source->marked)
        return true;
    if (!spool_put(spool, source->bytes + source->end, len, error))
        return false;
    spool->at = spool->len;
    return true;
}

static enum source_result read_more(struct source *source, bool soon, struct error *error)
{
    if (source->ended)
        return SOURCE_END;
    if (!make_room(source, error))
        return SOURCE_FAILED;
    size_t room = source->capacity - source->end;
    if (room == 0)
        panic("a reader keeps a window of %zu bytes", source->capacity);
    for (;;) {
        bool again = !spool_is_over(&source->spool);
        enum source_result waited = source->waits && !again ? wait_for_bytes(source, soon, error) : SOURCE_MORE;
        if (waited != SOURCE_MORE)
            return waited;
        ssize_t got = read_on(source, room < SOURCE_BLOCK ? room : SOURCE_BLOCK);
        if (got > 0) {
            if (!again && !keep(source, (size_t)got, error))
                return SOURCE_FAILED;
            source->end += (size_t)got;
            memset(source->bytes + source->end, 0, SOURCE_PADDING);
            atomic_fetch_add_explicit(&source->read, (uint64_t)got, memory_order_relaxed);
            return SOURCE_MORE;
        }
        if (got == 0) {
            /* A signal to a whole pipeline ends its writer, too, in the middle of a record. */
            if (source->waits && source->interrupted && source->interrupted())
                return SOURCE_INTERRUPTED;
            source->ended = true;
            return SOURCE_END;
        }
        if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) {
            error_set(error, ERROR_IO, "%s", strerror(errno));
            return SOURCE_FAILED;
        }
    }
}

enum source_result source_more(struct source *source, struct error *error)
{
    return read_more(source, false, error);
}

enum source_result source_more_soon(struct source *source, struct error *error)
{
    return read_more(source, source->hurried, error);
}

enum source_result source_skip_line(struct source *source, struct error *error)
{
    for (;;) {
        const uint8_t *window = source_window(source);
        const uint8_t *feed = memchr(window, '\n', source_waiting(source));
        if (feed) {
            source_take(source, (size_t)(feed - window) + 1);
            return SOURCE_MORE;
        }
        source_take(source, source_waiting(source));
        enum source_result result = source_more(source, error);
        if (result != SOURCE_MORE)
            return result;
    }
}

enum source_result source_skip_mark(struct source *source, struct error *error)
{
    static const uint8_t mark[] = {0xef, 0xbb, 0xbf};

    for (size_t i = 0; i < sizeof mark; i++) {
        while (source_waiting(source) <= i) {
            enum source_result result = source_more_soon(source, error);
            if (result != SOURCE_MORE)
                return result == SOURCE_END ? SOURCE_MORE : result;
        }
        if (source_window(source)[i] != mark[i])
            return SOURCE_MORE;
    }
    source_take(source, sizeof mark);
    return SOURCE_MORE;
}

bool source_mark(struct source *source, struct error *error)
{
    struct spool *spool = &source->spool;
    off_t waiting = (off_t)source_waiting(source);

    source->mark_read = atomic_load_explicit(&source->read, memory_order_relaxed) - (uint64_t)waiting;
    source->marked = true;
    if (!source->waits) {
        source->mark = lseek(source->fd, 0, SEEK_CUR) - waiting;
        return source->mark >= 0 || error_set(error, ERROR_IO, "%s", strerror(errno));
    }
    if (!spool_is_over(spool)) { /* then the window comes from there, too */
        source->mark = spool->at - waiting;
        spool_forget(spool, source->mark);
        return true;
    }
    spool_clear(spool);
    source->mark = 0;
    if (!spool_put(spool, source_window(source), (size_t)waiting, error))
        return false;
    spool->at = spool->len;
    return true;
}

bool source_rewind(struct source *source, struct error *error)
{
    source->marked = false;
    source->ended = false;
    source->at = source->end = 0;
    atomic_store_explicit(&source->read, source->mark_read, memory_order_relaxed);
    if (source->waits) {
        source->spool.at = source->mark;
        return true;
    }
    return lseek(source->fd, source->mark, SEEK_SET) >= 0 || error_set(error, ERROR_IO, "%s", strerror(errno));
}

void source_unmark(struct source *source)
{
    source->marked = false;
    if (spool_is_over(&source->spool))
        spool_clear(&source->spool);
}
