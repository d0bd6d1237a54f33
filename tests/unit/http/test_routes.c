/* SPDX-License-Identifier: Apache-2.0 */
#include "routes.h"

#include "about.h"
#include "batch.h"
#include "rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct http http;
static const struct request_headers plain = {.host = "localhost:8080", .content_type = "application/json"};

/* What becomes of a request: the status of a refusal, 0 when it is let in. */
static unsigned asked(const char *method, const char *uri, const struct request_headers *headers, const char *version,
                      struct request **ret_request)
{
    struct request *request = request_new(&http, uri);

    assert_non_null(request);
    request->method = routes_method(method);
    request->headers = *headers;
    routes_begin(request, version);
    unsigned status = request->state == REQUEST_ANSWERED ? request->status : 0;
    assert_int_equal(status == 0, request->state == REQUEST_COMING && request->handle != NULL);
    if (ret_request)
        *ret_request = request;
    else
        request_free(request);
    return status;
}

static unsigned ask(const char *method, const char *uri)
{
    return asked(method, uri, &plain, "HTTP/1.1", NULL);
}

static void each_path_and_method_has_its_handler(void **state)
{
    (void)state;
    const struct {
        const char *method, *uri;
        void (*handle)(struct request *request);
    } cases[] = {
        {"GET", "/v1/rows/t", rows_page},           {"HEAD", "/v1/rows/t?limit=1", rows_page},
        {"POST", "/v1/rows/t", rows_post},          {"GET", "/v1/rows/t/1", rows_get},
        {"GET", "/v1/rows/t/", rows_get},           {"PATCH", "/v1/rows/t/1", rows_patch},
        {"DELETE", "/v1/rows/t/1", rows_delete},    {"POST", "/v1/batch", batch_post},
        {"GET", "/v1/schema", about_schema},        {"GET", "/v1/stats", about_stats},
        {"GET", "/v1/openapi.json", about_openapi}, {"GET", "/metrics", about_metrics},
        {"HEAD", "/healthz", about_health},         {"GET", "/readyz?x", about_ready},
        {"GET", "/v1/rows/a%2Fb", rows_page},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct request *request;

        assert_int_equal(asked(cases[i].method, cases[i].uri, &plain, "HTTP/1.1", &request), 0);
        assert_true(request->handle == cases[i].handle);
        request_free(request);
    }
}

static void what_is_not_there_is_404_and_another_method_405(void **state)
{
    (void)state;
    const char *const absent[] = {"/",          "",          "/v1",       "/v1/rows", "/v1/rows/",
                                  "/v1/batch/", "/V1/batch", "/healthzx", "/health",  "*"};
    struct request *request;

    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        assert_int_equal(ask("GET", absent[i]), 404);
    assert_int_equal(asked("PUT", "/v1/rows/t/1", &plain, "HTTP/1.1", &request), 405);
    assert_string_equal(request->allow, "GET, HEAD, PATCH, DELETE");
    request_free(request);
    assert_int_equal(ask("DELETE", "/v1/rows/t"), 405);
    assert_int_equal(ask("POST", "/v1/rows/t/1"), 405);
    assert_int_equal(ask("GET", "/v1/batch"), 405);
    assert_int_equal(ask("get", "/healthz"), 405);
    assert_int_equal(ask("", "/healthz"), 405);
}

static unsigned post_as(const char *type, const char *encoding)
{
    struct request_headers headers = plain;

    headers.content_type = type;
    headers.content_encoding = encoding;
    return asked("POST", "/v1/batch", &headers, "HTTP/1.1", NULL);
}

static void only_json_as_it_is_may_be_a_body(void **state)
{
    (void)state;
    const char *const fine[] = {"application/json",
                                "APPLICATION/JSON",
                                "application/json;charset=utf-8",
                                "application/json ; charset=\"UTF-8\"",
                                "application/json; charset=utf-8; x=y",
                                "application/json; x=y"};
    const char *const wrong[] = {NULL,
                                 "",
                                 "text/plain",
                                 "application/json5",
                                 "application/jso",
                                 "x application/json",
                                 "application/json; charset=utf-80",
                                 "application/json; charset=utf-16",
                                 "application/json; charset="};

    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
        assert_int_equal(post_as(fine[i], NULL), 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(post_as(wrong[i], NULL), 415);
    assert_int_equal(post_as(fine[0], "identity"), 0);
    assert_int_equal(post_as(fine[0], "gzip"), 415);
    struct request_headers none = {.host = "localhost"};
    assert_int_equal(asked("GET", "/v1/rows/t", &none, "HTTP/1.1", NULL), 0); /* which has no body */
    assert_int_equal(asked("DELETE", "/v1/rows/t/1", &none, "HTTP/1.1", NULL), 0);
    assert_int_equal(asked("PATCH", "/v1/rows/t/1", &none, "HTTP/1.1", NULL), 415);
}

static void a_token_comes_before_everything_but_host_and_health(void **state)
{
    (void)state;
    struct request_headers headers = plain;

    http.token = "secret";
    assert_int_equal(ask("GET", "/v1/schema"), 401);
    assert_int_equal(ask("PUT", "/v1/schema"), 401); /* nothing is told of what there is */
    assert_int_equal(ask("GET", "/nope"), 401);
    assert_int_equal(ask("GET", "/healthz"), 0);
    assert_int_equal(ask("GET", "/readyz"), 0);
    headers.authorization = "Bearer secret";
    assert_int_equal(asked("GET", "/v1/schema", &headers, "HTTP/1.1", NULL), 0);
    headers.host = "evil.example";
    assert_int_equal(asked("GET", "/v1/schema", &headers, "HTTP/1.1", NULL), 403);
    headers.authorization = NULL;
    assert_int_equal(asked("GET", "/healthz", &headers, "HTTP/1.1", NULL), 403);
    http.token = NULL;
}

static void only_http_1_0_may_go_without_a_host(void **state)
{
    (void)state;
    struct request_headers headers = {.origin = NULL};

    assert_int_equal(asked("GET", "/healthz", &headers, "HTTP/1.1", NULL), 403);
    assert_int_equal(asked("GET", "/healthz", &headers, "HTTP/1.0", NULL), 0);
    headers.origin = "http://evil.example";
    assert_int_equal(asked("GET", "/healthz", &headers, "HTTP/1.0", NULL), 403);
    headers = (struct request_headers){.host = "evil.example"};
    assert_int_equal(asked("GET", "/healthz", &headers, "HTTP/1.0", NULL), 403);
    http.name = "db.example";
    headers.host = "db.example:80";
    assert_int_equal(asked("GET", "/healthz", &headers, "HTTP/1.1", NULL), 0);
    http.name = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_path_and_method_has_its_handler),
        cmocka_unit_test(what_is_not_there_is_404_and_another_method_405),
        cmocka_unit_test(only_json_as_it_is_may_be_a_body),
        cmocka_unit_test(a_token_comes_before_everything_but_host_and_health),
        cmocka_unit_test(only_http_1_0_may_go_without_a_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
