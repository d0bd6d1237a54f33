/* SPDX-License-Identifier: Apache-2.0 */
#include "routes.h"

#include "about.h"
#include "batch.h"
#include "guard.h"
#include "rows.h"

#include <string.h>
#include <strings.h>

struct route {
    const char *path;
    void (*get)(struct request *request);
    void (*post)(struct request *request);
    void (*patch)(struct request *request);
    void (*delete)(struct request *request);
    const char *allow;
    bool open; /* asks for no token: who watches need not know it */
};

static const struct route routes[] = {
    {.path = "/v1/batch", .post = batch_post, .allow = "POST"},
    {.path = "/v1/schema", .get = about_schema, .allow = "GET, HEAD"},
    {.path = "/v1/stats", .get = about_stats, .allow = "GET, HEAD"},
    {.path = "/v1/openapi.json", .get = about_openapi, .allow = "GET, HEAD"},
    {.path = "/metrics", .get = about_metrics, .allow = "GET, HEAD"},
    {.path = "/healthz", .get = about_health, .allow = "GET, HEAD", .open = true},
    {.path = "/readyz", .get = about_ready, .allow = "GET, HEAD", .open = true},
};
static const struct route rows_of_table = {.get = rows_page, .post = rows_post, .allow = "GET, HEAD, POST"};
static const struct route row_with_key = {
    .get = rows_get, .patch = rows_patch, .delete = rows_delete, .allow = "GET, HEAD, PATCH, DELETE"};

enum method routes_method(const char *name)
{
    if (strcmp(name, "GET") == 0 || strcmp(name, "HEAD") == 0)
        return METHOD_GET;
    if (strcmp(name, "POST") == 0)
        return METHOD_POST;
    if (strcmp(name, "PATCH") == 0)
        return METHOD_PATCH;
    return strcmp(name, "DELETE") == 0 ? METHOD_DELETE : METHOD_OTHER;
}

static const struct route *find(const struct request *request)
{
    size_t prefix = strlen(ROUTES_ROWS);

    if (request->path_len > prefix && strncmp(request->path, ROUTES_ROWS, prefix) == 0)
        return rows_path_has_key(request->path + prefix, request->path_len - prefix) ? &row_with_key : &rows_of_table;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        if (strlen(routes[i].path) == request->path_len &&
            strncmp(routes[i].path, request->path, request->path_len) == 0)
            return &routes[i];
    return NULL;
}

static bool may_ask(const struct request *request, const struct route *route, const char *version, struct error *error)
{
    const struct http *http = request->http;
    const struct request_headers *headers = &request->headers;
    bool old = strcmp(version, "HTTP/1.0") == 0; /* had no Host, and no browser that could be misled speaks it */

    if (!(old && !headers->host) && !guard_host_is_known(headers->host, http->name))
        return error_set(error, ERROR_FORBIDDEN, "this server is not called \"%s\"",
                         headers->host ? headers->host : "");
    if (!guard_origin_is_own(headers->origin, headers->host))
        return error_set(error, ERROR_FORBIDDEN, "pages of \"%s\" may not ask", headers->origin);
    if (http->token && !(route && route->open) && !guard_token_fits(http->token, headers->authorization))
        return error_set(error, ERROR_UNAUTHORIZED, "a token is asked for: Authorization: Bearer TOKEN");
    return true;
}

static void (*handler_of(const struct route *route, enum method method))(struct request *request)
{
    switch (method) {
    case METHOD_GET:
        return route->get;
    case METHOD_POST:
        return route->post;
    case METHOD_PATCH:
        return route->patch;
    case METHOD_DELETE:
        return route->delete;
    case METHOD_OTHER:
        break;
    }
    return NULL;
}

/* application/json, whatever parameters follow but another charset than the only one that JSON has. */
static bool is_json(const char *type)
{
    size_t len = type ? strcspn(type, "; \t") : 0;

    if (len != strlen("application/json") || strncasecmp(type, "application/json", len) != 0)
        return false;
    const char *charset = strcasestr(type + len, "charset=");
    if (!charset)
        return true;
    const char *name = charset + strlen("charset=");
    name += *name == '"';
    return strncasecmp(name, "utf-8", 5) == 0 && strchr("\"; \t", name[5]); /* its NUL as well */
}

static bool body_fits(const struct request *request, struct error *error)
{
    const struct request_headers *headers = &request->headers;

    if (request->method != METHOD_POST && request->method != METHOD_PATCH)
        return true;
    if (!is_json(headers->content_type))
        return error_set(error, ERROR_MEDIA_TYPE, "a body has the Content-Type application/json");
    if (headers->content_encoding && strcasecmp(headers->content_encoding, "identity") != 0)
        return error_set(error, ERROR_MEDIA_TYPE, "a body has no Content-Encoding");
    return true;
}

void routes_begin(struct request *request, const char *version)
{
    const struct route *route = find(request);
    struct error error;

    if (!may_ask(request, route, version, &error)) {
        request_refuse(request, &error);
        return;
    }
    if (!route) {
        error_set(&error, ERROR_NOT_FOUND, "there is no such path: %.*s", (int)request->path_len, request->path);
        request_refuse(request, &error);
        return;
    }
    request->handle = handler_of(route, request->method);
    if (!request->handle) {
        request->allow = route->allow;
        error_set(&error, ERROR_METHOD, "the methods here are %s", route->allow);
        request_refuse(request, &error);
    } else if (!body_fits(request, &error)) {
        request_refuse(request, &error);
    }
}
