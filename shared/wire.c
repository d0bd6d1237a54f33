/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

#include <stdlib.h>
#include <string.h>

static bool malformed(struct error *error, const char *what)
{
    return error_set(error, ERROR_PARSE, "malformed message: %s", what);
}

/* A body is the last item of its message: nothing may come behind it. */
static bool body_array(struct cursor *body, uint32_t wanted, const char *what, struct error *error)
{
    uint32_t count;
    if (!cursor_array(body, &count) || count != wanted)
        return malformed(error, what);
    return true;
}

static bool body_done(const struct cursor *body, const char *what, struct error *error)
{
    return cursor_at_end(body) || malformed(error, what);
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
        return malformed(error, "no header");
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
        return malformed(error, "no code");
    if (code != ERROR_NONE) {
        struct error refusal = {.code = (enum error_code)code};
        if (!cursor_array(&cursor, &count) || count != 3 || !get_refusal(&cursor, &refusal) || !cursor_at_end(&cursor))
            return malformed(error, "a refusal is table, constraint and text");
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
    if (!body_array(body, 6, "hello has six items", error))
        return false;
    if (!cursor_uint(body, &hello.protocol) || !cursor_bool(body, &hello.claim) ||
        !cursor_text(body, &hello.cluster, &hello.cluster_len) ||
        !cursor_text(body, &hello.database, &hello.database_len) ||
        !cursor_text(body, &hello.schema, &hello.schema_len) ||
        !cursor_text(body, &hello.placement, &hello.placement_len))
        return malformed(error, "hello");
    if (!body_done(body, "hello has trailing bytes", error))
        return false;
    *ret_hello = hello;
    return true;
}

bool wire_put_hello_answer(struct buffer *message, const struct wire_hello_answer *answer)
{
    bool ok = pack_array(message, 8) && pack_uint(message, answer->protocol) && pack_bool(message, answer->fresh) &&
              pack_string(message, answer->cluster) && pack_uint(message, answer->epoch) &&
              pack_uint(message, answer->last_batch) && pack_array(message, answer->prepared_count);
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
        ok = pack_array(message, 3) && pack_uint(message, table->table) && pack_bool(message, table->has_rows) &&
             pack_int(message, table->rowid_max);
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
        if (!cursor_array(body, &items) || items != 3 || !cursor_uint32(body, &id) || id >= LIMIT_TABLES_MAX ||
            !cursor_bool(body, &table->has_rows) || !cursor_int(body, &table->rowid_max))
            return false;
        table->table = (table_id)id;
    }
    return true;
}

bool wire_get_hello_answer(struct cursor *body, struct wire_hello_answer *ret_answer, struct error *error)
{
    struct wire_hello_answer answer = {0};
    if (!body_array(body, 8, "a hello's answer has eight items", error))
        return false;
    if (!cursor_uint(body, &answer.protocol) || !cursor_bool(body, &answer.fresh) ||
        !cursor_string(body, answer.cluster, sizeof answer.cluster) || !cursor_uint(body, &answer.epoch) ||
        !cursor_uint(body, &answer.last_batch) || !get_prepared(body, &answer) || !get_decided(body, &answer) ||
        !get_table_states(body, &answer) || !cursor_at_end(body)) {
        wire_hello_answer_release(&answer);
        return malformed(error, "a hello's answer");
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

/* ---- small requests ---- */

bool wire_put_exists(struct buffer *message, table_id table, uint16_t key, uint32_t count, uint32_t value_count)
{
    return pack_array(message, 4) && pack_uint(message, table) && pack_uint(message, key) &&
           pack_uint(message, count) && pack_array(message, value_count);
}

static bool get_table(struct cursor *body, const struct schema *schema, table_id *ret_table)
{
    uint32_t table;
    if (!cursor_uint32(body, &table) || table >= schema->table_count)
        return false;
    *ret_table = (table_id)table;
    return true;
}

bool wire_get_exists(struct cursor *body, const struct schema *schema, struct wire_exists *ret_exists,
                     struct error *error)
{
    struct wire_exists exists;
    uint32_t key, values;
    if (!body_array(body, 4, "exists has four items", error))
        return false;
    if (!get_table(body, schema, &exists.table) || !cursor_uint32(body, &key) ||
        key >= schema->tables[exists.table].key_count || schema->tables[exists.table].keys[key].column_count == 0 ||
        !cursor_uint32(body, &exists.count) || !cursor_array(body, &values))
        return malformed(error, "exists");
    exists.key = (uint16_t)key;
    if ((uint64_t)exists.count * schema->tables[exists.table].keys[key].column_count != values)
        return malformed(error, "exists gives another number of values than its keys have");
    exists.values = *body;
    struct value value;
    for (uint32_t i = 0; i < values; i++)
        if (!cursor_value(body, &value))
            return malformed(error, "exists holds what is no value");
    if (!body_done(body, "exists has trailing bytes", error))
        return false;
    *ret_exists = exists;
    return true;
}

bool wire_put_exists_answer(struct buffer *message, const uint8_t *there, uint32_t count)
{
    return pack_array(message, 1) && pack_blob(message, there, count);
}

bool wire_get_exists_answer(struct cursor *body, const uint8_t **ret_there, uint32_t *ret_count, struct error *error)
{
    size_t len;
    if (!body_array(body, 1, "the answer of exists has one item", error))
        return false;
    if (!cursor_blob(body, ret_there, &len) || len > UINT32_MAX || !cursor_at_end(body))
        return malformed(error, "the answer of exists");
    *ret_count = (uint32_t)len;
    return true;
}

bool wire_put_keys(struct buffer *message, const struct wire_keys *keys)
{
    return pack_array(message, 3) && pack_uint(message, keys->table) &&
           (keys->has_after ? pack_int(message, keys->after) : pack_string(message, NULL)) &&
           pack_uint(message, keys->limit);
}

bool wire_get_keys(struct cursor *body, const struct schema *schema, struct wire_keys *ret_keys, struct error *error)
{
    struct wire_keys keys = {0};
    if (!body_array(body, 3, "keys has three items", error))
        return false;
    if (!get_table(body, schema, &keys.table))
        return malformed(error, "keys");
    keys.has_after = !cursor_nil(body);
    if ((keys.has_after && !cursor_int(body, &keys.after)) || !cursor_uint32(body, &keys.limit) || keys.limit == 0 ||
        keys.limit > WIRE_KEYS_MAX || !cursor_at_end(body))
        return malformed(error, "keys");
    *ret_keys = keys;
    return true;
}

bool wire_put_keys_answer(struct buffer *message, uint64_t batch, bool complete, const int64_t *keys, uint32_t count)
{
    /* the blob is little-endian, as every machine Sheaf is built for */
    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "keys are copied as they are");
    return pack_array(message, 3) && pack_uint(message, batch) && pack_bool(message, complete) &&
           pack_blob(message, keys, (size_t)count * sizeof *keys);
}

bool wire_get_keys_answer(struct cursor *body, struct wire_keys_answer *ret_answer, struct error *error)
{
    struct wire_keys_answer answer;
    size_t len;
    if (!body_array(body, 3, "the answer of keys has three items", error))
        return false;
    if (!cursor_uint(body, &answer.batch) || !cursor_bool(body, &answer.complete) ||
        !cursor_blob(body, &answer.keys, &len) || len % sizeof(int64_t) || len / sizeof(int64_t) > WIRE_KEYS_MAX ||
        !cursor_at_end(body))
        return malformed(error, "the answer of keys");
    answer.count = (uint32_t)(len / sizeof(int64_t));
    *ret_answer = answer;
    return true;
}

int64_t wire_key_at(const struct wire_keys_answer *answer, uint32_t i)
{
    int64_t key;
    memcpy(&key, answer->keys + (size_t)i * sizeof key, sizeof key);
    return key;
}

/* ---- scan ---- */

bool wire_put_scan(struct buffer *message, table_id table, uint32_t limit, const struct value *after,
                   uint32_t after_count, const struct wire_filter *filters, uint32_t filter_count)
{
    bool ok = pack_array(message, 4) && pack_uint(message, table) && pack_uint(message, limit) &&
              pack_array(message, after_count);
    for (uint32_t i = 0; ok && i < after_count; i++)
        ok = pack_value(message, &after[i]);
    ok = ok && pack_array(message, 2 * filter_count);
    for (uint32_t i = 0; ok && i < filter_count; i++)
        ok = pack_uint(message, filters[i].column) && pack_value(message, &filters[i].value);
    return ok;
}

/* Over `count` values; leaves `ret_values` at the first. */
static bool skip_values(struct cursor *body, uint32_t *ret_count, struct cursor *ret_values)
{
    struct value value;
    if (!cursor_array(body, ret_count))
        return false;
    *ret_values = *body;
    for (uint32_t i = 0; i < *ret_count; i++)
        if (!cursor_value(body, &value))
            return false;
    return true;
}

static bool skip_filters(struct cursor *body, const struct schema_table *table, struct wire_scan *scan)
{
    uint32_t items, column;
    struct value value;
    if (!cursor_array(body, &items) || items % 2 || items / 2 > WIRE_FILTERS_MAX)
        return false;
    scan->filter_count = items / 2;
    scan->filters = *body;
    for (uint32_t i = 0; i < scan->filter_count; i++)
        if (!cursor_uint32(body, &column) || column >= table->column_count || !cursor_value(body, &value))
            return false;
    return true;
}

bool wire_get_scan(struct cursor *body, const struct schema *schema, struct wire_scan *ret_scan, struct error *error)
{
    struct wire_scan scan;
    if (!body_array(body, 4, "scan has four items", error))
        return false;
    if (!get_table(body, schema, &scan.table) || !cursor_uint32(body, &scan.limit) ||
        !skip_values(body, &scan.after_count, &scan.after) || !skip_filters(body, &schema->tables[scan.table], &scan) ||
        !cursor_at_end(body))
        return malformed(error, "scan");
    *ret_scan = scan;
    return true;
}

bool wire_get_scan_answer(struct cursor *body, struct wire_scan_answer *ret_answer, struct error *error)
{
    struct wire_scan_answer answer;
    if (!body_array(body, 2, "the answer of scan has two items", error))
        return false;
    if (!cursor_array(body, &answer.row_count))
        return malformed(error, "the answer of scan");
    answer.rows = *body;
    for (uint32_t i = 0; i < answer.row_count; i++)
        if (!cursor_skip(body))
            return malformed(error, "the answer of scan holds what is no row");
    if (!skip_values(body, &answer.next_count, &answer.next) || !cursor_at_end(body))
        return malformed(error, "the answer of scan");
    *ret_answer = answer;
    return true;
}

/* ---- rows by their keys ---- */

bool wire_put_read(struct buffer *message, table_id table, uint32_t count, uint32_t value_count)
{
    return pack_array(message, 3) && pack_uint(message, table) && pack_uint(message, count) &&
           pack_array(message, value_count);
}

bool wire_get_read(struct cursor *body, const struct schema *schema, struct wire_read *ret_read, struct error *error)
{
    struct wire_read read;
    uint32_t values;
    if (!body_array(body, 3, "read has three items", error))
        return false;
    if (!get_table(body, schema, &read.table) || !cursor_uint32(body, &read.count) ||
        !skip_values(body, &values, &read.values) || !cursor_at_end(body) ||
        (uint64_t)read.count * schema_key_columns(&schema->tables[read.table]) != values)
        return malformed(error, "read");
    *ret_read = read;
    return true;
}

bool wire_get_read_answer(struct cursor *body, struct wire_rows *ret_rows, struct error *error)
{
    struct wire_rows rows;
    if (!body_array(body, 1, "the answer of read has one item", error))
        return false;
    if (!cursor_array(body, &rows.count))
        return malformed(error, "the answer of read");
    rows.rows = *body;
    for (uint32_t i = 0; i < rows.count; i++)
        if (!cursor_skip(body))
            return malformed(error, "the answer of read holds what is no row");
    if (!body_done(body, "the answer of read has trailing bytes", error))
        return false;
    *ret_rows = rows;
    return true;
}

bool wire_get_row(struct wire_rows *rows, const uint8_t **ret_row, size_t *ret_len)
{
    const uint8_t *row = rows->rows.at;
    if (cursor_nil(&rows->rows)) {
        *ret_row = NULL;
        *ret_len = 0;
        return true;
    }
    if (!cursor_skip(&rows->rows))
        return false;
    *ret_row = row;
    *ret_len = (size_t)(rows->rows.at - row);
    return true;
}

bool wire_put_children(struct buffer *message, reference_id reference, uint32_t value_count)
{
    return pack_array(message, 2) && pack_uint(message, reference) && pack_array(message, value_count);
}

bool wire_get_children(struct cursor *body, const struct schema *schema, struct wire_children_ask *ret_ask,
                       struct error *error)
{
    struct wire_children_ask ask;
    uint32_t reference, values;
    if (!body_array(body, 2, "children has two items", error))
        return false;
    if (!cursor_uint32(body, &reference) || reference >= schema->reference_count ||
        !skip_values(body, &values, &ask.values) || !cursor_at_end(body) ||
        values != schema->references[reference].column_count)
        return malformed(error, "children");
    ask.reference = (reference_id)reference;
    *ret_ask = ask;
    return true;
}

bool wire_get_children_answer(struct cursor *body, struct wire_children *ret_children, struct error *error)
{
    struct wire_children children;
    uint32_t items;
    if (!body_array(body, 1, "the answer of children has one item", error))
        return false;
    if (!cursor_array(body, &items) || items % 2)
        return malformed(error, "the answer of children");
    children.count = items / 2;
    children.rows = *body;
    for (uint32_t i = 0; i < items; i++)
        if (!cursor_skip(body))
            return malformed(error, "the answer of children");
    if (!body_done(body, "the answer of children has trailing bytes", error))
        return false;
    *ret_children = children;
    return true;
}

bool wire_get_child(struct wire_children *children, int64_t *ret_rowid, const uint8_t **ret_row, size_t *ret_len)
{
    *ret_rowid = 0;
    if (!cursor_nil(&children->rows) && !cursor_int(&children->rows, ret_rowid))
        return false;
    const uint8_t *row = children->rows.at;
    if (!cursor_skip(&children->rows))
        return false;
    *ret_row = row;
    *ret_len = (size_t)(children->rows.at - row);
    return true;
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
    if (!body_array(body, (uint32_t)count + 4, "the answer of stats has thirteen items", error))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!cursor_uint(body, numbers[i]))
            return malformed(error, "the answer of stats");
    if (!histogram_unpack(body, &stats.decode, error) || !histogram_unpack(body, &stats.apply, error) ||
        !histogram_unpack(body, &stats.commit, error) || !histogram_unpack(body, &stats.batch_rows, error) ||
        !body_done(body, "the answer of stats has trailing bytes", error))
        return false;
    *ret_stats = stats;
    return true;
}

bool wire_get_nothing(struct cursor *body, struct error *error)
{
    return body_array(body, 0, "a body that is to be empty is not", error) &&
           body_done(body, "trailing bytes behind an empty body", error);
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
    if (!body_array(body, 1, "the answer of ping has one item", error))
        return false;
    return (cursor_uint(body, ret_progress) && cursor_at_end(body)) || malformed(error, "the answer of ping");
}
