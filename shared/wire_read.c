/* SPDX-License-Identifier: Apache-2.0 */
/* The part of wire.h that asks about rows: which keys are there, pages, rows by their keys, children. */
#include "wire_body.h"

#include <string.h>

/* ---- which keys are there ---- */

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
    if (!wire_body_array(body, 4, "exists has four items", error))
        return false;
    if (!get_table(body, schema, &exists.table) || !cursor_uint32(body, &key) ||
        key >= schema->tables[exists.table].key_count || schema->tables[exists.table].keys[key].column_count == 0 ||
        !cursor_uint32(body, &exists.count) || !cursor_array(body, &values))
        return wire_malformed(error, "exists");
    exists.key = (uint16_t)key;
    if ((uint64_t)exists.count * schema->tables[exists.table].keys[key].column_count != values)
        return wire_malformed(error, "exists gives another number of values than its keys have");
    exists.values = *body;
    struct value value;
    for (uint32_t i = 0; i < values; i++)
        if (!cursor_value(body, &value))
            return wire_malformed(error, "exists holds what is no value");
    if (!wire_body_done(body, "exists has trailing bytes", error))
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
    if (!wire_body_array(body, 1, "the answer of exists has one item", error))
        return false;
    if (!cursor_blob(body, ret_there, &len) || len > UINT32_MAX || !cursor_at_end(body))
        return wire_malformed(error, "the answer of exists");
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
    if (!wire_body_array(body, 3, "keys has three items", error))
        return false;
    if (!get_table(body, schema, &keys.table))
        return wire_malformed(error, "keys");
    keys.has_after = !cursor_nil(body);
    if ((keys.has_after && !cursor_int(body, &keys.after)) || !cursor_uint32(body, &keys.limit) || keys.limit == 0 ||
        keys.limit > WIRE_KEYS_MAX || !cursor_at_end(body))
        return wire_malformed(error, "keys");
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
    if (!wire_body_array(body, 3, "the answer of keys has three items", error))
        return false;
    if (!cursor_uint(body, &answer.batch) || !cursor_bool(body, &answer.complete) ||
        !cursor_blob(body, &answer.keys, &len) || len % sizeof(int64_t) || len / sizeof(int64_t) > WIRE_KEYS_MAX ||
        !cursor_at_end(body))
        return wire_malformed(error, "the answer of keys");
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
    if (!wire_body_array(body, 4, "scan has four items", error))
        return false;
    if (!get_table(body, schema, &scan.table) || !cursor_uint32(body, &scan.limit) ||
        !skip_values(body, &scan.after_count, &scan.after) || !skip_filters(body, &schema->tables[scan.table], &scan) ||
        !cursor_at_end(body))
        return wire_malformed(error, "scan");
    *ret_scan = scan;
    return true;
}

bool wire_get_scan_answer(struct cursor *body, struct wire_scan_answer *ret_answer, struct error *error)
{
    struct wire_scan_answer answer;
    if (!wire_body_array(body, 2, "the answer of scan has two items", error))
        return false;
    if (!cursor_array(body, &answer.row_count))
        return wire_malformed(error, "the answer of scan");
    answer.rows = *body;
    for (uint32_t i = 0; i < answer.row_count; i++)
        if (!cursor_skip(body))
            return wire_malformed(error, "the answer of scan holds what is no row");
    if (!skip_values(body, &answer.next_count, &answer.next) || !cursor_at_end(body))
        return wire_malformed(error, "the answer of scan");
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
    if (!wire_body_array(body, 3, "read has three items", error))
        return false;
    if (!get_table(body, schema, &read.table) || !cursor_uint32(body, &read.count) ||
        !skip_values(body, &values, &read.values) || !cursor_at_end(body) ||
        (uint64_t)read.count * schema_key_columns(&schema->tables[read.table]) != values)
        return wire_malformed(error, "read");
    *ret_read = read;
    return true;
}

bool wire_get_read_answer(struct cursor *body, struct wire_rows *ret_rows, struct error *error)
{
    struct wire_rows rows;
    if (!wire_body_array(body, 1, "the answer of read has one item", error))
        return false;
    if (!cursor_array(body, &rows.count))
        return wire_malformed(error, "the answer of read");
    rows.rows = *body;
    for (uint32_t i = 0; i < rows.count; i++)
        if (!cursor_skip(body))
            return wire_malformed(error, "the answer of read holds what is no row");
    if (!wire_body_done(body, "the answer of read has trailing bytes", error))
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
    if (!wire_body_array(body, 2, "children has two items", error))
        return false;
    if (!cursor_uint32(body, &reference) || reference >= schema->reference_count ||
        !skip_values(body, &values, &ask.values) || !cursor_at_end(body) ||
        values != schema->references[reference].column_count)
        return wire_malformed(error, "children");
    ask.reference = (reference_id)reference;
    *ret_ask = ask;
    return true;
}

bool wire_get_children_answer(struct cursor *body, struct wire_children *ret_children, struct error *error)
{
    struct wire_children children;
    uint32_t items;
    if (!wire_body_array(body, 1, "the answer of children has one item", error))
        return false;
    if (!cursor_array(body, &items) || items % 2)
        return wire_malformed(error, "the answer of children");
    children.count = items / 2;
    children.rows = *body;
    for (uint32_t i = 0; i < items; i++)
        if (!cursor_skip(body))
            return wire_malformed(error, "the answer of children");
    if (!wire_body_done(body, "the answer of children has trailing bytes", error))
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
