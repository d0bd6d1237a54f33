/* SPDX-License-Identifier: Apache-2.0 */
#include "inbox.h"

#include <pthread.h>
#include <stdlib.h>

struct inbox {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    nng_msg *ring[INBOX_MAX];
    unsigned first, count;
    bool full; /* said by the last inbox_put */
    bool stopped;
};

struct inbox *inbox_new(struct error *error)
{
    struct inbox *inbox = calloc(1, sizeof *inbox);
    if (!inbox) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&inbox->lock, NULL);
    pthread_cond_init(&inbox->filled, NULL);
    return inbox;
}

void inbox_free(struct inbox *inbox)
{
    if (!inbox)
        return;
    bool room;
    for (nng_msg *message; (message = inbox_take(inbox, false, &room));)
        nng_msg_free(message);
    pthread_cond_destroy(&inbox->filled);
    pthread_mutex_destroy(&inbox->lock);
    free(inbox);
}

bool inbox_put(struct inbox *inbox, nng_msg *message)
{
    pthread_mutex_lock(&inbox->lock);
    if (inbox->full)
        panic("a message is put into a full inbox");
    inbox->ring[(inbox->first + inbox->count++) % INBOX_MAX] = message;
    bool room = inbox->count < INBOX_MAX;
    inbox->full = !room;
    pthread_mutex_unlock(&inbox->lock);
    pthread_cond_signal(&inbox->filled);
    return room;
}

void inbox_stop(struct inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    inbox->stopped = true;
    pthread_mutex_unlock(&inbox->lock);
    pthread_cond_signal(&inbox->filled);
}

nng_msg *inbox_take(struct inbox *inbox, bool wait, bool *ret_room)
{
    nng_msg *message = NULL;
    pthread_mutex_lock(&inbox->lock);
    while (wait && !inbox->count && !inbox->stopped)
        pthread_cond_wait(&inbox->filled, &inbox->lock);
    if (inbox->count) {
        message = inbox->ring[inbox->first];
        inbox->first = (inbox->first + 1) % INBOX_MAX;
        inbox->count--;
    }
    *ret_room = message && inbox->full;
    if (message)
        inbox->full = false;
    pthread_mutex_unlock(&inbox->lock);
    return message;
}
