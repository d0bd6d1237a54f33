/* SPDX-License-Identifier: Apache-2.0 */
#include "server.h"

#include "clock.h"
#include "descriptors.h"
#include "done.h"
#include "failpoint.h"
#include "head.h"
#include "request.h"
#include "routes.h"
#include "visitors.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define NS_PER_MS 1000000u
#define TICK_MS 100
#define LISTENERS_MAX 2
#define ACCEPTS_PER_ROUND 64
#define SPARE_DESCRIPTORS 16u
#define SPARE_PER_DATABASE 2u
#define LEAVE_MS 1000            /* for the last answers to be taken */
#define NO_TIME_LIMIT_S 1000000u /* of the library's; ours are the visitors' */

enum wish { WISH_SERVE, WISH_CLOSE_DOOR, WISH_STOP };

struct server {
    struct http *http;
    struct MHD_Daemon *daemon;
    int epoll_fd;
    int listeners[LISTENERS_MAX];
    uint32_t listener_count;
    uint64_t connections; /* at most */
    struct visitors visitors;
    uint64_t now_ns;
    uint64_t ticked_ns;
    struct request *large, **large_end; /* done, and not small: by next_done */
    bool closing;                       /* the door is closed */
    bool full;                          /* of descriptors: nothing is taken until the next tick */

    pthread_t thread;
    atomic_int wish; /* set by others, then wish_fd is written */
    int wish_fd;
    sem_t door_closed;
};

static struct server *server_of(const struct request *request)
{
    return request->server;
}

/* ---- connections ---- */

static struct visitor *visitor_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info ? info->socket_context : NULL;
}

static void move(struct server *server, struct MHD_Connection *connection, enum visitor_state state)
{
    struct visitor *visitor = visitor_of(connection);

    if (visitor)
        visitors_move(&server->visitors, visitor, state, server->now_ns);
}

static void connection_notice(void *context, struct MHD_Connection *connection, void **socket_context,
                              enum MHD_ConnectionNotificationCode code)
{
    struct server *server = context;
    const union MHD_ConnectionInfo *info;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *socket_context = info ? visitors_add(&server->visitors, info->connect_fd, server->now_ns) : NULL;
        server->http->counts.connections++;
    } else if (*socket_context) {
        visitors_remove(&server->visitors, *socket_context);
        *socket_context = NULL;
    }
    server->http->counts.open = server->visitors.count;
}

/* Takes a waiting client in. False: there is none, or no descriptor for it. */
static bool take_one(struct server *server, int listener)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    int fd = accept4(listener, (struct sockaddr *)&address, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            server->full = true;
            server->http->counts.evicted += visitors_evict(&server->visitors, server->now_ns);
        }
        return errno == ECONNABORTED || errno == EINTR;
    }
    (void)MHD_add_connection(server->daemon, fd, (struct sockaddr *)&address, len); /* closes it when it fails */
    return true;
}

static bool has_room(const struct server *server)
{
    return server->visitors.count < server->connections;
}

/* For one who waits. Whoever is on the way out already makes room as well, in a round or two. */
static void make_room(struct server *server)
{
    if (server->visitors.leaving == 0)
        server->http->counts.evicted += visitors_evict(&server->visitors, server->now_ns);
}

static void take_clients(struct server *server, const struct pollfd *polled)
{
    for (uint32_t i = 0; i < server->listener_count; i++) {
        if (!polled[i].revents)
            continue;
        if (!has_room(server))
            make_room(server);
        for (int taken = 0; taken < ACCEPTS_PER_ROUND && has_room(server); taken++)
            if (!take_one(server, server->listeners[i]))
                break;
    }
}

/* ---- answers ---- */

static bool add_headers(const struct request *request, struct MHD_Response *response)
{
    const struct {
        const char *name;
        const char *value;
    } headers[] = {
        {"Content-Type", request->status == 304 ? NULL : request->media},
        {"Allow", request->allow},
        {"ETag", request->etag[0] ? request->etag : NULL},
        {"Retry-After", request->status == 429 || request->status == 503 ? "1" : NULL},
        {"WWW-Authenticate", request->status == 401 ? "Bearer" : NULL},
        {"Connection", server_of(request)->closing ? "close" : NULL},
    };

    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        if (headers[i].value && MHD_add_response_header(response, headers[i].name, headers[i].value) != MHD_YES)
            return false;
    return true;
}

static enum MHD_Result send_answer(struct request *request, struct MHD_Connection *connection)
{
    static const char no_memory[] = "{\"ok\":false,\"error\":{\"code\":\"internal\",\"table\":null,"
                                    "\"constraint\":null,\"message\":\"out of memory\"}}";
    struct server *server = server_of(request);
    struct MHD_Response *response;

    request_weigh(request);
    if (request->failed) {
        request->status = 500;
        request->media = "application/json";
        response =
            MHD_create_response_from_buffer(strlen(no_memory), (void *)(uintptr_t)no_memory, MHD_RESPMEM_PERSISTENT);
    } else {
        response = MHD_create_response_from_buffer(request->answer.len, request->answer.bytes, MHD_RESPMEM_MUST_FREE);
        if (response)
            request->answer = (struct buffer){0};
    }
    if (!response)
        return MHD_NO; /* the connection ends */
    bool fine = add_headers(request, response);
    FAILPOINT("reply.before", NULL);
    enum MHD_Result queued = fine ? MHD_queue_response(connection, request->status, response) : MHD_NO;
    MHD_destroy_response(response);
    if (request->status / 100 < 6)
        server->http->counts.answers[request->status / 100]++;
    move(server, connection, VISITOR_TAKING);
    return queued;
}

/* ---- requests ---- */

static void refuse_size(struct request *request)
{
    struct error error;

    error_set(&error, ERROR_TOO_LARGE, "a body has at most %lld bytes", (long long)request->http->limits->body_bytes);
    request_refuse(request, &error);
}

/* Whether it is looked at any further. */
static bool is_welcome(struct request *request, struct MHD_Connection *connection, const char *method,
                       const char *version, struct error *error)
{
    request->ends = !head_read(request, connection, method, version, error);
    if (request->ends)
        return false;
    return !server_of(request)->closing || error_set(error, ERROR_UNAVAILABLE, "the server is stopping");
}

/* The headers are there. */
static void begin(struct request *request, struct MHD_Connection *connection, const char *method, const char *version)
{
    struct error error;

    request->method = routes_method(method);
    move(server_of(request), connection, VISITOR_SENDING);
    if (!is_welcome(request, connection, method, version, &error)) {
        request_refuse(request, &error);
        return;
    }
    routes_begin(request, version);
    const char *length = head_value(connection, "Content-Length");
    if (request->state == REQUEST_COMING && length &&
        strtoull(length, NULL, 10) > (unsigned long long)request->http->limits->body_bytes)
        refuse_size(request);
}

/* Of a request that is refused already the rest is only read. */
static void take_body(struct request *request, const char *bytes, size_t len)
{
    struct http *http = request->http;
    struct error error;

    if (request->state != REQUEST_COMING)
        return;
    if (request->body.len + len > (size_t)http->limits->body_bytes) {
        refuse_size(request);
    } else if (http->counts.bodies_bytes + len > (uint64_t)http->limits->bodies_bytes) {
        error_set(&error, ERROR_BUSY, "bodies of other requests fill all the room there is for them");
        request_refuse(request, &error);
    } else if (!buffer_put(&request->body, bytes, len)) {
        error_set(&error, ERROR_INTERNAL, "out of memory");
        request_refuse(request, &error);
    } else {
        http->counts.bodies_bytes += len;
        return;
    }
    http->counts.bodies_bytes -= request->body.len;
    buffer_release(&request->body);
}

/* When it is resumed the library would read on first, and take the end of a client that has said all, and now only
 * listens, for the end of the connection: the answer would be dropped. Connections with a time limit of their own are
 * looked at before any reading is done. */
static void look_before_reading(struct MHD_Connection *connection, bool look)
{
    (void)MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, look ? NO_TIME_LIMIT_S : 0u);
}

static enum MHD_Result request_step(void *context, struct MHD_Connection *connection, const char *url,
                                    const char *method, const char *version, const char *bytes, size_t *len,
                                    void **request_context)
{
    struct server *server = context;
    struct request *request = *request_context;

    (void)url; /* decoded by the library, which a KEY must not be before it is split */
    if (!request)
        return MHD_NO;
    if (!request->server) {
        request->server = server;
        begin(request, connection, method, version);
        /* a client that asks first has not sent its body and need not; of what is not well framed nobody knows what it
         * is. After an answer that comes before the body the library ends the connection. */
        request->ends |= request->state == REQUEST_ANSWERED && head_value(connection, "Expect");
        return request->ends ? send_answer(request, connection) : MHD_YES;
    }
    if (*len > 0) {
        take_body(request, bytes, *len);
        *len = 0;
        return MHD_YES;
    }
    if (request->state == REQUEST_COMING) {
        request->connection = connection;
        FAILPOINT("ask.before", NULL);
        request->handle(request);
        FAILPOINT("ask.after", NULL);
    }
    if (request->state == REQUEST_ANSWERED) {
        look_before_reading(connection, false);
        return send_answer(request, connection);
    }
    move(server, connection, VISITOR_WAITING);
    MHD_suspend_connection(connection);
    return MHD_YES;
}

static void *request_begins(void *context, const char *uri, struct MHD_Connection *connection)
{
    struct server *server = context;

    (void)connection;
    return head_begin(server->http, uri);
}

static void request_ends(void *context, struct MHD_Connection *connection, void **request_context,
                         enum MHD_RequestTerminationCode code)
{
    struct server *server = context;
    struct request *request = *request_context;

    if (code == MHD_REQUEST_TERMINATED_COMPLETED_OK)
        FAILPOINT("reply.after", NULL);
    if (request) {
        server->http->counts.bodies_bytes -= request->body.len;
        request_free(request);
        *request_context = NULL;
    }
    move(server, connection, VISITOR_IDLE);
}

static void finish(struct request *request)
{
    request_finish(request);
    look_before_reading(request->connection, true);
    MHD_resume_connection(request->connection);
}

/* Of what is large one in a round: writing out megabytes takes a while, in which nobody else is served. */
static void finish_done(struct server *server)
{
    struct request *large;

    for (struct request *request = done_take(server->http->done), *next; request; request = next) {
        next = request->next_done;
        if (request->taken == 0) {
            finish(request);
            continue;
        }
        request->next_done = NULL;
        *server->large_end = request;
        server->large_end = &request->next_done;
    }
    if ((large = server->large)) {
        server->large = large->next_done;
        if (!server->large)
            server->large_end = &server->large;
        finish(large);
    }
}

/* ---- the loop ---- */

static int timeout_of(const struct server *server)
{
    unsigned long long wait_ms;

    if (server->large)
        return 0;
    if (MHD_get_timeout(server->daemon, &wait_ms) == MHD_YES && wait_ms < TICK_MS)
        return (int)wait_ms;
    return server->visitors.count > 0 || server->full ? TICK_MS : -1;
}

static void wait_for_events(struct server *server)
{
    struct pollfd polled[3 + LISTENERS_MAX] = {{.fd = server->epoll_fd, .events = POLLIN},
                                               {.fd = server->wish_fd, .events = POLLIN},
                                               {.fd = done_fd(server->http->done), .events = POLLIN}};
    nfds_t count = 3;
    eventfd_t ignored;

    for (uint32_t i = 0; i < server->listener_count && !server->closing && !server->full; i++)
        polled[count++] = (struct pollfd){.fd = server->listeners[i], .events = POLLIN};
    int ready = poll(polled, count, timeout_of(server));
    server->now_ns = clock_monotonic_ns();
    if (ready <= 0)
        return;
    if (polled[1].revents)
        (void)eventfd_read(server->wish_fd, &ignored);
    if (count > 3)
        take_clients(server, polled + 3);
}

static void tick(struct server *server)
{
    if (server->now_ns - server->ticked_ns < TICK_MS * (uint64_t)NS_PER_MS)
        return;
    server->ticked_ns = server->now_ns;
    server->full = false;
    visitors_tick(&server->visitors, server->now_ns);
}

static void one_round(struct server *server)
{
    wait_for_events(server);
    finish_done(server);
    (void)MHD_run(server->daemon);
    tick(server);
}

static void *run(void *context)
{
    struct server *server = context;

    while (atomic_load(&server->wish) == WISH_SERVE)
        one_round(server);
    server->closing = true;
    sem_post(&server->door_closed);
    while (atomic_load(&server->wish) == WISH_CLOSE_DOOR)
        one_round(server);
    uint64_t until_ns = clock_monotonic_ns() + LEAVE_MS * (uint64_t)NS_PER_MS;
    while (server->http->counts.working > 0 || (server->visitors.count > 0 && server->now_ns < until_ns)) {
        visitors_dismiss(&server->visitors, server->now_ns);
        one_round(server);
    }
    return NULL;
}

/* ---- start and end ---- */

/* The library's own decoding is off: what it hands out is not used, and must not be changed under request_begins. */
static size_t leave_encoded(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context;
    (void)connection;
    return strlen(text);
}

static bool start_daemon(struct server *server, struct error *error)
{
    const union MHD_DaemonInfo *info;

    server->daemon =
        MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
                         request_step, server, MHD_OPTION_URI_LOG_CALLBACK, request_begins, server,
                         MHD_OPTION_UNESCAPE_CALLBACK, leave_encoded, NULL, MHD_OPTION_NOTIFY_COMPLETED, request_ends,
                         server, MHD_OPTION_NOTIFY_CONNECTION, connection_notice, server, MHD_OPTION_CONNECTION_LIMIT,
                         (unsigned)server->connections + ACCEPTS_PER_ROUND, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                         (size_t)LIMIT_HEAD_BYTES_MAX, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
    info = server->daemon ? MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (!info)
        return error_set(error, ERROR_INTERNAL, "the HTTP server cannot be started");
    server->epoll_fd = info->epoll_fd;
    return true;
}

/* All else is open by now. What is left is for a shard's next life, and for who comes by the relay. */
static uint64_t count_connections(const struct http *http)
{
    uint64_t wanted = (uint64_t)http->limits->connections;
    uint64_t rest = SPARE_DESCRIPTORS + SPARE_PER_DATABASE * (uint64_t)http->schema->database_count;
    uint64_t room = descriptors_make_room(wanted + rest);

    return room > rest ? room - rest : 1;
}

uint64_t server_connections(const struct server *server)
{
    return server->connections;
}

static void server_free(struct server *server)
{
    if (server->daemon)
        MHD_stop_daemon(server->daemon);
    if (server->wish_fd >= 0)
        close(server->wish_fd);
    sem_destroy(&server->door_closed);
    free(server);
}

struct server *server_start(const struct server_options *options, struct error *error)
{
    struct server *server = calloc(1, sizeof *server);

    if (!server) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    server->http = options->http;
    server->large_end = &server->large;
    server->visitors.limits = options->http->limits;
    server->connections = count_connections(options->http);
    server->listener_count = options->listener_count;
    for (uint32_t i = 0; i < options->listener_count; i++)
        server->listeners[i] = options->listeners[i].fd;
    sem_init(&server->door_closed, 0, 0);
    server->wish_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->wish_fd < 0)
        error_set(error, ERROR_INTERNAL, "no eventfd: %s", strerror(errno));
    else if (start_daemon(server, error)) {
        int result = pthread_create(&server->thread, NULL, run, server);
        if (result == 0)
            return server;
        error_set(error, ERROR_INTERNAL, "cannot start a thread: %s", strerror(result));
    }
    server_free(server);
    return NULL;
}

static void tell(struct server *server, enum wish wish)
{
    atomic_store(&server->wish, wish);
    if (eventfd_write(server->wish_fd, 1) != 0)
        panic("eventfd: %s", strerror(errno));
}

void server_close_door(struct server *server)
{
    tell(server, WISH_CLOSE_DOOR);
    while (sem_wait(&server->door_closed) != 0)
        continue; /* EINTR */
}

void server_stop(struct server *server)
{
    if (!server)
        return;
    tell(server, WISH_STOP);
    pthread_join(server->thread, NULL);
    server_free(server);
}
