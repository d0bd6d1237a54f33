/* SPDX-License-Identifier: Apache-2.0 */
/* A request over HTTP, from its target, headers and body down to the operations that the engine would get, and back to
 * the answer; libmicrohttpd and the engine are left out. An input is text:
 *
 *   METHOD TARGET VERSION
 *   Header: value
 *
 *   body
 *
 * What the engine gets has to be what its header asks for; each answer JSON; a request that is asked again by the path
 * that it is known as, the same; and a page's cursor has to lead on. */
#include "about.h"
#include "batch.h"
#include "done.h"
#include "fuzz.h"
#include "request.h"
#include "routes.h"
#include "row.h"
#include "rows.h"
#include "work.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define COLUMNS_MAX 8
#define PAGE_ROWS 2

static const char ddl[] =
    "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL, body BLOB, price REAL, twice AS (price * 2));\n"
    "CREATE TABLE pair (a INTEGER, b TEXT COLLATE NOCASE, v BLOB, PRIMARY KEY (b, a)) WITHOUT ROWID;\n"
    "CREATE TABLE loose (\"limit\" TEXT, \"=after\" INTEGER);\n";

static struct http http;
static struct buffer given; /* what the engine was given, of all requests of one input */

/* ---- the engine ---- */

static void note(const void *bytes, size_t len)
{
    if (!buffer_put(&given, bytes, len))
        panic("out of memory");
}

static void check_row(const struct op *op, const struct buffer *rows)
{
    struct value values[COLUMNS_MAX];
    const struct schema_table *table = &http.schema->tables[op->table];
    struct error error;
    if (op->row_at > rows->len || op->row_len > rows->len - op->row_at)
        panic("a row is outside its submission");
    if (!row_read(table, rows->bytes + op->row_at, op->row_len, values, &error))
        panic("a row cannot be read: %s", error.text);
    for (uint16_t i = 0; i < table->column_count; i++)
        if (values[i].type == VALUE_TEXT && !value_text_is_valid(values[i].bytes, values[i].len))
            panic("column %s holds what is no text", table->columns[i].name);
    note(rows->bytes + op->row_at, op->row_len);
}

static void check_key(const struct op *op, const struct buffer *rows)
{
    const struct schema_table *table = &http.schema->tables[op->table];
    struct cursor cursor;
    struct value value;
    uint32_t count;
    if (op->key.at > rows->len || op->key.len > rows->len - op->key.at)
        panic("a key is outside its submission");
    cursor = cursor_over(rows->bytes + op->key.at, op->key.len);
    if (!cursor_array(&cursor, &count) || count != schema_key_columns(table))
        panic("a key has another number of values than %s has columns", table->name);
    while (count-- > 0)
        if (!cursor_value(&cursor, &value) || value.type == VALUE_ABSENT ||
            (value.type == VALUE_TEXT && !value_text_is_valid(value.bytes, value.len)))
            panic("a key holds what is no value");
    if (!cursor_at_end(&cursor))
        panic("something follows a key");
    note(rows->bytes + op->key.at, op->key.len);
}

static void check_op(const struct submission *submission, const struct op *op)
{
    const struct buffer *rows = &submission->rows;
    note(&op->kind, sizeof op->kind);
    note(&op->condition, sizeof op->condition);
    if (op->kind == OP_NOTHING) {
        if (submission->count != 1 || !submission->key.len)
            panic("nothing is to be done, and not for a key");
        return;
    }
    if (op->table >= http.schema->table_count)
        panic("table number %u", op->table);
    if (op->kind == OP_INSERT || op->kind == OP_UPSERT || op->kind == OP_UPDATE)
        check_row(op, rows);
    if (op->kind == OP_UPDATE || op->kind == OP_DELETE || op->kind == OP_READ)
        check_key(op, rows);
    if (op->condition == OP_IF_TAGGED) {
        if (op->tags.at > rows->len || op->tags.len > rows->len - op->tags.at || op->tags.len % ROW_TAG_BYTES)
            panic("tags are outside their submission, or none");
        note(rows->bytes + op->tags.at, op->tags.len);
    }
}

/* A stored row of the table: a value of each kind. */
static void put_stored(const struct schema_table *table, uint32_t number, struct buffer *rows)
{
    static const char text[] = "\xc3\xa4\"\\\x1f", blob[] = {0, 1, 2};
    struct value values[COLUMNS_MAX];
    for (uint16_t i = 0; i < table->column_count; i++) {
        const struct value kinds[] = {value_integer(number), value_text(text, sizeof text - 1),
                                      value_blob(blob, sizeof blob), value_real(0.5), value_null()};
        values[i] = kinds[(i + number) % 5];
    }
    if (!row_write(table, values, rows))
        panic("out of memory");
}

static void do_op(struct submission *submission, struct op *op, uint32_t number)
{
    struct error error;
    op->result = OP_DONE;
    if (number % 3 == 2 || op->kind == OP_NOTHING) {
        error_set(&error, number % 2 ? ERROR_UNIQUE : ERROR_CHECK, "no");
        error_about(&error, "t", "rule");
        op_refuse(op, &error);
        return;
    }
    op->key_assigned = op->kind == OP_INSERT && op->table == 0;
    op->inserted = op->kind == OP_UPSERT && number % 2;
    if (op->kind == OP_UPDATE && http.schema->tables[op->table].primary_key != SCHEMA_NONE)
        op->new_key = op->key;
    if (op->kind == OP_READ) {
        op->found.at = (uint32_t)submission->rows.len;
        put_stored(&http.schema->tables[op->table], number, &submission->rows);
        op->found.len = (uint32_t)submission->rows.len - op->found.at;
    }
}

static void submit(void *context, struct submission *submission)
{
    (void)context;
    if (submission->count == 0 && submission->key.len)
        panic("a key without an operation");
    for (uint32_t i = 0; i < submission->count; i++)
        check_op(submission, &submission->ops[i]);
    note(submission->key.bytes, submission->key.len);
    note(&submission->atomic, sizeof submission->atomic);
    for (uint32_t i = 0; i < submission->count; i++)
        do_op(submission, &submission->ops[i], i);
    for (uint32_t i = 0; submission->atomic && i < submission->count; i++)
        if (submission->count > 2)
            submission->ops[i].result = OP_REFUSED;
    submission->finished(submission);
}

static void ask(void *context, struct query *query)
{
    (void)context;
    struct cursor body = cursor_over(query->ask.bytes, query->ask.len);
    struct wire_scan scan;
    size_t at;
    if (query->kind != WIRE_SCAN || !wire_get_scan(&body, http.schema, &scan, &query->error))
        panic("a shard would not understand it: %s", query->error.text);
    note(query->ask.bytes, query->ask.len);
    const struct schema_table *table = &http.schema->tables[scan.table];
    uint16_t columns = schema_key_columns(table);
    query->ok = pack_array(&query->answer, 2) && pack_array_open(&query->answer, &at);
    for (uint32_t i = 0; i < PAGE_ROWS; i++)
        put_stored(table, i, &query->answer);
    pack_array_close(&query->answer, at, PAGE_ROWS);
    query->ok = query->ok && pack_array(&query->answer, columns);
    for (uint16_t i = 0; i < columns; i++)
        query->ok = query->ok && pack_int(&query->answer, i);
    query->finished(query);
}

static void stop(void *context)
{
    (void)context;
}

static void start(void)
{
    static const struct engine_calls calls = {.submit = submit, .ask = ask, .stop = stop};
    static struct limits limits;
    struct error error;
    limits = limits_default();
    http = (struct http){.limits = &limits,
                         .engine = engine_elsewhere(&calls, NULL),
                         .schema = schema_load(ddl, sizeof ddl - 1, "fuzz", NULL, &error),
                         .done = done_new(&error)};
    if (!http.engine || !http.schema || !http.done)
        panic("%s", error.text);
}

/* ---- a request ---- */

struct text { /* an input's parts, each ended by a NUL */
    char *method, *target, *version;
    struct request_headers headers;
    const char *body;
    size_t body_len;
};

/* What stands before `end`, which is written over; moves *at behind it. */
static char *cut(char **at, char end)
{
    char *begun = *at, *found = strchr(begun, end);
    *at = found ? found + 1 : begun + strlen(begun);
    if (found)
        *found = '\0';
    return begun;
}

static void take_header(struct request_headers *headers, char *line)
{
    const struct {
        const char *name;
        const char **value;
    } known[] = {{"Authorization", &headers->authorization},
                 {"Host", &headers->host},
                 {"Origin", &headers->origin},
                 {"Content-Type", &headers->content_type},
                 {"Content-Encoding", &headers->content_encoding},
                 {"If-Match", &headers->if_match},
                 {"If-None-Match", &headers->if_none_match},
                 {"Idempotency-Key", &headers->idempotency_key}};
    const char *name = cut(&line, ':');
    line += *line == ' ';
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcasecmp(name, known[i].name) == 0)
            *known[i].value = line;
}

static struct text take_apart(char *text, size_t len)
{
    char *at = text;
    struct text parts = {.headers = {.host = "localhost", .content_type = "application/json"}};
    parts.method = cut(&at, ' ');
    parts.target = cut(&at, ' ');
    parts.version = cut(&at, '\n');
    while (*at) {
        char *line = cut(&at, '\n');
        if (!*line)
            break;
        take_header(&parts.headers, line);
    }
    parts.body = at;
    parts.body_len = (size_t)(text + len - at);
    return parts;
}

static bool reads_its_input(const struct request *request)
{
    return request->handle == rows_post || request->handle == rows_page || request->handle == rows_get ||
           request->handle == rows_patch || request->handle == rows_delete || request->handle == batch_post;
}

/* ---- its answer ---- */

static json_t *check_answer(const struct request *request)
{
    json_error_t why;
    if (request->state != REQUEST_ANSWERED || request->failed || request->status < 200 || request->status > 503)
        panic("status %u in state %d", request->status, (int)request->state);
    if (request->status == 500)
        panic("an internal error: %.*s", (int)request->answer.len, (const char *)request->answer.bytes);
    if (request->status == 304)
        return NULL;
    json_t *answer = json_loadb((const char *)request->answer.bytes, request->answer.len, 0, &why);
    if (!answer)
        panic("the answer is no JSON: %s: %.*s", why.text, (int)request->answer.len,
              (const char *)request->answer.bytes);
    return answer;
}

static struct request *run(const struct text *parts, const char *target)
{
    struct request *request = request_new(&http, target);
    if (!request)
        panic("out of memory");
    request->method = routes_method(parts->method);
    request->headers = parts->headers;
    routes_begin(request, parts->version);
    if (request->state != REQUEST_COMING || !reads_its_input(request))
        return request;
    if (parts->body_len && !buffer_put(&request->body, parts->body, parts->body_len))
        panic("out of memory");
    request->handle(request);
    for (struct request *done = done_take(http.done); done; done = done->next_done)
        request_finish(done);
    json_decref(check_answer(request));
    return request;
}

/* "/v1/rows/t?after=…", and it is understood. */
static void check_next(const struct text *parts, const struct request *page)
{
    char target[512];
    json_t *answer = check_answer(page);
    const char *next = json_string_value(json_object_get(answer, "next"));
    if (page->status == 200 && next &&
        snprintf(target, sizeof target, "%s?after=%s", page->path, next) < (int)sizeof target) {
        struct request *following = run(parts, target);
        if (following->status != 200)
            panic("a page's cursor is refused: %.*s", (int)following->answer.len,
                  (const char *)following->answer.bytes);
        request_free(following);
    }
    json_decref(answer);
}

static char *known_target(const struct request *request)
{
    char *target = NULL;
    if (asprintf(&target, "%s%s%s", (const char *)request->known_as.bytes, request->query ? "?" : "",
                 request->query ? request->query : "") < 0)
        panic("out of memory");
    return target;
}

static void check_known(const struct text *parts, const struct request *first)
{
    size_t first_len = given.len;
    char *target = known_target(first);
    struct request *second = run(parts, target);
    if (given.len != 2 * first_len || memcmp(given.bytes, given.bytes + first_len, first_len) != 0)
        panic("by the path that it is known as, %s, it is another request", target);
    if (second->status != first->status || second->known_as.len != first->known_as.len ||
        memcmp(second->known_as.bytes, first->known_as.bytes, first->known_as.len) != 0)
        panic("the path that it is known as, %s, is known as another", target);
    request_free(second);
    free(target);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (!http.engine)
        start();
    char *text = malloc(len + 1);
    if (!text)
        panic("out of memory");
    if (len)
        memcpy(text, bytes, len);
    text[len] = '\0';
    const struct text parts = take_apart(text, len);
    buffer_clear(&given);
    struct request *request = run(&parts, parts.target);
    if (request->known_as.len)
        check_known(&parts, request);
    if (request->handle == rows_page && request->state == REQUEST_ANSWERED && request->answer.len)
        check_next(&parts, request);
    if (http.counts.working || http.counts.waiting_ops)
        panic("%u requests are never over", http.counts.working);
    request_free(request);
    free(text);
    return 0;
}
