/* SPDX-License-Identifier: Apache-2.0 */
#include "relay_wire.h"

#include "failpoint.h"
#include "pack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define LENGTH_BYTES 4u
#define OP_ITEMS 5u
#define RESULT_ITEMS 4u
#define FLAG_ATOMIC 1u
#define FLAG_AT_END 2u
#define FLAG_SAME_IS_FINE 1u
#define BIN_32 0xc6u /* msgpack's header of bytes whose length takes 32 bits */

/* ---- frames ---- */

bool relay_begin(struct buffer *head)
{
    buffer_clear(head);
    return buffer_put(head, "\0\0\0\0", LENGTH_BYTES);
}

static bool send_all(int fd, struct iovec *parts, size_t count)
{
    while (count > 0) {
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
        ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return false;
        for (size_t left = (size_t)sent; count > 0; parts++, count--) {
            if (left < parts->iov_len) {
                parts->iov_base = (uint8_t *)parts->iov_base + left;
                parts->iov_len -= left;
                break;
            }
            left -= parts->iov_len;
        }
    }
    return true;
}

bool relay_send(int fd, struct buffer *head, const void *tail, size_t tail_len)
{
    size_t len = head->len - LENGTH_BYTES + tail_len;
    struct iovec parts[2] = {{head->bytes, head->len}, {(void *)(uintptr_t)tail, tail_len}};

    if (len > RELAY_FRAME_MAX)
        return false;
    for (unsigned i = 0; i < LENGTH_BYTES; i++)
        head->bytes[i] = (uint8_t)(len >> (8 * i));
    FAILPOINT("relay.send.before", NULL);
    bool sent = send_all(fd, parts, tail_len ? 2 : 1);
    FAILPOINT("relay.send.after", NULL);
    return sent;
}

static bool receive_all(int fd, uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t got = recv(fd, bytes, len, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        bytes += got;
        len -= (size_t)got;
    }
    return true;
}

bool relay_receive(int fd, struct buffer *frame)
{
    uint8_t length[LENGTH_BYTES];
    uint32_t len = 0;

    buffer_clear(frame);
    if (!receive_all(fd, length, sizeof length))
        return false;
    for (unsigned i = 0; i < LENGTH_BYTES; i++)
        len |= (uint32_t)length[i] << (8 * i);
    if (len > RELAY_FRAME_MAX || !buffer_reserve(frame, len) || !receive_all(fd, frame->bytes, len))
        return false;
    frame->len = len;
    FAILPOINT("relay.received", NULL);
    return true;
}

static bool put_head(struct buffer *head, uint32_t items, enum relay_kind kind, uint64_t id)
{
    return relay_begin(head) && pack_array(head, items) && pack_uint(head, kind) && pack_uint(head, id);
}

bool relay_get_kind(const struct buffer *frame, struct cursor *ret_cursor, enum relay_kind *ret_kind, uint64_t *ret_id)
{
    struct cursor cursor = cursor_over(frame->bytes, frame->len);
    uint32_t count;
    uint64_t kind;

    *ret_id = 0;
    if (!cursor_array(&cursor, &count) || count < 2 || !cursor_uint(&cursor, &kind) || kind < RELAY_HELLO ||
        kind > RELAY_METRICS)
        return false;
    if (kind != RELAY_HELLO && !cursor_uint(&cursor, ret_id))
        return false;
    *ret_kind = (enum relay_kind)kind;
    *ret_cursor = cursor;
    return true;
}

/* ---- parts ---- */

static bool put_error(struct buffer *head, const struct error *error)
{
    static const struct error none = {.code = ERROR_INTERNAL, .text = "refused without a reason"};
    const struct error *one = error ? error : &none;

    return pack_array(head, 4) && pack_error(head, one);
}

static bool get_error(struct cursor *cursor, struct error *ret_error)
{
    uint32_t count;

    return cursor_array(cursor, &count) && count == 4 && cursor_error(cursor, ret_error);
}

/* ---- hello ---- */

bool relay_put_hello(struct buffer *head, const char *identity)
{
    return relay_begin(head) && pack_array(head, 3) && pack_uint(head, RELAY_HELLO) &&
           pack_uint(head, RELAY_PROTOCOL) && pack_string(head, identity);
}

bool relay_get_hello(struct cursor *cursor, uint64_t *ret_protocol, const char **ret_identity, size_t *ret_len)
{
    return cursor_uint(cursor, ret_protocol) && cursor_text(cursor, ret_identity, ret_len) && cursor_at_end(cursor);
}

bool relay_put_welcome(struct buffer *head, const struct error *error)
{
    const struct value none = value_null();

    return relay_begin(head) && pack_array(head, 2) && pack_uint(head, RELAY_HELLO) &&
           (error ? put_error(head, error) : pack_value(head, &none));
}

bool relay_get_welcome(struct cursor *cursor, struct error *ret_error)
{
    *ret_error = (struct error){0};
    return (cursor_nil(cursor) || get_error(cursor, ret_error)) && cursor_at_end(cursor);
}

/* ---- submissions ---- */

static bool put_bin_header(struct buffer *head, size_t len)
{
    const uint8_t header[] = {BIN_32, (uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len};

    return buffer_put(head, header, sizeof header);
}

bool relay_put_submit(struct buffer *head, uint64_t id, const struct submission *submission)
{
    unsigned flags = (submission->atomic ? FLAG_ATOMIC : 0) | (submission->references_at_end ? FLAG_AT_END : 0);
    bool fine = put_head(head, 7, RELAY_SUBMIT, id) && pack_uint(head, flags) &&
                pack_uint(head, submission->parsed_ns) && pack_uint(head, submission->parse_took_ns) &&
                pack_array(head, submission->count * OP_ITEMS);

    for (uint32_t i = 0; fine && i < submission->count; i++) {
        const struct op *op = &submission->ops[i];

        fine = pack_uint(head, op->table) && pack_uint(head, op->same_is_fine ? FLAG_SAME_IS_FINE : 0) &&
               pack_uint(head, op->row_at) && pack_uint(head, op->row_len) && pack_uint(head, op->position);
    }
    return fine && put_bin_header(head, submission->rows.len);
}

static bool get_op(struct cursor *cursor, const struct schema *schema, struct op *op)
{
    uint32_t table, flags;

    if (!cursor_uint32(cursor, &table) || table >= schema->table_count || !cursor_uint32(cursor, &flags) ||
        !cursor_uint32(cursor, &op->row_at) || !cursor_uint32(cursor, &op->row_len) ||
        !cursor_uint(cursor, &op->position))
        return false;
    op->kind = OP_INSERT;
    op->table = (table_id)table;
    op->same_is_fine = flags & FLAG_SAME_IS_FINE;
    return true;
}

static bool get_rows(struct cursor *cursor, struct submission *submission)
{
    const uint8_t *rows;
    size_t len;

    if (!cursor_blob(cursor, &rows, &len) || !cursor_at_end(cursor) || !buffer_put(&submission->rows, rows, len))
        return false;
    for (uint32_t i = 0; i < submission->count; i++)
        if ((uint64_t)submission->ops[i].row_at + submission->ops[i].row_len > len)
            return false;
    return true;
}

struct submission *relay_get_submit(struct cursor *cursor, const struct schema *schema)
{
    uint64_t parsed_ns, took_ns;
    uint32_t flags, items;

    if (!cursor_uint32(cursor, &flags) || !cursor_uint(cursor, &parsed_ns) || !cursor_uint(cursor, &took_ns) ||
        !cursor_array(cursor, &items) || items % OP_ITEMS != 0 || items / OP_ITEMS > RELAY_OPS_MAX)
        return NULL;
    struct submission *submission = submission_new(items ? items / OP_ITEMS : 1);
    if (!submission)
        return NULL;
    submission->atomic = flags & FLAG_ATOMIC;
    submission->references_at_end = flags & FLAG_AT_END;
    submission->parsed_ns = parsed_ns;
    submission->parse_took_ns = took_ns;
    bool fine = true;
    for (; fine && submission->count < items / OP_ITEMS; submission->count++)
        fine = get_op(cursor, schema, &submission->ops[submission->count]);
    if (fine && get_rows(cursor, submission))
        return submission;
    submission_free(submission);
    return NULL;
}

static bool is_simply_done(const struct op *op)
{
    return op->result == OP_DONE && !op->key_assigned;
}

static bool put_result(struct buffer *head, uint32_t index, const struct op *op)
{
    const struct value none = value_null();

    return pack_uint(head, index) && pack_uint(head, op->result) &&
           (op->key_assigned ? pack_int(head, op->rowid) : pack_value(head, &none)) &&
           (op->result == OP_REFUSED ? put_error(head, op->error) : pack_value(head, &none));
}

bool relay_put_submitted(struct buffer *head, uint64_t id, const struct submission *submission)
{
    uint32_t results = 0;

    for (uint32_t i = 0; i < submission->count; i++)
        results += !is_simply_done(&submission->ops[i]);
    bool fine = put_head(head, 3, RELAY_SUBMIT, id) && pack_array(head, results * RESULT_ITEMS);
    for (uint32_t i = 0; fine && i < submission->count; i++)
        fine = is_simply_done(&submission->ops[i]) || put_result(head, i, &submission->ops[i]);
    return fine;
}

static bool get_result(struct cursor *cursor, struct submission *submission)
{
    uint32_t index, result;
    struct error error = {0};

    if (!cursor_uint32(cursor, &index) || index >= submission->count || !cursor_uint32(cursor, &result) ||
        result < OP_DONE || result > OP_REFUSED)
        return false;
    struct op *op = &submission->ops[index];
    op->key_assigned = !cursor_nil(cursor);
    if (op->key_assigned && !cursor_int(cursor, &op->rowid))
        return false;
    if (!cursor_nil(cursor) && !get_error(cursor, &error))
        return false;
    op->result = (enum op_result)result;
    if (result != OP_REFUSED)
        return true;
    op->error = malloc(sizeof error);
    if (op->error)
        *op->error = error;
    return op->error && error.code != ERROR_NONE;
}

bool relay_get_submitted(struct cursor *cursor, struct submission *submission)
{
    uint32_t items;

    if (!cursor_array(cursor, &items) || items % RESULT_ITEMS != 0)
        return false;
    for (uint32_t i = 0; i < submission->count; i++)
        submission->ops[i].result = OP_DONE;
    for (uint32_t i = 0; i < items / RESULT_ITEMS; i++)
        if (!get_result(cursor, submission))
            return false;
    return cursor_at_end(cursor);
}

/* ---- questions ---- */

bool relay_put_ask(struct buffer *head, uint64_t id, const struct query *query)
{
    return put_head(head, 5, RELAY_ASK, id) && pack_uint(head, query->kind) && pack_uint(head, query->database) &&
           pack_blob(head, query->ask.bytes, query->ask.len);
}

bool relay_get_ask(struct cursor *cursor, const struct schema *schema, struct query *query)
{
    uint32_t kind, database;
    const uint8_t *body;
    size_t len;

    if (!cursor_uint32(cursor, &kind) || !cursor_uint32(cursor, &database) || database >= schema->database_count ||
        !cursor_blob(cursor, &body, &len) || !cursor_at_end(cursor))
        return false;
    if (kind != WIRE_EXISTS && kind != WIRE_SCAN && kind != WIRE_PROBE && kind != WIRE_STATS)
        return false;
    query->kind = (enum wire_kind)kind;
    query->database = (database_id)database;
    return buffer_put(&query->ask, body, len);
}

bool relay_put_asked(struct buffer *head, uint64_t id, const struct query *query)
{
    const struct value none = value_null();

    if (!put_head(head, 4, RELAY_ASK, id))
        return false;
    return query->ok ? pack_blob(head, query->answer.bytes, query->answer.len) && pack_value(head, &none)
                     : pack_value(head, &none) && put_error(head, &query->error);
}

bool relay_get_asked(struct cursor *cursor, struct query *query)
{
    const uint8_t *body;
    size_t len;

    buffer_clear(&query->answer);
    query->ok = !cursor_nil(cursor);
    if (query->ok)
        return cursor_blob(cursor, &body, &len) && cursor_nil(cursor) && cursor_at_end(cursor) &&
               buffer_put(&query->answer, body, len);
    return get_error(cursor, &query->error) && cursor_at_end(cursor);
}

/* ---- metrics ---- */

bool relay_put_metrics(struct buffer *head, uint64_t id)
{
    return put_head(head, 2, RELAY_METRICS, id);
}

static bool put_database(struct buffer *head, const struct engine_database_metrics *one)
{
    return pack_array(head, 10) && pack_uint(head, one->rows_accepted) && pack_uint(head, one->rows_same) &&
           pack_uint(head, one->rows_refused) && pack_uint(head, one->batches) && histogram_pack(&one->wait, head) &&
           histogram_pack(&one->check, head) && histogram_pack(&one->queue, head) &&
           histogram_pack(&one->total, head) && histogram_pack(&one->batch_rows, head) &&
           histogram_pack(&one->round_trip, head);
}

static bool get_database(struct cursor *cursor, struct engine_database_metrics *one)
{
    struct error ignored;
    uint32_t items;

    return cursor_array(cursor, &items) && items == 10 && cursor_uint(cursor, &one->rows_accepted) &&
           cursor_uint(cursor, &one->rows_same) && cursor_uint(cursor, &one->rows_refused) &&
           cursor_uint(cursor, &one->batches) && histogram_unpack(cursor, &one->wait, &ignored) &&
           histogram_unpack(cursor, &one->check, &ignored) && histogram_unpack(cursor, &one->queue, &ignored) &&
           histogram_unpack(cursor, &one->total, &ignored) && histogram_unpack(cursor, &one->batch_rows, &ignored) &&
           histogram_unpack(cursor, &one->round_trip, &ignored);
}

bool relay_put_measured(struct buffer *head, uint64_t id, const struct engine_metrics *metrics)
{
    bool fine =
        put_head(head, 4, RELAY_METRICS, id) && pack_uint(head, metrics->busy_ns) && pack_array(head, metrics->count);

    for (uint16_t i = 0; fine && i < metrics->count; i++)
        fine = put_database(head, &metrics->databases[i]);
    return fine;
}

bool relay_get_measured(struct cursor *cursor, struct engine_metrics *ret_metrics)
{
    struct engine_metrics metrics = {0};
    uint32_t count;

    if (!cursor_uint(cursor, &metrics.busy_ns) || !cursor_array(cursor, &count) || count > LIMIT_DATABASES_MAX)
        return false;
    metrics.databases = calloc(count ? count : 1, sizeof *metrics.databases);
    bool fine = metrics.databases != NULL;
    for (; fine && metrics.count < count; metrics.count++)
        fine = get_database(cursor, &metrics.databases[metrics.count]);
    if (fine && cursor_at_end(cursor)) {
        *ret_metrics = metrics;
        return true;
    }
    engine_metrics_release(&metrics);
    return false;
}
