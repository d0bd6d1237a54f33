/* SPDX-License-Identifier: Apache-2.0 */
#include "relay_client.h"

#include "relay_wire.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* What is under way. */
struct pending {
    enum relay_kind kind; /* 0: free */
    union {
        struct submission *submission;
        struct query *query;
        struct measuring *measuring;
    };
    uint32_t next_free;
};

struct measuring {
    sem_t over;
    struct engine_metrics *metrics;
    bool ok;
};

#define NO_SLOT UINT32_MAX

struct relay_client {
    int fd;
    pthread_t reader;
    struct buffer frame; /* the reader's */

    /* One writer at a time: a frame is never torn. Held while it is sent, so that frames go out in the order of their
     * numbers; the reader never takes it, so that answers come in while somebody waits to send. */
    pthread_mutex_t sending;
    struct buffer head;

    /* Guards these; held for a few instructions, and nothing is called under it. Taken alone or inside `sending`. */
    pthread_mutex_t mutex;
    struct pending *pending;
    uint32_t count, capacity, first_free;
    bool gone; /* the server is: nothing is taken any more */
};

/* ---- what is under way ---- */

static bool reserve_slot(struct relay_client *client)
{
    uint32_t capacity = client->capacity ? client->capacity * 2 : 64;
    struct pending *more;

    if (client->first_free != NO_SLOT || client->count < client->capacity)
        return true;
    more = realloc(client->pending, capacity * sizeof *more);
    if (!more)
        return false;
    client->pending = more;
    client->capacity = capacity;
    return true;
}

/* False: the server is gone, or memory is out. */
static bool add(struct relay_client *client, const struct pending *pending, uint32_t *ret_slot)
{
    pthread_mutex_lock(&client->mutex);
    bool fine = !client->gone && reserve_slot(client);
    if (fine) {
        uint32_t slot = client->first_free;
        if (slot == NO_SLOT)
            slot = client->count++;
        else
            client->first_free = client->pending[slot].next_free;
        client->pending[slot] = *pending;
        *ret_slot = slot;
    }
    pthread_mutex_unlock(&client->mutex);
    return fine;
}

/* Takes out what an answer is for; kind 0: nothing is. */
static struct pending take(struct relay_client *client, uint64_t id, enum relay_kind kind)
{
    struct pending taken = {0};

    pthread_mutex_lock(&client->mutex);
    if (id < client->count && client->pending[id].kind == kind) {
        taken = client->pending[id];
        client->pending[id] = (struct pending){.next_free = client->first_free};
        client->first_free = (uint32_t)id;
    }
    pthread_mutex_unlock(&client->mutex);
    return taken;
}

/* ---- ends ---- */

static void end(struct pending *pending, const struct error *error)
{
    switch (pending->kind) {
    case RELAY_SUBMIT:
        for (uint32_t i = 0; i < pending->submission->count; i++)
            op_refuse(&pending->submission->ops[i], error);
        pending->submission->finished(pending->submission);
        return;
    case RELAY_ASK:
        pending->query->ok = false;
        pending->query->error = *error;
        pending->query->finished(pending->query);
        return;
    case RELAY_METRICS:
        sem_post(&pending->measuring->over);
        return;
    case RELAY_HELLO:
        return;
    }
}

static void server_is_gone(struct relay_client *client)
{
    struct error error;

    error_set(&error, ERROR_UNKNOWN, "the server went away before it answered");
    pthread_mutex_lock(&client->mutex);
    client->gone = true;
    pthread_mutex_unlock(&client->mutex);
    (void)shutdown(client->fd, SHUT_RDWR); /* who is sending is told */
    for (uint32_t i = 0; i < client->count; i++) {
        struct pending pending = client->pending[i];

        client->pending[i].kind = 0;
        if (pending.kind)
            end(&pending, &error);
    }
}

/* ---- the reader's thread ---- */

static bool take_answer(struct relay_client *client)
{
    struct cursor cursor;
    enum relay_kind kind;
    struct pending pending;
    uint64_t id;

    if (!relay_get_kind(&client->frame, &cursor, &kind, &id) || kind == RELAY_HELLO)
        return false;
    pending = take(client, id, kind);
    switch (pending.kind) {
    case RELAY_SUBMIT:
        if (!relay_get_submitted(&cursor, pending.submission))
            break;
        pending.submission->finished(pending.submission);
        return true;
    case RELAY_ASK:
        if (!relay_get_asked(&cursor, pending.query))
            break;
        pending.query->finished(pending.query);
        return true;
    case RELAY_METRICS:
        pending.measuring->ok = relay_get_measured(&cursor, pending.measuring->metrics);
        sem_post(&pending.measuring->over);
        return true;
    case RELAY_HELLO:
        break;
    }
    struct error error;
    error_set(&error, ERROR_UNKNOWN, "the server's answer cannot be read");
    if (pending.kind)
        end(&pending, &error);
    return false;
}

static void *read_answers(void *context)
{
    struct relay_client *client = context;

    while (relay_receive(client->fd, &client->frame) && take_answer(client))
        continue;
    server_is_gone(client);
    return NULL;
}

/* ---- calls ---- */

static void give_up(struct pending *pending, const char *why)
{
    struct error error;

    error_set(&error, ERROR_UNAVAILABLE, "%s", why);
    end(pending, &error);
}

/* Sends what `put` says under the pending's number. */
static void send_pending(struct relay_client *client, struct pending *pending)
{
    const struct submission *submission = pending->kind == RELAY_SUBMIT ? pending->submission : NULL;
    uint32_t slot = 0;
    bool put = false;

    pthread_mutex_lock(&client->sending);
    bool added = add(client, pending, &slot);
    if (added) {
        put = submission                   ? relay_put_submit(&client->head, slot, submission)
              : pending->kind == RELAY_ASK ? relay_put_ask(&client->head, slot, pending->query)
                                           : relay_put_metrics(&client->head, slot);
        /* what cannot be put or sent ends with the connection, on the reader's thread */
        if (!put || !relay_send(client->fd, &client->head, submission ? submission->rows.bytes : NULL,
                                submission ? submission->rows.len : 0))
            (void)shutdown(client->fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&client->sending);
    if (!added)
        give_up(pending, "the server is gone");
}

static void submit(void *context, struct submission *submission)
{
    struct pending pending = {.kind = RELAY_SUBMIT, .submission = submission};

    send_pending(context, &pending);
}

static void ask(void *context, struct query *query)
{
    struct pending pending = {.kind = RELAY_ASK, .query = query};

    send_pending(context, &pending);
}

static bool metrics(void *context, struct engine_metrics *ret_metrics, struct error *error)
{
    struct measuring measuring = {.metrics = ret_metrics};
    struct pending pending = {.kind = RELAY_METRICS, .measuring = &measuring};

    if (sem_init(&measuring.over, 0, 0) != 0)
        return error_set(error, ERROR_INTERNAL, "no semaphore");
    send_pending(context, &pending);
    while (sem_wait(&measuring.over) != 0)
        continue; /* EINTR */
    sem_destroy(&measuring.over);
    return measuring.ok || error_set(error, ERROR_UNAVAILABLE, "the server is gone");
}

static void client_free(struct relay_client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    pthread_mutex_destroy(&client->sending);
    pthread_mutex_destroy(&client->mutex);
    buffer_release(&client->head);
    buffer_release(&client->frame);
    free(client->pending);
    free(client);
}

static void stop(void *context)
{
    struct relay_client *client = context;

    (void)shutdown(client->fd, SHUT_RDWR);
    pthread_join(client->reader, NULL);
    client_free(client);
}

static const struct engine_calls calls = {submit, ask, metrics, stop};

/* ---- the beginning ---- */

static bool address_of(const char *directory, struct sockaddr_un *ret_address)
{
    char path[4096], target[sizeof ret_address->sun_path];
    int len = snprintf(path, sizeof path, "%s/" RELAY_SOCKET_NAME, directory);

    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (len < 0 || (size_t)len >= sizeof path)
        return false;
    ssize_t linked = readlink(path, target, sizeof target - 1); /* where the path itself is too long for a socket */
    if (linked < 0 && (size_t)len >= sizeof ret_address->sun_path)
        return false;
    if (linked >= 0)
        target[linked] = '\0';
    memcpy(ret_address->sun_path, linked >= 0 ? target : path, linked >= 0 ? (size_t)linked + 1 : (size_t)len + 1);
    return true;
}

static bool say_hello(struct relay_client *client, const struct schema *schema, struct error *error)
{
    struct cursor cursor;
    enum relay_kind kind;
    uint64_t id;

    if (!relay_put_hello(&client->head, schema->identity))
        return error_set(error, ERROR_INTERNAL, "out of memory");
    if (!relay_send(client->fd, &client->head, NULL, 0) || !relay_receive(client->fd, &client->frame) ||
        !relay_get_kind(&client->frame, &cursor, &kind, &id) || kind != RELAY_HELLO ||
        !relay_get_welcome(&cursor, error))
        return error_set(error, ERROR_UNAVAILABLE, "the server does not answer");
    return error->code == ERROR_NONE;
}

static bool reach(struct relay_client *client, const char *directory, struct error *error)
{
    struct sockaddr_un address;

    client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->fd < 0)
        return error_set(error, ERROR_INTERNAL, "no Unix socket: %s", strerror(errno));
    return (address_of(directory, &address) &&
            connect(client->fd, (const struct sockaddr *)&address, sizeof address) == 0) ||
           error_set(error, ERROR_NOT_FOUND, "no server listens in %s", directory);
}

struct engine *relay_connect(const char *directory, const struct schema *schema, struct error *error)
{
    struct relay_client *client = calloc(1, sizeof *client);
    struct engine *engine = NULL;

    if (!client) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    client->fd = -1;
    client->first_free = NO_SLOT;
    pthread_mutex_init(&client->sending, NULL);
    pthread_mutex_init(&client->mutex, NULL);
    if (reach(client, directory, error) && say_hello(client, schema, error)) {
        engine = engine_elsewhere(&calls, client);
        if (engine && pthread_create(&client->reader, NULL, read_answers, client) == 0)
            return engine;
        error_set(error, ERROR_INTERNAL, "the relay cannot be started");
        free(engine);
    }
    client_free(client);
    return NULL;
}
