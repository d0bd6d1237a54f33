/* SPDX-License-Identifier: Apache-2.0 */
#include "relay_server.h"

#include "clock.h"
#include "relay_wire.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define FULL_MS 100
#define LEAVE_MS 1000 /* for the last answers to be taken */

/* Something that was asked for and is on its way back. */
struct item {
    struct item *next;
    struct connection *connection;
    enum relay_kind kind;
    uint64_t id;
    struct submission *submission; /* owned; likewise below */
    struct query query;
    struct engine_metrics metrics;
};

struct connection {
    struct connection *next;
    struct relay_server *server;
    int fd;
    pthread_t reader, writer;

    /* Between the reader, the engine's thread and the writer; held for a few instructions. */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct item *first, *last; /* done */
    uint32_t waiting;          /* items that are under way */
    uint64_t waiting_ops;      /* of those, until their answer is written */
    bool reader_over;
    bool closing;
    bool over; /* both threads may be joined */
};

struct relay_server {
    struct engine *engine;
    const struct schema *schema;
    int listener;
    int wake_fd; /* an eventfd: a connection is over, or the door closes */
    atomic_bool closing;
    pthread_t acceptor;
    struct connection *connections; /* the acceptor's, and after its end the stopper's */
    uint32_t count;
};

/* ---- items ---- */

static void item_free(struct item *item)
{
    submission_free(item->submission);
    buffer_release(&item->query.ask);
    buffer_release(&item->query.answer);
    engine_metrics_release(&item->metrics);
    free(item);
}

static uint32_t ops_of(const struct item *item)
{
    return item->submission ? item->submission->count : 1;
}

static struct item *item_new(struct connection *connection, enum relay_kind kind, uint64_t id)
{
    struct item *item = calloc(1, sizeof *item);

    if (!item)
        return NULL;
    item->connection = connection;
    item->kind = kind;
    item->id = id;
    return item;
}

/* It is the writer's now. Any thread. */
static void item_done(struct item *item)
{
    struct connection *connection = item->connection;

    item->next = NULL;
    pthread_mutex_lock(&connection->mutex);
    if (connection->last)
        connection->last->next = item;
    else
        connection->first = item;
    connection->last = item;
    connection->waiting--;
    pthread_cond_broadcast(&connection->changed);
    pthread_mutex_unlock(&connection->mutex);
}

/* Engine thread; likewise below. */
static void submission_finished(struct submission *submission)
{
    item_done(submission->context);
}

static void query_finished(struct query *query)
{
    item_done(query->context);
}

/* ---- the reader ---- */

/* Counts it, when there is room; waits for that. False: the door is closed. */
static bool may_begin(struct connection *connection, const struct item *item)
{
    pthread_mutex_lock(&connection->mutex);
    while (connection->waiting_ops > 0 && connection->waiting_ops + ops_of(item) > RELAY_WAITING_OPS_MAX &&
           !connection->closing)
        pthread_cond_wait(&connection->changed, &connection->mutex);
    bool may = !connection->closing;
    if (may) {
        connection->waiting++;
        connection->waiting_ops += ops_of(item);
    }
    pthread_mutex_unlock(&connection->mutex);
    return may;
}

static bool read_item(struct item *item, struct cursor *cursor)
{
    const struct schema *schema = item->connection->server->schema;

    switch (item->kind) {
    case RELAY_SUBMIT:
        item->submission = relay_get_submit(cursor, schema);
        return item->submission != NULL;
    case RELAY_ASK:
        return relay_get_ask(cursor, schema, &item->query);
    case RELAY_METRICS:
        return true;
    case RELAY_HELLO:
        break;
    }
    return false;
}

static void begin_item(struct item *item)
{
    struct engine *engine = item->connection->server->engine;
    struct error ignored;

    switch (item->kind) {
    case RELAY_SUBMIT:
        item->submission->finished = submission_finished;
        item->submission->context = item;
        engine_submit(engine, item->submission);
        return;
    case RELAY_ASK:
        item->query.finished = query_finished;
        item->query.context = item;
        engine_ask(engine, &item->query);
        return;
    case RELAY_METRICS:
        (void)engine_metrics(engine, &item->metrics, &ignored); /* without memory: of no database */
        item_done(item);
        return;
    case RELAY_HELLO:
        return;
    }
}

/* False: the connection is to end. */
static bool take_frame(struct connection *connection, const struct buffer *frame)
{
    struct cursor cursor;
    enum relay_kind kind;
    uint64_t id;

    if (!relay_get_kind(frame, &cursor, &kind, &id))
        return false;
    struct item *item = item_new(connection, kind, id);
    if (!item)
        return false;
    if (!read_item(item, &cursor) || !may_begin(connection, item)) {
        item_free(item);
        return false;
    }
    begin_item(item);
    return true;
}

static bool is_friend(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && (peer.uid == geteuid() || peer.uid == 0);
}

static bool judge_hello(const struct connection *connection, struct cursor *cursor, struct error *error)
{
    const struct schema *schema = connection->server->schema;
    const char *identity;
    uint64_t protocol;
    size_t len;

    if (!is_friend(connection->fd))
        return error_set(error, ERROR_FORBIDDEN, "the server belongs to another user");
    if (!relay_get_hello(cursor, &protocol, &identity, &len))
        return error_set(error, ERROR_PARSE, "the hello cannot be read");
    if (protocol != RELAY_PROTOCOL)
        return error_set(error, ERROR_UNAVAILABLE, "the running server is of another version (its protocol is %u)",
                         RELAY_PROTOCOL);
    if (len != strlen(schema->identity) || memcmp(identity, schema->identity, len) != 0)
        return error_set(error, ERROR_PARSE, "the running server has another schema");
    return true;
}

static bool greet(struct connection *connection, struct buffer *frame)
{
    struct buffer head = {0};
    struct error error;
    struct cursor cursor;
    enum relay_kind kind;
    uint64_t id;
    bool sent = false, welcome = false;

    if (relay_receive(connection->fd, frame) && relay_get_kind(frame, &cursor, &kind, &id) && kind == RELAY_HELLO) {
        welcome = judge_hello(connection, &cursor, &error);
        sent = relay_put_welcome(&head, welcome ? NULL : &error) && relay_send(connection->fd, &head, NULL, 0);
    }
    buffer_release(&head);
    return welcome && sent;
}

static void *read_frames(void *context)
{
    struct connection *connection = context;
    struct buffer frame = {0};

    if (greet(connection, &frame))
        while (relay_receive(connection->fd, &frame) && take_frame(connection, &frame))
            continue;
    buffer_release(&frame);
    pthread_mutex_lock(&connection->mutex);
    connection->reader_over = true;
    pthread_cond_broadcast(&connection->changed);
    pthread_mutex_unlock(&connection->mutex);
    return NULL;
}

/* ---- the writer ---- */

/* NULL: there will be none. */
static struct item *next_done(struct connection *connection)
{
    pthread_mutex_lock(&connection->mutex);
    while (!connection->first && !(connection->reader_over && connection->waiting == 0))
        pthread_cond_wait(&connection->changed, &connection->mutex);
    struct item *item = connection->first;
    if (item) {
        connection->first = item->next;
        if (!connection->first)
            connection->last = NULL;
    }
    pthread_mutex_unlock(&connection->mutex);
    return item;
}

static bool put_item(struct buffer *head, const struct item *item)
{
    switch (item->kind) {
    case RELAY_SUBMIT:
        return relay_put_submitted(head, item->id, item->submission);
    case RELAY_ASK:
        return relay_put_asked(head, item->id, &item->query);
    case RELAY_METRICS:
        return relay_put_measured(head, item->id, &item->metrics);
    case RELAY_HELLO:
        break;
    }
    return false;
}

static void wake(struct relay_server *server)
{
    if (eventfd_write(server->wake_fd, 1) != 0) /* far from its greatest count, it cannot be full */
        panic("eventfd: %s", strerror(errno));
}

static void *write_answers(void *context)
{
    struct connection *connection = context;
    struct buffer head = {0};
    struct item *item;

    while ((item = next_done(connection))) {
        if (!put_item(&head, item) || !relay_send(connection->fd, &head, NULL, 0))
            (void)shutdown(connection->fd, SHUT_RDWR); /* the reader ends; the rest is taken and thrown away */
        pthread_mutex_lock(&connection->mutex);
        connection->waiting_ops -= ops_of(item);
        pthread_cond_broadcast(&connection->changed);
        pthread_mutex_unlock(&connection->mutex);
        item_free(item);
    }
    buffer_release(&head);
    (void)shutdown(connection->fd, SHUT_RDWR);
    pthread_mutex_lock(&connection->mutex);
    connection->over = true;
    pthread_cond_broadcast(&connection->changed);
    pthread_mutex_unlock(&connection->mutex);
    wake(connection->server);
    return NULL;
}

/* ---- connections ---- */

static void connection_free(struct connection *connection)
{
    close(connection->fd);
    pthread_cond_destroy(&connection->changed);
    pthread_mutex_destroy(&connection->mutex);
    free(connection);
}

static void connection_start(struct relay_server *server, int fd)
{
    struct connection *connection = calloc(1, sizeof *connection);

    if (!connection) {
        close(fd);
        return;
    }
    *connection = (struct connection){.server = server, .fd = fd};
    pthread_mutex_init(&connection->mutex, NULL);
    clock_cond_init(&connection->changed);
    if (pthread_create(&connection->reader, NULL, read_frames, connection) != 0) {
        connection_free(connection);
        return;
    }
    if (pthread_create(&connection->writer, NULL, write_answers, connection) != 0) {
        (void)shutdown(fd, SHUT_RDWR);
        pthread_join(connection->reader, NULL);
        connection_free(connection);
        return;
    }
    connection->next = server->connections;
    server->connections = connection;
    server->count++;
}

static bool is_over(struct connection *connection)
{
    pthread_mutex_lock(&connection->mutex);
    bool over = connection->over;
    pthread_mutex_unlock(&connection->mutex);
    return over;
}

/* Frees those that have ended. */
static void sweep(struct relay_server *server)
{
    for (struct connection **at = &server->connections; *at;) {
        struct connection *connection = *at;

        if (!is_over(connection)) {
            at = &connection->next;
            continue;
        }
        *at = connection->next;
        pthread_join(connection->reader, NULL);
        pthread_join(connection->writer, NULL);
        connection_free(connection);
        server->count--;
    }
}

/* False: there was no descriptor, or no memory, for who waits. */
static bool take_one(struct relay_server *server)
{
    int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0)
        return errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM;
    if (server->count < RELAY_CONNECTIONS_MAX)
        connection_start(server, fd);
    else
        close(fd);
    return true;
}

static void *accept_all(void *context)
{
    struct relay_server *server = context;
    struct pollfd polled[] = {{.fd = server->wake_fd, .events = POLLIN}, {.fd = server->listener, .events = POLLIN}};
    bool full = false; /* of descriptors: who waits is not looked at for a while, or poll would say it again at once */
    eventfd_t ignored;

    while (!atomic_load(&server->closing)) {
        int ready = poll(polled, full ? 1 : 2, full ? FULL_MS : -1);
        if (ready < 0 && errno != EINTR)
            return NULL;
        if (ready > 0 && polled[0].revents)
            (void)eventfd_read(server->wake_fd, &ignored);
        sweep(server);
        full = ready > 0 && !full && polled[1].revents && !take_one(server);
    }
    return NULL;
}

struct relay_server *relay_server_start(struct engine *engine, const struct schema *schema, int listener,
                                        struct error *error)
{
    struct relay_server *server = calloc(1, sizeof *server);

    if (!server) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    server->engine = engine;
    server->schema = schema;
    server->listener = listener;
    server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->wake_fd >= 0 && pthread_create(&server->acceptor, NULL, accept_all, server) == 0)
        return server;
    error_set(error, ERROR_INTERNAL, "the relay cannot be started");
    if (server->wake_fd >= 0)
        close(server->wake_fd);
    free(server);
    return NULL;
}

void relay_server_close_door(struct relay_server *server)
{
    if (!server)
        return;
    atomic_store(&server->closing, true);
    wake(server);
    pthread_join(server->acceptor, NULL);
    for (struct connection *connection = server->connections; connection; connection = connection->next) {
        pthread_mutex_lock(&connection->mutex);
        connection->closing = true;
        pthread_cond_broadcast(&connection->changed);
        pthread_mutex_unlock(&connection->mutex);
        (void)shutdown(connection->fd, SHUT_RD);
        pthread_join(connection->reader, NULL);
    }
}

/* Whether its writer is at its end by then. */
static bool ends_until(struct connection *connection, const struct timespec *until)
{
    pthread_mutex_lock(&connection->mutex);
    while (!connection->over && pthread_cond_timedwait(&connection->changed, &connection->mutex, until) == 0)
        ;
    bool over = connection->over;
    pthread_mutex_unlock(&connection->mutex);
    return over;
}

void relay_server_stop(struct relay_server *server)
{
    struct timespec until = clock_until_ms(LEAVE_MS);

    if (!server)
        return;
    for (struct connection *connection = server->connections, *next; connection; connection = next) {
        next = connection->next;
        if (!ends_until(connection, &until))
            (void)shutdown(connection->fd, SHUT_RDWR);
        pthread_join(connection->writer, NULL);
        connection_free(connection);
    }
    close(server->wake_fd);
    free(server);
}
