/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions whose shards are lost, stay away, or say nothing, at each step. */
#include "engine_world.h"

struct step {
    database_id database;
    const char *line;
};

static void hold_writes(bool hold)
{
    for (database_id d = 0; d < TABLES; d++)
        fake_hold(d, WIRE_WRITE, hold);
}

/* Answers the steps one after the other, and loses the shard at one of them, before or after it has applied it. */
static void go_through(const struct step *steps, unsigned count, unsigned lost_at, bool applies)
{
    for (unsigned i = 0; i < count; i++) {
        struct fake_request *request = expect(steps[i].database, steps[i].line);
        if (i == lost_at) {
            fake_lose(steps[i].database, applies);
            fake_connect(steps[i].database);
            request = expect(steps[i].database, steps[i].line);
        }
        fake_answer(request);
    }
}

static void a_loss_at_any_step_of_a_commit_changes_nothing(void **state)
{
    static const struct step steps[] = {
        {PEOPLE, "write 1: prepare 1.1 home=notes [people(1,'a')]"},
        {NOTES, "write 1: decide 1.1 (people) [notes(1,1,NULL) notes(2,1,NULL)]"},
        {PEOPLE, "write 2: resolve 1.1 commit"},
        {NOTES, "write 2: forget 1.1"},
    };
    for (unsigned lost_at = 0; lost_at < 4; lost_at++)
        for (int applies = 0; applies <= 1; applies++) {
            struct world *world = *state;
            world_start(world);
            hold_writes(true);
            struct sent *sent = world_submit_atomic(world, "people(1,'a') notes(1,1,NULL) notes(2,1,NULL)");
            go_through(steps, 4, lost_at, applies);
            assert_outcome(sent, "done done done");
            hold_writes(false);
            assert_outcome(world_submit(world, "notes(3,1,NULL)"), "done");
            world_close(state);
            assert_int_equal(world_open(state), 0);
        }
}

static void a_loss_at_any_step_of_an_abort_changes_nothing(void **state)
{
    static const struct step steps[] = {
        {PEOPLE, "write 1: prepare 1.1 home=things [people(1,'a')]"},
        {STAFF, "write 1: prepare 1.1 home=things [staff(1,-)]"},
        {PEOPLE, "write 2: resolve 1.1 abort"},
    };
    for (unsigned lost_at = 0; lost_at < 3; lost_at++)
        for (int applies = 0; applies <= 1; applies++) {
            struct world *world = *state;
            world_start(world);
            hold_writes(true);
            fake_fails(STAFF, "staff(1", ERROR_CHECK);
            struct sent *sent = world_submit_atomic(world, "people(1,'a') staff(1,-) things(1,-) things(2,-)");
            go_through(steps, 3, lost_at, applies);
            assert_outcome(sent, "- check - -");
            hold_writes(false);
            assert_outcome(world_submit(world, "notes(3,1,NULL) people(1,'a')"), "reference_missing done");
            world_close(state);
            assert_int_equal(world_open(state), 0);
        }
}

static void a_question_is_asked_again(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(PLACES, WIRE_EXISTS, true);
    struct sent *sent = world_submit_atomic(world, "visits(1,'x',3) things(1,-)");
    expect(PLACES, "exists places.0: ('x',3)");
    fake_lose(PLACES, false);
    fake_connect(PLACES);
    fake_answer(expect(PLACES, "exists places.0: ('x',3)"));
    assert_outcome(sent, "done done");
}

/* ---- shards that stay away ---- */

static void a_promise_that_was_not_asked_for_in_time_aborts(void **state)
{
    struct world *world = *state;
    world->options.limits.answer_ms = SOON_MS;
    world_start(world);
    fake_lose(PEOPLE, false);
    struct sent *sent = world_submit_atomic(world, "people(1,'a') staff(1,-) things(1,-) things(2,-)");
    assert_outcome(sent, "unavailable - - -");
    assert_string_equal(sent_text(sent), "database people is not available: lost, as told");
    expect(STAFF, "write 1: prepare 1.1 home=things [staff(1,-)]");
    expect(STAFF, "write 2: resolve 1.1 abort");
    world_reconnect(world, PEOPLE);
    assert_outcome(world_submit(world, "people(1,'a') things(1,-)"), "done done");
    expect(PEOPLE, "write 1: people(1,'a')");
    expect(THINGS, "write 1: things(1,-)");
}

static void a_home_that_is_away_too_long_aborts(void **state)
{
    struct world *world = *state;
    world->options.limits.answer_ms = SOON_MS;
    world_start(world);
    fake_lose(THINGS, false);
    struct sent *sent = world_submit_atomic(world, "things(1,-) things(2,-) people(1,'a')");
    expect(PEOPLE, "write 1: prepare 1.1 home=things [people(1,'a')]");
    assert_outcome(sent, "unavailable - -");
    expect(PEOPLE, "write 2: resolve 1.1 abort");
    world_reconnect(world, THINGS);
    assert_outcome(world_submit(world, "people(1,'a') things(1,-)"), "done done");
    expect(THINGS, "write 1: things(1,-)");
}

/* The user has been answered; what was promised is kept, however long it takes. */
static void a_promise_waits_for_its_shard_and_keeps_its_locks(void **state)
{
    struct world *world = *state;
    world->options.limits.answer_ms = SOON_MS;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    struct sent *sent = world_submit_atomic(world, "people(1,'a') things(1,-) things(2,-)");
    expect(PEOPLE, "write 1: prepare 1.1 home=things [people(1,'a')]");
    struct fake_request *decide = expect(THINGS, "write 1: decide 1.1 (people) [things(1,-) things(2,-)]");
    fake_lose(PEOPLE, false);
    fake_answer(decide);
    assert_outcome(sent, "done done done");
    fake_hold(THINGS, WIRE_WRITE, false);
    struct sent *locked = world_submit(world, "notes(1,1,NULL) things(2,-)");
    assert_outcome(world_submit(world, "people(2,'b')"), "unavailable"); /* so it has been away for long */
    assert_outcome(locked, "unavailable unavailable");
    assert_says(sent_text(locked), "an earlier operation with a key that this one needs has no outcome yet");
    assert_outcome(world_submit(world, "things(3,-)"), "done");
    expect(THINGS, "write 2: things(3,-)");
    fake_connect(PEOPLE);
    expect(PEOPLE, "write 2: resolve 1.1 commit");
    expect(THINGS, "write 3: forget 1.1");
    assert_outcome(world_submit(world, "notes(1,1,NULL)"), "done");
}

/* ---- shards that say nothing ---- */

static void a_promise_without_answer_is_refused_and_aborts_when_it_comes(void **state)
{
    struct world *world = *state;
    world->options.limits.answer_ms = SOON_MS;
    world_start(world);
    fake_hold(PEOPLE, WIRE_WRITE, true);
    struct sent *sent = world_submit_atomic(world, "people(1,'a') staff(1,-) things(1,-) things(2,-)");
    struct fake_request *prepare = expect(PEOPLE, "write 1: prepare 1.1 home=things [people(1,'a')]");
    expect(STAFF, "write 1: prepare 1.1 home=things [staff(1,-)]");
    assert_outcome(sent, "unavailable - - -");
    assert_string_equal(sent_text(sent), "database people has not answered in time");
    assert_outcome(world_submit(world, "staff(1,-)"), "unavailable"); /* its locks stay */
    fake_answer(prepare);
    fake_answer(expect(PEOPLE, "write 2: resolve 1.1 abort"));
    expect(STAFF, "write 2: resolve 1.1 abort");
    assert_quiet(world, THINGS);
    assert_outcome(world_submit(world, "staff(1,-) notes(1,1,NULL)"), "done reference_missing");
}

static void a_decision_without_answer_is_unknown_and_counts_when_it_comes(void **state)
{
    struct world *world = *state;
    world->options.limits.answer_ms = SOON_MS;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    struct sent *sent = world_submit_atomic(world, "people(1,'a') things(1,-) things(2,-)");
    expect(PEOPLE, "write 1: prepare 1.1 home=things [people(1,'a')]");
    struct fake_request *decide = expect(THINGS, "write 1: decide 1.1 (people) [things(1,-) things(2,-)]");
    assert_outcome(sent, "unknown unknown unknown");
    assert_outcome(world_submit(world, "notes(1,1,NULL)"), "unavailable");
    assert_outcome(world_submit_atomic(world, "notes(1,1,NULL) notes(2,1,NULL)"), "unavailable -"); /* no conflict */
    assert_quiet(world, PEOPLE); /* nothing is resolved that is not decided */
    fake_answer(decide);
    expect(PEOPLE, "write 2: resolve 1.1 commit");
    fake_answer(expect(THINGS, "write 2: forget 1.1"));
    assert_outcome(world_submit(world, "notes(1,1,NULL)"), "done");
}

static void a_refused_decision_that_comes_late_aborts(void **state)
{
    struct world *world = *state;
    world->options.limits.answer_ms = SOON_MS;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    fake_fails(THINGS, "things(2", ERROR_CHECK);
    struct sent *sent = world_submit_atomic(world, "people(1,'a') things(1,-) things(2,-)");
    struct fake_request *decide = expect(THINGS, "write 1: decide 1.1 (people) [things(1,-) things(2,-)]");
    assert_outcome(sent, "unknown unknown unknown");
    fake_answer(decide);
    expect(PEOPLE, "write 1: prepare 1.1 home=things [people(1,'a')]");
    expect(PEOPLE, "write 2: resolve 1.1 abort");
    assert_quiet(world, PEOPLE);
    assert_outcome(world_submit(world, "notes(1,1,NULL)"), "reference_missing");
}

static void a_group_without_answer_is_unknown_and_counts_when_it_comes(void **state)
{
    struct world *world = *state;
    world->options.limits.answer_ms = SOON_MS;
    world_start(world);
    fake_hold(PEOPLE, WIRE_WRITE, true);
    struct sent *sent = world_submit_atomic(world, "people(1,'a') people(2,'b')");
    struct fake_request *group = expect(PEOPLE, "write 1: group[people(1,'a') people(2,'b')]");
    assert_outcome(sent, "unknown unknown");
    assert_outcome(world_submit(world, "notes(1,1,NULL)"), "unavailable");
    fake_answer(group);
    world_settle(world);
    assert_outcome(world_submit(world, "notes(1,1,NULL)"), "done");
}

static void who_waits_too_long_for_a_lock_is_refused(void **state)
{
    struct world *world = *state;
    world->options.limits.answer_ms = SOON_MS;
    world_start(world);
    fake_hold(PEOPLE, WIRE_WRITE, true);
    world_submit(world, "people(1,'a')");
    struct fake_request *row = expect(PEOPLE, "write 1: people(1,'a')");
    struct sent *sent = world_submit_atomic(world, "things(1,-) people(2,'a')");
    assert_outcome(sent, "unavailable -");
    assert_says(sent_text(sent), "an earlier operation with a key that this one needs has no outcome yet");
    assert_quiet(world, THINGS);
    assert_outcome(world_submit(world, "things(1,-)"), "done"); /* what it held and what it waited for is free */
    fake_hold(PEOPLE, WIRE_WRITE, false);
    fake_answer(row);
    assert_outcome(world_submit(world, "people(2,'b')"), "done");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        engine_test(a_loss_at_any_step_of_a_commit_changes_nothing),
        engine_test(a_loss_at_any_step_of_an_abort_changes_nothing),
        engine_test(a_question_is_asked_again),
        engine_test(a_promise_that_was_not_asked_for_in_time_aborts),
        engine_test(a_home_that_is_away_too_long_aborts),
        engine_test(a_promise_waits_for_its_shard_and_keeps_its_locks),
        engine_test(a_promise_without_answer_is_refused_and_aborts_when_it_comes),
        engine_test(a_decision_without_answer_is_unknown_and_counts_when_it_comes),
        engine_test(a_refused_decision_that_comes_late_aborts),
        engine_test(a_group_without_answer_is_unknown_and_counts_when_it_comes),
        engine_test(who_waits_too_long_for_a_lock_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
