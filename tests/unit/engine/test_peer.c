/* SPDX-License-Identifier: Apache-2.0 */
/* A shard that is away, comes back, comes back wrong, or says nothing. */
#include "engine_world.h"

#include "clock.h"

static void rows_wait_for_a_shard_that_is_away(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_lose(THINGS, false);
    struct sent *sent = world_submit(world, "things(1,'a')");
    assert_outcome(world_submit(world, "people(1,'a')"), "done"); /* others go on */
    world_settle(world);
    assert_false(sent_is_answered(sent));
    fake_connect(THINGS);
    assert_outcome(sent, "done");
    expect(THINGS, "write 1: things(1,'a')");
    assert_true(world_logged("database things: lost, as told"));
    assert_true(world_logged("shard is back"));
}

static void questions_wait_for_a_shard_that_is_away(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_lose(THINGS, false);
    struct asked *asked = world_ask(world, THINGS);
    world_settle(world);
    assert_false(asked_is_answered(asked));
    fake_connect(THINGS);
    asked_wait(asked);
    assert_true(asked->query.ok);
}

/* First a hello that changes nothing, to see that the file is still there. */
static void a_shard_that_is_back_is_asked_and_then_claimed_under_the_same_epoch(void **state)
{
    struct world *world = *state;
    fake_says(THINGS)->epoch = 7;
    world_start(world);
    fake_hold(THINGS, WIRE_HELLO, true);
    fake_lose(THINGS, false);
    struct sent *sent = world_submit(world, "things(1,'a')");
    fake_connect(THINGS);
    struct fake_request *hello = expect(THINGS, "hello");
    assert_int_equal(hello->header.epoch, 8);
    assert_quiet(world, THINGS);
    fake_answer(hello);
    struct fake_request *claim = expect(THINGS, "claim");
    assert_int_equal(claim->header.epoch, 8);
    assert_quiet(world, THINGS);
    fake_answer(claim);
    expect(THINGS, "write 1: things(1,'a')");
    assert_outcome(sent, "done");
}

static void what_was_not_answered_is_sent_again_in_order(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(PEOPLE, WIRE_EXISTS, true);
    fake_hold(PEOPLE, WIRE_WRITE, true);
    fake_hold(PEOPLE, WIRE_STATS, true);
    struct sent *child = world_submit(world, "notes(1,NULL,'a')");
    expect(PEOPLE, "exists people.1: 'a'");
    struct asked *asked = world_ask(world, PEOPLE);
    expect(PEOPLE, "stats");
    struct sent *row = world_submit(world, "people(1,'b')");
    expect(PEOPLE, "write 1: people(1,'b')");
    fake_lose(PEOPLE, false);
    fake_connect(PEOPLE);
    struct fake_request *exists = expect(PEOPLE, "exists people.1: 'a'");
    struct fake_request *stats = expect(PEOPLE, "stats");
    struct fake_request *write = expect(PEOPLE, "write 1: people(1,'b')");
    fake_answer(write); /* answers may come in any order */
    fake_answer(exists);
    fake_answer(stats);
    assert_outcome(row, "done");
    assert_outcome(child, "done");
    asked_wait(asked);
}

static void what_an_earlier_generation_says_is_dropped(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    struct sent *sent = world_submit(world, "things(1,'a')");
    struct fake_request *old = expect(THINGS, "write 1: things(1,'a')");
    fake_lose(THINGS, false);
    fake_connect(THINGS);
    struct fake_request *new = expect(THINGS, "write 1: things(1,'a')");
    fake_refuse(old, ERROR_IO, "too late");
    world_settle(world);
    assert_false(sent_is_answered(sent));
    fake_answer(new);
    assert_outcome(sent, "done");
}

static void who_waits_too_long_for_a_shard_learns_why(void **state)
{
    struct world *world = *state;
    world->options.limits.answer_ms = SOON_MS;
    world_start(world);
    fake_lose(THINGS, false);
    struct asked *asked = world_ask(world, THINGS);
    struct sent *sent = world_submit(world, "things(1,'a') people(1,'a')");
    assert_outcome(sent, "unavailable done");
    assert_string_equal(sent_text(sent), "database things is not available: lost, as told");
    asked_wait(asked);
    assert_int_equal(asked->query.error.code, ERROR_UNAVAILABLE);
    world_reconnect(world, THINGS); /* nothing had been sent, and nothing is */
    assert_outcome(world_submit(world, "things(1,'b')"), "done");
    expect(THINGS, "write 1: things(1,'b')");
}

/* A disk that is full at each hello: it is never away for long at a time, and never there. */
static void a_shard_that_dies_at_each_hello_is_away_all_the_time(void **state)
{
    struct world *world = *state;
    world->options.limits.answer_ms = SOON_MS;
    world_start(world);
    fake_hold(THINGS, WIRE_HELLO, true);
    fake_lose(THINGS, false);
    uint64_t since_ns = clock_monotonic_ns();
    struct sent *sent = world_submit(world, "things(1,'a')");
    struct asked *asked = world_ask(world, THINGS);
    while (!sent_is_answered(sent) || !asked_is_answered(asked)) {
        if (clock_monotonic_ns() - since_ns > 10000000000u)
            fail_msg("no answer for 10 s");
        fake_connect(THINGS);
        expect(THINGS, "hello");
        fake_lose(THINGS, false);
        world_settle(world);
    }
    assert_outcome(sent, "unavailable");
    assert_false(asked->query.ok);
}

static void a_shard_whose_file_is_gone_is_not_claimed(void **state)
{
    struct world *world = *state;
    world->options.limits.answer_ms = SOON_MS;
    world_start(world);
    fake_lose(THINGS, false);
    unsigned hellos = fake_hellos(THINGS);
    fake_says(THINGS)->fresh = true;
    fake_connect(THINGS);
    struct sent *sent = world_submit(world, "things(1,'a')");
    assert_outcome(sent, "unavailable");
    assert_says(sent_text(sent), "its file is missing or empty");
    assert_int_equal(fake_hellos(THINGS), hellos + 1);
    assert_true(world_logged("its file is missing or empty"));
}

/* What ended the connection then is no news: the engine wished it. */
static void a_shard_whose_file_is_back_is_claimed(void **state)
{
    struct world *world = *state;
    world->options.limits.answer_ms = world->options.limits.away_ms = SOON_MS;
    world_start(world);
    fake_lose(THINGS, false);
    fake_says(THINGS)->fresh = true;
    fake_connect(THINGS);
    for (unsigned i = 0; i < 2; i++) {
        fake_restart(THINGS);
        struct sent *sent = world_submit(world, "things(1,'a')");
        assert_outcome(sent, "unavailable");
        assert_says(sent_text(sent), "its file is missing or empty");
    }
    fake_hold(THINGS, WIRE_HELLO, true);
    fake_restart(THINGS);
    struct fake_request *hello = expect(THINGS, "hello");
    fake_says(THINGS)->fresh = false;
    fake_answer(hello);
    fake_answer(expect(THINGS, "claim"));
    world_settle(world);
    assert_outcome(world_submit(world, "things(1,'a')"), "done");
}

static void a_shard_that_refuses_the_claim_stays_away(void **state)
{
    struct world *world = *state;
    world->options.limits.answer_ms = SOON_MS;
    world_start(world);
    fake_hold(THINGS, WIRE_HELLO, true);
    fake_lose(THINGS, false);
    fake_connect(THINGS);
    fake_answer(expect(THINGS, "hello"));
    fake_refuse(expect(THINGS, "claim"), ERROR_CONFLICT, "another coordinator has it");
    struct sent *sent = world_submit(world, "things(1,'a')");
    assert_outcome(sent, "unavailable");
    assert_says(sent_text(sent), "another coordinator has it");
}

static void a_claim_that_was_refused_is_tried_again(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(THINGS, WIRE_HELLO, true);
    fake_lose(THINGS, false);
    struct sent *sent = world_submit(world, "things(1,'a')");
    fake_connect(THINGS);
    fake_refuse(expect(THINGS, "hello"), ERROR_IO, "the disk is full");
    fake_restart(THINGS);
    fake_answer(expect(THINGS, "hello"));
    fake_refuse(expect(THINGS, "claim"), ERROR_IO, "the disk is full");
    fake_restart(THINGS);
    fake_answer(expect(THINGS, "hello"));
    fake_answer(expect(THINGS, "claim"));
    assert_outcome(sent, "done");
}

/* It is there, and reads for ever. */
static void who_asks_a_shard_that_says_nothing_does_not_wait_for_ever(void **state)
{
    struct world *world = *state;
    world->options.limits.answer_ms = SOON_MS;
    world_start(world);
    fake_hold(PEOPLE, WIRE_STATS, true);
    fake_hold(PEOPLE, WIRE_EXISTS, true);
    struct asked *asked = world_ask(world, PEOPLE);
    struct fake_request *stats = expect(PEOPLE, "stats");
    struct sent *sent = world_submit(world, "notes(1,NULL,'a')");
    struct sent *whole = world_submit_atomic(world, "notes(2,NULL,'b') notes(3,NULL,NULL)");
    asked_wait(asked);
    assert_int_equal(asked->query.error.code, ERROR_UNAVAILABLE);
    assert_says(asked->query.error.text, "database people has not answered in time");
    assert_outcome(sent, "unavailable");
    assert_outcome(whole, "unavailable -");
    fake_answer(stats); /* nobody's any more */
    fake_answer(fake_next(PEOPLE));
    fake_hold(PEOPLE, WIRE_EXISTS, false);
    assert_outcome(world_submit(world, "notes(1,NULL,'a')"), "done");
}

static void an_answer_that_makes_no_sense_is_none_and_its_shard_is_started_again(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(PEOPLE, WIRE_EXISTS, true);
    struct sent *child = world_submit(world, "notes(1,NULL,'a')");
    fake_say(expect(PEOPLE, "exists people.1: 'a'"), "\x91\xc4\x00", 3); /* about no key */
    fake_restart(PEOPLE);
    fake_say(expect(PEOPLE, "exists people.1: 'a'"), "\x91\xc1", 2); /* no answer at all */
    fake_restart(PEOPLE);
    fake_answer(expect(PEOPLE, "exists people.1: 'a'"));
    assert_outcome(child, "done");
    assert_true(world_logged("an answer that makes no sense (exists): it is about 0 keys, and 1 were asked for"));
}

static void a_write_is_sent_again_when_its_answer_is_of_another(void **state)
{
    static const char other[] = "\x94\x02\x93\x01\x01\x01\x90\x90";        /* of batch 2 */
    static const char more[] = "\x94\x01\x93\x01\x01\x01\x90\x92\x01\x00"; /* of an entry that is not in it */
    struct world *world = *state;
    world_start(world);
    fake_hold(PEOPLE, WIRE_WRITE, true);
    struct sent *row = world_submit(world, "people(1,'a')");
    fake_say(expect(PEOPLE, "write 1: people(1,'a')"), other, sizeof other - 1);
    fake_restart(PEOPLE);
    fake_say(expect(PEOPLE, "write 1: people(1,'a')"), more, sizeof more - 1);
    fake_restart(PEOPLE);
    fake_answer(expect(PEOPLE, "write 1: people(1,'a')"));
    assert_outcome(row, "done");
    assert_true(world_logged("of batch 1 it tells of batch 2"));
    assert_true(world_logged("it tells of operations that are not in batch 1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        engine_test(rows_wait_for_a_shard_that_is_away),
        engine_test(questions_wait_for_a_shard_that_is_away),
        engine_test(a_shard_that_is_back_is_asked_and_then_claimed_under_the_same_epoch),
        engine_test(what_was_not_answered_is_sent_again_in_order),
        engine_test(what_an_earlier_generation_says_is_dropped),
        engine_test(who_waits_too_long_for_a_shard_learns_why),
        engine_test(a_shard_that_dies_at_each_hello_is_away_all_the_time),
        engine_test(a_shard_whose_file_is_gone_is_not_claimed),
        engine_test(a_shard_whose_file_is_back_is_claimed),
        engine_test(a_shard_that_refuses_the_claim_stays_away),
        engine_test(a_claim_that_was_refused_is_tried_again),
        engine_test(who_asks_a_shard_that_says_nothing_does_not_wait_for_ever),
        engine_test(an_answer_that_makes_no_sense_is_none_and_its_shard_is_started_again),
        engine_test(a_write_is_sent_again_when_its_answer_is_of_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
