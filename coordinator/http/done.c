/* SPDX-License-Identifier: Apache-2.0 */
#include "done.h"

#include "request.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct done {
    pthread_mutex_t mutex;
    struct request *first, *last;
    int fd; /* an eventfd */
};

struct done *done_new(struct error *error)
{
    struct done *done = calloc(1, sizeof *done);

    if (!done) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    done->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (done->fd < 0) {
        error_set(error, ERROR_INTERNAL, "no eventfd: %s", strerror(errno));
        free(done);
        return NULL;
    }
    pthread_mutex_init(&done->mutex, NULL);
    return done;
}

void done_free(struct done *done)
{
    if (!done)
        return;
    close(done->fd);
    pthread_mutex_destroy(&done->mutex);
    free(done);
}

void done_put(struct done *done, struct request *request)
{
    bool was_empty;

    request->next_done = NULL;
    pthread_mutex_lock(&done->mutex);
    was_empty = !done->first;
    if (was_empty)
        done->first = request;
    else
        done->last->next_done = request;
    done->last = request;
    pthread_mutex_unlock(&done->mutex);
    if (was_empty && eventfd_write(done->fd, 1) != 0) /* far from its greatest count, it cannot be full */
        panic("eventfd: %s", strerror(errno));
}

int done_fd(const struct done *done)
{
    return done->fd;
}

struct request *done_take(struct done *done)
{
    struct request *list;
    eventfd_t ignored;

    (void)eventfd_read(done->fd, &ignored); /* before the list is looked at: what comes later wakes again */
    pthread_mutex_lock(&done->mutex);
    list = done->first;
    done->first = done->last = NULL;
    pthread_mutex_unlock(&done->mutex);
    return list;
}
