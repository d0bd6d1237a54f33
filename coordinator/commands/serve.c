/* SPDX-License-Identifier: Apache-2.0 */
#include "serve.h"

#include "clock.h"
#include "descriptors.h"
#include "done.h"
#include "gather.h"
#include "listen.h"
#include "log.h"
#include "notify.h"
#include "openapi.h"
#include "options.h"
#include "outputs.h"
#include "privileges.h"
#include "relay_client.h"
#include "relay_server.h"
#include "schema_json.h"
#include "server.h"
#include "session.h"
#include "signals.h"
#include "token.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LISTEN_STANDARD "127.0.0.1:8080"
#define DESCRIPTORS_PER_SHARD 16u /* more than the start of one takes; its link needs 2 */

enum { LISTENER_TCP, LISTENER_UNIX, LISTENER_RELAY, LISTENERS };

enum own { OWN_LISTEN, OWN_TOKEN_FILE, OWN_USER };

struct serve {
    const char *listen; /* of the options; NULL: the configuration's, else the standard; likewise below */
    const char *token_file;
    const char *user;
    struct session session;
    struct listener listeners[LISTENERS];
    char *token;
    struct http http;
    struct server *server;
    struct relay_server *relay;
};

static const struct options_own own[] = {
    [OWN_LISTEN] = {"listen", "HOST:PORT",
                    "where to serve HTTP (default " LISTEN_STANDARD "); port 0: any that is free"},
    [OWN_TOKEN_FILE] = {"token-file", "FILE",
                        "a file of mode 0600 with the token that clients must show; "
                        "needed to listen on more than loopback"},
    [OWN_USER] = {"user", "NAME", "as root: become that user before anything is opened"},
};

static bool take(void *context, size_t which, const char *argument, struct error *error)
{
    struct serve *serve = context;

    (void)error;
    switch ((enum own)which) {
    case OWN_LISTEN:
        serve->listen = argument;
        break;
    case OWN_TOKEN_FILE:
        serve->token_file = argument;
        break;
    case OWN_USER:
        serve->user = argument;
        break;
    }
    return true;
}

static const char about[] = "Serves the databases of a data directory over HTTP and JSON until SIGINT or\n"
                            "SIGTERM, which finish what was taken. It listens on HOST:PORT and on the Unix\n"
                            "socket DIR/http.sock; a line on stderr says when it is ready. The calls are\n"
                            "described in docs/api.md and by the server itself, at /v1/openapi.json.\n";
static const char examples[] = "  coordinator serve --data /var/lib/sheaf\n"
                               "  curl -d '{\"name\":\"Ann\",\"email\":\"ann@example.org\"}' \\\n"
                               "       -H 'Content-Type: application/json' http://127.0.0.1:8080/v1/rows/users\n";

/* ---- before the shards ---- */

static const char *chosen(const char *option, const char *configured)
{
    return option ? option : configured;
}

static bool bind_listeners(struct serve *serve, struct error *error)
{
    const char *address = chosen(serve->listen, serve->session.config.http_listen);
    bool loopback = true;

    if (!listen_tcp(address ? address : LISTEN_STANDARD, &serve->listeners[LISTENER_TCP], &loopback, error))
        return false;
    if (!loopback && !serve->token)
        return error_set(error, ERROR_PARSE, "%s can be reached from other hosts: that needs a token (--token-file)",
                         serve->listeners[LISTENER_TCP].name);
    return listen_unix(serve->session.data, "http.sock", &serve->listeners[LISTENER_UNIX], error) &&
           listen_unix(serve->session.data, RELAY_SOCKET_NAME, &serve->listeners[LISTENER_RELAY], error);
}

static bool prepare(struct serve *serve, const struct options *options, struct error *error)
{
    const char *token_file = chosen(serve->token_file, serve->session.config.http_token_file);
    const char *const files[] = {serve->session.ddl_file, serve->session.config.file, token_file};
    const struct outputs outputs = {serve->session.data, files, sizeof files / sizeof *files};

    return outputs_may_write(&outputs, "--metrics-file", options->metrics_file, error) &&
           (!token_file || token_read(token_file, &serve->token, error)) && bind_listeners(serve, error);
}

/* ---- serving ---- */

static bool fill_http(struct serve *serve, struct error *error)
{
    struct http *http = &serve->http;

    http->engine = serve->session.engine;
    http->schema = serve->session.schema;
    http->limits = &serve->session.config.limits;
    http->room.most = (uint64_t)http->limits->answers_bytes;
    http->token = serve->token;
    http->name = serve->session.config.http_host;
    if (!schema_json(http->schema, &http->schema_json) || !openapi_json(http->schema, &http->openapi_json))
        return error_set(error, ERROR_INTERNAL, "out of memory");
    http->done = done_new(error);
    http->gather = http->done ? gather_start(http, error) : NULL;
    return http->gather != NULL;
}

static bool open_door(struct serve *serve, struct error *error)
{
    const struct server_options options = {&serve->http, serve->listeners, 2 /* all but the relay's */};

    for (int i = 0; i < LISTENERS; i++)
        if (!listen_open(&serve->listeners[i], error))
            return false;
    serve->relay =
        relay_server_start(serve->session.engine, serve->session.schema, serve->listeners[LISTENER_RELAY].fd, error);
    serve->server = serve->relay ? server_start(&options, error) : NULL;
    if (!serve->server)
        return false;
    if (server_connections(serve->server) < (uint64_t)serve->http.limits->connections)
        fprintf(stderr, "coordinator serve: only %llu connections at once: more files may not be open (ulimit -n)\n",
                (unsigned long long)server_connections(serve->server));
    fprintf(stderr, "coordinator serve: ready on http://%s and on the Unix socket %s\n",
            serve->listeners[LISTENER_TCP].name, serve->listeners[LISTENER_UNIX].name);
    return notify_send("READY=1", error);
}

static void wait_for_signal(void)
{
    struct pollfd signal = {.fd = signals_fd(), .events = POLLIN};

    while (poll(&signal, 1, -1) < 0 && errno == EINTR)
        continue;
}

/* Metrics are taken while the engine still runs. */
static int report(struct serve *serve, const struct options *options, uint64_t started_ns)
{
    const struct metrics_target target = {
        .format = options->metrics, .standard = METRICS_NONE, .file = options->metrics_file, .fd = STDOUT_FILENO};
    struct metrics metrics;
    struct error error;

    if (!metrics_wanted(&target))
        return STATUS_FINE;
    if (!metrics_gather(serve->session.engine, serve->session.schema, NULL, started_ns, &metrics, &error))
        return options_complain("serve", &error);
    bool fine = metrics_write(&metrics, &target, &error);
    metrics_release(&metrics);
    return fine ? STATUS_FINE : options_complain("serve", &error);
}

/* Nothing new comes in, what was taken gets its outcome, the answers go out. */
static void leave(struct serve *serve)
{
    struct error ignored;

    (void)notify_send("STOPPING=1", &ignored);
    if (serve->server)
        server_close_door(serve->server);
    relay_server_close_door(serve->relay);
    gather_stop(serve->http.gather);
    session_stop(&serve->session);
    server_stop(serve->server);
    relay_server_stop(serve->relay);
    done_free(serve->http.done);
    buffer_release(&serve->http.schema_json);
    buffer_release(&serve->http.openapi_json);
}

static int serve_until_signal(struct serve *serve, const struct options *options)
{
    uint64_t started_ns = clock_monotonic_ns();
    struct error error;
    int status;

    serve->session.serves = true;
    (void)descriptors_make_room((uint64_t)serve->session.config.limits.connections +
                                DESCRIPTORS_PER_SHARD * (uint64_t)serve->session.schema->database_count);
    if (!session_start(&serve->session, options, &error))
        return options_complain("serve", &error);
    if (fill_http(serve, &error) && open_door(serve, &error)) {
        wait_for_signal();
        status = report(serve, options, started_ns);
    } else {
        status = options_complain("serve", &error);
    }
    leave(serve);
    return status;
}

int serve_command(int argc, char **argv)
{
    struct serve serve = {.listeners = {{.fd = -1}, {.fd = -1}, {.fd = -1}}};
    const struct options_spec spec = {.verb = "serve",
                                      .usage = "[OPTION]...",
                                      .about = about,
                                      .examples = examples,
                                      .own = own,
                                      .own_count = sizeof own / sizeof *own,
                                      .take = take,
                                      .context = &serve};
    struct options options;
    struct error error;
    int operands, status;
    enum options_result result = options_read(&spec, argc, argv, &options, &operands);

    if (result != OPTIONS_GO)
        return options_leave(result);
    if (!privileges_drop(serve.user, &error) || !session_open(&serve.session, &options, &error))
        return options_complain(spec.verb, &error);
    if (geteuid() == 0)
        log_warn("running as root; --user NAME makes it run as somebody else", LOG_TEXT("verb", spec.verb));
    status =
        prepare(&serve, &options, &error) ? serve_until_signal(&serve, &options) : options_complain(spec.verb, &error);
    for (int i = 0; i < LISTENERS; i++)
        listen_close(&serve.listeners[i]);
    token_free(serve.token);
    session_close(&serve.session);
    return status;
}
