/* SPDX-License-Identifier: Apache-2.0 */
#include "rows.h"

#include "answer.h"
#include "etag.h"
#include "json_cut.h"
#include "query_string.h"
#include "routes.h"
#include "uri.h"
#include "work.h"

#include <string.h>

static bool out_of_memory(struct error *error)
{
    return error_set(error, ERROR_INTERNAL, "out of memory");
}

static const struct schema_table *table_of(const struct request *request)
{
    return &request->http->schema->tables[request->table];
}

/* ---- the path ---- */

static const char *behind_prefix(const struct request *request, size_t *ret_len)
{
    *ret_len = request->path_len - strlen(ROUTES_ROWS);
    return request->path + strlen(ROUTES_ROWS);
}

bool rows_path_has_key(const char *text, size_t len)
{
    return memchr(text, '/', len) != NULL;
}

/* However it is spelled, it is one path. `rest`: the slash and the KEY; NULL: none. */
static bool know_path(struct request *request, const char *rest, size_t rest_len, struct error *error)
{
    struct buffer *out = &request->known_as;
    const char *name = table_of(request)->name;

    return (buffer_put_text(out, ROUTES_ROWS) && uri_encode(out, name, strlen(name)) &&
            (!rest || (buffer_put(out, rest, 1) && uri_encode_key(out, rest + 1, rest_len - 1))) &&
            buffer_put(out, "", 1)) ||
           out_of_memory(error);
}

/* request->table; *ret_key is what follows the slash, if there is one. */
static bool read_path(struct request *request, const char **ret_key, size_t *ret_key_len, struct error *error)
{
    struct buffer name = {0};
    size_t len;
    const char *text = behind_prefix(request, &len);
    const char *slash = memchr(text, '/', len);
    size_t table_len = slash ? (size_t)(slash - text) : len;
    bool fine = uri_decode(text, table_len, false, &name, error);

    if (fine) {
        request->table = schema_find_table(request->http->schema, (const char *)name.bytes, name.len);
        if (request->table == SCHEMA_NONE)
            fine = error_set(error, ERROR_UNKNOWN_TABLE, "there is no table \"%.*s\" in the schema", (int)name.len,
                             name.len ? (const char *)name.bytes : "");
    }
    buffer_release(&name);
    if (ret_key && slash) {
        *ret_key = slash + 1;
        *ret_key_len = len - table_len - 1;
    }
    return fine && know_path(request, slash, slash ? len - table_len : 0, error);
}

/* A write that is refused; without a table there is no place for its key. */
static void refuse(struct request *request, const struct error *error)
{
    if (request->table == SCHEMA_NONE)
        request_refuse(request, error);
    else
        request_refuse_write(request, error, -1);
}

static bool has_no_query(const struct request *request, struct error *error)
{
    return !request->query || !*request->query ||
           error_set(error, ERROR_PARSE, "this call takes no parameters: %s", request->query);
}

/* ---- inserting ---- */

/* What is done with rows whose primary key is there: *ret_kind. */
static bool read_conflict(const struct request *request, enum op_kind *ret_kind, struct error *error)
{
    *ret_kind = OP_INSERT;
    if (!request->query || !*request->query)
        return true;
    if (strcmp(request->query, "on_conflict=update") != 0)
        return error_set(error, ERROR_PARSE, "the only parameter here is on_conflict=update, not %s", request->query);
    *ret_kind = OP_UPSERT;
    return true;
}

static bool add_row(struct request *request, json_t *object, enum op_kind kind, struct error *error)
{
    struct op op = {.kind = kind, .table = request->table};

    if (!work_row(request->work, table_of(request), object, &op, error))
        return false;
    work_add(request->work, &op);
    return true;
}

static bool new_work(struct request *request, enum work_shape shape, uint32_t count, struct error *error)
{
    request->work = work_new(request->http->schema, shape, count);
    return request->work || out_of_memory(error);
}

static bool insert_one(struct request *request, enum op_kind kind, struct error *error)
{
    json_t *object = json_row_parse((const char *)request->body.bytes, request->body.len, error);
    bool fine = object && new_work(request, WORK_ONE, 1, error) && add_row(request, object, kind, error);

    json_decref(object);
    return fine;
}

/* A member that is wrong is refused by itself, text that is no JSON with all the rest. */
static bool add_member(struct request *request, const struct json_member *member, enum op_kind kind,
                       struct error *error)
{
    struct error why;
    json_t *object = work_object(member, &why, error);

    if (error->code != ERROR_NONE)
        return false;
    bool added = object && add_row(request, object, kind, &why);
    json_decref(object);
    if (!added && why.code == ERROR_INTERNAL)
        *error = why;
    return added || (error->code == ERROR_NONE && (work_refuse(request->work, &why) || out_of_memory(error)));
}

static bool insert_many(struct request *request, enum op_kind kind, struct error *error)
{
    const char *text = (const char *)request->body.bytes;
    struct json_cut cut = json_cut_open(text, request->body.len);
    struct json_member member;
    enum json_cut_result result;
    uint32_t count;

    if (!json_cut_count(text, request->body.len, LIMIT_REQUEST_OPS_MAX, &count, error) ||
        !new_work(request, WORK_MANY, count, error))
        return false;
    while ((result = json_cut_next(&cut, &member, error)) == JSON_CUT_MEMBER)
        if (!add_member(request, &member, kind, error)) {
            error_prefix(error, "row %u: ", request->work->count);
            return false;
        }
    return result == JSON_CUT_END;
}

void rows_post(struct request *request)
{
    struct error error = {0};
    enum op_kind kind = OP_INSERT;
    bool many = json_cut_kind((const char *)request->body.bytes, request->body.len) == '[';
    bool fine = read_path(request, NULL, NULL, &error) && read_conflict(request, &kind, &error) &&
                (many ? insert_many(request, kind, &error) : insert_one(request, kind, &error));

    if (fine)
        request_submit(request, answer_writes);
    else
        refuse(request, &error);
}

/* ---- one row ---- */

/* The operation on the row that the path names. */
static bool begin_one(struct request *request, enum op_kind kind, struct op *op, struct error *error)
{
    const char *key = NULL;
    size_t len = 0;

    *op = (struct op){.kind = kind};
    if (!read_path(request, &key, &len, error) || !has_no_query(request, error) ||
        !new_work(request, WORK_ONE, 1, error))
        return false;
    op->table = request->table;
    return work_path_key(request->work, table_of(request), key, len, op, error);
}

static bool read_condition(struct request *request, struct op *op, struct error *error)
{
    struct buffer *rows = &request->work->submission->rows;
    size_t begun = rows->len;
    bool any = false;

    if (!request->headers.if_match)
        return true;
    if (!etag_read_list(request->headers.if_match, false, &any, rows, error))
        return error_prefix(error, "If-Match: ");
    op->condition = any ? OP_IF_THERE : OP_IF_TAGGED;
    op->tags = (struct op_bytes){(uint32_t)begun, (uint32_t)(rows->len - begun)};
    return true;
}

void rows_get(struct request *request)
{
    struct error error;
    struct op op;

    if (!begin_one(request, OP_READ, &op, &error)) {
        request_refuse(request, &error);
        return;
    }
    work_add(request->work, &op);
    request_submit(request, answer_row);
}

void rows_delete(struct request *request)
{
    struct error error;
    struct op op;

    if (!begin_one(request, OP_DELETE, &op, &error) || !read_condition(request, &op, &error)) {
        refuse(request, &error);
        return;
    }
    work_add(request->work, &op);
    request_submit(request, answer_writes);
}

void rows_patch(struct request *request)
{
    struct error error;
    struct op op;
    json_t *object = NULL;
    bool fine = begin_one(request, OP_UPDATE, &op, &error) && read_condition(request, &op, &error) &&
                (object = json_row_parse((const char *)request->body.bytes, request->body.len, &error)) != NULL &&
                work_row(request->work, table_of(request), object, &op, &error);

    json_decref(object);
    if (!fine) {
        refuse(request, &error);
        return;
    }
    work_add(request->work, &op);
    request_submit(request, answer_writes);
}

/* ---- a page ---- */

struct page {
    uint32_t limit;
    struct buffer after;   /* an array of values */
    struct buffer decoded; /* what the filters view; reserved once, so that it stays where it is */
    uint32_t filter_count;
    struct wire_filter filters[WIRE_FILTERS_MAX];
};

static bool read_limit(const struct query_part *part, uint32_t *ret_limit, struct error *error)
{
    uint32_t limit = 0;

    for (size_t i = 0; i < part->value_len && limit <= LIMIT_PAGE_ROWS_MAX; i++)
        limit = part->value[i] >= '0' && part->value[i] <= '9' ? limit * 10 + (uint32_t)(part->value[i] - '0')
                                                               : LIMIT_PAGE_ROWS_MAX + 1;
    if (limit < 1 || limit > LIMIT_PAGE_ROWS_MAX)
        return error_set(error, ERROR_PARSE, "limit is a number from 1 to %d", LIMIT_PAGE_ROWS_MAX);
    *ret_limit = limit;
    return true;
}

static bool add_filter(const struct schema_table *table, struct page *page, const struct query_part *part,
                       struct error *error)
{
    const char *name = part->name + (part->name_len > 0 && part->name[0] == '=');
    uint16_t column = schema_find_column(table, name, part->name_len - (size_t)(name - part->name));

    if (column == SCHEMA_NONE) {
        error_set(error, ERROR_UNKNOWN_COLUMN, "table %s has no column \"%s\"", table->name, name);
        return error_about(error, table->name, NULL);
    }
    if (page->filter_count == WIRE_FILTERS_MAX)
        return error_set(error, ERROR_TOO_LARGE, "a page has at most %u filters", WIRE_FILTERS_MAX);
    page->filters[page->filter_count++] = (struct wire_filter){column, uri_value(part->value, part->value_len)};
    return true;
}

static bool read_query(struct request *request, struct page *page, struct error *error)
{
    const struct schema_table *table = table_of(request);
    struct query_string query = {.at = request->query};
    struct query_part part;
    bool limited = false;

    if (!buffer_reserve(&page->decoded, request->query ? 2 * strlen(request->query) + 2 : 1))
        return out_of_memory(error);
    while (query_string_next(&query, &page->decoded, &part, error)) {
        bool is_limit = strcmp(part.name, "limit") == 0, is_after = strcmp(part.name, "after") == 0;

        if ((is_limit && limited) || (is_after && page->after.len))
            return error_set(error, ERROR_PARSE, "%s is given twice", part.name);
        limited |= is_limit;
        if (!(is_limit   ? read_limit(&part, &page->limit, error)
              : is_after ? uri_cursor(table, part.value, part.value_len, &page->after, error)
                         : add_filter(table, page, &part, error)))
            return false;
    }
    return error->code == ERROR_NONE;
}

static bool put_scan(struct request *request, const struct page *page, struct error *error)
{
    struct value after[LIMIT_COLUMNS_MAX];
    struct cursor cursor = cursor_over(page->after.bytes, page->after.len);
    uint32_t count = 0;

    if (page->after.len && !cursor_array(&cursor, &count))
        return out_of_memory(error);
    for (uint32_t i = 0; i < count; i++)
        if (!cursor_value(&cursor, &after[i]))
            return out_of_memory(error);
    request->ask.kind = WIRE_SCAN;
    request->ask.database = table_of(request)->database;
    return wire_put_scan(&request->ask.ask, request->table, page->limit, after, count, page->filters,
                         page->filter_count) ||
           out_of_memory(error);
}

void rows_page(struct request *request)
{
    struct error error = {0};
    struct page page = {.limit = LIMIT_PAGE_ROWS_STANDARD};
    bool fine = read_path(request, NULL, NULL, &error) && read_query(request, &page, &error) &&
                put_scan(request, &page, &error);

    buffer_release(&page.after);
    buffer_release(&page.decoded);
    if (fine)
        request_ask(request, answer_page);
    else
        request_refuse(request, &error);
}
