/* SPDX-License-Identifier: Apache-2.0 */
/* A server's engine: what needs a shard that is away is refused at once, everything else goes on.
 *
 * "At once" is before the engine looks at the clock again: with the event that decides it. */
#include "engine_world.h"

#include "presence.h"

static int open(void **state)
{
    if (world_open(state) != 0)
        return -1;
    struct world *world = *state;
    world->options.patient = false;
    world->options.limits.answer_ms = world->options.limits.lock_ms = 3600000;
    return 0;
}

static void assert_at_once(struct world *world, struct sent *sent, const char *outcome)
{
    world_settle(world);
    if (!sent_is_answered(sent))
        fail_msg("not answered at once: %s", outcome);
    assert_outcome(sent, outcome);
}

static void assert_refused_at_once(struct world *world, const struct asked *asked)
{
    world_settle(world);
    assert_true(asked_is_answered(asked));
    assert_false(asked->query.ok);
    assert_int_equal(asked->query.error.code, ERROR_UNAVAILABLE);
    assert_says(asked->query.error.text, "is not available: ");
}

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
    assert_at_once(world, row, "unavailable done");
    assert_string_equal(sent_text(row), "database things is not available: database things: lost, as told");
    assert_at_once(world, whole, "- unavailable");
    assert_at_once(world, read, "unavailable");
    assert_at_once(world, deletion, "unavailable");
    assert_refused_at_once(world, asked);
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
    assert_at_once(world, world_submit(world, "things(1,-)"), "unavailable");
    fake_answer(hello);
    struct fake_request *claim = expect(THINGS, "claim");
    assert_at_once(world, world_submit(world, "things(1,-)"), "unavailable");
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
    assert_at_once(world, sent, "unavailable");
    assert_string_equal(sent_text(sent), "database things is not available: database things: no disk");
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
    assert_at_once(world, asks, "unavailable");
    assert_says(sent_text(asks), "database people is not available");
    assert_at_once(world, world_submit_atomic(world, "notes(5,NULL,'a') notes(6,NULL,NULL)"), "unavailable -");
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
    assert_at_once(world, row, "unavailable");
    assert_says(sent_text(row), "database things is not available");
    assert_at_once(world, read, "unavailable");
    assert_at_once(world, whole, "- unavailable");
    assert_at_once(world, world_submit(world, "things(1,'d') ?things(1)"),
                   "unavailable unavailable"); /* as do later ones */
    assert_at_once(world, world_submit_atomic(world, "people(1,'c') things(1,'c')"), "- unavailable");
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
    assert_refused_at_once(world, page);
    assert_says(page->query.error.text, "database things is not available");
    page = world_scan(world, THINGS);
    assert_refused_at_once(world, page);
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
        assert_at_once(world, unsent, "unavailable");
        assert_at_once(world, group, "unavailable -");
        world_settle(world);
        assert_false(sent_is_answered(sent));
        fake_connect(THINGS);
        fake_answer(expect(THINGS, "write 1: things(1,'a')"));
        assert_outcome(sent, "done");
        assert_quiet(world, THINGS);
        world_close(state);
        assert_int_equal(open(state), 0);
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
    assert_at_once(world, other, "done");
    assert_at_once(world, whole, "done done");
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
    assert_at_once(world, row, "unavailable");
    assert_at_once(world, whole, "unavailable -");
    assert_at_once(world, read, "unavailable");
    assert_refused_at_once(world, asked);
    assert_quiet(world, THINGS);
    assert_outcome(world_submit(world, "notes(1,NULL,NULL) things(1,-)"), "done done"); /* their locks fell */
}

/* A set that could not be read is read later: for ever asking would need the parent's shard for each child. */
static void the_reading_of_keys_that_was_broken_off_begins_anew(void **state)
{
    static const int64_t rowids[] = {1, 2};
    struct world *world = *state;
    *fake_says(PEOPLE)->tables = (struct wire_table_state){PEOPLE, true, 2};
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
        assert_at_once(world, sent, "- unavailable - -");
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
        assert_int_equal(open(state), 0);
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
    assert_at_once(world, sent, "- check - -");
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
    assert_at_once(world, sent, "- unavailable -");
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
    assert_at_once(world, sent, "- - - unavailable");
    assert_says(sent_text(sent), "database things is not available");
    assert_true(fake_is_quiet(NOTES) && fake_is_quiet(STAFF));
    assert_outcome(world_submit(world, "notes(1,NULL,NULL) staff(1,-)"), "done done");
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
        assert_int_equal(open(state), 0);
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
    assert_outcome(whole, "conflict -");     /* with one that is alive */
    assert_false(sent_is_answered(holder));
    fake_answer(write);
    assert_outcome(holder, "done");
}

/* It is no conflict with anybody: it is not known how the other one ended. */
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

#define away_test(name) cmocka_unit_test_setup_teardown(name, open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        away_test(what_needs_a_shard_that_is_away_is_refused_at_once),
        away_test(a_shard_that_greets_is_away_still),
        away_test(why_a_shard_does_not_come_back_is_told),
        away_test(a_child_whose_parent_is_known_needs_no_other_shard),
        away_test(a_limit_above_zero_waits_so_long),
        away_test(a_limit_above_zero_passes),
        away_test(who_waits_for_a_lock_of_a_shard_that_is_lost_is_refused_at_once),
        away_test(a_page_that_waits_for_a_transaction_of_a_lost_shard_is_refused_at_once),
        away_test(what_was_sent_is_kept_and_what_was_not_is_refused),
        away_test(what_was_sent_is_unknown_in_the_end_and_keeps_its_locks),
        away_test(what_is_in_doubt_takes_no_room),
        away_test(a_question_to_a_shard_that_is_lost_is_refused_at_once),
        away_test(the_reading_of_keys_that_was_broken_off_begins_anew),
        away_test(a_promise_that_a_lost_shard_may_have_got_is_given_up_at_once),
        away_test(a_refused_promise_is_told_although_another_shard_is_lost),
        away_test(a_home_that_is_lost_before_it_was_asked_aborts_at_once),
        away_test(a_participant_that_is_lost_while_the_rest_is_planned_is_asked_for_nothing),
        away_test(a_decision_that_a_lost_home_may_have_got_is_unknown_in_the_end),
        away_test(what_is_decided_waits_for_its_shard_and_comes_first),
        away_test(a_decision_is_forgotten_when_its_home_is_back),
        away_test(who_waits_too_long_for_a_lock_is_refused),
        away_test(who_waits_for_one_in_doubt_is_refused_as_unavailable),
        away_test(locks_are_waited_for_as_long_as_they_may),
        away_test(a_stop_ends_although_a_shard_never_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
