/* SPDX-License-Identifier: Apache-2.0 */
/* What submissions mean: order, limits, keys, questions, metrics, and the end. */
#include "engine_world.h"

#include "presence.h"

/* ---- order of meaning ---- */

static void rows_are_written_and_answered(void **state)
{
    struct world *world = *state;
    world_start(world);
    assert_outcome(world_submit(world, "things(1,'a') people(1,'b')"), "done done");
    expect(THINGS, "write 1: things(1,'a')");
    expect(PEOPLE, "write 1: people(1,'b')");
}

static void a_submission_without_operations_is_answered(void **state)
{
    struct world *world = *state;
    world_start(world);
    assert_outcome(world_submit(world, ""), "");
    assert_outcome(world_submit_atomic(world, ""), "");
}

static void a_row_sees_every_earlier_one_and_no_later_one(void **state)
{
    struct world *world = *state;
    world_start(world);
    assert_outcome(world_submit(world, "notes(1,7,NULL) people(7,'a') notes(2,7,NULL)"), "reference_missing done done");
    expect(NOTES, "write 1: notes(2,7,NULL)");
}

static void submissions_mean_what_their_order_says(void **state)
{
    struct world *world = *state;
    world_start(world);
    struct sent *early = world_submit(world, "notes(1,7,NULL)");
    struct sent *parent = world_submit(world, "people(7,'a')");
    struct sent *late = world_submit(world, "notes(2,7,NULL)");
    assert_outcome(late, "done");
    assert_outcome(parent, "done");
    assert_outcome(early, "reference_missing");
}

/* Whichever of its keys it is. */
static void of_two_rows_with_one_key_the_later_waits_for_the_earlier(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(PEOPLE, WIRE_WRITE, true);
    fake_fails(PEOPLE, "people(1,'a')", ERROR_CHECK);
    struct sent *first = world_submit(world, "people(1,'a')");
    struct fake_request *one = expect(PEOPLE, "write 1: people(1,'a')");
    struct sent *second = world_submit(world, "people(1,'b') people(3,'c')");
    struct sent *third = world_submit(world, "people(2,'a')");
    assert_quiet(world, PEOPLE);
    fake_answer(one);
    assert_outcome(first, "check");
    fake_answer(expect(PEOPLE, "write 2: people(3,'c') …"));
    assert_outcome(second, "done done");
    assert_outcome(third, "done");
}

/* ---- limits ---- */

static void no_more_than_the_limit_are_under_way(void **state)
{
    struct world *world = *state;
    world->options.limits.engine_ops_max = 3;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    struct sent *first = world_submit(world, "things(1,-) things(2,-) things(3,-) things(4,-)");
    struct sent *second = world_submit(world, "things(5,-)");
    world_settle(world);
    fake_answer(expect(THINGS, "write 1: things(1,-) things(2,-) things(3,-)"));
    fake_answer(expect(THINGS, "write 2: things(4,-) things(5,-)"));
    assert_outcome(first, "done done done done");
    assert_outcome(second, "done");
}

static void refusals_make_room_at_once(void **state)
{
    struct world *world = *state;
    world->options.limits.engine_ops_max = 1;
    world_start(world);
    assert_outcome(world_submit(world, "notes(1,1,NULL) notes(2,1,NULL) notes(3,1,NULL) notes(4,NULL,NULL)"),
                   "reference_missing reference_missing reference_missing done");
}

static void a_transaction_waits_until_all_of_it_fits_and_nothing_passes_it(void **state)
{
    struct world *world = *state;
    world->options.limits.engine_ops_max = 3;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    world_submit(world, "things(1,-) things(2,-)");
    struct sent *whole = world_submit_atomic(world, "things(3,-) things(4,-)");
    struct sent *behind = world_submit(world, "things(5,-)");
    struct fake_request *one = expect(THINGS, "write 1: things(1,-) things(2,-)");
    assert_quiet(world, THINGS);
    fake_answer(one);
    fake_answer(expect(THINGS, "write 2: group[things(3,-) things(4,-)] things(5,-)"));
    assert_outcome(whole, "done done");
    assert_outcome(behind, "done");
}

static void a_transaction_beyond_the_limit_goes_alone(void **state)
{
    struct world *world = *state;
    world->options.limits.engine_ops_max = 2;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    world_submit(world, "things(1,-)");
    struct sent *whole = world_submit_atomic(world, "things(2,-) things(3,-) things(4,-)");
    struct sent *behind = world_submit(world, "things(5,-)");
    world_settle(world);
    fake_answer(expect(THINGS, "write 1: things(1,-)"));
    struct fake_request *two = expect(THINGS, "write 2: group[things(2,-) things(3,-) things(4,-)]");
    assert_quiet(world, THINGS);
    fake_answer(two);
    fake_answer(expect(THINGS, "write 3: things(5,-)"));
    assert_outcome(whole, "done done done");
    assert_outcome(behind, "done");
}

/* ---- keys ---- */

static void a_missing_key_is_assigned_and_told(void **state)
{
    struct world *world = *state;
    *fake_says(THINGS)->tables = (struct wire_table_state){THINGS, true, 41, false};
    world_start(world);
    struct sent *sent = world_submit(world, "things(-,'a') things(50,'b') things(NULL,'c') people(-,'d')");
    assert_outcome(sent, "done done done done");
    expect(THINGS, "write 1: things(42,'a') things(50,'b') things(51,'c')");
    expect(PEOPLE, "write 1: people(1,'d')");
    const struct op *ops = sent->submission->ops;
    assert_true(ops[0].key_assigned && !ops[1].key_assigned && ops[2].key_assigned && ops[3].key_assigned);
    assert_int_equal(ops[0].rowid, 42);
    assert_int_equal(ops[2].rowid, 51);
    assert_int_equal(ops[3].rowid, 1);
}

static void a_key_assigned_in_a_transaction_is_told_as_well(void **state)
{
    struct world *world = *state;
    world_start(world);
    struct sent *sent = world_submit_atomic(world, "people(-,'a') people(-,'b')");
    assert_outcome(sent, "done done");
    expect(PEOPLE, "write 1: group[people(1,'a') people(2,'b')]");
    assert_int_equal(sent->submission->ops[1].rowid, 2);
}

/* ---- metrics ---- */

static void metrics_count_rows_batches_and_steps(void **state)
{
    struct world *world = *state;
    struct engine_metrics metrics;
    world_start(world);
    fake_fails(PEOPLE, "people(2", ERROR_CHECK);
    fake_same(PEOPLE, "people(3");
    assert_outcome(world_submit(world, "people(1,NULL) people(2,NULL) people(3,NULL)~ notes(1,9,NULL)"),
                   "done check same reference_missing");
    assert_true(engine_metrics(world->engine, &metrics, &world->error));
    assert_int_equal(metrics.count, TABLES);
    const struct engine_database_metrics *people = &metrics.databases[PEOPLE], *notes = &metrics.databases[NOTES];
    assert_int_equal(people->rows_accepted, 1);
    assert_int_equal(people->rows_same, 1);
    assert_int_equal(people->rows_refused, 1);
    assert_int_equal(people->batches, 1);
    assert_int_equal(people->batch_rows.sum, 3);
    assert_int_equal(people->round_trip.count, 1);
    assert_int_equal(people->total.count, 3);
    assert_int_equal(people->wait.count, 3);
    assert_int_equal(people->check.count, 3);
    assert_int_equal(people->queue.count, 2); /* not of what was refused */
    assert_int_equal(notes->rows_refused, 1);
    assert_int_equal(notes->batches, 0);
    assert_int_equal(notes->check.count, 1);
    engine_metrics_release(&metrics);
}

static void metrics_count_each_row_of_a_transaction(void **state)
{
    struct world *world = *state;
    struct engine_metrics metrics;
    world_start(world);
    assert_outcome(world_submit_atomic(world, "people(1,'a') notes(1,1,'a') notes(2,1,'a')"), "done done done");
    fake_fails(THINGS, "things(2", ERROR_CHECK);
    assert_outcome(world_submit_atomic(world, "things(1,-) things(2,-)"), "- check");
    assert_true(engine_metrics(world->engine, &metrics, &world->error));
    assert_int_equal(metrics.databases[PEOPLE].rows_accepted, 1);
    assert_int_equal(metrics.databases[NOTES].rows_accepted, 2);
    assert_int_equal(metrics.databases[PEOPLE].check.count + metrics.databases[NOTES].check.count, 3);
    assert_int_equal(metrics.databases[THINGS].rows_refused, 1); /* only of the one to blame something is known */
    engine_metrics_release(&metrics);
}

/* ---- questions ---- */

static void a_question_brings_the_shards_answer(void **state)
{
    struct world *world = *state;
    world_start(world);
    struct asked *asked = world_ask(world, THINGS);
    expect(THINGS, "stats");
    asked_wait(asked);
    assert_true(asked->query.ok);
}

static void a_question_brings_the_shards_refusal(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(THINGS, WIRE_STATS, true);
    struct asked *asked = world_ask(world, THINGS);
    fake_refuse(expect(THINGS, "stats"), ERROR_IO, "no disk");
    asked_wait(asked);
    assert_false(asked->query.ok);
    assert_int_equal(asked->query.error.code, ERROR_IO);
    assert_string_equal(asked->query.error.text, "no disk");
}

static void who_asks_may_wait(void **state)
{
    struct world *world = *state;
    struct query query = {.kind = WIRE_PROBE, .database = THINGS};
    world_start(world);
    assert_true(engine_ask_and_wait(world->engine, &query));
    expect(THINGS, "probe");
    buffer_release(&query.answer);
}

/* ---- the end ---- */

static void a_stop_finishes_what_was_submitted(void **state)
{
    struct world *world = *state;
    world->options.limits.engine_ops_max = 1;
    world_start(world);
    fake_hold(PEOPLE, WIRE_WRITE, true);
    struct sent *sent = world_submit(world, "people(1,'a') notes(1,1,NULL)");
    struct sent *whole = world_submit_atomic(world, "people(2,'b') notes(2,2,NULL) notes(3,1,NULL)");
    world_settle(world);
    world_stop_beside(world);
    fake_answer(expect(PEOPLE, "write 1: people(1,'a')"));
    fake_answer(expect(PEOPLE, "write 2: prepare 1.1 home=notes [people(2,'b')]"));
    fake_answer(expect(PEOPLE, "write 3: resolve 1.1 commit"));
    world_stopped(world);
    assert_outcome(sent, "done done");
    assert_outcome(whole, "done done done");
    expect(NOTES, "write 1: notes(1,1,NULL)");
    expect(NOTES, "write 2: decide 1.1 (people) [notes(2,2,NULL) notes(3,1,NULL)]");
    expect(NOTES, "write 3: forget 1.1");
}

static void a_stop_finishes_the_questions_as_well(void **state)
{
    struct world *world = *state;
    world->options.limits.answer_ms = SOON_MS;
    world_start(world);
    fake_hold(THINGS, WIRE_STATS, true);
    struct asked *asked = world_ask(world, THINGS);
    expect(THINGS, "stats");
    fake_lose(THINGS, false);
    world_stop(world);
    assert_true(asked_is_answered(asked));
    assert_false(asked->query.ok);
    assert_int_equal(asked->query.error.code, ERROR_UNAVAILABLE);
}

/* Its user has been told that the outcome is not known; the next start will find out. */
static void a_stop_does_not_wait_for_a_shard_that_has_been_away_for_long(void **state)
{
    struct world *world = *state;
    world->options.limits.answer_ms = SOON_MS;
    world_start(world);
    for (database_id d = PEOPLE; d <= NOTES; d++)
        fake_hold(d, WIRE_WRITE, true);
    struct sent *group = world_submit_atomic(world, "people(1,'a') people(2,'b')");
    expect(PEOPLE, "write 1: group[people(1,'a') people(2,'b')]");
    fake_lose(PEOPLE, false);
    struct sent *whole = world_submit_atomic(world, "notes(1,NULL,NULL) things(1,-) things(2,-)");
    fake_answer(expect(NOTES, "write 1: prepare 1.1 home=things [notes(1,NULL,NULL)]"));
    fake_lose(NOTES, false);
    assert_outcome(group, "unknown unknown");
    assert_outcome(whole, "done done done");
    world_stop(world);
}

/* Nobody waits for the rowids any more. */
static void a_stop_breaks_off_the_reading_of_keys(void **state)
{
    struct world *world = *state;
    *fake_says(PEOPLE)->tables = (struct wire_table_state){PEOPLE, true, 1, false};
    world_start(world);
    fake_hold(PEOPLE, WIRE_KEYS, true);
    assert_outcome(world_submit_many(world, NOTES, 1, PRESENCE_ASKED_MIN, value_integer(1)), "done …");
    expect(PEOPLE, "keys people");
    world_stop(world);
}

static void nothing_is_stopped_and_freed_when_there_is_nothing(void **state)
{
    (void)state;
    engine_stop(NULL);
    submission_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        engine_test(rows_are_written_and_answered),
        engine_test(a_submission_without_operations_is_answered),
        engine_test(a_row_sees_every_earlier_one_and_no_later_one),
        engine_test(submissions_mean_what_their_order_says),
        engine_test(of_two_rows_with_one_key_the_later_waits_for_the_earlier),
        engine_test(no_more_than_the_limit_are_under_way),
        engine_test(refusals_make_room_at_once),
        engine_test(a_transaction_waits_until_all_of_it_fits_and_nothing_passes_it),
        engine_test(a_transaction_beyond_the_limit_goes_alone),
        engine_test(a_missing_key_is_assigned_and_told),
        engine_test(a_key_assigned_in_a_transaction_is_told_as_well),
        engine_test(metrics_count_rows_batches_and_steps),
        engine_test(metrics_count_each_row_of_a_transaction),
        engine_test(a_question_brings_the_shards_answer),
        engine_test(a_question_brings_the_shards_refusal),
        engine_test(who_asks_may_wait),
        engine_test(a_stop_finishes_what_was_submitted),
        engine_test(a_stop_finishes_the_questions_as_well),
        engine_test(a_stop_does_not_wait_for_a_shard_that_has_been_away_for_long),
        engine_test(a_stop_breaks_off_the_reading_of_keys),
        cmocka_unit_test(nothing_is_stopped_and_freed_when_there_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
