/* SPDX-License-Identifier: Apache-2.0 */
#include "openapi.h"

#include "error.h"
#include "limits.h"
#include "openapi_schemas.h"
#include "status.h"

#include <string.h>

#define REFUSALS_MAX 6

struct done { /* an answer that is no refusal */
    unsigned status;
    const char *about;
    const char *schema; /* NULL: without a body */
};

struct call {
    const char *path; /* calls of one path stand together */
    const char *method;
    const char *id;
    const char *about;
    const char *parameters; /* names of `parameters` below, each followed by a blank */
    const char *body;       /* its schema; NULL: none */
    struct done done[2];
    unsigned refusals[REFUSALS_MAX]; /* beside any_refusals, and 401 where a token is asked for */
    bool text;                       /* answers text and not JSON */
    bool tag;                        /* with an ETag */
    bool open;                       /* asks for no token */
};

/* Of every call: of what its head or its body is, and of the server's own state. */
static const unsigned any_refusals[] = {400, 403, 413, 429, 500, 503};

#define WRITE_REFUSALS 404, 409, 415, 422, 504

static const struct call calls[] = {
    {.path = "/v1/rows/{table}",
     .method = "get",
     .id = "page",
     .about = "A page of rows in key order",
     .parameters = "table limit after filters ",
     .done = {{200, "The page", "Page"}},
     .refusals = {404}},
    {.path = "/v1/rows/{table}",
     .method = "post",
     .id = "insert",
     .about = "Inserts one row (an object) or many (an array)",
     .parameters = "table on_conflict idempotency_key ",
     .body = "Rows",
     .done = {{201, "The row was inserted", "Done"},
              {200, "One that was there was changed; or, of an array, the results", "WriteAnswer"}},
     .refusals = {WRITE_REFUSALS}},
    {.path = "/v1/rows/{table}/{key}",
     .method = "get",
     .id = "read",
     .about = "Reads a row",
     .parameters = "table key if_none_match ",
     .done = {{200, "The row", "AnyRow"}, {304, "It is one that If-None-Match names", NULL}},
     .refusals = {404},
     .tag = true},
    {.path = "/v1/rows/{table}/{key}",
     .method = "patch",
     .id = "change",
     .about = "Changes the columns that are given",
     .parameters = "table key if_match idempotency_key ",
     .body = "AnyRow",
     .done = {{200, "Done; `key` is there when that changed", "Done"}},
     .refusals = {WRITE_REFUSALS, 412}},
    {.path = "/v1/rows/{table}/{key}",
     .method = "delete",
     .id = "remove",
     .about = "Deletes a row",
     .parameters = "table key if_match idempotency_key ",
     .done = {{200, "Done", "Done"}},
     .refusals = {404, 409, 412, 422, 504}},
    {.path = "/v1/batch",
     .method = "post",
     .id = "batch",
     .about = "Operations on any tables: all or nothing, or each on its own when `atomic` is false",
     .parameters = "idempotency_key ",
     .body = "Batch",
     .done = {{200, "All were done; or, when `atomic` is false, the results", "BatchAnswer"}},
     .refusals = {WRITE_REFUSALS}},
    {.path = "/v1/schema",
     .method = "get",
     .id = "schema",
     .about = "The tables, their columns, keys and references",
     .parameters = "",
     .done = {{200, "The schema", "Schema"}}},
    {.path = "/v1/stats",
     .method = "get",
     .id = "stats",
     .about = "Counts and times",
     .parameters = "",
     .done = {{200, "The figures", "Stats"}}},
    {.path = "/v1/openapi.json",
     .method = "get",
     .id = "openapi",
     .about = "This description",
     .parameters = "",
     .done = {{200, "OpenAPI 3.0.3", "Description"}}},
    {.path = "/metrics",
     .method = "get",
     .id = "metrics",
     .about = "Counts and times as Prometheus reads them",
     .parameters = "",
     .done = {{200, "The text format of Prometheus, version 0.0.4", NULL}},
     .text = true},
    {.path = "/healthz",
     .method = "get",
     .id = "health",
     .about = "Whether the process lives",
     .parameters = "",
     .done = {{200, "It does", "Fine"}},
     .open = true},
    {.path = "/readyz",
     .method = "get",
     .id = "ready",
     .about = "Whether the shard of every database is there and serves",
     .parameters = "",
     .done = {{200, "Every one does", "Fine"}},
     .open = true},
};

/* ---- the calls ---- */

static bool put_references(struct buffer *out, const char *names)
{
    bool fine = buffer_put_text(out, "[");

    for (const char *at = names; fine && *at; at += strcspn(at, " ") + 1)
        fine = openapi_put(out, "%s{'$ref':'#/components/parameters/%.*s'}", at == names ? "" : ",",
                           (int)strcspn(at, " "), at);
    return fine && buffer_put(out, "]", 1);
}

/* An answer to HEAD is the one to GET without its body. */
static bool put_done(struct buffer *out, const struct call *call, const struct done *done, bool head)
{
    bool fine = openapi_put(out, "'%u':{'description':'%s'", done->status, done->about);

    if (call->tag)
        fine = fine && openapi_put(out, ",'headers':{'ETag':{'schema':{'type':'string'}}}");
    if (call->text && !head)
        fine = fine && openapi_put(out, ",'content':{'text/plain':{'schema':{'type':'string'}}}");
    else if (done->schema && !head)
        fine = fine && openapi_put(out, ",'content':{'application/json':{'schema':{'$ref':'" OPENAPI_SCHEMA "%s'}}}",
                                   done->schema);
    return fine && buffer_put(out, "}", 1);
}

static bool put_refusal_of(struct buffer *out, unsigned status, bool head)
{
    return openapi_put(out, ",'%u':{'$ref':'#/components/responses/%s%u'}", status, head ? "head" : "refused", status);
}

static bool put_answers(struct buffer *out, const struct call *call, bool head)
{
    bool fine = openapi_put(out, ",'responses':{") && put_done(out, call, &call->done[0], head);

    if (call->done[1].status)
        fine = fine && buffer_put(out, ",", 1) && put_done(out, call, &call->done[1], head);
    for (size_t i = 0; fine && i < sizeof any_refusals / sizeof *any_refusals; i++)
        fine = put_refusal_of(out, any_refusals[i], head);
    if (!call->open)
        fine = fine && put_refusal_of(out, 401, head);
    for (size_t i = 0; fine && i < REFUSALS_MAX && call->refusals[i]; i++)
        fine = put_refusal_of(out, call->refusals[i], head);
    return fine && buffer_put(out, "}", 1);
}

static bool put_method(struct buffer *out, const struct call *call, const char *method, bool head)
{
    bool fine = openapi_put(out, "'%s':{'operationId':'%s%s','summary':'%s%s','parameters':", method, call->id,
                            head ? "_head" : "", call->about, head ? ": the headers only" : "") &&
                put_references(out, call->parameters);

    if (call->body)
        fine = fine && openapi_put(out,
                                   ",'requestBody':{'required':true,'content':{'application/json':{'schema':"
                                   "{'$ref':'" OPENAPI_SCHEMA "%s'}}}}",
                                   call->body);
    if (call->open)
        fine = fine && openapi_put(out, ",'security':[]");
    return fine && put_answers(out, call, head) && buffer_put(out, "}", 1);
}

static bool put_call(struct buffer *out, const struct call *call)
{
    bool get = strcmp(call->method, "get") == 0;

    return put_method(out, call, call->method, false) &&
           (!get || (buffer_put(out, ",", 1) && put_method(out, call, "head", true)));
}

static bool put_paths(struct buffer *out)
{
    bool fine = openapi_put(out, "'paths':{");

    for (size_t i = 0; fine && i < sizeof calls / sizeof *calls; i++) {
        bool goes_on = i > 0 && strcmp(calls[i].path, calls[i - 1].path) == 0;

        fine = goes_on ? buffer_put(out, ",", 1) : openapi_put(out, "%s'%s':{", i ? "}," : "", calls[i].path);
        fine = fine && put_call(out, &calls[i]);
    }
    return fine && buffer_put_text(out, "}}");
}

/* ---- what they share ---- */

static bool put_parameters(struct buffer *out)
{
    return openapi_put(
        out,
        "'parameters':{"
        "'table':{'name':'table','in':'path','required':true,'schema':{'$ref':'" OPENAPI_SCHEMA "Table'}},"
        "'key':{'name':'key','in':'path','required':true,'schema':{'type':'string'},'description':'The values of the "
        "primary key in its own order, separated by commas, each percent-encoded: integers in decimal, blobs as "
        "x%%27…%%27; of a table without a primary key the rowid'},"
        "'limit':{'name':'limit','in':'query','schema':{'type':'integer','minimum':1,'maximum':%d,'default':%d}},"
        "'after':{'name':'after','in':'query','schema':{'type':'string'},'description':'`next` of the page before'},"
        "'filters':{'name':'filters','in':'query','style':'form','explode':true,'schema':{'type':'object',"
        "'additionalProperties':{'type':'string'}},'description':'COLUMN=VALUE: only rows that are so, in all of "
        "them. A column that is called limit or after is written =limit'},"
        "'on_conflict':{'name':'on_conflict','in':'query','schema':{'type':'string','enum':['update']},'description':"
        "'A row whose primary key is there is changed'},"
        "'if_match':{'name':'If-Match','in':'header','schema':{'type':'string'},'description':'Only if the row has "
        "one of these tags, or is there (*)'},"
        "'if_none_match':{'name':'If-None-Match','in':'header','schema':{'type':'string'},'description':'Answers 304 "
        "if the row has one of these tags'},"
        "'idempotency_key':{'name':'Idempotency-Key','in':'header','schema':{'type':'string','minLength':1,"
        "'maxLength':%d},'description':'Sent again with the same key, a request has the answer that it had, for a "
        "day'}}",
        LIMIT_PAGE_ROWS_MAX, LIMIT_PAGE_ROWS_STANDARD, LIMIT_IDEMPOTENCY_KEY_BYTES_MAX);
}

/* The codes of the closed list that answer with a status, each as `format` says. */
static bool put_codes(struct buffer *out, unsigned status, const char *before, const char *after)
{
    bool fine = true, first = true;

    for (enum error_code code = ERROR_NONE + 1; fine && code < ERROR_CODE_COUNT; code++)
        if (status_of(code) == status) {
            fine = openapi_put(out, "%s%s%s%s", first ? "" : ",", before, error_code_name(code), after);
            first = false;
        }
    return fine;
}

static const char *header_of(unsigned status)
{
    switch (status) {
    case 401:
        return "WWW-Authenticate";
    case 429:
    case 503:
        return "Retry-After";
    default:
        return NULL;
    }
}

static bool put_refusal(struct buffer *out, unsigned status, bool head)
{
    const char *header = header_of(status);
    bool fine = openapi_put(out, "'%s%u':{'description':'", head ? "head" : "refused", status) &&
                put_codes(out, status, "", "") && openapi_put(out, "'");

    if (header)
        fine = fine && openapi_put(out, ",'headers':{'%s':{'schema':{'type':'string'}}}", header);
    if (!head)
        fine = fine &&
               openapi_put(out, ",'content':{'application/json':{'schema':{'allOf':[{'$ref':'" OPENAPI_SCHEMA
                                "Refusal'},{'properties':{'error':{'properties':{'code':{'enum':[") &&
               put_codes(out, status, "'", "'") && openapi_put(out, "]}}}}}]}}}");
    return fine && buffer_put(out, "}", 1);
}

static bool is_refusal_of_get(unsigned status)
{
    bool found = status == 401;

    for (size_t i = 0; i < sizeof any_refusals / sizeof *any_refusals; i++)
        found |= any_refusals[i] == status;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        for (size_t j = 0; j < REFUSALS_MAX && strcmp(calls[i].method, "get") == 0; j++)
            found |= calls[i].refusals[j] == status;
    return found;
}

static bool put_refusals(struct buffer *out)
{
    static const unsigned statuses[] = {400, 401, 403, 404, 409, 412, 413, 415, 422, 429, 500, 503, 504};
    bool fine = openapi_put(out, "'responses':{");

    for (size_t i = 0; fine && i < sizeof statuses / sizeof *statuses; i++) {
        fine = (i == 0 || buffer_put(out, ",", 1)) && put_refusal(out, statuses[i], false);
        if (is_refusal_of_get(statuses[i]))
            fine = fine && buffer_put(out, ",", 1) && put_refusal(out, statuses[i], true);
    }
    return fine && buffer_put(out, "}", 1);
}

bool openapi_json(const struct schema *schema, struct buffer *out)
{
    return openapi_put(out, "{'openapi':'3.0.3','info':{'title':'Sheaf','version':'1','description':'Many SQLite "
                            "databases that behave as one. A refusal has one shape, and its code is of a closed list; "
                            "a method that a path does not know is 405 with Allow, an unknown path 404. See "
                            "docs/api.md'},'servers':[{'url':'/'}],'security':[{},{'bearer':[]}],") &&
           put_paths(out) &&
           openapi_put(out, ",'components':{'securitySchemes':{'bearer':{'type':'http','scheme':'bearer'}},") &&
           put_parameters(out) && buffer_put(out, ",", 1) && put_refusals(out) && openapi_put(out, ",'schemas':") &&
           openapi_schemas(schema, out) && buffer_put_text(out, "}}");
}
