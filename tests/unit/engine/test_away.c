/* SPDX-License-Identifier: Apache-2.0 */
/* A server's engine: what needs a shard that is away is refused at once, everything else goes on. */
#include "engine_world.h"

#include "presence.h"

/* ---- what was not begun ---- */

static void what_needs_a_shard_that_is_away_is_refused_at_once(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_lose(THINGS, false);
    struct sent *row = world_submit(world, "things(1,'a') people(1,'a')");
    struct sent *whole = world_submit_atomic(world, "people(2,'b') things(1,'a')");
    struct sent *read = world_submit(world, "?things(1)");
    struct sent *deletion = world_submit(world, "-things(1)");
    struct asked *asked = world_ask(world, THINGS);
    world_assert_at_once(world, row, "unavailable done");
    assert_string_equal(sent_text(row), "database things is not available: lost, as told");
    world_assert_at_once(world, whole, "- unavailable");
    world_assert_at_once(world, read, "unavailable");
    world_assert_at_once(world, deletion, "unavailable");
    world_assert_refused_at_once(world, asked);
    assert_says(asked->query.error.text, "database things is not available");
    expect(PEOPLE, "write 1: people(1,'a')");
    assert_quiet(world, PEOPLE);
    world_reconnect(world, THINGS); /* nothing had been sent, and nothing is */
    assert_outcome(world_submit(world, "things(1,'b') people(2,'b')"), "done done");
    expect(THINGS, "write 1: things(1,'b')");
}

static void a_shard_that_greets_is_away_still(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(THINGS, WIRE_HELLO, true);
    fake_lose(THINGS, false);
    fake_connect(THINGS);
    struct fake_request *hello = expect(THINGS, "hello");
    world_assert_at_once(world, world_submit(world, "things(1,-)"), "unavailable");
    fake_answer(hello);
    struct fake_request *claim = expect(THINGS, "claim");
    world_assert_at_once(world, world_submit(world, "things(1,-)"), "unavailable");
    fake_answer(claim);
    world_settle(world);
    assert_outcome(world_submit(world, "things(1,-)"), "done");
}

/* It is tried again every few seconds: the log has a line for each new reason. */
static void why_a_shard_does_not_come_back_is_told(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_lose(THINGS, false);
    fake_fail_to_start(THINGS, "no disk");
    fake_fail_to_start(THINGS, "no disk");
    struct sent *sent = world_submit(world, "things(1,-)");
    world_assert_at_once(world, sent, "unavailable");
    assert_string_equal(sent_text(sent), "database things is not available: no disk");
    fake_fail_to_start(THINGS, "no memory");
    fake_fail_to_start(THINGS, "no disk");
    world_settle(world);
    assert_int_equal(world_logged_times("things: lost, as told"), 1);
    assert_int_equal(world_logged_times("things: no disk"), 2);
    assert_int_equal(world_logged_times("things: no memory"), 1);
}

static void a_child_whose_parent_is_known_needs_no_other_shard(void **state)
{
    struct world *world = *state;
    world_start(world);
    assert_outcome(world_submit(world, "people(1,'a')"), "done");
    fake_lose(PEOPLE, false);
    assert_outcome(world_submit(world, "notes(1,1,NULL)"), "done");
    assert_outcome(world_submit_atomic(world, "notes(2,1,NULL) notes(3,NULL,NULL)"), "done done");
    assert_outcome(world_submit(world, "notes(4,7,NULL)"), "reference_missing");
    struct sent *asks = world_submit(world, "notes(5,NULL,'a')");
    world_assert_at_once(world, asks, "unavailable");
    assert_says(sent_text(asks), "database people is not available");
    world_assert_at_once(world, world_submit_atomic(world, "notes(5,NULL,'a') notes(6,NULL,NULL)"), "unavailable -");
}

static void a_limit_above_zero_waits_so_long(void **state)
{
    struct world *world = *state;
    world->options.limits.away_ms = 3600000;
    world_start(world);
    fake_lose(THINGS, false);
    struct sent *sent = world_submit(world, "things(1,'a')");
    world_settle(world);
    assert_false(sent_is_answered(sent));
    world_reconnect(world, THINGS);
    assert_outcome(sent, "done");
}

static void a_limit_above_zero_passes(void **state)
{
    struct world *world = *state;
    world->options.limits.away_ms = SOON_MS;
    world_start(world);
    fake_hold(PEOPLE, WIRE_WRITE, true);
    struct sent *holder = world_submit(world, "people(1,'a')");
    expect(PEOPLE, "write 1: people(1,'a')");
    fake_lose(PEOPLE, false);
    fake_lose(THINGS, false);
    struct sent *row = world_submit(world, "things(1,'a')");
    struct sent *whole = world_submit_atomic(world, "things(2,'a') things(3,'a')");
    struct sent *locked = world_submit(world, "people(1,'b') ?people(1)");
    struct asked *asked = world_ask(world, THINGS);
    assert_outcome(row, "unavailable");
    assert_outcome(whole, "unavailable -");
    assert_outcome(locked, "unavailable unavailable");
    asked_wait(asked);
    assert_false(asked->query.ok);
    fake_hold(PEOPLE, WIRE_WRITE, false);
    fake_connect(PEOPLE);
    assert_outcome(holder, "done");
}

/* ---- what was under way ---- */

static void who_waits_for_a_lock_of_a_shard_that_is_lost_is_refused_at_once(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    struct sent *holder = world_submit(world, "things(1,'a')");
    expect(THINGS, "write 1: things(1,'a')");
    struct sent *row = world_submit(world, "things(1,'b')");
    struct sent *read = world_submit(world, "?things(1)");
    struct sent *whole = world_submit_atomic(world, "people(1,'c') things(1,'c')");
    world_settle(world);
    fake_lose(THINGS, false);
    world_assert_at_once(world, row, "unavailable");
    assert_says(sent_text(row), "database things is not available");
    world_assert_at_once(world, read, "unavailable");
    world_assert_at_once(world, whole, "- unavailable");
    world_assert_at_once(world, world_submit(world, "things(1,'d') ?things(1)"),
                         "unavailable unavailable"); /* as do later ones */
    world_assert_at_once(world, world_submit_atomic(world, "people(1,'c') things(1,'c')"), "- unavailable");
    assert_false(sent_is_answered(holder));
    assert_outcome(world_submit(world, "people(1,'d')"), "done");
    fake_connect(THINGS);
    fake_answer(expect(THINGS, "write 1: things(1,'a')"));
    assert_outcome(holder, "done");
}

static void a_page_that_waits_for_a_transaction_of_a_lost_shard_is_refused_at_once(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    struct sent *sent = world_submit_atomic(world, "people(1,'a') things(1,-) things(2,-)");
    expect(THINGS, "write 1: decide 1.1 (people) [things(1,-) things(2,-)]");
    struct asked *page = world_scan(world, THINGS);
    world_settle(world);
    assert_false(asked_is_answered(page));
    fake_lose(THINGS, false);
    world_assert_refused_at_once(world, page);
    assert_says(page->query.error.text, "database things is not available");
    page = world_scan(world, THINGS);
    world_assert_refused_at_once(world, page);
    assert_says(page->query.error.text, "database things is not available");
    fake_connect(THINGS);
    fake_answer(expect(THINGS, "write 1: decide 1.1 (people) [things(1,-) things(2,-)]"));
    assert_outcome(sent, "done done done");
}

static void what_was_sent_is_kept_and_what_was_not_is_refused(void **state)
{
    for (int applies = 0; applies <= 1; applies++) {
        struct world *world = *state;
        world_start(world);
        fake_hold(THINGS, WIRE_WRITE, true);
        struct sent *sent = world_submit(world, "things(1,'a')");
        expect(THINGS, "write 1: things(1,'a')");
        struct sent *unsent = world_submit(world, "things(2,'b')");
        struct sent *group = world_submit_atomic(world, "things(3,'c') things(4,'d')");
        world_settle(world);
        fake_lose(THINGS, applies);
        world_assert_at_once(world, unsent, "unavailable");
        world_assert_at_once(world, group, "unavailable -");
        world_settle(world);
        assert_false(sent_is_answered(sent));
        fake_connect(THINGS);
        fake_answer(expect(THINGS, "write 1: things(1,'a')"));
        assert_outcome(sent, "done");
        assert_quiet(world, THINGS);
        world_close(state);
        assert_int_equal(world_open_server(state), 0);
    }
}

static void what_was_sent_is_unknown_in_the_end_and_keeps_its_locks(void **state)
{
    struct world *world = *state;
    world->options.limits.answer_ms = world->options.limits.lock_ms = SOON_MS;
    world_start(world);
    fake_hold(PEOPLE, WIRE_WRITE, true);
    struct sent *sent = world_submit(world, "people(1,'a')");
    expect(PEOPLE, "write 1: people(1,'a')");
    fake_lose(PEOPLE, false);
    assert_outcome(sent, "unknown");
    struct sent *child = world_submit(world, "notes(1,1,NULL)");
    struct sent *whole = world_submit_atomic(world, "notes(2,1,NULL) notes(3,NULL,NULL)");
    assert_outcome(child, "unavailable");
    assert_says(sent_text(child), "an earlier operation with a key that this one needs has no outcome yet");
    assert_outcome(whole, "unavailable -");
    assert_outcome(world_submit(world, "notes(1,2,NULL)"), "reference_missing");
    fake_connect(PEOPLE);
    fake_answer(expect(PEOPLE, "write 1: people(1,'a')"));
    world_settle(world);
    assert_outcome(world_submit(world, "notes(1,1,NULL)"), "done");
}

/* All that may be under way is in doubt on one shard: the others go on. */
static void what_is_in_doubt_takes_no_room(void **state)
{
    struct world *world = *state;
    world->options.limits.engine_ops_max = 3;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    struct sent *sent = world_submit_many(world, THINGS, 1, 3, value_null());
    expect(THINGS, "write 1: things(1,NULL) things(2,NULL) things(3,NULL)");
    struct sent *other = world_submit(world, "people(1,'a')");
    struct sent *whole = world_submit_atomic(world, "people(2,'b') people(3,'c')");
    world_settle(world);
    assert_false(sent_is_answered(other) || sent_is_answered(whole));
    fake_lose(THINGS, false);
    world_assert_at_once(world, other, "done");
    world_assert_at_once(world, whole, "done done");
    world_reconnect(world, THINGS); /* where it counts again */
    other = world_submit(world, "people(4,'d')");
    world_settle(world);
    assert_false(sent_is_answered(other));
    fake_answer(expect(THINGS, "write 1: things(1,NULL) things(2,NULL) things(3,NULL)"));
    assert_outcome(sent, "done done done");
    assert_outcome(other, "done");
}

static void a_question_to_a_shard_that_is_lost_is_refused_at_once(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(PEOPLE, WIRE_EXISTS, true);
    fake_hold(PEOPLE, WIRE_READ, true);
    fake_hold(PEOPLE, WIRE_STATS, true);
    struct sent *row = world_submit(world, "notes(1,NULL,'a')");
    expect(PEOPLE, "exists people.1: 'a'");
    struct sent *whole = world_submit_atomic(world, "notes(2,NULL,'b') things(1,-)");
    expect(PEOPLE, "exists people.1: 'b'");
    struct sent *read = world_submit(world, "?people(1)");
    struct asked *asked = world_ask(world, PEOPLE);
    world_settle(world);
    fake_lose(PEOPLE, false);
    world_assert_at_once(world, row, "unavailable");
    world_assert_at_once(world, whole, "unavailable -");
    world_assert_at_once(world, read, "unavailable");
    world_assert_refused_at_once(world, asked);
    assert_quiet(world, THINGS);
    assert_outcome(world_submit(world, "notes(1,NULL,NULL) things(1,-)"), "done done"); /* their locks fell */
}

/* A set that could not be read is read later: for ever asking would need the parent's shard for each child. */
static void the_reading_of_keys_that_was_broken_off_begins_anew(void **state)
{
    static const int64_t rowids[] = {1, 2};
    struct world *world = *state;
    *fake_says(PEOPLE)->tables = (struct wire_table_state){PEOPLE, true, 2, false};
    fake_keys(PEOPLE, rowids, 2);
    world_start(world);
    fake_hold(PEOPLE, WIRE_KEYS, true);
    assert_outcome(world_submit_many(world, NOTES, 1, PRESENCE_ASKED_MIN, value_integer(1)), "done …");
    expect(PEOPLE, "keys people");
    expect(PEOPLE, "exists people.0: 1 …");
    fake_lose(PEOPLE, false);
    world_settle(world);
    fake_hold(PEOPLE, WIRE_KEYS, false);
    world_reconnect(world, PEOPLE);
    assert_quiet(world, PEOPLE);
    assert_outcome(world_submit_many(world, NOTES, 10001, PRESENCE_ASKED_MIN, value_integer(1)), "done …");
    expect(PEOPLE, "keys people");
    expect(PEOPLE, "exists people.0: 1 …");
    expect(PEOPLE, "keys people after 1");
    world_settle(world);
    fake_lose(PEOPLE, false);
    assert_outcome(world_submit(world, "notes(20001,1,NULL) notes(20002,3,NULL)"), "done reference_missing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        server_test(what_needs_a_shard_that_is_away_is_refused_at_once),
        server_test(a_shard_that_greets_is_away_still),
        server_test(why_a_shard_does_not_come_back_is_told),
        server_test(a_child_whose_parent_is_known_needs_no_other_shard),
        server_test(a_limit_above_zero_waits_so_long),
        server_test(a_limit_above_zero_passes),
        server_test(who_waits_for_a_lock_of_a_shard_that_is_lost_is_refused_at_once),
        server_test(a_page_that_waits_for_a_transaction_of_a_lost_shard_is_refused_at_once),
        server_test(what_was_sent_is_kept_and_what_was_not_is_refused),
        server_test(what_was_sent_is_unknown_in_the_end_and_keeps_its_locks),
        server_test(what_is_in_doubt_takes_no_room),
        server_test(a_question_to_a_shard_that_is_lost_is_refused_at_once),
        server_test(the_reading_of_keys_that_was_broken_off_begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
