/* SPDX-License-Identifier: Apache-2.0 */
#include "shard.h"

#include "owner.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char shard_ddl[] =
    "CREATE TABLE people (id INTEGER PRIMARY KEY CONSTRAINT id_positive CHECK (id > 0), name TEXT NOT NULL,"
    " email TEXT UNIQUE COLLATE NOCASE, age INT, CHECK (age < 200)) STRICT;\n"
    "CREATE TABLE pairs (a INTEGER, b TEXT COLLATE NOCASE, c, PRIMARY KEY (b, a)) WITHOUT ROWID;\n"
    "CREATE TABLE words (word TEXT PRIMARY KEY, n NUMERIC UNIQUE, twice AS (n * 2));\n"
    "CREATE TABLE notes (\"the \"\"text\" TEXT);\n"
    "CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, x REFERENCES people);\n"
    "CREATE TABLE hidden (_rowid_ TEXT, x);\n"
    "CREATE TABLE elsewhere (id INTEGER PRIMARY KEY);\n";

const char shard_placement[] = "town\tpeople\ntown\tpairs\ntown\twords\ntown\tnotes\ntown\tcounted\ntown\thidden\n";

/* ---- life ---- */

int shard_setup_unopened(void **state)
{
    return shard_setup_of(state, shard_ddl, shard_placement);
}

int shard_setup_of(void **state, const char *ddl, const char *placed)
{
    static bool registered;
    struct shard *shard = calloc(1, sizeof *shard);
    struct schema_placement placement = {0};
    struct error error;
    if (!registered)
        assert_true(owner_register_vfs(&error));
    registered = true;
    snprintf(shard->data, sizeof shard->data, "%s", "sheaf-test-XXXXXX");
    assert_non_null(mkdtemp(shard->data));
    assert_true(schema_placement_read(placed, strlen(placed), &placement, &error));
    shard->ddl = ddl;
    shard->placement = placed;
    shard->schema = schema_load(ddl, strlen(ddl), "ddl", &placement, &error);
    schema_placement_release(&placement);
    if (!shard->schema)
        fail_msg("%s", error.text);
    shard->options = (struct store_options){.database = SHARD_DATABASE,
                                            .data = shard->data,
                                            .cache_bytes = 1 << 20,
                                            .wal_checkpoint_pages = 1000,
                                            .wal_bytes = 1 << 30,
                                            .kept_keys = 1000};
    *state = shard;
    return 0;
}

int shard_setup(void **state)
{
    shard_setup_unopened(state);
    shard_start(*state, 1);
    return 0;
}

int shard_teardown(void **state)
{
    struct shard *shard = *state;
    shard_close(shard);
    buffer_release(&shard->entries);
    buffer_release(&shard->body);
    buffer_release(&shard->answer);
    schema_free(shard->schema);
    DIR *directory = opendir(shard->data);
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        if (entry->d_name[0] != '.')
            unlink(shard_path(shard, entry->d_name));
    closedir(directory);
    rmdir(shard->data);
    free(shard);
    return 0;
}

const char *shard_path(const struct shard *shard, const char *name)
{
    static char paths[2][512];
    static unsigned turn;
    char *path = paths[turn++ % 2];
    snprintf(path, sizeof paths[0], "%s/%s", shard->data, name);
    return path;
}

bool shard_open(struct shard *shard)
{
    shard->store = store_open(&shard->options, &shard->error);
    return shard->store != NULL;
}

void shard_close(struct shard *shard)
{
    batch_free(shard->batch);
    if (shard->read)
        read_free(shard->read);
    children_free(shard->children);
    store_close(shard->store);
    shard->batch = NULL;
    shard->read = NULL;
    shard->children = NULL;
    shard->store = NULL;
}

struct wire_hello shard_hello(void)
{
    return (struct wire_hello){.protocol = WIRE_PROTOCOL,
                               .claim = true,
                               .cluster = "c1",
                               .cluster_len = 2,
                               .database = SHARD_DATABASE,
                               .database_len = strlen(SHARD_DATABASE),
                               .schema = shard_ddl,
                               .schema_len = strlen(shard_ddl),
                               .placement = shard_placement,
                               .placement_len = strlen(shard_placement)};
}

bool shard_claim(struct shard *shard, uint64_t epoch, uint64_t coordinator)
{
    struct wire_hello hello = shard_hello();
    hello.schema = shard->ddl;
    hello.schema_len = strlen(shard->ddl);
    hello.placement = shard->placement;
    hello.placement_len = strlen(shard->placement);
    return store_claim(shard->store, epoch, coordinator, &hello, &shard->error);
}

void shard_start(struct shard *shard, uint64_t epoch)
{
    if (!shard_open(shard) || !shard_claim(shard, epoch, SHARD_COORDINATOR))
        fail_msg("%s", shard->error.text);
    assert_non_null(shard->batch = batch_new(shard->store, &shard->error));
    assert_non_null(shard->read = read_new(shard->store, &shard->error));
    assert_non_null(shard->children = children_new(shard->store, &shard->error));
}

/* ---- rows ---- */

static struct value parse_value(const char *text, size_t len, char *blob)
{
    if (len == 1 && *text == '-')
        return value_absent();
    if (len == 4 && !memcmp(text, "NULL", 4))
        return value_null();
    if (*text == '\'')
        return value_text(text + 1, len - 1);
    if (*text == 'x') {
        for (size_t i = 0; i < len / 2; i++)
            sscanf(text + 1 + 2 * i, "%2hhx", (unsigned char *)&blob[i]);
        return value_blob(blob, len / 2);
    }
    if (memchr(text, '.', len))
        return value_real(strtod(text, NULL));
    return value_integer(strtoll(text, NULL, 10));
}

/* The values of "a|b|c" up to `end`; gives their count. */
static unsigned parse_values(const char *text, const char *end, struct value *values, char blobs[8][64])
{
    unsigned count = 0;
    while (text <= end && count < 8) {
        const char *bar = memchr(text, '|', (size_t)(end - text));
        const char *stop = bar ? bar : end;
        values[count] = parse_value(text, (size_t)(stop - text), blobs[count]);
        count++;
        text = stop + 1;
    }
    return count;
}

void shard_row(struct shard *shard, table_id table, const char *row, struct buffer *bytes)
{
    struct value values[8];
    char blobs[8][64];
    assert_int_equal(parse_values(row, row + strlen(row), values, blobs), shard->schema->tables[table].column_count);
    assert_true(row_write(&shard->schema->tables[table], values, bytes));
}

static void put_op(struct shard *shard, table_id table, unsigned flags, const char *row)
{
    struct buffer bytes = {0};
    shard_row(shard, table, row, &bytes);
    assert_true(wire_put_op(&shard->entries, table, flags, bytes.bytes, bytes.len));
    buffer_release(&bytes);
}

void shard_insert(struct shard *shard, table_id table, const char *row)
{
    shard->entry_count++;
    put_op(shard, table, 0, row);
}

void shard_insert_again(struct shard *shard, table_id table, const char *row)
{
    shard->entry_count++;
    put_op(shard, table, WIRE_FLAG_SAME_IS_FINE, row);
}

void shard_op(struct shard *shard, table_id table, const char *row)
{
    put_op(shard, table, 0, row);
}

void shard_op_again(struct shard *shard, table_id table, const char *row)
{
    put_op(shard, table, WIRE_FLAG_SAME_IS_FINE, row);
}

/* "a|b" as the array of a key. */
static void put_key(const char *key, struct buffer *bytes)
{
    struct value values[8];
    char blobs[8][64];
    unsigned count = parse_values(key, key + strlen(key), values, blobs);
    assert_true(pack_array(bytes, count));
    for (unsigned i = 0; i < count; i++)
        assert_true(pack_value(bytes, &values[i]));
}

static void put_op_update(struct shard *shard, table_id table, unsigned flags, const char *key, const char *row)
{
    struct buffer bytes = {0}, key_bytes = {0};
    put_key(key, &key_bytes);
    shard_row(shard, table, row, &bytes);
    assert_true(wire_put_update(&shard->entries, table, flags, key_bytes.bytes, key_bytes.len, bytes.bytes, bytes.len));
    buffer_release(&bytes);
    buffer_release(&key_bytes);
}

static void put_op_delete(struct shard *shard, table_id table, unsigned flags, const char *key)
{
    struct buffer bytes = {0};
    put_key(key, &bytes);
    assert_true(wire_put_delete(&shard->entries, table, flags, bytes.bytes, bytes.len));
    buffer_release(&bytes);
}

void shard_op_update(struct shard *shard, table_id table, const char *key, const char *row)
{
    put_op_update(shard, table, 0, key, row);
}

void shard_op_delete(struct shard *shard, table_id table, const char *key)
{
    put_op_delete(shard, table, 0, key);
}

void shard_op_update_made(struct shard *shard, table_id table, const char *op, const char *row)
{
    put_op_update(shard, table, WIRE_FLAG_MADE_HERE, op, row);
}

void shard_op_delete_made(struct shard *shard, table_id table, const char *op)
{
    put_op_delete(shard, table, WIRE_FLAG_MADE_HERE, op);
}

static void digest_of(const char *key, uint8_t digest[WIRE_DIGEST_BYTES])
{
    memset(digest, key[0], WIRE_DIGEST_BYTES);
}

void shard_op_keep(struct shard *shard, const char *key, uint32_t index, int64_t at_ms, const char *outcome)
{
    uint8_t digest[WIRE_DIGEST_BYTES];
    digest_of(key, digest);
    const struct wire_keep keep = {.key = (const uint8_t *)key,
                                   .key_len = strlen(key),
                                   .index = index,
                                   .digest = digest,
                                   .at_ms = at_ms,
                                   .outcome = (const uint8_t *)outcome,
                                   .outcome_len = strlen(outcome)};
    assert_true(wire_put_keep(&shard->entries, &keep));
}

void shard_update(struct shard *shard, table_id table, const char *key, const char *row)
{
    shard->entry_count++;
    shard_op_update(shard, table, key, row);
}

void shard_delete(struct shard *shard, table_id table, const char *key)
{
    shard->entry_count++;
    shard_op_delete(shard, table, key);
}

void shard_group(struct shard *shard, uint32_t ops)
{
    shard->entry_count++;
    assert_true(wire_put_group(&shard->entries, ops));
}

void shard_try(struct shard *shard, uint32_t ops)
{
    shard->entry_count++;
    assert_true(wire_put_try(&shard->entries, ops));
}

void shard_prepare(struct shard *shard, uint64_t txn, const char *locks, uint32_t ops)
{
    shard->entry_count++;
    assert_true(wire_put_prepare(&shard->entries, txn, "home", (const uint8_t *)locks, strlen(locks), ops));
}

void shard_decide(struct shard *shard, uint64_t txn, uint32_t ops)
{
    const char *const participants[] = {"town", "village"};
    shard->entry_count++;
    assert_true(wire_put_decide(&shard->entries, txn, participants, 2, ops));
}

void shard_resolve(struct shard *shard, uint64_t txn, bool commit)
{
    shard->entry_count++;
    assert_true(wire_put_resolve(&shard->entries, txn, commit));
}

void shard_forget(struct shard *shard, uint64_t txn)
{
    shard->entry_count++;
    assert_true(wire_put_forget(&shard->entries, txn));
}

/* ---- what came back ---- */

__attribute__((format(printf, 2, 3))) static void say(struct shard *shard, const char *format, ...)
{
    size_t used = strlen(shard->text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(shard->text + used, sizeof shard->text - used, format, arguments);
    va_end(arguments);
}

static void say_results(struct shard *shard, const struct buffer *bytes)
{
    struct cursor body = cursor_over(bytes->bytes, bytes->len);
    struct wire_write_answer answer;
    struct wire_failure failure;
    uint32_t entry, op;
    if (!wire_get_write_answer(&body, &answer, &shard->error))
        fail_msg("%s", shard->error.text);
    for (uint32_t i = 0; i < answer.failure_count; i++) {
        assert_true(wire_get_failure(&answer.failures, &failure, &shard->error));
        say(shard, "; %u.%u %s %s(%s)", failure.entry, failure.op, error_code_name(failure.error.code),
            failure.error.table, failure.error.constraint);
    }
    for (uint32_t i = 0; i < answer.same_count; i++) {
        assert_true(wire_get_same(&answer.same, &entry, &op, &shard->error));
        say(shard, "%s %u.%u", i ? "" : "; same", entry, op);
    }
}

const char *shard_apply_again(struct shard *shard)
{
    static const char *const names[] = {"applied", "repeated", "refused", "failed", "unknown"};
    struct cursor body = cursor_over(shard->body.bytes, shard->body.len);
    buffer_clear(&shard->answer);
    shard->text[0] = '\0';
    enum batch_result result = batch_apply(shard->batch, &body, &shard->answer, &shard->error);
    say(shard, "%s", names[result]);
    if (result == BATCH_APPLIED || result == BATCH_REPEATED)
        say_results(shard, &shard->answer);
    else
        say(shard, " %s", error_code_name(shard->error.code));
    return shard->text;
}

const char *shard_apply(struct shard *shard, uint64_t number)
{
    buffer_clear(&shard->body);
    assert_true(wire_put_write(&shard->body, number, shard->entry_count));
    assert_true(buffer_put(&shard->body, shard->entries.bytes, shard->entries.len));
    buffer_clear(&shard->entries);
    shard->entry_count = 0;
    return shard_apply_again(shard);
}

const char *shard_commit(struct shard *shard)
{
    uint64_t commit_ns;
    if (batch_commit(shard->batch, &commit_ns, &shard->error) != COMMIT_DONE)
        fail_msg("%s", shard->error.text);
    return shard->text;
}

const char *shard_write(struct shard *shard, uint64_t number)
{
    shard_apply(shard, number);
    return shard_commit(shard);
}

const char *shard_probe(struct shard *shard, uint32_t ops)
{
    buffer_clear(&shard->body);
    assert_true(wire_put_probe(&shard->body, ops));
    assert_true(buffer_put(&shard->body, shard->entries.bytes, shard->entries.len));
    buffer_clear(&shard->entries);
    buffer_clear(&shard->answer);
    struct cursor body = cursor_over(shard->body.bytes, shard->body.len);
    snprintf(shard->text, sizeof shard->text, "probed");
    if (batch_probe(shard->batch, &body, &shard->answer, &shard->error))
        say_results(shard, &shard->answer);
    else
        snprintf(shard->text, sizeof shard->text, "%s", error_code_name(shard->error.code));
    return shard->text;
}

const char *shard_kept(struct shard *shard, const char *key, uint32_t from, int64_t at_ms)
{
    const struct wire_kept_ask ask = {
        .key = (const uint8_t *)key, .key_len = strlen(key), .from = from, .at_ms = at_ms};
    struct wire_kept kept;
    struct wire_keep one;
    uint8_t digest[WIRE_DIGEST_BYTES];
    digest_of(key, digest);
    shard->text[0] = '\0';
    buffer_clear(&shard->answer);
    if (!answers_find(batch_answers(shard->batch), &ask, &shard->answer, &shard->error)) {
        say(shard, "%s", error_code_name(shard->error.code));
        return shard->text;
    }
    struct cursor body = cursor_over(shard->answer.bytes, shard->answer.len);
    assert_true(wire_get_kept_answer(&body, &kept, &shard->error));
    for (uint32_t i = 0; i < kept.count; i++) {
        assert_true(wire_get_kept_one(&kept.list, &one, &shard->error));
        assert_memory_equal(one.digest, digest, WIRE_DIGEST_BYTES);
        say(shard, "%s%u:%.*s", i ? " " : "", one.index, one.outcome_len > 20 ? 20 : (int)one.outcome_len,
            (const char *)one.outcome);
    }
    say(shard, kept.complete ? "" : " …");
    return shard->text;
}

const char *shard_sql(struct shard *shard, const char *sql)
{
    sqlite3 *connection = store_connection(shard->store);
    sqlite3_stmt *row = NULL;
    shard->text[0] = '\0';
    if (sqlite3_prepare_v2(connection, sql, -1, &row, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(connection));
    int result;
    for (unsigned rows = 0; (result = sqlite3_step(row)) == SQLITE_ROW; rows++)
        for (int i = 0; i < sqlite3_column_count(row); i++) {
            const char *text = (const char *)sqlite3_column_text(row, i);
            say(shard, "%s%s", i ? "|" : rows ? ";" : "", text ? text : "NULL");
        }
    if (result != SQLITE_DONE)
        fail_msg("%s: %s", sql, sqlite3_errmsg(connection));
    sqlite3_finalize(row);
    return shard->text;
}

const char *shard_describe(struct shard *shard)
{
    struct wire_hello_answer answer;
    shard->text[0] = '\0';
    if (!store_describe(shard->store, &answer, &shard->error)) {
        say(shard, "%s", error_code_name(shard->error.code));
        return shard->text;
    }
    say(shard, "fresh=%d epoch=%llu last=%llu ", answer.fresh, (unsigned long long)answer.epoch,
        (unsigned long long)answer.last_batch);
    if (answer.kept_at_ms)
        say(shard, "kept=%lld ", (long long)answer.kept_at_ms);
    say(shard, "prepared=[");
    for (uint32_t i = 0; i < answer.prepared_count; i++)
        say(shard, "%s%llu:%s:%.*s", i ? " " : "", (unsigned long long)answer.prepared[i].txn, answer.prepared[i].home,
            (int)answer.prepared[i].locks_len, (const char *)answer.prepared[i].locks);
    say(shard, "] decided=[");
    for (uint32_t i = 0; i < answer.decided_count; i++)
        say(shard, "%s%llu", i ? " " : "", (unsigned long long)answer.decided[i]);
    say(shard, "] tables=[");
    for (uint32_t i = 0; i < answer.table_count; i++) {
        say(shard, "%s%u:%d:", i ? " " : "", answer.tables[i].table, answer.tables[i].has_rows);
        if (answer.tables[i].rowid_max == INT64_MIN)
            say(shard, "-");
        else
            say(shard, "%lld", (long long)answer.tables[i].rowid_max);
        say(shard, "%s", answer.tables[i].has_last ? "+last" : "");
    }
    say(shard, "]");
    wire_hello_answer_release(&answer);
    return shard->text;
}

/* ---- questions ---- */

/* The values of the keys in "1;2" one after the other; how many keys, and values. */
static void put_keys(const char *keys, struct buffer *values, uint32_t *ret_keys, uint32_t *ret_values)
{
    *ret_keys = *ret_values = 0;
    for (const char *at = keys; *at;) {
        struct value parsed[8];
        char blobs[8][64];
        size_t len = strcspn(at, ";");
        unsigned n = parse_values(at, at + len, parsed, blobs);
        for (unsigned i = 0; i < n; i++)
            assert_true(pack_value(values, &parsed[i]));
        *ret_values += n;
        ++*ret_keys;
        at += len + (at[len] == ';');
    }
}

const char *shard_exists(struct shard *shard, table_id table, uint16_t key, const char *keys)
{
    struct buffer values = {0}, message = {0};
    uint32_t count, value_count;
    put_keys(keys, &values, &count, &value_count);
    assert_true(wire_put_exists(&message, table, key, count, value_count));
    assert_true(buffer_put(&message, values.bytes, values.len));
    struct cursor body = cursor_over(message.bytes, message.len);
    struct wire_exists ask;
    shard->text[0] = '\0';
    buffer_clear(&shard->answer);
    if (!wire_get_exists(&body, shard->schema, &ask, &shard->error) ||
        !read_exists(shard->read, &ask, &shard->answer, &shard->error)) {
        say(shard, "%s", error_code_name(shard->error.code));
    } else {
        const uint8_t *there;
        body = cursor_over(shard->answer.bytes, shard->answer.len);
        assert_true(wire_get_exists_answer(&body, &there, &count, &shard->error));
        for (uint32_t i = 0; i < count; i++)
            say(shard, "%u", there[i]);
    }
    buffer_release(&values);
    buffer_release(&message);
    return shard->text;
}

const char *shard_keys(struct shard *shard, table_id table, const int64_t *after, uint32_t limit)
{
    const struct wire_keys ask = {.table = table, .has_after = after, .after = after ? *after : 0, .limit = limit};
    struct wire_keys_answer answer;
    shard->text[0] = '\0';
    buffer_clear(&shard->answer);
    if (!read_keys(shard->read, &ask, &shard->answer, &shard->error)) {
        say(shard, "%s", error_code_name(shard->error.code));
        return shard->text;
    }
    struct cursor body = cursor_over(shard->answer.bytes, shard->answer.len);
    assert_true(wire_get_keys_answer(&body, &answer, &shard->error));
    for (uint32_t i = 0; i < answer.count; i++)
        say(shard, "%lld ", (long long)wire_key_at(&answer, i));
    say(shard, "(%s, batch %llu)", answer.complete ? "complete" : "more", (unsigned long long)answer.batch);
    return shard->text;
}

static void say_value(struct shard *shard, const struct value *value)
{
    struct buffer text = {0};
    assert_true(value_describe(value, &text));
    say(shard, "%.*s", (int)text.len, (const char *)text.bytes);
    buffer_release(&text);
}

static void say_row(struct shard *shard, struct cursor *row)
{
    struct value value;
    uint32_t columns;
    assert_true(cursor_array(row, &columns));
    for (uint32_t i = 0; i < columns; i++) {
        assert_true(cursor_value(row, &value));
        say(shard, "%s", i ? "|" : "");
        say_value(shard, &value);
    }
}

static void say_page(struct shard *shard, struct wire_scan_answer *answer)
{
    struct value value;
    for (uint32_t r = 0; r < answer->row_count; r++) {
        say(shard, "%s", r ? ";" : "");
        say_row(shard, &answer->rows);
    }
    for (uint32_t i = 0; i < answer->next_count; i++) {
        assert_true(cursor_value(&answer->next, &value));
        say(shard, "%s", i ? "|" : " -> ");
        say_value(shard, &value);
    }
}

const char *shard_scan(struct shard *shard, table_id table, uint32_t limit, const char *after)
{
    return shard_filter(shard, table, limit, after, "");
}

static uint32_t parse_filters(const char *text, struct wire_filter *filters, char blobs[8][64])
{
    uint32_t count = 0;
    while (*text && count < 8) {
        char *value;
        filters[count].column = (uint16_t)strtoul(text, &value, 10);
        size_t len = strcspn(++value, "|");
        filters[count].value = parse_value(value, len, blobs[count]);
        count++;
        text = value + len + (value[len] == '|');
    }
    return count;
}

const char *shard_filter(struct shard *shard, table_id table, uint32_t limit, const char *after, const char *wanted)
{
    struct value values[8];
    struct wire_filter filters[8];
    char blobs[8][64], filter_blobs[8][64];
    struct buffer message = {0};
    unsigned count = after ? parse_values(after, after + strlen(after), values, blobs) : 0;
    uint32_t filter_count = parse_filters(wanted, filters, filter_blobs);
    assert_true(wire_put_scan(&message, table, limit, values, count, filters, filter_count));
    struct cursor body = cursor_over(message.bytes, message.len);
    struct wire_scan ask;
    struct wire_scan_answer answer;
    assert_true(wire_get_scan(&body, shard->schema, &ask, &shard->error));
    shard->text[0] = '\0';
    buffer_clear(&shard->answer);
    if (read_scan(shard->read, &ask, &shard->answer, &shard->error)) {
        body = cursor_over(shard->answer.bytes, shard->answer.len);
        assert_true(wire_get_scan_answer(&body, &answer, &shard->error));
        say_page(shard, &answer);
    } else {
        say(shard, "%s", error_code_name(shard->error.code));
    }
    buffer_release(&message);
    return shard->text;
}

const char *shard_rows(struct shard *shard, table_id table, const char *keys)
{
    struct buffer values = {0}, message = {0};
    uint32_t count, value_count;
    put_keys(keys, &values, &count, &value_count);
    assert_true(wire_put_read(&message, table, count, value_count));
    assert_true(buffer_put(&message, values.bytes, values.len));
    struct cursor body = cursor_over(message.bytes, message.len);
    struct wire_read ask;
    shard->text[0] = '\0';
    buffer_clear(&shard->answer);
    if (!wire_get_read(&body, shard->schema, &ask, &shard->error) ||
        !read_rows(shard->read, &ask, &shard->answer, &shard->error)) {
        say(shard, "%s", error_code_name(shard->error.code));
    } else {
        struct wire_rows answer;
        const uint8_t *row;
        size_t len;
        body = cursor_over(shard->answer.bytes, shard->answer.len);
        assert_true(wire_get_read_answer(&body, &answer, &shard->error));
        assert_int_equal(answer.count, count);
        for (uint32_t i = 0; i < count; i++) {
            assert_true(wire_get_row(&answer, &row, &len));
            say(shard, "%s%s", i ? ";" : "", row ? "" : "none");
            if (row) {
                struct cursor at = cursor_over(row, len);
                say_row(shard, &at);
            }
        }
    }
    buffer_release(&values);
    buffer_release(&message);
    return shard->text;
}

const char *shard_children(struct shard *shard, reference_id reference, const char *values)
{
    struct buffer parsed = {0}, message = {0};
    uint32_t count, value_count;
    put_keys(values, &parsed, &count, &value_count);
    assert_true(wire_put_children(&message, reference, value_count));
    assert_true(buffer_put(&message, parsed.bytes, parsed.len));
    struct cursor body = cursor_over(message.bytes, message.len);
    struct wire_children_ask ask;
    shard->text[0] = '\0';
    buffer_clear(&shard->answer);
    if (!wire_get_children(&body, shard->schema, &ask, &shard->error) ||
        !children_find(shard->children, &ask, &shard->answer, &shard->error)) {
        say(shard, "%s", error_code_name(shard->error.code));
    } else {
        struct wire_children answer;
        body = cursor_over(shard->answer.bytes, shard->answer.len);
        assert_true(wire_get_children_answer(&body, &answer, &shard->error));
        for (uint32_t i = 0; i < answer.count; i++) {
            const uint8_t *row;
            size_t len;
            int64_t rowid;
            assert_true(wire_get_child(&answer, &rowid, &row, &len));
            struct cursor at = cursor_over(row, len);
            say(shard, "%s", i ? ";" : "");
            if (rowid)
                say(shard, "%lld: ", (long long)rowid);
            say_row(shard, &at);
        }
    }
    buffer_release(&parsed);
    buffer_release(&message);
    return shard->text;
}
