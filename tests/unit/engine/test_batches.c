/* SPDX-License-Identifier: Apache-2.0 */
/* Batches on their way: what goes together, what goes beside, and what becomes of them when a shard refuses one, is
 * lost with one, or says nothing. */
#include "engine_world.h"

#include "batcher.h"
#include "wire.h"

#define LOSSES 3       /* limits.batch_losses */
#define FULL "*600000" /* a text that fills a batch */

static uint32_t entries_of(const struct fake_request *request)
{
    struct cursor body = cursor_over(request->body.bytes, request->body.len);
    uint64_t batch;
    uint32_t count;
    assert_true(wire_get_write(&body, &batch, &count, NULL));
    return count;
}

/* ---- group commit ---- */

static void what_comes_while_a_batch_is_in_flight_goes_as_one(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    world_submit(world, "things(1,-)");
    struct fake_request *first = expect(THINGS, "write 1: things(1,-)");
    world_submit(world, "things(2,-)");
    world_submit(world, "things(3,-)~");
    world_submit_atomic(world, "things(4,-) things(5,-)");
    assert_quiet(world, THINGS);
    fake_answer(first);
    fake_answer(expect(THINGS, "write 2: things(2,-) things(3,-)~; group[things(4,-) things(5,-)]"));
}

static void full_batches_go_beside_each_other_as_many_as_allowed(void **state)
{
    struct world *world = *state;
    world->options.limits.batches_in_flight = 2;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    struct sent *sent =
        world_submit(world, "things(1," FULL ") things(2," FULL ") things(3," FULL ") things(4,-) things(5,-)");
    struct fake_request *first = expect(THINGS, "write 1: things(1,…");
    struct fake_request *second = expect(THINGS, "write 2: things(2,…");
    assert_quiet(world, THINGS);
    fake_answer(first);
    struct fake_request *third = expect(THINGS, "write 3: things(3,…");
    fake_answer(second);
    assert_quiet(world, THINGS); /* what is left does not fill one */
    fake_answer(third);
    fake_answer(expect(THINGS, "write 4: things(4,-) things(5,-)"));
    assert_outcome(sent, "done done done done done");
}

static void a_batch_that_is_not_full_goes_when_no_other_is_in_flight(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    struct sent *sent = world_submit(world, "things(1," FULL ") things(2,-)");
    struct fake_request *first = expect(THINGS, "write 1: things(1,…");
    assert_quiet(world, THINGS);
    fake_answer(first);
    fake_answer(expect(THINGS, "write 2: things(2,-)"));
    assert_outcome(sent, "done done");
}

static void a_batch_is_full_with_so_many_rows(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    struct sent *sent = world_submit_many(world, THINGS, 1, 2 * LIMIT_BATCH_ROWS_SOFT + 3, value_null());
    for (uint32_t left = 2 * LIMIT_BATCH_ROWS_SOFT + 3, batch = 1; left > 0; batch++) {
        struct fake_request *write = fake_next(THINGS);
        uint32_t count = entries_of(write);
        assert_int_equal(count, left < LIMIT_BATCH_ROWS_SOFT ? left : LIMIT_BATCH_ROWS_SOFT);
        left -= count;
        fake_answer(write);
    }
    assert_outcome(sent, "done …");
}

static void numbers_go_on_from_the_shards_last(void **state)
{
    struct world *world = *state;
    fake_says(THINGS)->last_batch = 41;
    world_start(world);
    assert_outcome(world_submit(world, "things(1,-)"), "done");
    expect(THINGS, "write 42: things(1,-)");
}

static void each_row_of_a_batch_gets_its_own_outcome(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_fails(THINGS, "things(2", ERROR_CHECK);
    fake_same(THINGS, "things(4");
    struct sent *sent = world_submit(world, "things(1,-) things(2,-) things(3,-) things(4,-)~ things(5,-)");
    assert_outcome(sent, "done check done same done");
    assert_string_equal(sent->submission->ops[1].error->table, "things");
    assert_string_equal(sent->submission->ops[1].error->constraint, "rule");
}

/* ---- a batch that is refused as a whole ---- */

static void those_behind_a_refused_batch_are_numbered_anew(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    struct sent *sent = world_submit(world, "things(1," FULL ") things(2," FULL ") things(3," FULL ")");
    struct fake_request *first = expect(THINGS, "write 1: things(1,…");
    struct fake_request *second = expect(THINGS, "write 2: things(2,…");
    struct fake_request *third = expect(THINGS, "write 3: things(3,…");
    fake_refuses_next(THINGS, ERROR_IO);
    fake_answer(first);
    fake_answer(second);
    struct sent *later = world_submit(world, "things(4,-)");
    assert_quiet(world, THINGS); /* until all that were behind it are back */
    fake_answer(third);
    struct fake_request *again = expect(THINGS, "write 1: things(2,…");
    third = expect(THINGS, "write 2: things(3,…");
    fake_answer(again);
    fake_answer(third);
    fake_answer(expect(THINGS, "write 3: things(4,-)"));
    assert_outcome(sent, "io done done");
    assert_outcome(later, "done");
}

static void the_number_of_a_refused_batch_is_the_next_ones(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_refuses_next(THINGS, ERROR_UNAVAILABLE);
    assert_outcome(world_submit(world, "things(1,-) things(2,-)"), "unavailable unavailable");
    assert_outcome(world_submit(world, "things(3,-)"), "done");
    expect(THINGS, "write 1: things(1,-) things(2,-)");
    expect(THINGS, "write 1: things(3,-)");
}

static void a_loss_while_those_behind_come_back_changes_nothing(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    struct sent *sent = world_submit(world, "things(1," FULL ") things(2," FULL ") things(3," FULL ")");
    struct fake_request *first = expect(THINGS, "write 1: things(1,…");
    expect(THINGS, "write 2: things(2,…");
    expect(THINGS, "write 3: things(3,…");
    fake_refuses_next(THINGS, ERROR_IO);
    fake_answer(first);
    world_settle(world);
    fake_lose(THINGS, false);
    fake_connect(THINGS);
    struct fake_request *second = expect(THINGS, "write 2: things(2,…");
    struct fake_request *third = expect(THINGS, "write 3: things(3,…");
    fake_answer(second);
    fake_answer(third);
    fake_answer(expect(THINGS, "write 1: things(2,…"));
    fake_answer(expect(THINGS, "write 2: things(3,…"));
    assert_outcome(sent, "io done done");
}

/* ---- a shard that is lost ---- */

static void lose_and_connect(database_id database)
{
    fake_lose(database, false);
    fake_connect(database);
}

static void a_batch_that_was_not_applied_is_sent_again_byte_for_byte(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    struct sent *sent = world_submit(world, "things(1,'a') things(2,'b')");
    struct fake_request *first = expect(THINGS, "write 1: things(1,'a') things(2,'b')");
    lose_and_connect(THINGS);
    struct fake_request *again = expect(THINGS, "write 1: things(1,'a') things(2,'b')");
    assert_int_equal(first->body.len, again->body.len);
    assert_memory_equal(first->body.bytes, again->body.bytes, again->body.len);
    fake_answer(again);
    assert_outcome(sent, "done done");
}

static void a_batch_that_was_applied_is_answered_from_the_notes(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    fake_fails(THINGS, "things(2", ERROR_CHECK);
    struct sent *sent = world_submit(world, "things(1,'a') things(2,'b')");
    expect(THINGS, "write 1: things(1,'a') things(2,'b')");
    fake_lose(THINGS, true);
    fake_fails(THINGS, NULL, ERROR_NONE); /* what it says now does not count */
    fake_connect(THINGS);
    fake_answer(expect(THINGS, "write 1: things(1,'a') things(2,'b')"));
    assert_outcome(sent, "done check");
    fake_hold(THINGS, WIRE_WRITE, false);
    assert_outcome(world_submit(world, "things(3,-)"), "done");
    expect(THINGS, "write 2: things(3,-)");
}

static void a_shard_that_is_lost_with_each_try_will_not_take_it(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    struct sent *sent = world_submit(world, "things(1,-)");
    expect(THINGS, "write 1: things(1,-)");
    struct sent *unsent = world_submit(world, "things(2,-)");
    world_settle(world);
    for (unsigned losses = 1; losses < LOSSES; losses++) {
        lose_and_connect(THINGS);
        expect(THINGS, "write 1: things(1,-)");
    }
    lose_and_connect(THINGS);
    assert_outcome(sent, "unavailable");
    assert_says(sent_text(sent), "database things was lost 3 times while it took these rows, and they are not in it");
    assert_outcome(unsent, "unavailable");
    assert_quiet(world, THINGS);
    fake_hold(THINGS, WIRE_WRITE, false);
    assert_outcome(world_submit(world, "things(1,-)"), "done"); /* its lock has fallen */
    expect(THINGS, "write 1: things(1,-)");
}

static void what_is_in_the_file_is_not_given_up(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    struct sent *sent = world_submit(world, "things(1," FULL ") things(2," FULL ")");
    struct fake_request *first = expect(THINGS, "write 1: things(1,…");
    expect(THINGS, "write 2: things(2,…");
    fake_lose(THINGS, false);
    fake_answer(first); /* applied, but nobody hears of it */
    fake_connect(THINGS);
    for (unsigned losses = 1; losses < LOSSES; losses++) {
        expect(THINGS, "write 1: things(1,…");
        expect(THINGS, "write 2: things(2,…");
        lose_and_connect(THINGS);
    }
    fake_answer(expect(THINGS, "write 1: things(1,…"));
    assert_outcome(sent, "done unavailable");
    fake_hold(THINGS, WIRE_WRITE, false);
    assert_outcome(world_submit(world, "things(3,-)"), "done");
    expect(THINGS, "write 2: things(3,-)");
}

/* ---- a shard that says nothing ---- */

static void what_was_sent_and_not_answered_in_time_is_not_known(void **state)
{
    struct world *world = *state;
    world->options.limits.answer_ms = SOON_MS;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    struct sent *sent = world_submit(world, "things(1,'a')");
    struct fake_request *write = expect(THINGS, "write 1: things(1,'a')");
    assert_outcome(sent, "unknown");
    assert_says(sent_text(sent), "database things has not answered in time");
    /* its lock stays until the outcome is known */
    struct sent *next = world_submit(world, "things(1,'b')");
    assert_outcome(next, "unavailable");
    assert_says(sent_text(next), "an earlier operation with a key that this one needs has no outcome yet");
    fake_hold(THINGS, WIRE_WRITE, false);
    fake_answer(write);
    world_settle(world);
    assert_outcome(world_submit(world, "things(1,'c')"), "done");
    expect(THINGS, "write 2: things(1,'c')");
}

static void a_late_outcome_counts_for_those_that_come_later(void **state)
{
    struct world *world = *state;
    world->options.limits.answer_ms = SOON_MS;
    world_start(world);
    fake_hold(PEOPLE, WIRE_WRITE, true);
    fake_fails(PEOPLE, "people(2", ERROR_CHECK);
    struct sent *sent = world_submit(world, "people(1,'a') people(2,'b')");
    struct fake_request *write = expect(PEOPLE, "write 1: people(1,'a') people(2,'b')");
    assert_outcome(sent, "unknown unknown");
    fake_answer(write);
    world_settle(world);
    assert_outcome(world_submit(world, "notes(1,1,NULL) notes(2,2,NULL)"), "done reference_missing");
}

static void what_was_not_sent_in_time_is_refused(void **state)
{
    struct world *world = *state;
    world->options.limits.answer_ms = SOON_MS;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    struct sent *sent = world_submit(world, "things(1,'a')");
    struct fake_request *write = expect(THINGS, "write 1: things(1,'a')");
    struct sent *unsent = world_submit(world, "things(2,'b')");
    assert_outcome(sent, "unknown");
    assert_outcome(unsent, "unavailable");
    assert_says(sent_text(unsent), "database things");
    fake_hold(THINGS, WIRE_WRITE, false);
    fake_answer(write);
    assert_outcome(world_submit(world, "things(3,-)"), "done");
    expect(THINGS, "write 2: things(3,-)");
}

static void what_was_sent_to_a_lost_shard_is_not_known_and_what_was_not_is_refused(void **state)
{
    struct world *world = *state;
    world->options.limits.answer_ms = SOON_MS;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    struct sent *sent = world_submit(world, "things(1,'a')");
    expect(THINGS, "write 1: things(1,'a')");
    struct sent *unsent = world_submit(world, "things(2,'b')");
    fake_lose(THINGS, false);
    assert_outcome(sent, "unknown");
    assert_outcome(unsent, "unavailable");
    fake_hold(THINGS, WIRE_WRITE, false);
    world_reconnect(world, THINGS);
    assert_outcome(world_submit(world, "things(3,-)"), "done");
    expect(THINGS, "write 1: things(1,'a')");
    expect(THINGS, "write 2: things(3,-)");
}

/* One came back out of order and was to go again, with its shard away its turn never comes. */
static void what_waits_for_those_behind_a_refused_batch_does_not_wait_for_ever(void **state)
{
    struct world *world = *state;
    world->options.limits.answer_ms = 10 * SOON_MS; /* both answers come before */
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    struct sent *sent = world_submit(world, "things(1," FULL ") things(2," FULL ") things(3," FULL ")");
    struct fake_request *first = expect(THINGS, "write 1: things(1,…");
    struct fake_request *second = expect(THINGS, "write 2: things(2,…");
    expect(THINGS, "write 3: things(3,…");
    fake_refuses_next(THINGS, ERROR_IO);
    fake_answer(first);
    fake_answer(second);
    fake_lose(THINGS, false);
    assert_outcome(sent, "io unavailable unknown");
    fake_connect(THINGS);
    fake_answer(expect(THINGS, "write 3: things(3,…"));
    fake_answer(expect(THINGS, "write 1: things(3,…"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        engine_test(what_comes_while_a_batch_is_in_flight_goes_as_one),
        engine_test(full_batches_go_beside_each_other_as_many_as_allowed),
        engine_test(a_batch_that_is_not_full_goes_when_no_other_is_in_flight),
        engine_test(a_batch_is_full_with_so_many_rows),
        engine_test(numbers_go_on_from_the_shards_last),
        engine_test(each_row_of_a_batch_gets_its_own_outcome),
        engine_test(those_behind_a_refused_batch_are_numbered_anew),
        engine_test(the_number_of_a_refused_batch_is_the_next_ones),
        engine_test(a_loss_while_those_behind_come_back_changes_nothing),
        engine_test(a_batch_that_was_not_applied_is_sent_again_byte_for_byte),
        engine_test(a_batch_that_was_applied_is_answered_from_the_notes),
        engine_test(a_shard_that_is_lost_with_each_try_will_not_take_it),
        engine_test(what_is_in_the_file_is_not_given_up),
        engine_test(what_was_sent_and_not_answered_in_time_is_not_known),
        engine_test(a_late_outcome_counts_for_those_that_come_later),
        engine_test(what_was_not_sent_in_time_is_refused),
        engine_test(what_was_sent_to_a_lost_shard_is_not_known_and_what_was_not_is_refused),
        engine_test(what_waits_for_those_behind_a_refused_batch_does_not_wait_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
