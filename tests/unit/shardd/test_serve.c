/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"
#include "serve.h"
#include "shard.h"

#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define says assert_string_equal
#define EPOCH 3u

/* nng may lose sight of a message that it has taken when the peer vanishes in that instant: of an answer, and of what
 * the client of these tests (send_bytes) has sent before it closes. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:send_bytes\nleak:channel_send\n";
}

/* A served shard and one client of it. */
struct fixture {
    struct shard *shard;
    struct serve *serve;
    pthread_t thread;
    bool running;
    int status;
    char url[128];
    nng_socket client;
    uint64_t request;
    struct wire_header header; /* of the last answer */
    struct error refusal;
    struct buffer body; /* of the last answer, when it was done */
};

static void *serve_thread(void *context)
{
    struct fixture *f = context;
    f->status = serve_run(f->serve);
    return NULL;
}

static void run(struct fixture *f)
{
    assert_int_equal(pthread_create(&f->thread, NULL, serve_thread, f), 0);
    f->running = true;
}

static void join(struct fixture *f)
{
    pthread_join(f->thread, NULL);
    f->running = false;
}

static void dial(struct fixture *f)
{
    assert_int_equal(nng_pair0_open(&f->client), 0);
    nng_socket_set_ms(f->client, NNG_OPT_RECVTIMEO, 20000);
    nng_socket_set_ms(f->client, NNG_OPT_SENDTIMEO, 20000);
    assert_int_equal(nng_dial(f->client, f->url, NULL, 0), 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    void *shard;
    log_open("test", NULL, LOG_LEVEL_ERROR, LOG_LOGFMT);
    shard_setup_unopened(&shard);
    f->shard = shard;
    assert_true(shard_open(f->shard));
    snprintf(f->url, sizeof f->url, "ipc://%s/socket", f->shard->data);
    f->serve = serve_open(f->shard->store, f->url, 1000, &f->shard->error);
    if (!f->serve)
        fail_msg("%s", f->shard->error.text);
    dial(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    void *shard = f->shard;
    if (f->running) {
        serve_stop(f->serve);
        join(f);
    }
    nng_close(f->client);
    serve_close(f->serve);
    buffer_release(&f->body);
    shard_teardown(&shard);
    free(f);
    return 0;
}

/* ---- asking ---- */

static struct wire_header header_of(struct fixture *f, unsigned kind)
{
    return (struct wire_header){
        .kind = kind, .epoch = EPOCH, .coordinator = SHARD_COORDINATOR, .generation = 2, .request = ++f->request};
}

static int send_bytes(struct fixture *f, const void *bytes, size_t len)
{
    nng_msg *message;
    assert_int_equal(nng_msg_alloc(&message, 0), 0);
    assert_int_equal(nng_msg_append(message, bytes, len), 0);
    int result = nng_sendmsg(f->client, message, 0);
    if (result != 0)
        nng_msg_free(message);
    return result;
}

static int send_request(struct fixture *f, const struct wire_header *header, const void *body, size_t len)
{
    struct buffer message = {0};
    assert_true(wire_put_request(&message, header) && buffer_put(&message, body, len));
    int result = send_bytes(f, message.bytes, message.len);
    buffer_release(&message);
    return result;
}

/* "ok" or the code of a refusal; keeps the answer. */
static const char *receive(struct fixture *f)
{
    nng_msg *message;
    bool done;
    struct cursor body;
    int result = nng_recvmsg(f->client, &message, 0);
    if (result != 0)
        fail_msg("no answer: %s", nng_strerror(result));
    if (!wire_get_answer(nng_msg_body(message), nng_msg_len(message), &f->header, &done, &f->refusal, &body,
                         &f->shard->error))
        fail_msg("%s", f->shard->error.text);
    buffer_clear(&f->body);
    if (done)
        assert_true(buffer_put(&f->body, body.at, cursor_left(&body)));
    nng_msg_free(message);
    return done ? "ok" : error_code_name(f->refusal.code);
}

static const char *ask_with(struct fixture *f, struct wire_header header, const void *body, size_t len)
{
    assert_int_equal(send_request(f, &header, body, len), 0);
    const char *said = receive(f);
    assert_int_equal(f->header.request, header.request);
    assert_int_equal(f->header.kind, header.kind);
    assert_int_equal(f->header.generation, header.generation);
    return said;
}

static const char *ask(struct fixture *f, unsigned kind, const struct buffer *body)
{
    return ask_with(f, header_of(f, kind), body->bytes, body->len);
}

static const char *ask_nothing(struct fixture *f, unsigned kind)
{
    return ask_with(f, header_of(f, kind), "\x90", 1);
}

static const char *ask_hello(struct fixture *f, bool claim, uint64_t epoch, uint64_t coordinator)
{
    struct wire_hello hello = shard_hello();
    hello.claim = claim;
    struct buffer body = {0};
    assert_true(wire_put_hello(&body, &hello));
    struct wire_header header = header_of(f, WIRE_HELLO);
    header.epoch = epoch;
    header.coordinator = coordinator;
    const char *said = ask_with(f, header, body.bytes, body.len);
    buffer_release(&body);
    return said;
}

static void claimed_and_running(struct fixture *f)
{
    run(f);
    says(ask_hello(f, true, EPOCH, SHARD_COORDINATOR), "ok");
}

/* A write of the entries collected in the shard. */
static struct buffer write_body(struct fixture *f, uint64_t number)
{
    struct buffer body = {0};
    struct shard *s = f->shard;
    assert_true(wire_put_write(&body, number, s->entry_count) && buffer_put(&body, s->entries.bytes, s->entries.len));
    buffer_clear(&s->entries);
    s->entry_count = 0;
    return body;
}

static struct buffer keys_body(void)
{
    struct buffer body = {0};
    assert_true(wire_put_keys(&body, &(struct wire_keys){.table = PEOPLE, .limit = 5}));
    return body;
}

static uint64_t progress_of(struct fixture *f)
{
    uint64_t progress;
    struct cursor body = cursor_over(f->body.bytes, f->body.len);
    assert_true(wire_get_ping_answer(&body, &progress, &f->shard->error));
    return progress;
}

/* ---- tests ---- */

static void a_ping_is_answered_though_the_main_thread_does_nothing(void **state)
{
    struct fixture *f = *state;
    says(ask_nothing(f, WIRE_PING), "ok");
    uint64_t before = progress_of(f);
    says(ask_nothing(f, WIRE_PING), "ok");
    assert_int_equal(progress_of(f), before);
    serve_progress(f->serve);
    says(ask_nothing(f, WIRE_PING), "ok");
    assert_int_equal(progress_of(f), before + 1);
    run(f);
    says(ask_hello(f, false, 0, 0), "ok");
    serve_stop(f->serve);
    join(f);
    says(ask_nothing(f, WIRE_PING), "ok");
    assert_true(progress_of(f) > before + 1);
}

static void hello_tells_and_claims(void **state)
{
    struct fixture *f = *state;
    struct wire_hello_answer answer;
    run(f);
    for (int claim = 0; claim <= 1; claim++) {
        says(ask_hello(f, claim, EPOCH, SHARD_COORDINATOR), "ok");
        struct cursor body = cursor_over(f->body.bytes, f->body.len);
        assert_true(wire_get_hello_answer(&body, &answer, &f->shard->error));
        assert_int_equal(answer.fresh, !claim);
        assert_int_equal(answer.epoch, claim ? EPOCH : 0);
        assert_int_equal(answer.table_count, claim ? 6 : 0);
        wire_hello_answer_release(&answer);
    }
}

static void nothing_is_answered_before_a_claim_but_hello_ping_and_stop(void **state)
{
    struct fixture *f = *state;
    run(f);
    for (unsigned kind = WIRE_WRITE; kind <= WIRE_STATS; kind++) {
        says(ask_nothing(f, kind), "unavailable");
        assert_non_null(strstr(f->refusal.text, "no coordinator has claimed it yet"));
        struct wire_header header = header_of(f, kind);
        header.epoch = header.coordinator = 0; /* nobody's */
        says(ask_with(f, header, "\x90", 1), "unavailable");
    }
    says(ask_nothing(f, WIRE_PING), "ok");
}

static void another_protocol_is_refused_clearly(void **state)
{
    struct fixture *f = *state;
    struct wire_hello hello = shard_hello();
    hello.protocol = WIRE_PROTOCOL + 1;
    struct buffer body = {0};
    assert_true(wire_put_hello(&body, &hello));
    run(f);
    says(ask(f, WIRE_HELLO, &body), "unavailable");
    char said[80];
    snprintf(said, sizeof said, "the coordinator speaks protocol %d, this shardd %d", WIRE_PROTOCOL + 1, WIRE_PROTOCOL);
    assert_non_null(strstr(f->refusal.text, said));
    buffer_release(&body);
}

static void an_earlier_coordinator_is_fenced_off(void **state)
{
    struct fixture *f = *state;
    claimed_and_running(f);
    struct buffer keys = keys_body();
    says(ask(f, WIRE_KEYS, &keys), "ok");
    says(ask_hello(f, true, EPOCH - 1, 1), "unavailable");
    says(ask_hello(f, true, EPOCH, 1), "unavailable");
    says(ask(f, WIRE_KEYS, &keys), "ok"); /* those had no effect */
    says(ask_hello(f, true, EPOCH + 1, 1), "ok");
    says(ask(f, WIRE_KEYS, &keys), "unavailable");
    assert_non_null(strstr(f->refusal.text, "a newer coordinator has taken over"));
    shard_insert(f->shard, PEOPLE, "1|'Ann|NULL|-");
    struct buffer batch = write_body(f, 1);
    says(ask(f, WIRE_WRITE, &batch), "unavailable");
    struct wire_header header = header_of(f, WIRE_KEYS);
    header.epoch = EPOCH + 1;
    says(ask_with(f, header, keys.bytes, keys.len), "unavailable"); /* its epoch, not its id */
    header = header_of(f, WIRE_KEYS);
    header.coordinator = 1;
    says(ask_with(f, header, keys.bytes, keys.len), "unavailable"); /* its id, not its epoch */
    header = header_of(f, WIRE_KEYS);
    header.epoch = EPOCH + 1;
    header.coordinator = 1;
    says(ask_with(f, header, keys.bytes, keys.len), "ok");
    struct wire_keys_answer answer;
    struct cursor body = cursor_over(f->body.bytes, f->body.len);
    assert_true(wire_get_keys_answer(&body, &answer, &f->shard->error));
    assert_int_equal(answer.count, 0);
    buffer_release(&keys);
    buffer_release(&batch);
}

static void a_write_is_answered_with_its_failures_and_its_times(void **state)
{
    struct fixture *f = *state;
    claimed_and_running(f);
    shard_insert(f->shard, PEOPLE, "1|'Ann|NULL|-");
    shard_insert(f->shard, PEOPLE, "1|'Eve|NULL|-");
    struct buffer batch = write_body(f, 1);
    for (int turn = 0; turn <= 1; turn++) {
        says(ask(f, WIRE_WRITE, &batch), "ok");
        struct wire_write_answer answer;
        struct cursor body = cursor_over(f->body.bytes, f->body.len);
        assert_true(wire_get_write_answer(&body, &answer, &f->shard->error));
        assert_int_equal(answer.batch, 1);
        assert_int_equal(answer.failure_count, 1);
        assert_true(answer.apply_ns > 0 && answer.decode_ns > 0);
        assert_int_equal(answer.commit_ns > 0, turn == 0); /* what was stored does not know the commit's time */
    }
    shard_insert(f->shard, PEOPLE, "2|'Bob|NULL|-");
    struct buffer third = write_body(f, 3);
    says(ask(f, WIRE_WRITE, &third), "conflict");
    struct wire_stats *stats = calloc(1, sizeof *stats);
    says(ask_nothing(f, WIRE_STATS), "ok");
    struct cursor body = cursor_over(f->body.bytes, f->body.len);
    assert_true(wire_get_stats_answer(&body, stats, &f->shard->error));
    assert_int_equal(stats->rows_accepted, 1);
    assert_int_equal(stats->rows_refused, 1);
    assert_int_equal(stats->batches, 1);
    assert_int_equal(stats->commit.count, 2);
    assert_true(stats->busy_ns > 0 && stats->cpu_ns > 0 && stats->file_bytes > 0 && stats->memory_bytes > 0);
    free(stats);
    buffer_release(&batch);
    buffer_release(&third);
}

/* A run's own time begins when its shards are claimed. */
static void a_claim_is_no_time_spent_on_requests(void **state)
{
    struct fixture *f = *state;
    claimed_and_running(f);
    struct wire_stats *stats = calloc(1, sizeof *stats);
    for (int turn = 0; turn <= 1; turn++) {
        says(ask_nothing(f, WIRE_STATS), "ok");
        struct cursor body = cursor_over(f->body.bytes, f->body.len);
        assert_true(wire_get_stats_answer(&body, stats, &f->shard->error));
        assert_int_equal(stats->busy_ns > 0, turn); /* with the first question */
    }
    free(stats);
}

static void batches_in_flight_are_answered_in_order_each_once_committed(void **state)
{
    struct fixture *f = *state;
    claimed_and_running(f);
    for (uint64_t n = 1; n <= 30; n++) {
        char row[64];
        snprintf(row, sizeof row, "%llu|'Ann|NULL|-", (unsigned long long)n);
        shard_insert(f->shard, PEOPLE, row);
        struct buffer batch = write_body(f, n);
        struct wire_header header = header_of(f, WIRE_WRITE);
        assert_int_equal(send_request(f, &header, batch.bytes, batch.len), 0);
        buffer_release(&batch);
    }
    uint64_t first = f->request - 29;
    for (uint64_t n = 1; n <= 30; n++) {
        says(receive(f), "ok");
        assert_int_equal(f->header.request, first + n - 1);
    }
    struct buffer keys = keys_body();
    says(ask(f, WIRE_KEYS, &keys), "ok");
    struct wire_keys_answer answer;
    struct cursor body = cursor_over(f->body.bytes, f->body.len);
    assert_true(wire_get_keys_answer(&body, &answer, &f->shard->error));
    assert_int_equal(answer.batch, 30);
    buffer_release(&keys);
}

static void *send_rest(void *context)
{
    struct fixture *f = context;
    struct buffer keys = keys_body();
    while (f->request < 1000) {
        struct wire_header header = header_of(f, WIRE_KEYS);
        if (send_request(f, &header, keys.bytes, keys.len) != 0)
            break;
    }
    buffer_release(&keys);
    return NULL;
}

static void a_full_inbox_stops_the_sender_and_loses_nothing(void **state)
{
    struct fixture *f = *state;
    struct buffer keys = keys_body();
    nng_socket_set_ms(f->client, NNG_OPT_SENDTIMEO, 300);
    int result = 0;
    while (result == 0 && f->request < 1000) {
        struct wire_header header = header_of(f, WIRE_KEYS);
        result = send_request(f, &header, keys.bytes, keys.len);
    }
    assert_int_equal(result, NNG_ETIMEDOUT);
    uint64_t sent = f->request - 1;
    assert_in_range(sent, 256, 900); /* the inbox, and what nng and the kernel hold */
    nng_socket_set_ms(f->client, NNG_OPT_SENDTIMEO, 20000);
    f->request = sent;
    pthread_t sender;
    assert_int_equal(pthread_create(&sender, NULL, send_rest, f), 0);
    run(f);
    for (uint64_t n = 1; n <= 1000; n++) {
        says(receive(f), "unavailable");
        assert_int_equal(f->header.request, n);
    }
    pthread_join(sender, NULL);
    buffer_release(&keys);
}

/* Every prefix and every flipped bit of a body is answered: with what it then means, or a refusal. */
static void mistreat(struct fixture *f, unsigned kind, struct buffer *body)
{
    for (size_t len = 1; len < body->len; len++) /* without any body it is no message */
        says(ask_with(f, header_of(f, kind), body->bytes, len), "parse");
    for (size_t at = 0; at < body->len; at++)
        for (unsigned bit = 0; bit < 8; bit += 1 + kind % 2) {
            body->bytes[at] ^= (uint8_t)(1u << bit);
            ask(f, kind, body);
            body->bytes[at] ^= (uint8_t)(1u << bit);
        }
    assert_true(buffer_put(body, "\xc0", 1));
    says(ask(f, kind, body), "parse"); /* trailing bytes */
    buffer_release(body);
}

static void rows_and_children_are_told_as_the_last_write_left_them(void **state)
{
    struct fixture *f = *state;
    struct shard *s = f->shard;
    struct buffer ask_read = {0}, ask_children = {0};
    struct wire_rows rows;
    struct wire_children children;
    const uint8_t *row;
    size_t len;
    int64_t rowid;
    claimed_and_running(f);
    shard_insert(s, PEOPLE, "7|'Ann|NULL|-");
    shard_insert(s, COUNTED, "1|7");
    shard_insert(s, COUNTED, "2|7");
    shard_update(s, PEOPLE, "7", "8|-|-|-");
    shard_delete(s, COUNTED, "1");
    struct buffer body = write_body(f, 1);
    says(ask(f, WIRE_WRITE, &body), "ok");
    assert_true(wire_put_read(&ask_read, PEOPLE, 2, 2) && pack_int(&ask_read, 7) && pack_int(&ask_read, 8));
    says(ask(f, WIRE_READ, &ask_read), "ok");
    struct cursor answer = cursor_over(f->body.bytes, f->body.len);
    assert_true(wire_get_read_answer(&answer, &rows, &s->error));
    assert_int_equal(rows.count, 2);
    assert_true(wire_get_row(&rows, &row, &len) && !row);
    assert_true(wire_get_row(&rows, &row, &len) && row);
    assert_true(wire_put_children(&ask_children, 0, 1) && pack_int(&ask_children, 7));
    says(ask(f, WIRE_CHILDREN, &ask_children), "ok");
    answer = cursor_over(f->body.bytes, f->body.len);
    assert_true(wire_get_children_answer(&answer, &children, &s->error));
    assert_int_equal(children.count, 1);
    assert_true(wire_get_child(&children, &rowid, &row, &len));
    assert_int_equal(len, 3);
    assert_memory_equal(row, "\x92\x02\x07", 3);
    mistreat(f, WIRE_CHILDREN, &ask_children);
    buffer_release(&ask_read);
    buffer_release(&body);
}

/* Whoever misses an answer must miss the connection too: only then does he ask again. */
static void a_client_that_takes_no_answers_ends_the_run(void **state)
{
    struct fixture *f = *state;
    claimed_and_running(f);
    nng_socket_set_ms(f->client, NNG_OPT_SENDTIMEO, 1000);
    int result = 0;
    while (result == 0 && f->request < 10000) { /* until all is full of answers, and then the inbox of questions */
        struct wire_header header = header_of(f, WIRE_STATS);
        result = send_request(f, &header, "\x90", 1);
    }
    assert_int_equal(result, NNG_ETIMEDOUT);
    join(f);
    assert_int_equal(f->status, 3);
}

static void what_is_no_message_is_dropped_and_the_next_is_answered(void **state)
{
    struct fixture *f = *state;
    claimed_and_running(f);
    uint32_t seed = 12345;
    for (unsigned i = 0; i < 300; i++) {
        uint8_t bytes[64];
        for (unsigned b = 0; b < sizeof bytes; b++)
            bytes[b] = (uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24);
        if (i % 3 == 0)
            bytes[0] = 0x97; /* an answer's array */
        assert_int_equal(send_bytes(f, bytes, i % sizeof bytes), 0);
    }
    says(ask_nothing(f, WIRE_STATS), "ok");
}

static void a_kind_that_is_none_is_refused(void **state)
{
    struct fixture *f = *state;
    claimed_and_running(f);
    says(ask_nothing(f, 0), "parse");
    says(ask_nothing(f, WIRE_CHILDREN + 1), "parse");
    says(ask_nothing(f, UINT32_MAX), "parse");
    assert_non_null(strstr(f->refusal.text, "4294967295"));
}

static void a_body_cut_or_changed_anywhere_is_answered(void **state)
{
    struct fixture *f = *state;
    claimed_and_running(f);
    struct shard *s = f->shard;
    struct buffer body = {0};
    struct value after = value_integer(3);
    shard_insert(s, PEOPLE, "1|'Ann|NULL|-");
    shard_update(s, PEOPLE, "1", "-|'Eve|-|-");
    shard_delete(s, PEOPLE, "2");
    shard_group(s, 1);
    shard_op(s, WORDS, "'one|1|-");
    shard_forget(s, 1);
    struct buffer batch = write_body(f, 1);
    mistreat(f, WIRE_WRITE, &batch);
    assert_true(wire_put_exists(&body, PEOPLE, 0, 2, 2) && pack_int(&body, 1) && pack_int(&body, 2));
    mistreat(f, WIRE_EXISTS, &body);
    body = keys_body();
    mistreat(f, WIRE_KEYS, &body);
    const struct wire_filter filter = {1, value_text("Ann", 3)};
    assert_true(wire_put_scan(&body, PEOPLE, 5, &after, 1, &filter, 1));
    mistreat(f, WIRE_SCAN, &body);
    assert_true(wire_put_read(&body, PAIRS, 1, 2) && pack_text(&body, "x", 1) && pack_int(&body, 300));
    mistreat(f, WIRE_READ, &body);
    assert_true(wire_put_probe(&body, 1));
    shard_op(s, PEOPLE, "7|'Ann|NULL|-");
    assert_true(buffer_put(&body, s->entries.bytes, s->entries.len));
    buffer_clear(&s->entries);
    mistreat(f, WIRE_PROBE, &body);
    assert_true(wire_put_nothing(&body));
    mistreat(f, WIRE_STATS, &body);
    assert_true(wire_put_nothing(&body));
    mistreat(f, WIRE_PING, &body);
    says(ask_nothing(f, WIRE_STATS), "ok");
}

static void a_hello_cut_or_changed_is_answered_and_claims_nothing_wrong(void **state)
{
    struct fixture *f = *state;
    claimed_and_running(f);
    struct wire_hello hello = shard_hello();
    struct buffer body = {0};
    assert_true(wire_put_hello(&body, &hello));
    for (size_t len = 1; len < body.len; len += 7)
        says(ask_with(f, header_of(f, WIRE_HELLO), body.bytes, len), "parse");
    for (size_t at = 0; at<body.len; at += at> 40 ? 14 : 1) {
        body.bytes[at] ^= 1u;
        ask(f, WIRE_HELLO, &body);
        body.bytes[at] ^= 1u;
    }
    says(ask(f, WIRE_HELLO, &body), "ok");
    buffer_release(&body);
}

static void what_arrived_before_the_end_is_finished(void **state)
{
    struct fixture *f = *state;
    says(ask_nothing(f, WIRE_PING), "ok");
    struct buffer body = {0};
    struct wire_hello hello = shard_hello();
    assert_true(wire_put_hello(&body, &hello));
    struct wire_header header = header_of(f, WIRE_HELLO);
    assert_int_equal(send_request(f, &header, body.bytes, body.len), 0);
    shard_insert(f->shard, PEOPLE, "1|'Ann|NULL|-");
    struct buffer batch = write_body(f, 1);
    header = header_of(f, WIRE_WRITE);
    assert_int_equal(send_request(f, &header, batch.bytes, batch.len), 0);
    says(ask_nothing(f, WIRE_PING), "ok"); /* came behind them: they have arrived */
    serve_stop(f->serve);
    run(f);
    join(f);
    assert_int_equal(f->status, 0);
    says(receive(f), "ok");
    says(receive(f), "ok");
    assert_int_equal(f->header.kind, WIRE_WRITE);
    says(shard_sql(f->shard, "SELECT id FROM people"), "1");
    buffer_release(&body);
    buffer_release(&batch);
}

static void what_is_kept_is_told_once_it_is_committed(void **state)
{
    struct fixture *f = *state;
    const struct wire_kept_ask ask_kept = {.key = (const uint8_t *)"K", .key_len = 1};
    struct buffer question = {0};
    struct wire_kept kept;
    assert_true(wire_put_kept(&question, &ask_kept));
    run(f);
    says(ask(f, WIRE_KEPT, &question), "unavailable"); /* nobody has claimed the shard */
    says(ask_hello(f, true, EPOCH, SHARD_COORDINATOR), "ok");
    shard_group(f->shard, 1);
    shard_op_keep(f->shard, "K", 0, 0, "outcome");
    struct buffer batch = write_body(f, 1);
    struct wire_header header = header_of(f, WIRE_WRITE);
    assert_int_equal(send_request(f, &header, batch.bytes, batch.len), 0);
    header = header_of(f, WIRE_KEPT);
    assert_int_equal(send_request(f, &header, question.bytes, question.len), 0);
    says(receive(f), "ok");
    assert_int_equal(f->header.kind, WIRE_WRITE); /* its commit comes first */
    says(receive(f), "ok");
    struct cursor body = cursor_over(f->body.bytes, f->body.len);
    assert_true(wire_get_kept_answer(&body, &kept, &f->shard->error));
    assert_int_equal(kept.count, 1);
    buffer_release(&batch);
    buffer_release(&question);
}

/* A send is never a delivery: what is not answered is asked again, as a link does. */
static void ask_until_answered(struct fixture *f, unsigned kind, const struct buffer *body)
{
    for (int turn = 0; turn < 100; turn++) {
        struct wire_header header = header_of(f, kind);
        assert_int_equal(send_request(f, &header, body->bytes, body->len), 0);
        nng_msg *message;
        nng_socket_set_ms(f->client, NNG_OPT_RECVTIMEO, 200);
        while (nng_recvmsg(f->client, &message, 0) == 0) {
            struct cursor answer;
            bool done;
            assert_true(wire_get_answer(nng_msg_body(message), nng_msg_len(message), &f->header, &done, &f->refusal,
                                        &answer, &f->shard->error));
            nng_msg_free(message);
            if (f->header.request == header.request) {
                assert_true(done);
                return;
            }
        }
    }
    fail_msg("never answered");
}

static void a_client_that_vanishes_is_followed_by_another(void **state)
{
    struct fixture *f = *state;
    claimed_and_running(f);
    struct wire_hello hello = shard_hello();
    struct buffer greeting = {0};
    assert_true(wire_put_hello(&greeting, &hello));
    for (uint64_t n = 1; n <= 5; n++) {
        char row[64];
        snprintf(row, sizeof row, "%llu|'Ann|NULL|-", (unsigned long long)n);
        shard_insert(f->shard, PEOPLE, row);
        struct buffer batch = write_body(f, n);
        struct wire_header header = header_of(f, WIRE_WRITE);
        assert_int_equal(send_request(f, &header, batch.bytes, batch.len), 0);
        nng_close(f->client); /* whether it arrived is not known */
        dial(f);
        ask_until_answered(f, WIRE_HELLO, &greeting);
        ask_until_answered(f, WIRE_WRITE, &batch);
        buffer_release(&batch);
    }
    buffer_release(&greeting);
    serve_stop(f->serve);
    join(f);
    says(shard_sql(f->shard, "SELECT count(*) FROM people"), "5");
}

static void an_address_that_cannot_be_listened_on_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct error error;
    assert_null(serve_open(f->shard->store, "ipc:///no/such/directory/socket", 1000, &error));
    assert_int_equal(error.code, ERROR_UNAVAILABLE);
    assert_null(serve_open(f->shard->store, "nonsense", 1000, &error));
    assert_null(serve_open(f->shard->store, f->url, 1000, &error)); /* it is taken */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_ping_is_answered_though_the_main_thread_does_nothing),
        TEST(hello_tells_and_claims),
        TEST(nothing_is_answered_before_a_claim_but_hello_ping_and_stop),
        TEST(another_protocol_is_refused_clearly),
        TEST(an_earlier_coordinator_is_fenced_off),
        TEST(a_write_is_answered_with_its_failures_and_its_times),
        TEST(a_claim_is_no_time_spent_on_requests),
        TEST(batches_in_flight_are_answered_in_order_each_once_committed),
        TEST(a_full_inbox_stops_the_sender_and_loses_nothing),
        TEST(rows_and_children_are_told_as_the_last_write_left_them),
        TEST(a_client_that_takes_no_answers_ends_the_run),
        TEST(what_is_no_message_is_dropped_and_the_next_is_answered),
        TEST(a_kind_that_is_none_is_refused),
        TEST(a_body_cut_or_changed_anywhere_is_answered),
        TEST(a_hello_cut_or_changed_is_answered_and_claims_nothing_wrong),
        TEST(what_arrived_before_the_end_is_finished),
        TEST(what_is_kept_is_told_once_it_is_committed),
        TEST(a_client_that_vanishes_is_followed_by_another),
        TEST(an_address_that_cannot_be_listened_on_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
