/* SPDX-License-Identifier: Apache-2.0 */
#include "about.h"

#include "gather.h"

/* A text that was made at the start. */
static void reply_with(struct request *request, const struct buffer *text)
{
    request->failed = !buffer_put(&request->answer, text->bytes, text->len);
    request_reply(request, 200);
}

void about_schema(struct request *request)
{
    reply_with(request, &request->http->schema_json);
}

void about_openapi(struct request *request)
{
    reply_with(request, &request->http->openapi_json);
}

void about_stats(struct request *request)
{
    gather_put(request->http->gather, request, GATHER_JSON);
}

void about_metrics(struct request *request)
{
    request->media = "text/plain; version=0.0.4; charset=utf-8";
    gather_put(request->http->gather, request, GATHER_PROMETHEUS);
}

void about_health(struct request *request)
{
    request->failed = !buffer_put_text(&request->answer, "{\"ok\":true}");
    request_reply(request, 200);
}

void about_ready(struct request *request)
{
    struct error error;

    if (engine_ready(request->http->engine, &error))
        about_health(request);
    else
        request_refuse(request, &error);
}
