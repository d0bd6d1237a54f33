/* SPDX-License-Identifier: Apache-2.0 */
/* A server's engine: transactions whose shards are lost, waits for locks, and a stop while a shard is away. */
#include "engine_world.h"

/* ---- transactions ---- */

static void a_promise_that_a_lost_shard_may_have_got_is_given_up_at_once(void **state)
{
    for (int applies = 0; applies <= 1; applies++) {
        struct world *world = *state;
        world_start(world);
        fake_hold(PEOPLE, WIRE_WRITE, true);
        struct sent *sent = world_submit_atomic(world, "staff(1,-) people(1,'a') things(1,-) things(2,-)");
        expect(PEOPLE, "write 1: prepare 1.1 home=things [people(1,'a')]");
        expect(STAFF, "write 1: prepare 1.1 home=things [staff(1,-)]");
        world_settle(world);
        assert_false(sent_is_answered(sent));
        fake_lose(PEOPLE, applies);
        world_assert_at_once(world, sent, "- unavailable - -");
        assert_says(sent_text(sent), "database people is not available");
        struct sent *locked = world_submit(world, "notes(1,1,NULL) staff(1,-)");
        world_settle(world);
        assert_false(sent_is_answered(locked)); /* the abort is on its way still */
        assert_true(fake_is_quiet(THINGS) && fake_is_quiet(STAFF));
        fake_connect(PEOPLE);
        fake_answer(expect(PEOPLE, "write 1: prepare 1.1 home=things [people(1,'a')]"));
        fake_answer(expect(PEOPLE, "write 2: resolve 1.1 abort"));
        expect(STAFF, "write 2: resolve 1.1 abort");
        assert_outcome(locked, "reference_missing done");
        assert_quiet(world, THINGS);
        world_close(state);
        assert_int_equal(world_open_server(state), 0);
    }
}

/* Two were asked; one refuses, and the other will not answer soon: the reason is what is known. */
static void a_refused_promise_is_told_although_another_shard_is_lost(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(PEOPLE, WIRE_WRITE, true);
    fake_fails(STAFF, "staff(1", ERROR_CHECK);
    struct sent *sent = world_submit_atomic(world, "people(1,'a') staff(1,-) things(1,-) things(2,-)");
    expect(PEOPLE, "write 1: prepare 1.1 home=things [people(1,'a')]");
    expect(STAFF, "write 1: prepare 1.1 home=things [staff(1,-)]");
    world_settle(world);
    fake_lose(PEOPLE, true);
    world_assert_at_once(world, sent, "- check - -");
    fake_connect(PEOPLE);
    fake_answer(expect(PEOPLE, "write 1: prepare 1.1 home=things [people(1,'a')]"));
    fake_answer(expect(PEOPLE, "write 2: resolve 1.1 abort"));
    assert_quiet(world, STAFF);
}

static void a_home_that_is_lost_before_it_was_asked_aborts_at_once(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(PEOPLE, WIRE_WRITE, true);
    struct sent *sent = world_submit_atomic(world, "people(1,'a') things(1,-) things(2,-)");
    struct fake_request *prepare = expect(PEOPLE, "write 1: prepare 1.1 home=things [people(1,'a')]");
    fake_lose(THINGS, false);
    fake_answer(prepare);
    world_assert_at_once(world, sent, "- unavailable -");
    fake_answer(expect(PEOPLE, "write 2: resolve 1.1 abort"));
    world_reconnect(world, THINGS);
    assert_quiet(world, THINGS);
}

/* All were there when it began. */
static void a_participant_that_is_lost_while_the_rest_is_planned_is_asked_for_nothing(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(PEOPLE, WIRE_EXISTS, true);
    struct sent *sent = world_submit_atomic(world, "notes(1,NULL,'a') staff(1,-) staff(2,-) things(1,-)");
    struct fake_request *exists = expect(PEOPLE, "exists people.1: 'a'");
    fake_lose(THINGS, false);
    fake_answer(exists);
    world_assert_at_once(world, sent, "- - - unavailable");
    assert_says(sent_text(sent), "database things is not available");
    assert_true(fake_is_quiet(NOTES) && fake_is_quiet(STAFF));
    assert_outcome(world_submit(world, "notes(1,NULL,NULL) staff(1,-)"), "done done");
}

/* Of several the first: the others might have been answered. */
static void a_question_that_fails_is_told_of_the_operation_that_asked_it(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(PEOPLE, WIRE_EXISTS, true);
    fake_hold(PEOPLE, WIRE_READ, true);
    fake_hold(PLACES, WIRE_EXISTS, true);
    struct sent *sent = world_submit_atomic(world, "things(1,-) notes(1,NULL,'a') notes(2,NULL,'b')");
    fake_refuse(expect(PEOPLE, "exists people.1: 'a' 'b'"), ERROR_IO, "it cannot be read");
    assert_outcome(sent, "- io -");
    sent = world_submit_atomic(world, "things(1,-) -people(1)");
    fake_refuse(fake_next(PEOPLE), ERROR_IO, "it cannot be read");
    assert_outcome(sent, "- io");
    for (unsigned turn = 0; turn < 2; turn++) {
        sent = world_submit_atomic(world, "things(1,-) visits(1,'x',2) notes(1,NULL,'a')");
        struct fake_request *exists = expect(PEOPLE, "exists people.1: 'a'");
        struct fake_request *earlier = expect(PLACES, "exists places.0: ('x',2)");
        if (turn == 0)
            fake_refuse(earlier, ERROR_IO, "it cannot be read");
        fake_refuse(exists, ERROR_UNAVAILABLE, "its WAL is full");
        if (turn == 1)
            fake_refuse(earlier, ERROR_IO, "it cannot be read");
        assert_outcome(sent, "- io -");
    }
    assert_true(fake_is_quiet(THINGS));
}

static void a_decision_that_a_lost_home_may_have_got_is_unknown_in_the_end(void **state)
{
    for (int applies = 0; applies <= 1; applies++) {
        struct world *world = *state;
        world->options.limits.answer_ms = SOON_MS;
        world_start(world);
        fake_hold(THINGS, WIRE_WRITE, true);
        struct sent *sent = world_submit_atomic(world, "people(1,'a') things(1,-) things(2,-)");
        expect(PEOPLE, "write 1: prepare 1.1 home=things [people(1,'a')]");
        expect(THINGS, "write 1: decide 1.1 (people) [things(1,-) things(2,-)]");
        fake_lose(THINGS, applies);
        assert_outcome(sent, "unknown unknown unknown");
        assert_quiet(world, PEOPLE);
        fake_connect(THINGS);
        fake_answer(expect(THINGS, "write 1: decide 1.1 (people) [things(1,-) things(2,-)]"));
        expect(PEOPLE, "write 2: resolve 1.1 commit");
        fake_answer(expect(THINGS, "write 2: forget 1.1"));
        assert_outcome(world_submit(world, "notes(1,1,NULL)"), "done");
        world_close(state);
        assert_int_equal(world_open_server(state), 0);
    }
}

/* It is done, and its user knows; a shard that is back resolves before it is asked anything else. */
static void what_is_decided_waits_for_its_shard_and_comes_first(void **state)
{
    struct world *world = *state;
    world->options.limits.lock_ms = SOON_MS;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    struct sent *sent = world_submit_atomic(world, "people(1,'a') things(1,-) things(2,-)");
    expect(PEOPLE, "write 1: prepare 1.1 home=things [people(1,'a')]");
    struct fake_request *decide = expect(THINGS, "write 1: decide 1.1 (people) [things(1,-) things(2,-)]");
    fake_lose(PEOPLE, false);
    world_settle(world);
    fake_answer(decide);
    assert_outcome(sent, "done done done");
    assert_outcome(world_submit(world, "people(2,'b')"), "unavailable");
    assert_outcome(world_submit(world, "notes(1,1,NULL)"), "unavailable"); /* a lock of the decided one */
    fake_hold(PEOPLE, WIRE_WRITE, true);
    world_reconnect(world, PEOPLE);
    struct sent *row = world_submit(world, "people(2,'b')");
    expect(PEOPLE, "write 2: resolve 1.1 commit");
    assert_quiet(world, PEOPLE);
    fake_lose(PEOPLE, false); /* once more */
    assert_outcome(row, "unavailable");
    fake_connect(PEOPLE);
    fake_answer(expect(PEOPLE, "write 2: resolve 1.1 commit"));
    fake_answer(expect(THINGS, "write 2: forget 1.1"));
    assert_outcome(world_submit(world, "notes(1,1,NULL)"), "done");
    assert_false(world_logged("is not available: ")); /* of a resolve, as if something had gone wrong */
}

static void a_decision_is_forgotten_when_its_home_is_back(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(PEOPLE, WIRE_WRITE, true);
    struct sent *sent = world_submit_atomic(world, "people(1,'a') things(1,-) things(2,-)");
    fake_answer(expect(PEOPLE, "write 1: prepare 1.1 home=things [people(1,'a')]"));
    expect(THINGS, "write 1: decide 1.1 (people) [things(1,-) things(2,-)]");
    assert_outcome(sent, "done done done");
    struct fake_request *resolve = expect(PEOPLE, "write 2: resolve 1.1 commit");
    fake_lose(THINGS, false);
    fake_answer(resolve);
    world_settle(world);
    fake_connect(THINGS);
    expect(THINGS, "write 2: forget 1.1");
}

/* ---- locks ---- */

static void who_waits_too_long_for_a_lock_is_refused(void **state)
{
    struct world *world = *state;
    world->options.limits.lock_ms = SOON_MS;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    struct sent *holder = world_submit(world, "things(1,'a')");
    struct fake_request *write = expect(THINGS, "write 1: things(1,'a')");
    struct sent *row = world_submit(world, "things(1,'b')");
    struct sent *read = world_submit(world, "?things(1)");
    struct sent *deletion = world_submit(world, "-things(1)");
    struct sent *whole = world_submit_atomic(world, "things(1,'c') people(1,'c')");
    assert_outcome(row, "unavailable");
    assert_says(sent_text(row), "an earlier operation with a key that this one needs has no outcome yet");
    assert_outcome(read, "unavailable");
    assert_outcome(deletion, "unavailable"); /* a single operation is never in conflict */
    assert_outcome(whole, "unavailable -");  /* a shard is silent: that is no conflict with anybody */
    assert_false(sent_is_answered(holder));
    fake_answer(write);
    assert_outcome(holder, "done");
}

/* Likewise: it is not known how the other one ended. */
static void who_waits_for_one_in_doubt_is_refused_as_unavailable(void **state)
{
    struct world *world = *state;
    world->options.limits.lock_ms = SOON_MS;
    world_start(world);
    fake_hold(PEOPLE, WIRE_WRITE, true);
    fake_hold(THINGS, WIRE_WRITE, true);
    struct sent *row = world_submit(world, "people(1,'a')");
    expect(PEOPLE, "write 1: people(1,'a')");
    struct sent *decided = world_submit_atomic(world, "staff(1,-) things(1,-) things(2,-)");
    expect(THINGS, "write 1: decide 1.1 (staff) [things(1,-) things(2,-)]");
    fake_lose(PEOPLE, false);
    fake_lose(THINGS, false);
    assert_outcome(world_submit_atomic(world, "notes(1,1,NULL) notes(2,NULL,NULL)"), "unavailable -");
    assert_outcome(world_submit_atomic(world, "staff(1,-) notes(2,NULL,NULL)"), "unavailable -");
    struct asked *page = world_scan(world, STAFF);
    asked_wait(page);
    assert_int_equal(page->query.error.code, ERROR_UNAVAILABLE);
    assert_says(page->query.error.text, "a transaction on this table has no outcome yet");
    assert_false(sent_is_answered(row) || sent_is_answered(decided));
    fake_connect(PEOPLE);
    fake_answer(expect(PEOPLE, "write 1: people(1,'a')"));
    fake_connect(THINGS);
    fake_answer(expect(THINGS, "write 1: decide 1.1 (staff) [things(1,-) things(2,-)]"));
    fake_answer(expect(THINGS, "write 2: forget 1.1"));
    assert_outcome(row, "done");
    assert_outcome(decided, "done done done");
}

static void locks_are_waited_for_as_long_as_they_may(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    struct sent *holder = world_submit(world, "things(1,'a')");
    struct fake_request *write = expect(THINGS, "write 1: things(1,'a')");
    fake_fails(THINGS, "things(1,'a'", ERROR_CHECK);
    struct sent *whole = world_submit_atomic(world, "things(1,'c') people(1,'c') people(2,'d')");
    world_settle(world);
    assert_false(sent_is_answered(whole));
    fake_hold(THINGS, WIRE_WRITE, false);
    fake_answer(write);
    assert_outcome(holder, "check");
    assert_outcome(whole, "done done done");
}

/* ---- the end ---- */

static void a_stop_ends_although_a_shard_never_comes_back(void **state)
{
    struct world *world = *state;
    world->options.limits.stop_ms = SOON_MS;
    world->options.limits.engine_ops_max = 16;
    world->options.limits.away_ms = 3600000;
    world_start(world);
    fake_hold(PEOPLE, WIRE_WRITE, true);
    fake_hold(THINGS, WIRE_WRITE, true);
    fake_hold(NOTES, WIRE_WRITE, true);
    struct sent *decided = world_submit_atomic(world, "staff(1,-) things(1,-) things(2,-)");
    expect(THINGS, "write 1: decide 1.1 (staff) [things(1,-) things(2,-)]");
    struct sent *row = world_submit(world, "people(1,'a')");
    expect(PEOPLE, "write 1: people(1,'a')");
    struct sent *prepared = world_submit_atomic(world, "notes(1,NULL,NULL) places('x',1) places('y',1)");
    expect(NOTES, "write 1: prepare 1.2 home=places [notes(1,NULL,NULL)]");
    for (database_id d = PEOPLE; d <= THINGS; d++)
        fake_lose(d, false);
    struct sent *unsent = world_submit(world, "people(2,'b')");
    struct sent *locked = world_submit(world, "people(1,'c') ?people(1)");
    struct sent *behind = world_submit_atomic(world, "people(1,'d') people(3,'d')");
    struct sent *asks = world_submit(world, "notes(2,NULL,'z')");
    struct sent *plans = world_submit_atomic(world, "notes(3,NULL,'y') notes(4,NULL,NULL)");
    struct sent *waiting = world_submit(world, "people(9,'i') people(10,'j') people(11,'k') people(12,'l')");
    struct sent *more = world_submit_atomic(world, "visits(1,NULL,NULL) visits(2,NULL,NULL)");
    struct asked *asked = world_ask(world, THINGS), *page = world_scan(world, STAFF);
    world_settle(world);
    world_stop(world);
    assert_true(asked_is_answered(asked) && !asked->query.ok);
    assert_true(asked_is_answered(page) && !page->query.ok);
    assert_outcome(decided, "unknown unknown unknown");
    assert_outcome(row, "unknown");
    assert_outcome(prepared, "unavailable - -");
    assert_outcome(unsent, "unavailable");
    assert_outcome(locked, "unavailable unavailable");
    assert_outcome(behind, "unavailable unavailable");
    assert_outcome(asks, "unavailable");
    assert_outcome(plans, "unavailable -");
    assert_outcome(waiting, "unavailable unavailable unavailable unavailable");
    assert_outcome(more, "unavailable unavailable");
    assert_true(world_logged("stopped before every operation had its outcome"));
}

/* What plans may not be passed by what follows in its submission, which is not begun until then. */
static void a_stop_answers_what_stands_behind_one_that_plans(void **state)
{
    struct world *world = *state;
    world->options.limits.stop_ms = SOON_MS;
    world_start(world);
    fake_hold(PEOPLE, WIRE_READ, true);
    struct sent *sent = world_submit(world, "things(1,-) -people(1) people(1,'a') things(2,-)");
    expect(THINGS, "write 1: things(1,-)");
    expect(PEOPLE, "read…");
    assert_quiet(world, PEOPLE);
    assert_quiet(world, THINGS);
    struct sent *other = world_submit(world, "things(3,-)");
    expect(THINGS, "write 2: things(3,-)"); /* of others, nobody waits */
    assert_outcome(other, "done");
    world_stop(world);
    assert_outcome(sent, "done unavailable unavailable unavailable");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        server_test(a_promise_that_a_lost_shard_may_have_got_is_given_up_at_once),
        server_test(a_refused_promise_is_told_although_another_shard_is_lost),
        server_test(a_home_that_is_lost_before_it_was_asked_aborts_at_once),
        server_test(a_participant_that_is_lost_while_the_rest_is_planned_is_asked_for_nothing),
        server_test(a_question_that_fails_is_told_of_the_operation_that_asked_it),
        server_test(a_decision_that_a_lost_home_may_have_got_is_unknown_in_the_end),
        server_test(what_is_decided_waits_for_its_shard_and_comes_first),
        server_test(a_decision_is_forgotten_when_its_home_is_back),
        server_test(who_waits_too_long_for_a_lock_is_refused),
        server_test(who_waits_for_one_in_doubt_is_refused_as_unavailable),
        server_test(locks_are_waited_for_as_long_as_they_may),
        server_test(a_stop_ends_although_a_shard_never_comes_back),
        server_test(a_stop_answers_what_stands_behind_one_that_plans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
