/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_text.h"

#include <string.h>

#define VALUES_MAX 16u /* of a row */

static void put_text(struct buffer *text, const char *what)
{
    if (!buffer_put_text(text, what))
        panic("out of memory");
}

static void put_values(struct buffer *text, const struct value *values, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        put_text(text, i ? "," : "(");
        if (values[i].type == VALUE_ABSENT)
            put_text(text, "-");
        else if (!value_describe(&values[i], text))
            panic("out of memory");
    }
    put_text(text, ")");
}

static void put_op_key(struct buffer *text, const struct wire_op *op)
{
    struct cursor key = cursor_over(op->key, op->key_len);
    struct value values[VALUES_MAX];
    uint32_t count;
    bool ok = cursor_array(&key, &count) && count <= VALUES_MAX;
    for (uint32_t i = 0; ok && i < count; i++)
        ok = cursor_value(&key, &values[i]);
    if (!ok)
        panic("a key cannot be read");
    put_values(text, values, count);
}

/* The user's key stands behind the tag of its path. */
static void put_request_key(struct buffer *text, const uint8_t *key, size_t len)
{
    if (len <= ROW_TAG_BYTES || !buffer_put(text, key + ROW_TAG_BYTES, len - ROW_TAG_BYTES))
        panic("an idempotency key cannot be read");
}

static void put_keep(struct buffer *text, const struct wire_keep *keep)
{
    struct cursor outcome = cursor_over(keep->outcome, keep->outcome_len);
    uint32_t items, kind = 0, at, code = 0;
    put_text(text, "+");
    put_request_key(text, keep->key, keep->key_len);
    if (!keep->outcome_len) {
        put_text(text, ".claim");
        return;
    }
    if (keep->index != UINT32_MAX)
        buffer_format(text, ".%u", keep->index);
    if (!cursor_array(&outcome, &items) || !cursor_uint32(&outcome, &kind) || !cursor_uint32(&outcome, &at) ||
        (kind == 2 && !cursor_uint32(&outcome, &code)))
        panic("an outcome cannot be read");
    buffer_format(text, "=%s", kind == 2 ? error_code_name((enum error_code)code) : "done");
}

void fake_put_op(const struct schema *schema, struct buffer *text, const struct wire_op *op)
{
    if (op->kind == WIRE_ENTRY_KEEP) {
        put_keep(text, &op->keep);
        return;
    }
    const struct schema_table *table = &schema->tables[op->table];
    struct value values[VALUES_MAX];
    struct error error;
    put_text(text, op->kind == WIRE_ENTRY_DELETE ? "-" : "");
    put_text(text, table->name);
    if (op->kind != WIRE_ENTRY_INSERT) {
        put_text(text, op->flags & WIRE_FLAG_MADE_HERE ? "^" : "");
        put_op_key(text, op);
    }
    if (op->kind == WIRE_ENTRY_DELETE)
        return;
    if (!row_read(table, op->row, op->row_len, values, &error))
        panic("%s", error.text);
    put_text(text, op->kind == WIRE_ENTRY_UPDATE ? "=" : "");
    put_values(text, values, table->column_count);
    put_text(text, op->flags & WIRE_FLAG_SAME_IS_FINE ? "~" : "");
}

static void put_ops(const struct schema *schema, struct buffer *text, struct cursor ops, uint32_t count)
{
    struct wire_op op;
    put_text(text, "[");
    for (uint32_t i = 0; i < count; i++) {
        if (!wire_get_op(&ops, &op, NULL))
            panic("an op cannot be read");
        put_text(text, i ? " " : "");
        fake_put_op(schema, text, &op);
    }
    put_text(text, "]");
}

static void put_txn(struct buffer *text, const char *what, uint64_t txn)
{
    buffer_format(text, "%s %u.%u", what, (unsigned)(txn >> 32), (unsigned)txn);
}

static void put_entry(const struct schema *schema, struct buffer *text, const struct wire_entry *entry)
{
    struct cursor names = entry->participants;
    const char *name;
    size_t len;
    switch (entry->kind) {
    case WIRE_ENTRY_INSERT:
    case WIRE_ENTRY_UPDATE:
    case WIRE_ENTRY_DELETE:
        fake_put_op(schema, text, &entry->op);
        return;
    case WIRE_ENTRY_GROUP:
        put_text(text, "group");
        put_ops(schema, text, entry->ops, entry->op_count);
        return;
    case WIRE_ENTRY_TRY:
        put_text(text, "try");
        put_ops(schema, text, entry->ops, entry->op_count);
        return;
    case WIRE_ENTRY_PREPARE:
        put_txn(text, "prepare", entry->txn);
        buffer_format(text, " home=%.*s ", (int)entry->home_len, entry->home);
        put_ops(schema, text, entry->ops, entry->op_count);
        return;
    case WIRE_ENTRY_DECIDE:
        put_txn(text, "decide", entry->txn);
        for (uint32_t i = 0; i < entry->participant_count; i++) {
            if (!cursor_text(&names, &name, &len))
                panic("a participant cannot be read");
            buffer_format(text, "%s%.*s", i ? "," : " (", (int)len, name);
        }
        put_text(text, ") ");
        put_ops(schema, text, entry->ops, entry->op_count);
        return;
    case WIRE_ENTRY_RESOLVE:
        put_txn(text, "resolve", entry->txn);
        put_text(text, entry->commit ? " commit" : " abort");
        return;
    case WIRE_ENTRY_FORGET:
        put_txn(text, "forget", entry->txn);
        return;
    case WIRE_ENTRY_KEEP:
        break;
    }
}

static void put_write(const struct schema *schema, struct buffer *text, struct cursor body)
{
    struct wire_entry entry;
    struct error error;
    uint64_t batch;
    uint32_t count;
    if (!wire_get_write(&body, &batch, &count, &error))
        panic("%s", error.text);
    buffer_format(text, "write %u:", (unsigned)batch);
    for (uint32_t i = 0; i < count; i++) {
        if (!wire_get_entry(&body, &entry, &error))
            panic("%s", error.text);
        put_text(text, i && (entry.kind >= WIRE_ENTRY_GROUP) ? "; " : " ");
        put_entry(schema, text, &entry);
    }
    if (!cursor_at_end(&body))
        panic("bytes behind a batch");
}

/* Each key in brackets when it has several columns. */
void fake_put_key(struct buffer *text, struct wire_exists *exists, uint16_t columns)
{
    struct value value;
    for (uint16_t c = 0; c < columns; c++) {
        if (!cursor_value(&exists->values, &value))
            panic("a key cannot be read");
        put_text(text, c ? "," : columns > 1 ? "(" : "");
        value_describe(&value, text);
    }
    put_text(text, columns > 1 ? ")" : "");
}

uint16_t fake_key_columns(const struct schema *schema, const struct wire_exists *exists)
{
    return schema->tables[exists->table].keys[exists->key].column_count;
}

static void put_exists(const struct schema *schema, struct buffer *text, struct cursor body)
{
    struct wire_exists exists;
    struct error error;
    if (!wire_get_exists(&body, schema, &exists, &error))
        panic("%s", error.text);
    buffer_format(text, "exists %s.%u:", schema->tables[exists.table].name, exists.key);
    for (uint32_t i = 0; i < exists.count; i++) {
        put_text(text, " ");
        fake_put_key(text, &exists, fake_key_columns(schema, &exists));
    }
}

static void put_keys(const struct schema *schema, struct buffer *text, struct cursor body)
{
    struct wire_keys keys;
    struct error error;
    if (!wire_get_keys(&body, schema, &keys, &error))
        panic("%s", error.text);
    buffer_format(text, "keys %s", schema->tables[keys.table].name);
    if (keys.has_after)
        buffer_format(text, " after %lld", (long long)keys.after);
}

static void put_probe(const struct schema *schema, struct buffer *text, struct cursor body)
{
    struct cursor ops;
    struct error error;
    uint32_t count;
    if (!wire_get_probe(&body, &count, &ops, &error))
        panic("%s", error.text);
    put_text(text, "probe ");
    put_ops(schema, text, ops, count);
}

static void put_kept(struct buffer *text, struct cursor body)
{
    struct wire_kept_ask ask;
    struct error error;
    if (!wire_get_kept(&body, &ask, &error))
        panic("%s", error.text);
    put_text(text, "kept ");
    put_request_key(text, ask.key, ask.key_len);
    if (ask.from)
        buffer_format(text, " from %u", ask.from);
}

bool fake_is_claim(struct cursor body)
{
    struct wire_hello hello;
    struct error error;
    if (!wire_get_hello(&body, &hello, &error))
        panic("%s", error.text);
    return hello.claim;
}

void fake_describe(const struct schema *schema, struct fake_request *request)
{
    struct cursor body = cursor_over(request->body.bytes, request->body.len);
    struct buffer text = {0};
    if (request->header.kind == WIRE_WRITE)
        put_write(schema, &text, body);
    else if (request->header.kind == WIRE_EXISTS)
        put_exists(schema, &text, body);
    else if (request->header.kind == WIRE_KEYS)
        put_keys(schema, &text, body);
    else if (request->header.kind == WIRE_PROBE && body.at != body.end)
        put_probe(schema, &text, body);
    else if (request->header.kind == WIRE_KEPT)
        put_kept(&text, body);
    else if (request->header.kind == WIRE_HELLO)
        put_text(&text, fake_is_claim(body) ? "claim" : "hello");
    else
        put_text(&text, wire_kind_name(request->header.kind));
    size_t len = text.len < sizeof request->line ? text.len : sizeof request->line - 1;
    memcpy(request->line, text.bytes, len);
    request->line[len] = '\0';
    buffer_release(&text);
}
