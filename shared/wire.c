/* SPDX-License-Identifier: Apache-2.0 */
#include "wire_body.h"

#include <stdlib.h>
#include <string.h>

bool wire_malformed(struct error *error, const char *what)
{
    return error_set(error, ERROR_PARSE, "malformed message: %s", what);
}

bool wire_body_array(struct cursor *body, uint32_t wanted, const char *what, struct error *error)
{
    uint32_t count;
    if (!cursor_array(body, &count) || count != wanted)
        return wire_malformed(error, what);
    return true;
}

bool wire_body_done(const struct cursor *body, const char *what, struct error *error)
{
    return cursor_at_end(body) || wire_malformed(error, what);
}

const char *wire_kind_name(unsigned kind)
{
    switch (kind) {
#define X(number, name, NAME, claimed) \
    case number:                       \
        return #name;
        WIRE_REQUESTS(X)
#undef X
    default:
        return "unknown";
    }
}

/* ---- header ---- */

static bool put_header(struct buffer *message, uint32_t items, const struct wire_header *header)
{
    return pack_array(message, items) && pack_uint(message, header->kind) && pack_uint(message, header->epoch) &&
           pack_uint(message, header->coordinator) && pack_uint(message, header->generation) &&
           pack_uint(message, header->request);
}

bool wire_put_request(struct buffer *message, const struct wire_header *header)
{
    return put_header(message, 6, header);
}

bool wire_put_done(struct buffer *message, const struct wire_header *header)
{
    return put_header(message, 7, header) && pack_uint(message, ERROR_NONE);
}

static bool put_refusal(struct buffer *message, const struct error *error)
{
    return pack_string(message, error->table[0] ? error->table : NULL) &&
           pack_string(message, error->constraint[0] ? error->constraint : NULL) && pack_string(message, error->text);
}

static bool get_refusal(struct cursor *cursor, struct error *ret_error)
{
    return cursor_string(cursor, ret_error->table, sizeof ret_error->table) &&
           cursor_string(cursor, ret_error->constraint, sizeof ret_error->constraint) &&
           cursor_string(cursor, ret_error->text, sizeof ret_error->text);
}

bool wire_put_error(struct buffer *message, const struct wire_header *header, const struct error *error)
{
    return put_header(message, 7, header) && pack_uint(message, error->code) && pack_array(message, 3) &&
           put_refusal(message, error);
}

static bool get_header(struct cursor *cursor, uint32_t items, struct wire_header *ret_header, struct error *error)
{
    uint32_t count, kind;
    struct wire_header header;
    if (!cursor_array(cursor, &count) || count != items || !cursor_uint32(cursor, &kind) ||
        !cursor_uint(cursor, &header.epoch) || !cursor_uint(cursor, &header.coordinator) ||
        !cursor_uint(cursor, &header.generation) || !cursor_uint(cursor, &header.request))
        return wire_malformed(error, "no header");
    header.kind = kind;
    *ret_header = header;
    return true;
}

bool wire_get_request(const uint8_t *bytes, size_t len, struct wire_header *ret_header, struct cursor *ret_body,
                      struct error *error)
{
    struct cursor cursor = cursor_over(bytes, len);
    if (!get_header(&cursor, 6, ret_header, error))
        return false;
    *ret_body = cursor;
    return true;
}

bool wire_get_answer(const uint8_t *bytes, size_t len, struct wire_header *ret_header, bool *ret_done,
                     struct error *ret_refusal, struct cursor *ret_body, struct error *error)
{
    struct cursor cursor = cursor_over(bytes, len);
    uint32_t code, count;
    if (!get_header(&cursor, 7, ret_header, error))
        return false;
    if (!cursor_uint32(&cursor, &code) || (code != ERROR_NONE && !error_code_valid(code)))
        return wire_malformed(error, "no code");
    if (code != ERROR_NONE) {
        struct error refusal = {.code = (enum error_code)code};
        if (!cursor_array(&cursor, &count) || count != 3 || !get_refusal(&cursor, &refusal) || !cursor_at_end(&cursor))
            return wire_malformed(error, "a refusal is table, constraint and text");
        *ret_refusal = refusal;
    }
    *ret_done = code == ERROR_NONE;
    *ret_body = cursor;
    return true;
}

/* ---- hello ---- */

bool wire_put_hello(struct buffer *message, const struct wire_hello *hello)
{
    return pack_array(message, 6) && pack_uint(message, hello->protocol) && pack_bool(message, hello->claim) &&
           pack_text(message, hello->cluster, hello->cluster_len) &&
           pack_text(message, hello->database, hello->database_len) &&
           pack_text(message, hello->schema, hello->schema_len) &&
           pack_text(message, hello->placement, hello->placement_len);
}

bool wire_get_hello(struct cursor *body, struct wire_hello *ret_hello, struct error *error)
{
    struct wire_hello hello;
    if (!wire_body_array(body, 6, "hello has six items", error))
        return false;
    if (!cursor_uint(body, &hello.protocol) || !cursor_bool(body, &hello.claim) ||
        !cursor_text(body, &hello.cluster, &hello.cluster_len) ||
        !cursor_text(body, &hello.database, &hello.database_len) ||
        !cursor_text(body, &hello.schema, &hello.schema_len) ||
        !cursor_text(body, &hello.placement, &hello.placement_len))
        return wire_malformed(error, "hello");
    if (!wire_body_done(body, "hello has trailing bytes", error))
        return false;
    *ret_hello = hello;
    return true;
}

bool wire_put_hello_answer(struct buffer *message, const struct wire_hello_answer *answer)
{
    bool ok = pack_array(message, 9) && pack_uint(message, answer->protocol) && pack_bool(message, answer->fresh) &&
              pack_string(message, answer->cluster) && pack_uint(message, answer->epoch) &&
              pack_uint(message, answer->last_batch) && pack_int(message, answer->kept_at_ms) &&
              pack_array(message, answer->prepared_count);
    for (uint32_t i = 0; ok && i < answer->prepared_count; i++) {
        const struct wire_prepared *prepared = &answer->prepared[i];
        ok = pack_array(message, 3) && pack_uint(message, prepared->txn) && pack_string(message, prepared->home) &&
             pack_blob(message, prepared->locks, prepared->locks_len);
    }
    ok = ok && pack_array(message, answer->decided_count);
    for (uint32_t i = 0; ok && i < answer->decided_count; i++)
        ok = pack_uint(message, answer->decided[i]);
    ok = ok && pack_array(message, answer->table_count);
    for (uint32_t i = 0; ok && i < answer->table_count; i++) {
        const struct wire_table_state *table = &answer->tables[i];
        ok = pack_array(message, 4) && pack_uint(message, table->table) && pack_bool(message, table->has_rows) &&
             pack_int(message, table->rowid_max) && pack_bool(message, table->has_last);
    }
    return ok;
}

static bool get_one_prepared(struct cursor *body, struct wire_prepared *ret_prepared)
{
    uint32_t items;
    return cursor_array(body, &items) && items == 3 && cursor_uint(body, &ret_prepared->txn) &&
           cursor_string(body, ret_prepared->home, sizeof ret_prepared->home) &&
           cursor_blob(body, &ret_prepared->locks, &ret_prepared->locks_len);
}

/* Read once before memory is taken for them: each is many times as large here as its shortest form on the wire. */
static bool get_prepared(struct cursor *body, struct wire_hello_answer *answer)
{
    struct wire_prepared prepared;
    uint32_t count;
    if (!cursor_array(body, &count))
        return false;
    struct cursor first = *body;
    for (uint32_t i = 0; i < count; i++)
        if (!get_one_prepared(body, &prepared))
            return false;
    if (!(answer->prepared = calloc(count + 1u, sizeof *answer->prepared)))
        return false;
    while (answer->prepared_count < count)
        get_one_prepared(&first, &answer->prepared[answer->prepared_count++]);
    return true;
}

static bool get_decided(struct cursor *body, struct wire_hello_answer *answer)
{
    if (!cursor_array(body, &answer->decided_count) ||
        !(answer->decided = calloc(answer->decided_count + 1u, sizeof *answer->decided)))
        return false;
    for (uint32_t i = 0; i < answer->decided_count; i++)
        if (!cursor_uint(body, &answer->decided[i]))
            return false;
    return true;
}

static bool get_table_states(struct cursor *body, struct wire_hello_answer *answer)
{
    if (!cursor_array(body, &answer->table_count) || answer->table_count > LIMIT_TABLES_MAX ||
        !(answer->tables = calloc(answer->table_count + 1u, sizeof *answer->tables)))
        return false;
    for (uint32_t i = 0; i < answer->table_count; i++) {
        struct wire_table_state *table = &answer->tables[i];
        uint32_t items, id;
        if (!cursor_array(body, &items) || items != 4 || !cursor_uint32(body, &id) || id >= LIMIT_TABLES_MAX ||
            !cursor_bool(body, &table->has_rows) || !cursor_int(body, &table->rowid_max) ||
            !cursor_bool(body, &table->has_last))
            return false;
        table->table = (table_id)id;
    }
    return true;
}

bool wire_get_hello_answer(struct cursor *body, struct wire_hello_answer *ret_answer, struct error *error)
{
    struct wire_hello_answer answer = {0};
    if (!wire_body_array(body, 9, "a hello's answer has nine items", error))
        return false;
    if (!cursor_uint(body, &answer.protocol) || !cursor_bool(body, &answer.fresh) ||
        !cursor_string(body, answer.cluster, sizeof answer.cluster) || !cursor_uint(body, &answer.epoch) ||
        !cursor_uint(body, &answer.last_batch) || !cursor_int(body, &answer.kept_at_ms) ||
        !get_prepared(body, &answer) || !get_decided(body, &answer) || !get_table_states(body, &answer) ||
        !cursor_at_end(body)) {
        wire_hello_answer_release(&answer);
        return wire_malformed(error, "a hello's answer");
    }
    *ret_answer = answer;
    return true;
}

void wire_hello_answer_release(struct wire_hello_answer *answer)
{
    free(answer->prepared);
    free(answer->decided);
    free(answer->tables);
    free(answer->locks_block);
    *answer = (struct wire_hello_answer){0};
}

/* ---- stats, ping, nothing ---- */

bool wire_put_stats_answer(struct buffer *message, const struct wire_stats *stats)
{
    const uint64_t numbers[] = {stats->rows_accepted, stats->rows_same, stats->rows_refused,
                                stats->batches,       stats->busy_ns,   stats->cpu_ns,
                                stats->file_bytes,    stats->wal_bytes, stats->memory_bytes};
    const size_t count = sizeof numbers / sizeof *numbers;
    bool ok = pack_array(message, (uint32_t)count + 4);
    for (size_t i = 0; ok && i < count; i++)
        ok = pack_uint(message, numbers[i]);
    return ok && histogram_pack(&stats->decode, message) && histogram_pack(&stats->apply, message) &&
           histogram_pack(&stats->commit, message) && histogram_pack(&stats->batch_rows, message);
}

bool wire_get_stats_answer(struct cursor *body, struct wire_stats *ret_stats, struct error *error)
{
    struct wire_stats stats = {0};
    uint64_t *const numbers[] = {&stats.rows_accepted, &stats.rows_same, &stats.rows_refused,
                                 &stats.batches,       &stats.busy_ns,   &stats.cpu_ns,
                                 &stats.file_bytes,    &stats.wal_bytes, &stats.memory_bytes};
    const size_t count = sizeof numbers / sizeof *numbers;
    if (!wire_body_array(body, (uint32_t)count + 4, "the answer of stats has thirteen items", error))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!cursor_uint(body, numbers[i]))
            return wire_malformed(error, "the answer of stats");
    if (!histogram_unpack(body, &stats.decode, error) || !histogram_unpack(body, &stats.apply, error) ||
        !histogram_unpack(body, &stats.commit, error) || !histogram_unpack(body, &stats.batch_rows, error) ||
        !wire_body_done(body, "the answer of stats has trailing bytes", error))
        return false;
    *ret_stats = stats;
    return true;
}

bool wire_get_nothing(struct cursor *body, struct error *error)
{
    return wire_body_array(body, 0, "a body that is to be empty is not", error) &&
           wire_body_done(body, "trailing bytes behind an empty body", error);
}

bool wire_put_nothing(struct buffer *message)
{
    return pack_array(message, 0);
}

bool wire_put_ping_answer(struct buffer *message, uint64_t progress)
{
    return pack_array(message, 1) && pack_uint(message, progress);
}

bool wire_get_ping_answer(struct cursor *body, uint64_t *ret_progress, struct error *error)
{
    if (!wire_body_array(body, 1, "the answer of ping has one item", error))
        return false;
    return (cursor_uint(body, ret_progress) && cursor_at_end(body)) || wire_malformed(error, "the answer of ping");
}
