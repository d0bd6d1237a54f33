/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine makes of a shard's answers: a real engine, on links that are this target's (links.h).
 *
 * The first byte says which of the works below are done, a bit each. Then come frames (frames.h), one for each request
 * that the engine sends, whose first byte is the HOW_… of its answer; without more frames all answers are honest.
 * Checked: the engine ends, each operation has an outcome, and a refused one a reason.
 *
 * Time passes with each look at the clock, so that no limit is waited for. */
#include "engine.h"
#include "frames.h"
#include "fuzz.h"
#include "links.h"
#include "row.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_BYTES 1u
#define DATABASES 3
#define RESTARTS_MAX 20u  /* of a database in one input; then it stays away */
#define LOOK_NS 20000000u /* so much later is each look at the clock */

enum how {
    HOW_HONEST,
    HOW_BODY,    /* done, with what follows as its body */
    HOW_ERROR,   /* the code that follows */
    HOW_MESSAGE, /* what follows, as it is */
    HOW_SILENCE, /* of a hello HOW_LOST: what is mute is ended by the links */
    HOW_ALTERED, /* honest, but for one byte: its place, its value */
    HOW_LOST,    /* the connection, and then there again */
    HOW_TWICE,
    HOW_COUNT
};

enum { A, B, N }; /* tables, each in a database of its own */
static const char ddl[] =
    "CREATE TABLE a (id INTEGER PRIMARY KEY, name TEXT UNIQUE);\n"
    "CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER REFERENCES a ON DELETE CASCADE ON UPDATE CASCADE,"
    " boss INTEGER REFERENCES b ON DELETE SET NULL);\n"
    "CREATE TABLE n (name TEXT REFERENCES a (name) ON UPDATE CASCADE);\n";

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t len, size_t len_max, unsigned seed);
void __wrap_mailbox_take(void *mailbox, int wait_ms, void **ret_mails, void **ret_submissions);
void __real_mailbox_take(void *mailbox, int wait_ms, void **ret_mails, void **ret_submissions);
uint64_t __wrap_clock_monotonic_ns(void);

static const struct schema *schema;

/* ---- time ---- */

static atomic_uint_least64_t now_ns;

uint64_t __wrap_clock_monotonic_ns(void)
{
    return atomic_fetch_add(&now_ns, LOOK_NS);
}

void __wrap_mailbox_take(void *mailbox, int wait_ms, void **ret_mails, void **ret_submissions)
{
    __real_mailbox_take(mailbox, wait_ms > 1 ? 1 : wait_ms, ret_mails, ret_submissions);
}

/* ---- the shards ---- */

struct links { /* the engine's thread alone, once it is open */
    links_listener *listener;
    void *context;
    struct {
        uint64_t generation;
        uint64_t last_batch;
        unsigned restarts;
        bool connected;
    } shards[DATABASES];
    uint64_t generations;
};

static struct links links;
static const uint8_t *script_at, *script_end;

static void tell(database_id database, struct link_event event)
{
    event.database = database;
    event.generation = links.shards[database].generation;
    links.listener(links.context, &event);
}

static void tell_message(database_id database, const void *bytes, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    if (!copy)
        panic("out of memory");
    if (len)
        memcpy(copy, bytes, len);
    tell(database, (struct link_event){.kind = LINK_MESSAGE, .bytes = copy, .len = len, .handle = copy});
}

static void connect_to(database_id database)
{
    links.shards[database].generation = ++links.generations;
    links.shards[database].connected = true;
    tell(database, (struct link_event){.kind = LINK_CONNECTED});
}

static void lose(database_id database)
{
    struct link_event event = {.kind = LINK_LOST};
    error_set(&event.error, ERROR_UNAVAILABLE, "database %u: lost", database);
    links.shards[database].connected = false;
    tell(database, event);
    if (links.shards[database].restarts++ < RESTARTS_MAX) {
        connect_to(database);
        return;
    }
    event.kind = LINK_FAILED;
    tell(database, event);
}

static void put_hello(database_id database, const struct wire_header *header, struct buffer *message)
{
    struct wire_table_state table = {.table = database, .has_rows = true, .rowid_max = 5};
    struct wire_hello_answer answer = {.protocol = WIRE_PROTOCOL,
                                       .cluster = "test",
                                       .epoch = header->epoch,
                                       .last_batch = links.shards[database].last_batch,
                                       .table_count = 1,
                                       .tables = &table};
    if (!wire_put_hello_answer(message, &answer))
        panic("out of memory");
}

static void put_write(database_id database, struct cursor body, bool is_probe, struct buffer *message)
{
    const struct wire_write_results none = {.failure_count = 0};
    uint64_t batch = 0;
    uint32_t entries;
    if (!is_probe && !wire_get_write(&body, &batch, &entries, NULL))
        panic("a shard would not understand a write");
    if (batch > links.shards[database].last_batch)
        links.shards[database].last_batch = batch;
    if (!wire_put_write_answer(message, batch, 1, 1, 1, &none))
        panic("out of memory");
}

static void put_exists(struct cursor body, struct buffer *message)
{
    static const uint8_t there[64] = {1, 1, 1, 1, 1, 1, 1, 1};
    struct wire_exists exists;
    if (!wire_get_exists(&body, schema, &exists, NULL) || exists.count > sizeof there)
        panic("a shard would not understand whether keys exist");
    wire_put_exists_answer(message, there, exists.count);
}

static void put_row(table_id id, int64_t key, struct buffer *message)
{
    const struct schema_table *table = &schema->tables[id];
    struct value values[4];
    for (uint16_t i = 0; i < table->column_count; i++)
        values[i] = i == table->rowid_column ? value_integer(key) : id == B ? value_integer(1) : value_text("x", 1);
    if (!row_write(table, values, message))
        panic("out of memory");
}

/* Keys up to 5 are there. */
static void put_read(struct cursor body, struct buffer *message)
{
    struct wire_read ask;
    struct value key;
    bool fine = wire_get_read(&body, schema, &ask, NULL) && pack_array(message, 1) && pack_array(message, ask.count);
    for (uint32_t i = 0; fine && i < ask.count; i++) {
        fine = cursor_value(&ask.values, &key);
        if (key.type == VALUE_INTEGER && key.integer <= 5)
            put_row(ask.table, key.integer, message);
        else
            fine = fine && pack_raw(message, "\xc0", 1);
    }
    if (!fine)
        panic("a shard would not understand a read");
}

/* Row 4 refers to everything; it has no children. */
static void put_children(struct cursor body, struct buffer *message)
{
    struct wire_children_ask ask;
    struct value parent;
    if (!wire_get_children(&body, schema, &ask, NULL) || !cursor_value(&ask.values, &parent))
        panic("a shard would not understand a question for children");
    table_id child = schema->references[ask.reference].child;
    bool any = parent.type != VALUE_INTEGER || parent.integer != 4;
    pack_array(message, 1);
    pack_array(message, any ? 2 : 0);
    if (!any)
        return;
    if (child == N)
        pack_int(message, 4);
    else
        pack_raw(message, "\xc0", 1);
    put_row(child, 4, message);
}

static void put_honest(database_id database, const struct wire_header *header, struct cursor body,
                       struct buffer *message)
{
    static const int64_t keys[] = {1, 2, 3, 4, 5};
    static const struct wire_stats stats;
    const struct buffer none = {0};
    switch ((enum wire_kind)header->kind) {
    case WIRE_HELLO:
        put_hello(database, header, message);
        break;
    case WIRE_WRITE:
    case WIRE_PROBE:
        put_write(database, body, header->kind == WIRE_PROBE, message);
        break;
    case WIRE_EXISTS:
        put_exists(body, message);
        break;
    case WIRE_KEYS:
        wire_put_keys_answer(message, links.shards[database].last_batch, true, keys, 5);
        break;
    case WIRE_READ:
        put_read(body, message);
        break;
    case WIRE_CHILDREN:
        put_children(body, message);
        break;
    case WIRE_SCAN:
        pack_array(message, 2);
        pack_array(message, 0);
        pack_array(message, 0);
        break;
    case WIRE_KEPT:
        wire_put_kept_answer(message, true, 0, &none);
        break;
    case WIRE_STATS:
        wire_put_stats_answer(message, &stats);
        break;
    case WIRE_PING:
        wire_put_ping_answer(message, 1);
        break;
    }
}

static void put_error(const struct wire_header *header, const struct frame *frame, struct buffer *message)
{
    struct error error;
    unsigned code = frame->len ? frame->bytes[0] : 0;
    error_set(&error, error_code_valid(code) ? (enum error_code)code : ERROR_IO, "as told");
    if (!wire_put_error(message, header, &error))
        panic("out of memory");
}

static void alter(struct buffer *message, const struct frame *frame)
{
    if (frame->len < 3)
        return;
    size_t at = ((size_t)frame->bytes[0] | (size_t)frame->bytes[1] << 8) % message->len;
    message->bytes[at] = frame->bytes[2];
}

/* Else the engine goes on waiting. For a hello it does so until the links say that the shard is mute. */
static bool answers(const struct buffer *message, const struct wire_header *asked)
{
    struct wire_header header;
    struct error refusal;
    struct cursor body;
    bool done;
    return wire_get_answer(message->bytes, message->len, &header, &done, &refusal, &body, NULL) &&
           header.coordinator == asked->coordinator && header.generation == asked->generation &&
           header.request == asked->request;
}

static void answer(database_id database, const struct wire_header *header, struct cursor body)
{
    struct buffer message = {0};
    struct frame frame = {NULL, 0};
    enum how how = HOW_HONEST;
    if (frames_next(&script_at, script_end, &frame) && frame.len) {
        how = (enum how)(frame.bytes[0] % HOW_COUNT);
        frame = (struct frame){frame.bytes + 1, frame.len - 1};
    }
    if (how == HOW_SILENCE && header->kind != WIRE_HELLO)
        return;
    if (how == HOW_LOST || how == HOW_SILENCE) {
        lose(database);
        return;
    }
    if (how == HOW_ERROR) {
        put_error(header, &frame, &message);
    } else if (how == HOW_MESSAGE || how == HOW_BODY) {
        if ((how == HOW_BODY && !wire_put_done(&message, header)) || !pack_raw(&message, frame.bytes, frame.len))
            panic("out of memory");
    } else {
        if (!wire_put_done(&message, header))
            panic("out of memory");
        put_honest(database, header, body, &message);
    }
    if (how == HOW_ALTERED)
        alter(&message, &frame);
    tell_message(database, message.bytes, message.len);
    if (how == HOW_TWICE)
        tell_message(database, message.bytes, message.len);
    if (header->kind == WIRE_HELLO && !answers(&message, header))
        lose(database);
    buffer_release(&message);
}

struct links *links_open(const struct links_options *options, struct error *error)
{
    (void)error;
    links = (struct links){.listener = options->listener, .context = options->context};
    for (database_id i = 0; i < DATABASES; i++)
        connect_to(i);
    return &links;
}

bool links_send(struct links *of, database_id database, uint64_t generation, const void *head, size_t head_len,
                const void *body, size_t body_len)
{
    struct buffer message = {0};
    struct wire_header header;
    struct cursor cursor;
    struct error error;
    bool live = of->shards[database].connected && of->shards[database].generation == generation;
    if (!pack_raw(&message, head, head_len) || (body_len && !pack_raw(&message, body, body_len)))
        panic("out of memory");
    if (!wire_get_request(message.bytes, message.len, &header, &cursor, &error))
        panic("a shard would not understand it: %s", error.text);
    if (live)
        answer(database, &header, cursor);
    buffer_release(&message);
    return live;
}

void links_restart(struct links *of, database_id database, uint64_t generation)
{
    if (of->shards[database].connected && of->shards[database].generation == generation)
        lose(database);
}

int64_t links_pid(const struct links *of, database_id database)
{
    (void)of;
    (void)database;
    return 0;
}

void links_close(struct links *of)
{
    (void)of;
}

void link_event_release(struct link_event *event)
{
    if (event->kind == LINK_MESSAGE)
        free(event->handle);
}

/* ---- the work ---- */

static void add(struct submission *submission, enum op_kind kind, table_id id, int64_t key, struct value second)
{
    const struct schema_table *table = &schema->tables[id];
    struct op *op = &submission->ops[submission->count++];
    struct value values[4];
    *op = (struct op){.kind = kind, .table = id, .key = {(uint32_t)submission->rows.len, 0}};
    if (kind == OP_UPDATE || kind == OP_DELETE || kind == OP_READ) {
        if (!pack_array(&submission->rows, 1) || !pack_int(&submission->rows, key))
            panic("out of memory");
        op->key.len = (uint32_t)submission->rows.len - op->key.at;
    }
    for (uint16_t i = 0; i < table->column_count; i++)
        values[i] = value_absent();
    if (table->rowid_column != SCHEMA_NONE && kind != OP_UPDATE && key)
        values[table->rowid_column] = value_integer(key);
    values[id == N ? 0 : 1] = second;
    if (kind == OP_UPDATE && second.type == VALUE_INTEGER)
        values[0] = second; /* its key */
    op->row_at = (uint32_t)submission->rows.len;
    if (kind != OP_DELETE && kind != OP_READ && !row_write(table, values, &submission->rows))
        panic("out of memory");
    op->row_len = (uint32_t)submission->rows.len - op->row_at;
}

static void put_work(struct submission *submission, unsigned work)
{
    const struct value name = value_text("x", 1), one = value_integer(1), nine = value_integer(9);
    submission->atomic = work == 1 || work == 6;
    switch (work) {
    case 0:
        add(submission, OP_INSERT, A, 0, name);
        add(submission, OP_INSERT, B, 7, one);
        add(submission, OP_INSERT, N, 0, name);
        break;
    case 1:
        add(submission, OP_INSERT, A, 11, name);
        add(submission, OP_INSERT, B, 12, value_integer(11));
        add(submission, OP_DELETE, B, 4, one);
        break;
    case 2:
        add(submission, OP_UPDATE, A, 1, name);
        add(submission, OP_UPDATE, B, 2, nine);
        break;
    case 3:
        add(submission, OP_DELETE, A, 3, one);
        break;
    case 4:
        add(submission, OP_UPSERT, B, 2, one);
        add(submission, OP_UPSERT, A, 20, name);
        break;
    case 5:
        add(submission, OP_READ, A, 1, name);
        add(submission, OP_READ, B, 8, one);
        break;
    case 6:
        add(submission, OP_UPDATE, A, 2, value_text("y", 1));
        add(submission, OP_INSERT, N, 0, name);
        break;
    default:
        add(submission, OP_INSERT, B, 30, one);
        add(submission, OP_DELETE, B, 5, one);
        break;
    }
}

static void do_work(struct engine *engine, unsigned work)
{
    struct submission *submission = submission_new(4);
    struct error error;
    if (!submission)
        panic("out of memory");
    put_work(submission, work);
    if (work >= 6 &&
        !submission_set_key(submission, "/v1/rows", work == 7 ? B : SCHEMA_NONE, "k", 1, "POST", "", 0, &error))
        panic("%s", error.text);
    engine_submit_and_wait(engine, submission);
    bool refused = false;
    for (uint32_t i = 0; i < submission->count; i++) {
        const struct op *op = &submission->ops[i];
        if (op->result == OP_PENDING)
            panic("an operation has no outcome");
        refused |= op->error != NULL;
        if (op->result == OP_REFUSED && !op->error && !submission->atomic)
            panic("an operation is refused without a reason");
        if (op->result == OP_REFUSED && submission->atomic && i + 1 == submission->count && !refused)
            panic("a transaction is refused without a reason");
    }
    submission_free(submission);
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t len, size_t len_max, unsigned seed)
{
    return frames_mutate(bytes, len, len_max, seed, HEAD_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct error error;
    struct engine_options options = {.limits = limits_default(), .cluster = "test"};
    if (!schema && !(schema = schema_load(ddl, sizeof ddl - 1, "fuzz", NULL, &error)))
        panic("%s", error.text);
    if (len < HEAD_BYTES)
        return 0;
    options.schema = schema;
    options.limits.engine_ops_max = 64;
    options.limits.answer_ms = options.limits.lock_ms = options.limits.stop_ms = 500;
    script_at = bytes + HEAD_BYTES;
    script_end = bytes + len;
    atomic_store(&now_ns, 1000000000u);
    struct engine *engine = engine_start(&options, &error);
    for (unsigned work = 0; engine && work < 8; work++)
        if (bytes[0] & 1u << work)
            do_work(engine, work);
    engine_stop(engine);
    return 0;
}
