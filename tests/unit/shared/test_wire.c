/* SPDX-License-Identifier: Apache-2.0 */
/* Every message is written, read and written again from what was read: both times the same bytes. Then it is cut at
 * every byte, and each bit of it is turned: it is refused or read, and nothing beyond its bytes is touched (the bytes
 * lie in a block of exactly their size, for the sanitizer to see). */
#include "wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char ddl[] = "CREATE TABLE a (id INTEGER PRIMARY KEY, x TEXT UNIQUE);\n"
                          "CREATE TABLE b (k TEXT, n INTEGER, PRIMARY KEY (n, k));\n"
                          "CREATE TABLE c (x, y, FOREIGN KEY (x, y) REFERENCES b (n, k));\n";
static struct schema *schema;
static struct error error;

static const struct wire_header header = {
    .kind = WIRE_KEYS, .epoch = 1, .coordinator = UINT64_MAX, .generation = 3, .request = 1u << 20};

/* ---- each message: written, and read and written again ---- */

static bool put_request(struct buffer *out)
{
    return wire_put_request(out, &header) && wire_put_nothing(out);
}

static bool again_request(struct cursor *in, struct buffer *out)
{
    struct wire_header got;
    struct cursor body;
    if (!wire_get_request(in->at, cursor_left(in), &got, &body, &error))
        return false;
    return wire_get_nothing(&body, &error) && wire_put_request(out, &got) && wire_put_nothing(out);
}

static bool put_done(struct buffer *out)
{
    return wire_put_done(out, &header) && wire_put_ping_answer(out, 300);
}

static bool put_refusal(struct buffer *out)
{
    struct error refusal;
    error_set(&refusal, ERROR_UNIQUE, "a row is there");
    error_about(&refusal, "a", "x,y");
    return wire_put_error(out, &header, &refusal);
}

static bool put_short_refusal(struct buffer *out)
{
    struct error refusal;
    error_set(&refusal, ERROR_INTERNAL, "out of memory");
    return wire_put_error(out, &header, &refusal);
}

static bool again_answer(struct cursor *in, struct buffer *out)
{
    struct wire_header got;
    struct cursor body;
    struct error refusal;
    bool done;
    uint64_t progress;
    if (!wire_get_answer(in->at, cursor_left(in), &got, &done, &refusal, &body, &error))
        return false;
    if (!done)
        return wire_put_error(out, &got, &refusal);
    return wire_get_ping_answer(&body, &progress, &error) && wire_put_done(out, &got) &&
           wire_put_ping_answer(out, progress);
}

static bool put_hello(struct buffer *out)
{
    const struct wire_hello hello = {.protocol = 1,
                                     .claim = true,
                                     .cluster = "c",
                                     .cluster_len = 1,
                                     .database = "db",
                                     .database_len = 2,
                                     .schema = ddl,
                                     .schema_len = 40,
                                     .placement = "",
                                     .placement_len = 0};
    return wire_put_hello(out, &hello);
}

static bool again_hello(struct cursor *in, struct buffer *out)
{
    struct wire_hello got;
    return wire_get_hello(in, &got, &error) && wire_put_hello(out, &got);
}

static bool put_hello_answer(struct buffer *out)
{
    struct wire_prepared prepared[] = {{.txn = 9, .home = "home", .locks = (const uint8_t *)"lock", .locks_len = 4},
                                       {.txn = UINT64_MAX, .home = "", .locks = NULL, .locks_len = 0}};
    uint64_t decided[] = {4, 1u << 30};
    struct wire_table_state tables[] = {{.table = 0, .has_rows = true, .rowid_max = INT64_MAX - 1, .has_last = true},
                                        {.table = 999, .has_rows = false, .rowid_max = INT64_MIN}};
    const struct wire_hello_answer answer = {.protocol = 1,
                                             .fresh = false,
                                             .cluster = "cluster",
                                             .epoch = 7,
                                             .last_batch = 70000,
                                             .kept_at_ms = INT64_MAX,
                                             .prepared_count = 2,
                                             .decided_count = 2,
                                             .table_count = 2,
                                             .prepared = prepared,
                                             .decided = decided,
                                             .tables = tables};
    return wire_put_hello_answer(out, &answer);
}

static bool put_fresh_answer(struct buffer *out)
{
    return wire_put_hello_answer(out, &(struct wire_hello_answer){.protocol = 1, .fresh = true});
}

static bool again_hello_answer(struct cursor *in, struct buffer *out)
{
    struct wire_hello_answer got;
    if (!wire_get_hello_answer(in, &got, &error))
        return false;
    bool ok = wire_put_hello_answer(out, &got);
    wire_hello_answer_release(&got);
    return ok;
}

static const uint8_t row[] = {0x92, 0x01, 0xa1, 'x'};

static const struct wire_keep keep = {.key = (const uint8_t *)"key",
                                      .key_len = 3,
                                      .index = UINT32_MAX,
                                      .digest = (const uint8_t *)"0123456789abcdef",
                                      .at_ms = INT64_MAX,
                                      .outcome = row,
                                      .outcome_len = sizeof row};

static bool put_write(struct buffer *out)
{
    const char *const participants[] = {"one", "two"};
    static const uint8_t key[] = {0x91, 0x07};
    return wire_put_write(out, 300, 9) && wire_put_update(out, 1, 0, key, sizeof key, row, sizeof row) &&
           wire_put_delete(out, 1, 0, key, sizeof key) &&
           wire_put_op(out, 1, WIRE_FLAG_SAME_IS_FINE, row, sizeof row) && wire_put_group(out, 4) &&
           wire_put_keep(out, &keep) && wire_put_op(out, 0, 0, row, sizeof row) &&
           wire_put_update(out, 0, 0, key, sizeof key, row, sizeof row) && wire_put_op(out, 0, 0, row, sizeof row) &&
           wire_put_prepare(out, 5, "one", (const uint8_t *)"lk", 2, 1) && wire_put_op(out, 999, 0, row, sizeof row) &&
           wire_put_decide(out, 6, participants, 2, 1) && wire_put_op(out, 1, 0, row, sizeof row) &&
           wire_put_resolve(out, 7, true) && wire_put_forget(out, 8) && wire_put_try(out, 1) &&
           wire_put_op(out, 1, 0, row, sizeof row);
}

static bool again_op(const struct wire_op *op, struct buffer *out)
{
    switch (op->kind) {
    case WIRE_ENTRY_UPDATE:
        return wire_put_update(out, op->table, op->flags, op->key, op->key_len, op->row, op->row_len);
    case WIRE_ENTRY_DELETE:
        return wire_put_delete(out, op->table, op->flags, op->key, op->key_len);
    case WIRE_ENTRY_KEEP:
        return wire_put_keep(out, &op->keep);
    default:
        return wire_put_op(out, op->table, op->flags, op->row, op->row_len);
    }
}

static bool again_ops(struct cursor ops, uint32_t count, struct buffer *out)
{
    struct wire_op op;
    for (uint32_t i = 0; i < count; i++)
        if (!wire_get_op(&ops, &op, &error) || !again_op(&op, out))
            return false;
    return true;
}

static bool again_decide(const struct wire_entry *entry, struct buffer *out)
{
    char names[LIMIT_DATABASES_MAX][LIMIT_NAME_BYTES_MAX + 1];
    const char *list[LIMIT_DATABASES_MAX];
    struct cursor participants = entry->participants;
    for (uint32_t i = 0; i < entry->participant_count; i++) {
        if (!cursor_string(&participants, names[i], sizeof names[i]))
            return false;
        list[i] = names[i];
    }
    return wire_put_decide(out, entry->txn, list, entry->participant_count, entry->op_count) &&
           again_ops(entry->ops, entry->op_count, out);
}

static bool again_entry(const struct wire_entry *entry, struct buffer *out)
{
    char home[LIMIT_NAME_BYTES_MAX + 1] = "";
    switch (entry->kind) {
    case WIRE_ENTRY_INSERT:
    case WIRE_ENTRY_UPDATE:
    case WIRE_ENTRY_DELETE:
        return again_op(&entry->op, out);
    case WIRE_ENTRY_GROUP:
        return wire_put_group(out, entry->op_count) && again_ops(entry->ops, entry->op_count, out);
    case WIRE_ENTRY_TRY:
        return wire_put_try(out, entry->op_count) && again_ops(entry->ops, entry->op_count, out);
    case WIRE_ENTRY_PREPARE:
        memcpy(home, entry->home, entry->home_len);
        return wire_put_prepare(out, entry->txn, home, entry->locks, entry->locks_len, entry->op_count) &&
               again_ops(entry->ops, entry->op_count, out);
    case WIRE_ENTRY_DECIDE:
        return again_decide(entry, out);
    case WIRE_ENTRY_RESOLVE:
        return wire_put_resolve(out, entry->txn, entry->commit);
    case WIRE_ENTRY_FORGET:
        return wire_put_forget(out, entry->txn);
    case WIRE_ENTRY_KEEP:
        break;
    }
    return false;
}

static bool again_write(struct cursor *in, struct buffer *out)
{
    uint64_t batch;
    uint32_t entries;
    struct wire_entry entry;
    if (!wire_get_write(in, &batch, &entries, &error) || !wire_put_write(out, batch, entries))
        return false;
    for (uint32_t i = 0; i < entries; i++) {
        const uint8_t *at = in->at;
        if (!wire_get_entry(in, &entry, &error) || !again_entry(&entry, out))
            return false;
        assert_ptr_equal(entry.bytes, at);
        assert_ptr_equal(entry.bytes + entry.len, in->at);
    }
    return cursor_at_end(in);
}

static bool put_write_answer(struct buffer *out)
{
    struct wire_write_results results = {0};
    struct error refusal;
    error_set(&refusal, ERROR_CHECK, "no");
    error_about(&refusal, "a", "rule");
    bool ok = wire_results_failure(&results, 3, 4, &refusal) && wire_results_failure(&results, 70000, 0, &refusal) &&
              wire_results_same(&results, 5, 6) && wire_put_write_answer(out, 300, 11, 12, 13, &results);
    wire_results_release(&results);
    return ok;
}

static bool again_write_answer(struct cursor *in, struct buffer *out)
{
    struct wire_write_answer got;
    struct wire_write_results results = {0};
    struct wire_failure failure;
    uint32_t entry, op;
    bool ok = wire_get_write_answer(in, &got, &error);
    for (uint32_t i = 0; ok && i < got.failure_count; i++)
        ok = wire_get_failure(&got.failures, &failure, &error) &&
             wire_results_failure(&results, failure.entry, failure.op, &failure.error);
    for (uint32_t i = 0; ok && i < got.same_count; i++)
        ok = wire_get_same(&got.same, &entry, &op, &error) && wire_results_same(&results, entry, op);
    ok = ok && wire_put_write_answer(out, got.batch, got.decode_ns, got.apply_ns, got.commit_ns, &results);
    wire_results_release(&results);
    return ok;
}

static bool put_exists(struct buffer *out)
{
    return wire_put_exists(out, 1, 0, 2, 4) && pack_int(out, 1) && pack_string(out, "k") && pack_string(out, NULL) &&
           pack_blob(out, "\0", 1);
}

static bool again_exists(struct cursor *in, struct buffer *out)
{
    struct wire_exists got;
    if (!wire_get_exists(in, schema, &got, &error))
        return false;
    uint32_t values = got.count * schema->tables[got.table].keys[got.key].column_count;
    bool ok = wire_put_exists(out, got.table, got.key, got.count, values);
    for (uint32_t i = 0; ok && i < values; i++) {
        struct value value;
        ok = cursor_value(&got.values, &value) && pack_value(out, &value);
    }
    return ok;
}

static bool put_exists_answer(struct buffer *out)
{
    return wire_put_exists_answer(out, (const uint8_t *)"\0\1\1", 3);
}

static bool again_exists_answer(struct cursor *in, struct buffer *out)
{
    const uint8_t *there;
    uint32_t count;
    return wire_get_exists_answer(in, &there, &count, &error) && wire_put_exists_answer(out, there, count);
}

static bool put_keys(struct buffer *out)
{
    return wire_put_keys(out, &(struct wire_keys){.table = 1, .has_after = true, .after = -40, .limit = 262144});
}

static bool put_first_keys(struct buffer *out)
{
    return wire_put_keys(out, &(struct wire_keys){.table = 0, .limit = 1});
}

static bool again_keys(struct cursor *in, struct buffer *out)
{
    struct wire_keys got;
    return wire_get_keys(in, schema, &got, &error) && wire_put_keys(out, &got);
}

static bool put_keys_answer(struct buffer *out)
{
    const int64_t keys[] = {INT64_MIN, -1, 0, INT64_MAX};
    return wire_put_keys_answer(out, 300, true, keys, 4);
}

static bool again_keys_answer(struct cursor *in, struct buffer *out)
{
    struct wire_keys_answer got;
    int64_t keys[64];
    if (!wire_get_keys_answer(in, &got, &error))
        return false;
    for (uint32_t i = 0; i < got.count; i++)
        keys[i % 64] = wire_key_at(&got, i);
    return wire_put_keys_answer(out, got.batch, got.complete, keys, got.count);
}

static bool put_scan(struct buffer *out)
{
    const struct value after[] = {value_integer(1), value_text("k", 1)};
    return wire_put_scan(out, 1, 1000, after, 2, NULL, 0);
}

static bool put_filtered_scan(struct buffer *out)
{
    const struct wire_filter filters[] = {{0, value_text("k", 1)}, {1, value_null()}, {1, value_real(1.5)}};
    return wire_put_scan(out, 1, 1, NULL, 0, filters, 3);
}

static bool again_scan(struct cursor *in, struct buffer *out)
{
    struct wire_scan got;
    struct value after[64];
    struct wire_filter filters[WIRE_FILTERS_MAX];
    if (!wire_get_scan(in, schema, &got, &error) || got.after_count > 64)
        return false;
    for (uint32_t i = 0; i < got.after_count; i++)
        assert_true(cursor_value(&got.after, &after[i]));
    assert_in_range(got.filter_count, 0, WIRE_FILTERS_MAX);
    for (uint32_t i = 0; i < got.filter_count; i++) {
        uint32_t column;
        assert_true(cursor_uint32(&got.filters, &column) && cursor_value(&got.filters, &filters[i].value));
        assert_in_range(column, 0, schema->tables[got.table].column_count - 1);
        filters[i].column = (uint16_t)column;
    }
    return wire_put_scan(out, got.table, got.limit, after, got.after_count, filters, got.filter_count);
}

static bool put_scan_answer(struct buffer *out)
{
    return pack_array(out, 2) && pack_array(out, 2) && pack_raw(out, row, sizeof row) &&
           pack_raw(out, row, sizeof row) && pack_array(out, 1) && pack_int(out, 300);
}

static bool again_scan_answer(struct cursor *in, struct buffer *out)
{
    struct wire_scan_answer got;
    if (!wire_get_scan_answer(in, &got, &error))
        return false;
    bool ok = pack_array(out, 2) && pack_array(out, got.row_count);
    for (uint32_t i = 0; ok && i < got.row_count; i++) {
        const uint8_t *at = got.rows.at;
        assert_true(cursor_skip(&got.rows));
        ok = pack_raw(out, at, (size_t)(got.rows.at - at));
    }
    ok = ok && pack_array(out, got.next_count);
    for (uint32_t i = 0; ok && i < got.next_count; i++) {
        struct value value;
        assert_true(cursor_value(&got.next, &value));
        ok = pack_value(out, &value);
    }
    return ok;
}

static bool put_read(struct buffer *out)
{
    return wire_put_read(out, 1, 2, 4) && pack_int(out, 1) && pack_text(out, "k", 1) && pack_int(out, 300) &&
           pack_text(out, "l", 1);
}

static bool again_read(struct cursor *in, struct buffer *out)
{
    struct wire_read got;
    if (!wire_get_read(in, schema, &got, &error))
        return false;
    uint32_t values = got.count * schema_key_columns(&schema->tables[got.table]);
    bool ok = wire_put_read(out, got.table, got.count, values);
    for (uint32_t i = 0; ok && i < values; i++) {
        struct value value;
        assert_true(cursor_value(&got.values, &value));
        ok = pack_value(out, &value);
    }
    return ok;
}

static bool put_read_answer(struct buffer *out)
{
    const struct value none = value_null();
    return pack_array(out, 1) && pack_array(out, 3) && pack_raw(out, row, sizeof row) && pack_value(out, &none) &&
           pack_raw(out, row, sizeof row);
}

static bool again_read_answer(struct cursor *in, struct buffer *out)
{
    struct wire_rows got;
    const struct value none = value_null();
    if (!wire_get_read_answer(in, &got, &error))
        return false;
    bool ok = pack_array(out, 1) && pack_array(out, got.count);
    for (uint32_t i = 0; ok && i < got.count; i++) {
        const uint8_t *at;
        size_t len;
        assert_true(wire_get_row(&got, &at, &len));
        ok = at ? pack_raw(out, at, len) : pack_value(out, &none);
    }
    return ok;
}

static bool put_children(struct buffer *out)
{
    return wire_put_children(out, 0, 2) && pack_int(out, 300) && pack_text(out, "k", 1);
}

static bool again_children(struct cursor *in, struct buffer *out)
{
    struct wire_children_ask got;
    if (!wire_get_children(in, schema, &got, &error))
        return false;
    uint16_t values = schema->references[got.reference].column_count;
    bool ok = wire_put_children(out, got.reference, values);
    for (uint16_t i = 0; ok && i < values; i++) {
        struct value value;
        assert_true(cursor_value(&got.values, &value));
        ok = pack_value(out, &value);
    }
    return ok;
}

/* Of a table with a key, and of one without. */
static bool put_children_answer(struct buffer *out)
{
    const struct value none = value_null();
    return pack_array(out, 1) && pack_array(out, 4) && pack_value(out, &none) && pack_raw(out, row, sizeof row) &&
           pack_value(out, &none) && pack_raw(out, row, sizeof row);
}

static bool put_nameless_children_answer(struct buffer *out)
{
    return pack_array(out, 1) && pack_array(out, 2) && pack_int(out, INT64_MIN) && pack_raw(out, row, sizeof row);
}

static bool again_children_answer(struct cursor *in, struct buffer *out)
{
    struct wire_children got;
    const struct value none = value_null();
    if (!wire_get_children_answer(in, &got, &error))
        return false;
    bool ok = pack_array(out, 1) && pack_array(out, 2 * got.count);
    for (uint32_t i = 0; ok && i < got.count; i++) {
        const uint8_t *at;
        size_t len;
        int64_t rowid;
        if (!wire_get_child(&got, &rowid, &at, &len))
            return error_set(&error, ERROR_PARSE, "what is no rowid");
        assert_non_null(at);
        ok = (rowid ? pack_int(out, rowid) : pack_value(out, &none)) && pack_raw(out, at, len);
    }
    return ok;
}

static bool put_probe(struct buffer *out)
{
    return wire_put_probe(out, 2) && wire_put_op(out, 0, 0, row, sizeof row) && wire_put_op(out, 1, 1, row, sizeof row);
}

static bool again_probe(struct cursor *in, struct buffer *out)
{
    struct cursor ops;
    uint32_t count;
    return wire_get_probe(in, &count, &ops, &error) && wire_put_probe(out, count) && again_ops(ops, count, out);
}

static bool put_stats_answer(struct buffer *out)
{
    static struct wire_stats stats;
    stats = (struct wire_stats){.rows_accepted = 1,
                                .rows_same = 2,
                                .rows_refused = 3,
                                .batches = 4,
                                .busy_ns = 5,
                                .cpu_ns = 6,
                                .file_bytes = 7,
                                .wal_bytes = 8,
                                .memory_bytes = 1u << 31};
    histogram_add(&stats.decode, 10, 1);
    histogram_add(&stats.apply, 2000, 2);
    histogram_add(&stats.commit, 300000, 3);
    histogram_add(&stats.batch_rows, 8192, 1);
    return wire_put_stats_answer(out, &stats);
}

static bool again_stats_answer(struct cursor *in, struct buffer *out)
{
    static struct wire_stats got;
    return wire_get_stats_answer(in, &got, &error) && wire_put_stats_answer(out, &got);
}

static bool put_kept(struct buffer *out)
{
    const struct wire_kept_ask ask = {.key = (const uint8_t *)"key", .key_len = 3, .from = UINT32_MAX, .at_ms = -1};
    return wire_put_kept(out, &ask);
}

static bool again_kept(struct cursor *in, struct buffer *out)
{
    struct wire_kept_ask got;
    return wire_get_kept(in, &got, &error) && wire_put_kept(out, &got);
}

static bool put_kept_answer(struct buffer *out)
{
    struct buffer list = {0};
    bool ok = wire_put_kept_one(&list, 0, keep.digest, NULL, 0) &&
              wire_put_kept_one(&list, UINT32_MAX, keep.digest, row, sizeof row) &&
              wire_put_kept_answer(out, true, 2, &list);
    buffer_release(&list);
    return ok;
}

static bool again_kept_answer(struct cursor *in, struct buffer *out)
{
    struct wire_kept got;
    struct wire_keep one;
    struct buffer list = {0};
    bool ok = wire_get_kept_answer(in, &got, &error);
    for (uint32_t i = 0; ok && i < got.count; i++)
        ok = wire_get_kept_one(&got.list, &one, &error) &&
             wire_put_kept_one(&list, one.index, one.digest, one.outcome, one.outcome_len);
    ok = ok && wire_put_kept_answer(out, got.complete, got.count, &list);
    buffer_release(&list);
    return ok;
}

static const struct message {
    const char *name;
    bool (*put)(struct buffer *out);
    bool (*again)(struct cursor *in, struct buffer *out);
} messages[] = {
    {"a request", put_request, again_request},
    {"an answer", put_done, again_answer},
    {"a refusal", put_refusal, again_answer},
    {"a refusal of nothing in particular", put_short_refusal, again_answer},
    {"hello", put_hello, again_hello},
    {"hello's answer", put_hello_answer, again_hello_answer},
    {"hello's answer of a fresh file", put_fresh_answer, again_hello_answer},
    {"write", put_write, again_write},
    {"write's answer", put_write_answer, again_write_answer},
    {"exists", put_exists, again_exists},
    {"exists' answer", put_exists_answer, again_exists_answer},
    {"keys", put_keys, again_keys},
    {"the first keys", put_first_keys, again_keys},
    {"keys' answer", put_keys_answer, again_keys_answer},
    {"scan", put_scan, again_scan},
    {"scan with filters", put_filtered_scan, again_scan},
    {"scan's answer", put_scan_answer, again_scan_answer},
    {"read", put_read, again_read},
    {"read's answer", put_read_answer, again_read_answer},
    {"children", put_children, again_children},
    {"children's answer", put_children_answer, again_children_answer},
    {"children's answer with rowids", put_nameless_children_answer, again_children_answer},
    {"kept", put_kept, again_kept},
    {"kept's answer", put_kept_answer, again_kept_answer},
    {"probe", put_probe, again_probe},
    {"stats' answer", put_stats_answer, again_stats_answer},
};
#define MESSAGES (sizeof messages / sizeof *messages)

/* ---- tests ---- */

/* Reads a copy that lies in a block of its own. */
static bool read_copy(const struct message *message, const uint8_t *bytes, size_t len, struct buffer *out)
{
    uint8_t *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    struct cursor cursor = cursor_over(copy, len);
    buffer_clear(out);
    bool ok = message->again(&cursor, out);
    free(copy);
    return ok;
}

static void every_message_is_read_as_it_was_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < MESSAGES; i++) {
        struct buffer first = {0}, second = {0};
        assert_true(messages[i].put(&first));
        if (!read_copy(&messages[i], first.bytes, first.len, &second))
            fail_msg("%s: %s", messages[i].name, error.text);
        if (first.len != second.len || memcmp(first.bytes, second.bytes, first.len))
            fail_msg("%s is read otherwise", messages[i].name);
        buffer_release(&first);
        buffer_release(&second);
    }
}

static void a_message_cut_anywhere_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < MESSAGES; i++) {
        struct buffer whole = {0}, out = {0};
        assert_true(messages[i].put(&whole));
        for (size_t len = 0; len < whole.len; len++)
            if (read_copy(&messages[i], whole.bytes, len, &out))
                fail_msg("%s of %zu bytes is read when cut at %zu", messages[i].name, whole.len, len);
            else
                assert_int_equal(error.code, ERROR_PARSE);
        buffer_release(&whole);
        buffer_release(&out);
    }
}

static void bytes_behind_a_message_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < MESSAGES; i++) {
        struct buffer whole = {0}, out = {0};
        assert_true(messages[i].put(&whole) && buffer_put(&whole, "\xc0", 1));
        if (read_copy(&messages[i], whole.bytes, whole.len, &out))
            fail_msg("%s is read with a byte behind it", messages[i].name);
        buffer_release(&whole);
        buffer_release(&out);
    }
}

static void a_message_changed_anywhere_is_read_or_refused(void **state)
{
    (void)state;
    static const uint8_t others[] = {0x00, 0xc0, 0xc1, 0xdf, 0xdd, 0xc6, 0xdb, 0xcf, 0xff};
    for (size_t i = 0; i < MESSAGES; i++) {
        struct buffer whole = {0}, out = {0};
        assert_true(messages[i].put(&whole));
        for (size_t at = 0; at < whole.len; at++) {
            uint8_t byte = whole.bytes[at];
            for (unsigned turn = 0; turn < 8 + sizeof others; turn++) {
                whole.bytes[at] = (uint8_t)(turn < 8 ? byte ^ (1u << turn) : others[turn - 8]);
                read_copy(&messages[i], whole.bytes, whole.len, &out);
            }
            whole.bytes[at] = byte;
        }
        buffer_release(&whole);
        buffer_release(&out);
    }
}

#define PROBE_WITH_KEEP                    \
    "\x91\x91\x96\x09\xc4\x00\x00\xc4\x10" \
    "0123456789abcdef"                     \
    "\x00\xc4\x00"

/* A count is an untrusted number: it must not make a reader take memory or believe in what is not there. */
static void a_count_beyond_the_bytes_is_refused(void **state)
{
    (void)state;
    static const struct {
        bool (*again)(struct cursor *in, struct buffer *out);
        const char *bytes;
        size_t len;
    } cases[] = {
        {again_hello_answer,
         "\x98\x01\xc2\xa1"
         "c\x01\x01\xdd\xff\xff\xff\xff",
         13},
        {again_hello_answer,
         "\x98\x01\xc2\xa1"
         "c\x01\x01\x90\xdd\x7f\xff\xff\xff",
         14},
        {again_write, "\x92\x01\xdd\xff\xff\xff\xff", 7},
        {again_write, "\x92\x01\x91\x92\x04\xdd\xff\xff\xff\xff", 10},
        {again_exists, "\x94\x00\x00\xce\x80\x00\x00\x00\x90", 9},     /* 2^31 keys, no value */
        {again_exists, "\x94\x01\x00\xce\x80\x00\x00\x00\x90", 9},     /* 2^31 keys of 2 columns: 2^32 values */
        {again_keys, "\x93\x00\xc0\x00", 4},                           /* no limit */
        {again_keys, "\x93\x00\xc0\xce\x00\x04\x00\x01", 8},           /* one more than the largest */
        {again_keys, "\x93\x03\xc0\x01", 4},                           /* no such table */
        {again_exists, "\x94\x00\x02\x00\x90", 5},                     /* no such key */
        {again_write, "\x92\x01\x91\x94\x01\xcd\x03\xe8\x00\x90", 10}, /* table 1000 */
        {again_write, "\x92\x01\x91\x94\x02\x00\x00\x90", 8},          /* an update without a row */
        {again_write, "\x92\x01\x91\x95\x03\x00\x00\x90\x90", 9},      /* a delete with one */
        {again_write, "\x92\x01\x91\x95\x01\x00\x00\x90\x90", 9},      /* an insert with a key */
        {again_write, "\x92\x01\x91\x92\x04\x91\x92\x08\x01", 9},      /* a forget in a group */
        {again_write, "\x92\x01\x91\x94\x09\x00\x00\x90", 8},          /* an entry of kind 9 */
        {again_write, "\x92\x01\x91\x96\x09\xc4\x00\x00\xc4\x00\x00\xc4\x00", 13}, /* KEEP as an entry of its own */
        {again_write, "\x92\x01\x91\x92\x04\x91\x96\x09\xc4\x00\x00\xc4\x01x\x00\xc4\x00",
         17}, /* a digest of one byte */
        {again_probe, PROBE_WITH_KEEP, sizeof PROBE_WITH_KEEP - 1},
        {again_kept_answer, "\x92\xc3\xdd\xff\xff\xff\xff", 7},           /* 2^32 - 1 outcomes */
        {again_kept_answer, "\x92\xc3\x91\x93\x00\xc4\x01x\xc4\x00", 10}, /* a digest of one byte */
        {again_read, "\x93\x00\xce\x80\x00\x00\x00\x90", 8},              /* 2^31 keys, no value */
        {again_read, "\x93\x01\xce\x80\x00\x00\x00\x90", 8},              /* 2^31 keys of 2 columns: 2^32 values */
        {again_read, "\x93\x01\x01\x91\x01", 5},                          /* half a key */
        {again_read, "\x93\x03\x00\x90", 4},                              /* no such table */
        {again_read_answer, "\x91\xdd\xff\xff\xff\xff", 6},               /* 2^32 - 1 rows */
        {again_children, "\x92\x01\x92\x01\x01", 5},                      /* no such reference */
        {again_children, "\x92\x00\x91\x01", 4},                          /* of two columns */
        {again_children_answer, "\x91\x93\xc0\x90\xc0", 5},               /* a rowid without its row */
        {again_children_answer, "\x91\x92\xa1x\x90", 5},                  /* a rowid that is a text */
        {again_scan, "\x94\x00\x01\x90\x91\x00", 6},                      /* a filter without its value */
        {again_scan, "\x94\x00\x01\x90\x92\x02\x00", 7},                  /* no such column */
        {again_scan, "\x94\x00\x01\x90\xdd\xff\xff\xff\xfe", 9},          /* 2^31 - 1 filters */
        {again_write, "\x92\x01\x91\x93\x01\x00\x00", 7},                 /* an item is missing */
    };
    struct buffer out = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cursor in = cursor_over(cases[i].bytes, cases[i].len);
        buffer_clear(&out);
        if (cases[i].again(&in, &out))
            fail_msg("case %zu is read", i);
        assert_int_equal(error.code, ERROR_PARSE);
    }
    buffer_release(&out);
}

static void a_scan_has_so_many_filters_and_no_more(void **state)
{
    (void)state;
    struct wire_filter filters[WIRE_FILTERS_MAX + 1];
    for (uint32_t count = WIRE_FILTERS_MAX; count <= WIRE_FILTERS_MAX + 1; count++) {
        struct buffer message = {0};
        struct wire_scan got;
        for (uint32_t i = 0; i < count; i++)
            filters[i] = (struct wire_filter){0, value_integer(i)};
        assert_true(wire_put_scan(&message, 0, 1, NULL, 0, filters, count));
        struct cursor body = cursor_over(message.bytes, message.len);
        assert_int_equal(wire_get_scan(&body, schema, &got, &error), count == WIRE_FILTERS_MAX);
        buffer_release(&message);
    }
    assert_int_equal(error.code, ERROR_PARSE);
}

static void an_answer_with_a_code_that_is_none_is_refused(void **state)
{
    (void)state;
    struct buffer whole = {0}, out = {0};
    const struct message refusal = {"", put_refusal, again_answer};
    assert_true(put_refusal(&whole));
    size_t at = whole.len;
    while (whole.bytes[--at] != 0x93 || whole.bytes[at - 1] != ERROR_UNIQUE)
        ;
    whole.bytes[at - 1] = ERROR_CODE_COUNT;
    assert_false(read_copy(&refusal, whole.bytes, whole.len, &out));
    whole.bytes[at - 1] = ERROR_NONE; /* done, and its body is no ping's answer */
    assert_false(read_copy(&refusal, whole.bytes, whole.len, &out));
    buffer_release(&whole);
    buffer_release(&out);
}

static void the_time_of_a_commit_is_put_in_at_last(void **state)
{
    (void)state;
    struct buffer message = {0};
    struct wire_write_results results = {0};
    struct wire_write_answer answer;
    assert_true(wire_put_done(&message, &header));
    size_t at = message.len;
    assert_true(wire_put_write_answer(&message, UINT64_MAX, UINT64_MAX, 1, 0, &results));
    wire_set_commit_ns(&message, at, 0x0102030405060708u);
    struct cursor body = cursor_over(message.bytes + at, message.len - at);
    assert_true(wire_get_write_answer(&body, &answer, &error));
    assert_true(answer.commit_ns == 0x0102030405060708u && answer.apply_ns == 1 && answer.batch == UINT64_MAX);
    buffer_release(&message);
}

static void a_kind_has_a_name(void **state)
{
    (void)state;
    assert_string_equal(wire_kind_name(WIRE_HELLO), "hello");
    assert_string_equal(wire_kind_name(WIRE_READ), "read");
    assert_string_equal(wire_kind_name(WIRE_CHILDREN), "children");
    assert_string_equal(wire_kind_name(WIRE_KEPT), "kept");
    assert_string_equal(wire_kind_name(0), "unknown");
    assert_string_equal(wire_kind_name(UINT32_MAX), "unknown");
}

static int load_schema(void **state)
{
    (void)state;
    schema = schema_load(ddl, strlen(ddl), "ddl", NULL, &error);
    return schema ? 0 : -1;
}

static int free_schema(void **state)
{
    (void)state;
    schema_free(schema);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_is_read_as_it_was_written),
        cmocka_unit_test(a_message_cut_anywhere_is_refused),
        cmocka_unit_test(bytes_behind_a_message_are_refused),
        cmocka_unit_test(a_message_changed_anywhere_is_read_or_refused),
        cmocka_unit_test(a_count_beyond_the_bytes_is_refused),
        cmocka_unit_test(a_scan_has_so_many_filters_and_no_more),
        cmocka_unit_test(an_answer_with_a_code_that_is_none_is_refused),
        cmocka_unit_test(the_time_of_a_commit_is_put_in_at_last),
        cmocka_unit_test(a_kind_has_a_name),
    };
    return cmocka_run_group_tests(tests, load_schema, free_schema);
}
