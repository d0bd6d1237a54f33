/* SPDX-License-Identifier: Apache-2.0 */
/* The part of wire.h that carries rows: write batches, probes and what is said of them. */
#include "wire_body.h"

#include <string.h>

/* ---- entries out ---- */

bool wire_put_write(struct buffer *message, uint64_t batch, uint32_t entry_count)
{
    return pack_array(message, 2) && pack_uint(message, batch) && pack_array(message, entry_count);
}

bool wire_put_op(struct buffer *entries, table_id table, unsigned flags, const uint8_t *row, size_t row_len)
{
    return pack_array(entries, 4) && pack_uint(entries, WIRE_ENTRY_INSERT) && pack_uint(entries, table) &&
           pack_uint(entries, flags) && pack_raw(entries, row, row_len);
}

bool wire_put_update(struct buffer *entries, table_id table, unsigned flags, const uint8_t *key, size_t key_len,
                     const uint8_t *row, size_t row_len)
{
    return pack_array(entries, 5) && pack_uint(entries, WIRE_ENTRY_UPDATE) && pack_uint(entries, table) &&
           pack_uint(entries, flags) && pack_raw(entries, key, key_len) && pack_raw(entries, row, row_len);
}

bool wire_put_delete(struct buffer *entries, table_id table, unsigned flags, const uint8_t *key, size_t key_len)
{
    return pack_array(entries, 4) && pack_uint(entries, WIRE_ENTRY_DELETE) && pack_uint(entries, table) &&
           pack_uint(entries, flags) && pack_raw(entries, key, key_len);
}

bool wire_put_keep(struct buffer *entries, const struct wire_keep *keep)
{
    return pack_array(entries, 6) && pack_uint(entries, WIRE_ENTRY_KEEP) &&
           pack_blob(entries, keep->key, keep->key_len) && pack_uint(entries, keep->index) &&
           pack_blob(entries, keep->digest, WIRE_DIGEST_BYTES) && pack_int(entries, keep->at_ms) &&
           pack_blob(entries, keep->outcome, keep->outcome_len);
}

bool wire_put_group(struct buffer *entries, uint32_t op_count)
{
    return pack_array(entries, 2) && pack_uint(entries, WIRE_ENTRY_GROUP) && pack_array(entries, op_count);
}

bool wire_put_try(struct buffer *entries, uint32_t op_count)
{
    return pack_array(entries, 2) && pack_uint(entries, WIRE_ENTRY_TRY) && pack_array(entries, op_count);
}

bool wire_put_prepare(struct buffer *entries, uint64_t txn, const char *home, const uint8_t *locks, size_t locks_len,
                      uint32_t op_count)
{
    return pack_array(entries, 5) && pack_uint(entries, WIRE_ENTRY_PREPARE) && pack_uint(entries, txn) &&
           pack_string(entries, home) && pack_blob(entries, locks, locks_len) && pack_array(entries, op_count);
}

bool wire_put_decide(struct buffer *entries, uint64_t txn, const char *const *participants, uint32_t participant_count,
                     uint32_t op_count)
{
    bool ok = pack_array(entries, 4) && pack_uint(entries, WIRE_ENTRY_DECIDE) && pack_uint(entries, txn) &&
              pack_array(entries, participant_count);
    for (uint32_t i = 0; ok && i < participant_count; i++)
        ok = pack_string(entries, participants[i]);
    return ok && pack_array(entries, op_count);
}

bool wire_put_resolve(struct buffer *entries, uint64_t txn, bool commit)
{
    return pack_array(entries, 3) && pack_uint(entries, WIRE_ENTRY_RESOLVE) && pack_uint(entries, txn) &&
           pack_bool(entries, commit);
}

bool wire_put_forget(struct buffer *entries, uint64_t txn)
{
    return pack_array(entries, 2) && pack_uint(entries, WIRE_ENTRY_FORGET) && pack_uint(entries, txn);
}

bool wire_put_probe(struct buffer *message, uint32_t op_count)
{
    return pack_array(message, 1) && pack_array(message, op_count);
}

/* ---- entries in ---- */

bool wire_get_write(struct cursor *body, uint64_t *ret_batch, uint32_t *ret_entries, struct error *error)
{
    uint32_t items;
    if (!cursor_array(body, &items) || items != 2 || !cursor_uint(body, ret_batch) || !cursor_array(body, ret_entries))
        return wire_malformed(error, "a write is a number and entries");
    return true;
}

static bool get_bytes(struct cursor *cursor, const uint8_t **ret_bytes, size_t *ret_len)
{
    *ret_bytes = cursor->at;
    if (!cursor_skip(cursor))
        return false;
    *ret_len = (size_t)(cursor->at - *ret_bytes);
    return true;
}

static bool is_op(uint32_t kind, uint32_t items)
{
    return (kind == WIRE_ENTRY_INSERT && items == 4) || (kind == WIRE_ENTRY_UPDATE && items == 5) ||
           (kind == WIRE_ENTRY_DELETE && items == 4) || (kind == WIRE_ENTRY_KEEP && items == 6);
}

static bool get_keep_items(struct cursor *cursor, struct wire_op *op)
{
    struct wire_keep *keep = &op->keep;
    size_t digest_len;
    *op = (struct wire_op){.kind = WIRE_ENTRY_KEEP};
    return cursor_blob(cursor, &keep->key, &keep->key_len) && cursor_uint32(cursor, &keep->index) &&
           cursor_blob(cursor, &keep->digest, &digest_len) && digest_len == WIRE_DIGEST_BYTES &&
           cursor_int(cursor, &keep->at_ms) && cursor_blob(cursor, &keep->outcome, &keep->outcome_len);
}

/* The items of an operation behind its kind. */
static bool get_op_items(struct cursor *cursor, enum wire_entry_kind kind, struct wire_op *op)
{
    uint32_t table, flags;
    if (kind == WIRE_ENTRY_KEEP)
        return get_keep_items(cursor, op);
    if (!cursor_uint32(cursor, &table) || table >= LIMIT_TABLES_MAX || !cursor_uint32(cursor, &flags))
        return false;
    *op = (struct wire_op){.kind = kind, .table = (table_id)table, .flags = flags};
    return (kind == WIRE_ENTRY_INSERT || get_bytes(cursor, &op->key, &op->key_len)) &&
           (kind == WIRE_ENTRY_DELETE || get_bytes(cursor, &op->row, &op->row_len));
}

bool wire_get_op(struct cursor *ops, struct wire_op *ret_op, struct error *error)
{
    struct wire_op op;
    uint32_t items, kind;
    if (!cursor_array(ops, &items) || !cursor_uint32(ops, &kind) || !is_op(kind, items) ||
        !get_op_items(ops, (enum wire_entry_kind)kind, &op))
        return wire_malformed(error, "what is no operation");
    *ret_op = op;
    return true;
}

static bool get_ops(struct cursor *body, struct wire_entry *entry)
{
    struct wire_op op;
    struct error ignored;
    if (!cursor_array(body, &entry->op_count) || entry->op_count > LIMIT_BATCH_ROWS_MAX + 1)
        return false;
    entry->ops = *body;
    for (uint32_t i = 0; i < entry->op_count; i++) {
        if (!wire_get_op(body, &op, &ignored))
            return false;
        entry->row_count += op.kind != WIRE_ENTRY_KEEP;
    }
    return entry->row_count <= LIMIT_BATCH_ROWS_MAX;
}

static bool get_participants(struct cursor *body, struct wire_entry *entry)
{
    const char *name;
    size_t len;
    if (!cursor_array(body, &entry->participant_count) || entry->participant_count > LIMIT_DATABASES_MAX)
        return false;
    entry->participants = *body;
    for (uint32_t i = 0; i < entry->participant_count; i++)
        if (!cursor_text(body, &name, &len) || len > LIMIT_NAME_BYTES_MAX)
            return false;
    return true;
}

static bool get_entry_items(struct cursor *body, uint32_t items, struct wire_entry *entry)
{
    switch (entry->kind) {
    case WIRE_ENTRY_INSERT:
    case WIRE_ENTRY_UPDATE:
    case WIRE_ENTRY_DELETE:
        return is_op(entry->kind, items) && get_op_items(body, entry->kind, &entry->op);
    case WIRE_ENTRY_GROUP:
    case WIRE_ENTRY_TRY:
        return items == 2 && get_ops(body, entry);
    case WIRE_ENTRY_PREPARE:
        return items == 5 && cursor_uint(body, &entry->txn) && cursor_text(body, &entry->home, &entry->home_len) &&
               entry->home_len <= LIMIT_NAME_BYTES_MAX && cursor_blob(body, &entry->locks, &entry->locks_len) &&
               get_ops(body, entry);
    case WIRE_ENTRY_DECIDE:
        return items == 4 && cursor_uint(body, &entry->txn) && get_participants(body, entry) && get_ops(body, entry);
    case WIRE_ENTRY_RESOLVE:
        return items == 3 && cursor_uint(body, &entry->txn) && cursor_bool(body, &entry->commit);
    case WIRE_ENTRY_FORGET:
        return items == 2 && cursor_uint(body, &entry->txn);
    case WIRE_ENTRY_KEEP:
        break;
    }
    return false;
}

const char *wire_entry_name(const struct wire_entry *entry)
{
    switch (entry->kind) {
    case WIRE_ENTRY_INSERT:
        return "insert";
    case WIRE_ENTRY_UPDATE:
        return "update";
    case WIRE_ENTRY_DELETE:
        return "delete";
    case WIRE_ENTRY_GROUP:
        return "group";
    case WIRE_ENTRY_PREPARE:
        return "prepare";
    case WIRE_ENTRY_DECIDE:
        return "decide";
    case WIRE_ENTRY_RESOLVE:
        return entry->commit ? "commit" : "abort";
    case WIRE_ENTRY_FORGET:
        return "forget";
    case WIRE_ENTRY_KEEP:
        return "keep";
    case WIRE_ENTRY_TRY:
        return "try";
    }
    return "unknown";
}

bool wire_get_entry(struct cursor *body, struct wire_entry *ret_entry, struct error *error)
{
    struct wire_entry entry = {.bytes = body->at};
    uint32_t items, kind;
    if (!cursor_array(body, &items) || !cursor_uint32(body, &kind))
        return wire_malformed(error, "what is no entry");
    entry.kind = (enum wire_entry_kind)kind;
    if (!get_entry_items(body, items, &entry))
        return wire_malformed(error, "an entry that cannot be read");
    entry.len = (size_t)(body->at - entry.bytes);
    *ret_entry = entry;
    return true;
}

bool wire_get_probe(struct cursor *body, uint32_t *ret_op_count, struct cursor *ret_ops, struct error *error)
{
    uint32_t items;
    struct wire_op op;
    if (!cursor_array(body, &items) || items != 1 || !cursor_array(body, ret_op_count) ||
        *ret_op_count > LIMIT_BATCH_ROWS_MAX)
        return wire_malformed(error, "a probe is an array of operations");
    *ret_ops = *body;
    for (uint32_t i = 0; i < *ret_op_count; i++) {
        if (!wire_get_op(body, &op, error))
            return false;
        if (op.kind == WIRE_ENTRY_KEEP)
            return wire_malformed(error, "a probe keeps nothing");
    }
    return cursor_at_end(body) || wire_malformed(error, "a probe has trailing bytes");
}

/* ---- results ---- */

bool wire_results_failure(struct wire_write_results *results, uint32_t entry, uint32_t op, const struct error *error)
{
    struct buffer *out = &results->failures;
    results->failure_count++;
    return pack_array(out, 6) && pack_uint(out, entry) && pack_uint(out, op) && pack_error(out, error);
}

bool wire_results_same(struct wire_write_results *results, uint32_t entry, uint32_t op)
{
    results->same_count++;
    return pack_uint(&results->same, entry) && pack_uint(&results->same, op);
}

void wire_results_release(struct wire_write_results *results)
{
    buffer_release(&results->failures);
    buffer_release(&results->same);
    *results = (struct wire_write_results){0};
}

/* Always the 9-byte form, so that the time of a commit can be put in later. */
static bool pack_time(struct buffer *message, uint64_t time_ns)
{
    uint8_t bytes[9] = {0xcf};
    for (unsigned i = 0; i < 8; i++)
        bytes[1 + i] = (uint8_t)(time_ns >> (56 - 8 * i));
    return pack_raw(message, bytes, sizeof bytes);
}

void wire_set_commit_ns(struct buffer *message, size_t at, uint64_t commit_ns)
{
    struct cursor body = cursor_over(message->bytes + at, message->len - at);
    uint32_t items;
    uint64_t number;
    if (!cursor_array(&body, &items) || !cursor_uint(&body, &number) || !cursor_array(&body, &items) ||
        !cursor_uint(&body, &number) || !cursor_uint(&body, &number) || cursor_left(&body) < 9 || *body.at != 0xcf)
        panic("a write's answer that was just made cannot be read");
    uint8_t *bytes = message->bytes + (body.at - message->bytes);
    for (unsigned i = 0; i < 8; i++)
        bytes[1 + i] = (uint8_t)(commit_ns >> (56 - 8 * i));
}

bool wire_put_write_answer(struct buffer *message, uint64_t batch, uint64_t decode_ns, uint64_t apply_ns,
                           uint64_t commit_ns, const struct wire_write_results *results)
{
    return pack_array(message, 4) && pack_uint(message, batch) && pack_array(message, 3) &&
           pack_time(message, decode_ns) && pack_time(message, apply_ns) && pack_time(message, commit_ns) &&
           pack_array(message, results->failure_count) &&
           pack_raw(message, results->failures.bytes, results->failures.len) &&
           pack_array(message, 2 * results->same_count) && pack_raw(message, results->same.bytes, results->same.len);
}

bool wire_get_failure(struct cursor *failures, struct wire_failure *ret_failure, struct error *error)
{
    struct wire_failure failure = {0};
    uint32_t items;
    if (!cursor_array(failures, &items) || items != 6 || !cursor_uint32(failures, &failure.entry) ||
        !cursor_uint32(failures, &failure.op) || !cursor_error(failures, &failure.error))
        return wire_malformed(error, "what is no failure");
    *ret_failure = failure;
    return true;
}

bool wire_get_same(struct cursor *same, uint32_t *ret_entry, uint32_t *ret_op, struct error *error)
{
    return (cursor_uint32(same, ret_entry) && cursor_uint32(same, ret_op)) ||
           wire_malformed(error, "rows that were there already");
}

bool wire_get_write_answer(struct cursor *body, struct wire_write_answer *ret_answer, struct error *error)
{
    struct wire_write_answer answer = {0};
    struct wire_failure failure;
    uint32_t items, numbers, entry, op;
    if (!cursor_array(body, &items) || items != 4 || !cursor_uint(body, &answer.batch) || !cursor_array(body, &items) ||
        items != 3 || !cursor_uint(body, &answer.decode_ns) || !cursor_uint(body, &answer.apply_ns) ||
        !cursor_uint(body, &answer.commit_ns) || !cursor_array(body, &answer.failure_count))
        return wire_malformed(error, "the answer of a write");
    answer.failures = *body;
    for (uint32_t i = 0; i < answer.failure_count; i++)
        if (!wire_get_failure(body, &failure, error))
            return false;
    if (!cursor_array(body, &numbers) || numbers % 2)
        return wire_malformed(error, "the answer of a write");
    answer.same_count = numbers / 2;
    answer.same = *body;
    for (uint32_t i = 0; i < answer.same_count; i++)
        if (!wire_get_same(body, &entry, &op, error))
            return false;
    if (!cursor_at_end(body))
        return wire_malformed(error, "trailing bytes behind the answer of a write");
    *ret_answer = answer;
    return true;
}
