/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include "etag.h"
#include "json.h"
#include "json_out.h"
#include "row.h"
#include "uri.h"
#include "work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct error no_reason = {.code = ERROR_INTERNAL, .text = "refused without a reason"};

static bool is_done(const struct op *op)
{
    return op->result == OP_DONE || op->result == OP_SAME;
}

static const struct error *reason_of(const struct op *op)
{
    return op->error ? op->error : &no_reason;
}

/* ,"key":{…} : the key that a row has now. */
static bool put_new_key(struct buffer *out, const struct schema_table *table, const uint8_t *bytes, size_t len)
{
    const struct schema_key *key = &table->keys[table->primary_key];
    struct cursor cursor = cursor_over(bytes, len);
    uint32_t count;
    bool fine = buffer_put_text(out, ",\"key\":{") && cursor_array(&cursor, &count) && count == key->column_count;

    for (uint16_t i = 0; fine && i < key->column_count; i++) {
        const char *name = table->columns[key->columns[i]].name;
        struct value value;

        fine = cursor_value(&cursor, &value) && (i == 0 || buffer_put(out, ",", 1)) &&
               json_put_string(out, name, strlen(name)) && buffer_put(out, ":", 1) && json_out_value(out, &value);
    }
    return fine && buffer_put(out, "}", 1);
}

static bool put_done(struct request *request, const struct op *op)
{
    struct buffer *out = &request->answer;
    const struct schema_table *table = &request->http->schema->tables[op->table];
    const uint8_t *bytes = request->work->submission->rows.bytes;

    return buffer_put_text(out, "{\"ok\":true") &&
           (!op->key_assigned || (buffer_put_text(out, ",\"id\":") && json_put_integer(out, op->rowid))) &&
           (op->new_key.len == 0 || put_new_key(out, table, bytes + op->new_key.at, op->new_key.len)) &&
           buffer_put(out, "}", 1);
}

static bool put_refused(struct buffer *out, const struct error *why)
{
    return buffer_put_text(out, "{\"ok\":false,\"error\":") && json_put_error(out, why) && buffer_put(out, "}", 1);
}

/* The results in their order; counts those that were done. */
static bool put_results(struct request *request, uint32_t *ret_accepted)
{
    const struct work *work = request->work;
    const struct op *next = work->submission->ops;
    bool fine = true;

    *ret_accepted = 0;
    for (uint32_t i = 0; fine && i < work->count; i++) {
        const struct op *op = work->refused[i] ? NULL : next++;

        fine = i == 0 || buffer_put(&request->answer, ",", 1);
        if (op && is_done(op)) {
            ++*ret_accepted;
            fine = fine && put_done(request, op);
        } else {
            fine = fine && put_refused(&request->answer, op ? reason_of(op) : work->refused[i]);
        }
    }
    return fine;
}

static void answer_one(struct request *request)
{
    const struct op *op = &request->work->submission->ops[0];
    bool inserted = op->kind == OP_INSERT || (op->kind == OP_UPSERT && op->inserted);

    if (!is_done(op)) {
        request_refuse(request, reason_of(op));
        return;
    }
    request->failed = !put_done(request, op);
    request_reply(request, inserted ? 201 : 200);
}

static void answer_many(struct request *request)
{
    struct buffer *out = &request->answer;
    uint32_t accepted = 0;

    request->failed =
        !buffer_put_text(out, "{\"results\":[") || !put_results(request, &accepted) ||
        !buffer_format(out, "],\"accepted\":%u,\"refused\":%u}", accepted, request->work->count - accepted);
    request_reply(request, 200);
}

static void answer_atomic(struct request *request)
{
    const struct submission *submission = request->work->submission;
    uint32_t accepted = 0;

    for (uint32_t i = 0; i < submission->count; i++)
        if (!is_done(&submission->ops[i]) && submission->ops[i].error) {
            request_refuse_op(request, submission->ops[i].error, i);
            return;
        }
    for (uint32_t i = 0; i < submission->count; i++)
        if (!is_done(&submission->ops[i])) {
            request_refuse_op(request, &no_reason, i);
            return;
        }
    request->failed = !buffer_put_text(&request->answer, "{\"ok\":true,\"results\":[") ||
                      !put_results(request, &accepted) || !buffer_put(&request->answer, "]}", 2);
    request_reply(request, 200);
}

void answer_writes(struct request *request)
{
    switch (request->work->shape) {
    case WORK_ONE:
        answer_one(request);
        return;
    case WORK_MANY:
        answer_many(request);
        return;
    case WORK_ATOMIC:
        answer_atomic(request);
        return;
    }
}

/* ---- reading ---- */

static const struct schema_table *table_of(const struct request *request)
{
    return &request->http->schema->tables[request->table];
}

/* Room for a row's values; the caller frees it. */
static struct value *values_for(const struct schema_table *table)
{
    return malloc(table->column_count * sizeof(struct value));
}

static bool put_row(struct request *request, const uint8_t *bytes, size_t len, struct value *values)
{
    const struct schema_table *table = table_of(request);
    struct error error;

    return row_read(table, bytes, len, values, &error) && json_out_row(&request->answer, table, values);
}

static bool is_known(const struct request *request, const struct row_tag *tag)
{
    struct buffer tags = {0};
    struct error ignored;
    bool any = false, known = false;

    if (request->headers.if_none_match && etag_read_list(request->headers.if_none_match, true, &any, &tags, &ignored))
        for (size_t at = 0; at < tags.len; at += ROW_TAG_BYTES)
            known |= memcmp(tags.bytes + at, tag->bytes, ROW_TAG_BYTES) == 0;
    buffer_release(&tags);
    return any || known;
}

void answer_row(struct request *request)
{
    const struct submission *submission = request->work->submission;
    const struct op *op = &submission->ops[0];

    if (!is_done(op)) {
        request_refuse(request, reason_of(op));
        return;
    }
    const uint8_t *row = submission->rows.bytes + op->found.at;
    struct row_tag tag = row_tag(row, op->found.len);
    etag_text(&tag, request->etag);
    if (is_known(request, &tag)) {
        request_reply(request, 304);
        return;
    }
    struct value *values = values_for(table_of(request));
    request->failed = !values || !put_row(request, row, op->found.len, values);
    free(values);
    request_reply(request, 200);
}

static bool put_page(struct request *request, struct wire_scan_answer *page, struct value *values)
{
    struct buffer *out = &request->answer;
    bool fine = buffer_put_text(out, "{\"rows\":[");

    for (uint32_t i = 0; fine && i < page->row_count; i++) {
        const uint8_t *begin = page->rows.at;

        fine = cursor_skip(&page->rows) && (i == 0 || buffer_put(out, ",", 1)) &&
               put_row(request, begin, (size_t)(page->rows.at - begin), values);
    }
    fine = fine && buffer_put_text(out, "],\"next\":");
    if (page->next_count == 0)
        return fine && buffer_put_text(out, "null}");
    struct buffer key = {0};
    fine = fine && pack_array(&key, page->next_count) && buffer_put(&key, page->next.at, cursor_left(&page->next)) &&
           buffer_put(out, "\"", 1) && uri_put_cursor(out, key.bytes, key.len) && buffer_put_text(out, "\"}");
    buffer_release(&key);
    return fine;
}

void answer_page(struct request *request)
{
    struct wire_scan_answer page;
    struct error error = request->ask.error;
    struct cursor body = cursor_over(request->ask.answer.bytes, request->ask.answer.len);

    if (!request->ask.ok || !wire_get_scan_answer(&body, &page, &error)) {
        request_refuse(request, &error);
        return;
    }
    struct value *values = values_for(table_of(request));
    request->failed = !values || !put_page(request, &page, values);
    free(values);
    request_reply(request, 200);
}
