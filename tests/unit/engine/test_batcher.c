/* SPDX-License-Identifier: Apache-2.0 */
/* A batcher and its peer, with this file in the shard's place: it reads what is sent and says what is answered. */
#include "batcher.h"
#include "core.h"
#include "peer.h"
#include "wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SENT_MAX 16u
#define COORDINATOR 7u

/* A message that the peer has sent. */
struct sent {
    struct wire_header header;
    struct buffer bytes;
    uint64_t batch; /* of a write */
};

struct member {
    struct batch_member member; /* first */
    unsigned settled;
    enum error_code code;
};

struct fixture {
    struct engine engine;
    struct peer peer;
    struct batcher batcher;
    struct engine_database_metrics metrics;
    struct schema *schema;
    uint64_t generation;
    struct sent sent[SENT_MAX];
    unsigned count;
    unsigned restarts; /* of the shard, that were wished for */
};

static struct fixture *at_work;

/* In place of those of links (linked with --wrap). */
void __wrap_links_restart(struct links *links, database_id database, uint64_t generation);
void __wrap_links_restart(struct links *links, database_id database, uint64_t generation)
{
    (void)links;
    (void)database;
    assert_int_equal(generation, at_work->generation);
    at_work->restarts++;
}

bool __wrap_links_send(struct links *links, database_id database, uint64_t generation, const void *head,
                       size_t head_len, const void *body, size_t body_len);
bool __wrap_links_send(struct links *links, database_id database, uint64_t generation, const void *head,
                       size_t head_len, const void *body, size_t body_len)
{
    struct fixture *f = at_work;
    struct cursor cursor;
    uint32_t entries;
    (void)links;
    (void)database;
    assert_true(f->count < SENT_MAX);
    struct sent *sent = &f->sent[f->count++];
    assert_true(buffer_put(&sent->bytes, head, head_len) && buffer_put(&sent->bytes, body, body_len));
    assert_true(wire_get_request(sent->bytes.bytes, sent->bytes.len, &sent->header, &cursor, NULL));
    assert_int_equal(sent->header.generation, generation);
    if (sent->header.kind == WIRE_WRITE)
        assert_true(wire_get_write(&cursor, &sent->batch, &entries, NULL));
    return true;
}

static void same(struct batch_member *member, uint32_t op)
{
    (void)member;
    (void)op;
}

static void settled(struct batch_member *member, uint32_t op, const struct error *error)
{
    struct member *m = (struct member *)(void *)member;
    (void)op;
    m->settled++;
    m->code = error ? error->code : ERROR_NONE;
}

static void overdue(struct batch_member *member, const struct error *error)
{
    (void)member;
    (void)error;
}

static const struct batch_member_kind kind = {same, settled, overdue};

/* ---- the shard's side ---- */

static void event(struct fixture *f, enum link_event_kind what, const struct buffer *bytes)
{
    struct link_event event = {
        .kind = what, .generation = f->generation, .bytes = bytes ? bytes->bytes : NULL, .len = bytes ? bytes->len : 0};
    if (what == LINK_LOST)
        error_set(&event.error, ERROR_UNAVAILABLE, "shardd was killed");
    peer_event(&f->peer, &event);
    batcher_pump(&f->batcher);
}

static void say_hello(struct fixture *f, uint64_t last_batch)
{
    struct wire_hello_answer said = {.protocol = WIRE_PROTOCOL, .epoch = 1, .last_batch = last_batch};
    struct buffer answer = {0};
    const struct sent *hello = &f->sent[f->count - 1];
    assert_int_equal(hello->header.kind, WIRE_HELLO);
    assert_true(wire_put_done(&answer, &hello->header) && wire_put_hello_answer(&answer, &said));
    event(f, LINK_MESSAGE, &answer);
    buffer_release(&answer);
}

/* Lost, and back with what it has committed. */
static void shard_returns(struct fixture *f, uint64_t last_batch)
{
    event(f, LINK_LOST, NULL);
    f->generation++;
    event(f, LINK_CONNECTED, NULL);
    say_hello(f, last_batch); /* the probe's */
    say_hello(f, last_batch); /* the claim's */
}

static void apply(struct fixture *f, unsigned number)
{
    struct wire_write_results results = {0};
    struct buffer answer = {0};
    assert_true(wire_put_done(&answer, &f->sent[number].header) &&
                wire_put_write_answer(&answer, f->sent[number].batch, 0, 0, 0, &results));
    event(f, LINK_MESSAGE, &answer);
    buffer_release(&answer);
}

static void refuse(struct fixture *f, unsigned number, enum error_code code)
{
    struct error error;
    struct buffer answer = {0};
    error_set(&error, code, "out of order");
    assert_true(wire_put_error(&answer, &f->sent[number].header, &error));
    event(f, LINK_MESSAGE, &answer);
    buffer_release(&answer);
}

static void add(struct fixture *f, struct member *member)
{
    *member = (struct member){.member.kind = &kind};
    struct buffer *body = batcher_room(&f->batcher, 64);
    assert_true(wire_put_forget(body, 1) && batcher_added(&f->batcher, &member->member));
    batcher_pump(&f->batcher);
}

static int setup(void **state)
{
    struct fixture *f = at_work = calloc(1, sizeof *f);
    const char *ddl = "CREATE TABLE users (id INTEGER PRIMARY KEY);";
    struct schema_placement placement = {0};
    struct error error;
    f->schema = schema_load(ddl, strlen(ddl), "schema.sql", &placement, &error);
    f->engine = (struct engine){.schema = f->schema,
                                .limits.batches_in_flight = 4,
                                .limits.batch_losses = 3,
                                .limits.answer_ms = 1000,
                                .limits.away_ms = 1000,
                                .cluster = "cluster",
                                .epoch = 1,
                                .coordinator = COORDINATOR,
                                .serving = true,
                                .peers = &f->peer,
                                .batchers = &f->batcher,
                                .metrics = {.databases = &f->metrics, .count = 1}};
    peer_init(&f->peer, &f->engine, 0);
    batcher_init(&f->batcher, &f->engine, &f->peer);
    f->generation = 1;
    event(f, LINK_CONNECTED, NULL);
    say_hello(f, 0);
    say_hello(f, 0);
    f->count = 0; /* their bytes are used again */
    for (unsigned i = 0; i < SENT_MAX; i++)
        buffer_clear(&f->sent[i].bytes);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    batcher_release(&f->batcher);
    peer_release(&f->peer);
    buffer_release(&f->engine.head);
    for (unsigned i = 0; i < SENT_MAX; i++)
        buffer_release(&f->sent[i].bytes);
    schema_free(f->schema);
    free(f);
    return 0;
}

/* ---- tests ---- */

static void a_batch_is_sent_again_byte_for_byte_when_its_shard_is_back(void **state)
{
    struct fixture *f = *state;
    struct member first;
    add(f, &first);
    assert_int_equal(f->sent[0].batch, 1);
    shard_returns(f, 1);
    assert_int_equal(f->count, 4); /* the batch, two hellos, the batch */
    assert_int_equal(f->sent[3].batch, 1);
    struct cursor once, again;
    struct wire_header header;
    assert_true(wire_get_request(f->sent[0].bytes.bytes, f->sent[0].bytes.len, &header, &once, NULL));
    assert_true(wire_get_request(f->sent[3].bytes.bytes, f->sent[3].bytes.len, &header, &again, NULL));
    assert_int_equal(cursor_left(&once), cursor_left(&again));
    assert_memory_equal(once.at, again.at, cursor_left(&once));
    apply(f, 0); /* what the earlier generation says is dropped */
    assert_int_equal(first.settled, 0);
    apply(f, 3);
    assert_int_equal(first.settled, 1);
    assert_int_equal(first.code, ERROR_NONE);
}

static void a_refused_batch_leaves_its_number_to_the_next(void **state)
{
    struct fixture *f = *state;
    struct member first, second;
    add(f, &first);
    refuse(f, 0, ERROR_UNAVAILABLE);
    assert_int_equal(first.settled, 1);
    assert_int_equal(first.code, ERROR_UNAVAILABLE);
    add(f, &second);
    assert_int_equal(f->sent[1].batch, 1);
    apply(f, 1);
    assert_int_equal(second.code, ERROR_NONE);
    assert_true(batcher_is_idle(&f->batcher));
}

static void a_batch_that_was_not_in_the_file_may_be_refused_when_it_comes_again(void **state)
{
    struct fixture *f = *state;
    struct member first;
    add(f, &first);
    shard_returns(f, 0);
    refuse(f, 3, ERROR_UNAVAILABLE);
    assert_int_equal(first.settled, 1);
    assert_int_equal(first.code, ERROR_UNAVAILABLE);
}

static void add_full(struct fixture *f, struct member *member)
{
    *member = (struct member){.member.kind = &kind};
    struct buffer *body = batcher_room(&f->batcher, LIMIT_BATCH_BYTES_SOFT);
    assert_true(buffer_reserve(body, LIMIT_BATCH_BYTES_SOFT));
    memset(body->bytes + body->len, 0, LIMIT_BATCH_BYTES_SOFT); /* nobody reads it here */
    body->len += LIMIT_BATCH_BYTES_SOFT;
    assert_true(batcher_added(&f->batcher, &member->member));
    batcher_pump(&f->batcher);
}

/* Its shard was away when one behind it ran out of time: that makes it not one that came out of order. */
static void a_batch_before_one_that_was_refused_unsent_is_refused_for_good(void **state)
{
    struct fixture *f = *state;
    struct member first, unsent, behind;
    add_full(f, &first);
    event(f, LINK_LOST, NULL);
    add_full(f, &unsent);
    f->engine.now_ns += 900000000;
    add_full(f, &behind);
    f->engine.now_ns += 200000000;
    peer_tick(&f->peer);
    assert_int_equal(unsent.settled, 1);
    assert_int_equal(first.settled + behind.settled, 0);
    f->generation++;
    event(f, LINK_CONNECTED, NULL);
    say_hello(f, 0);
    say_hello(f, 0);
    assert_int_equal(f->count, 5); /* the first, two hellos, the first, the one behind */
    refuse(f, 3, ERROR_UNAVAILABLE);
    assert_int_equal(first.settled, 1);
    assert_int_equal(first.code, ERROR_UNAVAILABLE);
    refuse(f, 4, ERROR_CONFLICT); /* out of order */
    assert_int_equal(behind.settled, 0);
    assert_int_equal(f->sent[5].batch, 1);
    apply(f, 5);
    assert_int_equal(behind.settled, 1);
    assert_int_equal(behind.code, ERROR_NONE);
    assert_true(batcher_is_idle(&f->batcher));
}

/* The shard has forgotten its answer, or is a later coordinator's: whoever believes that nothing was done aborts a
 * transaction that is committed, and gives the number to another batch. So the shard is not believed. */
static void a_batch_that_is_in_the_file_cannot_be_refused(void **state)
{
    struct fixture *f = *state;
    struct member first;
    add(f, &first);
    shard_returns(f, 1);
    refuse(f, 3, ERROR_CONFLICT);
    assert_int_equal(first.settled, 0);
    assert_int_equal(f->restarts, 1);
    assert_non_null(strstr(f->peer.why.text, "batch 1 is in its file and is refused"));
    shard_returns(f, 1);
    assert_int_equal(f->sent[6].batch, 1);
    apply(f, 6);
    assert_int_equal(first.settled, 1);
    assert_int_equal(first.code, ERROR_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_batch_is_sent_again_byte_for_byte_when_its_shard_is_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_refused_batch_leaves_its_number_to_the_next, setup, teardown),
        cmocka_unit_test_setup_teardown(a_batch_that_was_not_in_the_file_may_be_refused_when_it_comes_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_batch_before_one_that_was_refused_unsent_is_refused_for_good, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_batch_that_is_in_the_file_cannot_be_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
