/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions whose shards are all there: the steps and their order, references, refusals, limits. What a loss does to
 * them stands in test_transaction_loss.c. */
#include "engine_world.h"

#include <stdio.h>

static void hold_writes(bool hold)
{
    for (database_id d = 0; d < TABLES; d++)
        fake_hold(d, WIRE_WRITE, hold);
}

/* ---- one shard ---- */

static void on_one_shard_it_is_a_group_in_one_batch(void **state)
{
    struct world *world = *state;
    world_start(world);
    assert_outcome(world_submit_atomic(world, "things(2,'b') things(1,'a')"), "done done");
    expect(THINGS, "write 1: group[things(2,'b') things(1,'a')]");
    assert_quiet(world, THINGS);
}

static void a_group_fails_as_a_whole_and_names_the_row_to_blame(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_fails(THINGS, "things(2", ERROR_CHECK);
    struct sent *sent = world_submit_atomic(world, "things(1,-) things(2,-) things(3,-)");
    assert_outcome(sent, "- check -");
    for (int i = 0; i < 3; i++)
        assert_int_equal(sent->submission->ops[i].result, OP_REFUSED);
    fake_fails(THINGS, NULL, ERROR_NONE);
    assert_outcome(world_submit_atomic(world, "things(1,-) things(2,-)"), "done done"); /* no lock is left */
}

static void rows_of_a_group_may_be_there_already(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_same(THINGS, "things(2");
    assert_outcome(world_submit_atomic(world, "things(1,-)~ things(2,-)~"), "done same");
}

static void what_a_group_brings_is_there_for_later_rows(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_fails(PEOPLE, "people(4", ERROR_CHECK);
    world_submit_atomic(world, "people(1,'a') people(2,'b')");
    world_submit_atomic(world, "people(3,'c') people(4,'d')");
    assert_outcome(world_submit(world, "notes(1,2,NULL) notes(2,3,NULL)"), "done reference_missing");
}

/* ---- two phases ---- */

static size_t locks_of(const struct fake_request *request)
{
    struct cursor body = cursor_over(request->body.bytes, request->body.len);
    struct wire_entry entry;
    uint64_t batch;
    uint32_t count;
    assert_true(wire_get_write(&body, &batch, &count, NULL) && wire_get_entry(&body, &entry, NULL));
    return entry.locks_len / 9;
}

static void on_several_shards_each_step_waits_for_the_one_before(void **state)
{
    struct world *world = *state;
    world_start(world);
    hold_writes(true);
    struct sent *sent = world_submit_atomic(world, "people(1,'a') notes(1,1,NULL) notes(2,1,NULL)");
    struct fake_request *prepare = expect(PEOPLE, "write 1: prepare 1.1 home=notes [people(1,'a')]");
    assert_int_equal(locks_of(prepare), 6); /* of all shards: four keys, the parent's among them, and two tables */
    assert_quiet(world, NOTES);
    fake_answer(prepare);
    struct fake_request *decide = expect(NOTES, "write 1: decide 1.1 (people) [notes(1,1,NULL) notes(2,1,NULL)]");
    assert_quiet(world, PEOPLE);
    assert_false(sent_is_answered(sent));
    fake_answer(decide);
    assert_outcome(sent, "done done done"); /* the home's commit is the commit of the whole */
    struct fake_request *resolve = expect(PEOPLE, "write 2: resolve 1.1 commit");
    assert_quiet(world, NOTES);
    fake_answer(resolve);
    fake_answer(expect(NOTES, "write 2: forget 1.1"));
    assert_quiet(world, PEOPLE);
    assert_quiet(world, NOTES);
}

static void locks_fall_when_all_have_resolved(void **state)
{
    struct world *world = *state;
    world_start(world);
    hold_writes(true);
    struct sent *sent = world_submit_atomic(world, "people(1,'a') notes(1,1,NULL) notes(2,1,NULL)");
    fake_answer(expect(PEOPLE, "write 1: prepare 1.1 home=notes [people(1,'a')]"));
    fake_answer(expect(NOTES, "write 1: decide 1.1 (people) [notes(1,1,NULL) notes(2,1,NULL)]"));
    assert_outcome(sent, "done done done");
    struct fake_request *resolve = expect(PEOPLE, "write 2: resolve 1.1 commit");
    struct sent *child = world_submit(world, "staff(1,NULL) notes(3,1,NULL)");
    struct sent *rival = world_submit(world, "notes(2,NULL,NULL)");
    fake_answer(expect(STAFF, "write 1: staff(1,NULL)")); /* others do not wait */
    assert_quiet(world, NOTES);
    fake_answer(resolve);
    fake_answer(expect(NOTES, "write 2: forget 1.1 notes(…"));
    assert_outcome(child, "done done");
    assert_outcome(rival, "done");
}

static void all_but_the_home_prepare_at_once(void **state)
{
    struct world *world = *state;
    world_start(world);
    hold_writes(true);
    struct sent *sent = world_submit_atomic(world, "people(1,-) staff(1,-) things(1,-) things(2,-)");
    struct fake_request *people = expect(PEOPLE, "write 1: prepare 1.1 home=things [people(1,-)]");
    struct fake_request *staff = expect(STAFF, "write 1: prepare 1.1 home=things [staff(1,-)]");
    fake_answer(staff);
    assert_quiet(world, THINGS);
    fake_answer(people);
    fake_answer(expect(THINGS, "write 1: decide 1.1 (people,staff) [things(1,-) things(2,-)]"));
    assert_outcome(sent, "done done done done");
    fake_answer(expect(STAFF, "write 2: resolve 1.1 commit"));
    assert_quiet(world, THINGS); /* is forgotten when the last has resolved */
    fake_answer(expect(PEOPLE, "write 2: resolve 1.1 commit"));
    fake_answer(expect(THINGS, "write 2: forget 1.1"));
}

static void the_first_with_most_rows_is_home(void **state)
{
    struct world *world = *state;
    world_start(world);
    assert_outcome(world_submit_atomic(world, "staff(1,-) things(1,-)"), "done done");
    expect(STAFF, "write 1: prepare 1.1 home=things [staff(1,-)]");
    assert_outcome(world_submit_atomic(world, "things(3,-) staff(4,-) staff(5,-)"), "done done done");
    expect(THINGS, "write 1: decide 1.1 (staff) [things(1,-)]");
    expect(THINGS, "write 2: forget 1.1");
    expect(THINGS, "write 3: prepare 1.2 home=staff [things(3,-)]");
}

static void rows_that_are_there_already_are_told_on_each_shard(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_same(PEOPLE, "people(2");
    fake_same(THINGS, "things(1");
    assert_outcome(world_submit_atomic(world, "things(1,-)~ people(1,-)~ things(2,-)~ people(2,-)~ things(3,-)~"),
                   "same done done same done");
}

/* ---- abort ---- */

static void a_refused_promise_aborts_those_that_were_made(void **state)
{
    struct world *world = *state;
    world_start(world);
    hold_writes(true);
    fake_fails(PEOPLE, "people(2", ERROR_UNIQUE);
    struct sent *sent = world_submit_atomic(world, "things(1,-) people(1,-) staff(1,-) things(2,-) people(2,-) "
                                                   "things(3,-)");
    fake_answer(expect(PEOPLE, "write 1: prepare 1.1 home=things [people(1,-) people(2,-)]"));
    struct fake_request *staff = expect(STAFF, "write 1: prepare 1.1 home=things [staff(1,-)]");
    world_settle(world);
    assert_false(sent_is_answered(sent)); /* what the others say is heard first */
    fake_answer(staff);
    struct fake_request *try = expect(THINGS, "write 1: try[things(1,-) things(2,-)]");
    assert_quiet(world, STAFF);
    fake_answer(try);
    assert_outcome(sent, "- - - - unique -");
    struct fake_request *abort = expect(STAFF, "write 2: resolve 1.1 abort");
    struct sent *next = world_submit(world, "people(1,-)");
    assert_quiet(world, PEOPLE); /* its locks stay until all have resolved; who refused has nothing to resolve */
    fake_answer(abort);
    fake_answer(expect(PEOPLE, "write 2: people(1,-)"));
    assert_outcome(next, "done");
    assert_quiet(world, THINGS); /* the home has nothing to resolve */
    assert_quiet(world, STAFF);
}

/* ---- the first that fails ---- */

static void the_home_may_refuse_an_earlier_one(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_fails(PEOPLE, "people(2", ERROR_UNIQUE);
    fake_fails(THINGS, "things(2", ERROR_CHECK);
    assert_outcome(world_submit_atomic(world, "things(1,-) things(2,-) people(2,-) things(3,-)"), "- check unique -");
    expect(THINGS, "write 1: try[things(1,-) things(2,-)]");
    assert_outcome(world_submit_atomic(world, "people(2,-) things(2,-) things(3,-)"), "unique - -");
    assert_outcome(world_submit(world, "things(4,-)"), "done");
    expect(THINGS, "write 2: things(4,-)"); /* nothing of it stands before the one that is refused */
}

static void what_is_missing_in_the_end_is_told_when_nothing_fails_before(void **state)
{
    struct world *world = *state;
    world_start(world);
    const char *rows = "notes(1,9,'a') things(1,-) things(2,-)";
    assert_outcome(world_submit_atomic(world, rows), "reference_missing - -");
    expect(NOTES, "write 1: try[notes(1,9,'a')]");
    expect(THINGS, "write 1: try[things(1,-) things(2,-)]");
    fake_fails(THINGS, "things(2", ERROR_CHECK);
    assert_outcome(world_submit_atomic(world, rows), "- - check");
    fake_fails(NOTES, "notes(1", ERROR_NOT_NULL);
    assert_outcome(world_submit_atomic(world, rows), "not_null - check");
    assert_outcome(world_submit(world, "notes(1,9,'a')"), "reference_missing"); /* on its own, it comes first */
}

static void what_is_not_there_is_told_when_nothing_fails_before(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_fails(THINGS, "things(2", ERROR_CHECK);
    assert_outcome(world_submit_atomic(world, "things(1,-) -people(NULL) things(2,-)"), "- not_found -");
    expect(THINGS, "write 1: try[things(1,-)]");
    assert_outcome(world_submit_atomic(world, "things(1,-) things(2,-) -people(NULL)"), "- check not_found");
    assert_outcome(world_submit(world, "-people(NULL)"), "not_found");
    assert_quiet(world, PEOPLE);
}

static void a_shard_that_cannot_be_tried_changes_nothing(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_refuses_next(THINGS, ERROR_IO);
    fake_fails(PEOPLE, "people(2", ERROR_UNIQUE);
    const char *rows = "things(1,-) things(2,-) people(2,-)";
    assert_outcome(world_submit_atomic(world, rows), "- - unique");
    fake_hold(THINGS, WIRE_WRITE, true);
    struct sent *sent = world_submit_atomic(world, rows);
    expect(THINGS, "write 1: try…");
    expect(THINGS, "write 1: try[things(1,-) things(2,-)]");
    world_stop(world);
    assert_outcome(sent, "- - unique");
}

static void a_refused_batch_is_a_refused_promise(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_refuses_next(PEOPLE, ERROR_IO);
    assert_outcome(world_submit_atomic(world, "things(1,-) people(1,-) staff(1,-) things(2,-)"), "- io - -");
    expect(PEOPLE, "write 1: prepare 1.1 home=things [people(1,-)]");
    expect(STAFF, "write 1: prepare 1.1 home=things [staff(1,-)]");
    expect(STAFF, "write 2: resolve 1.1 abort");
    assert_quiet(world, PEOPLE);
    assert_quiet(world, THINGS);
}

static void each_shard_that_refuses_says_why(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_fails(PEOPLE, "people(1", ERROR_UNIQUE);
    fake_fails(STAFF, "staff(1", ERROR_CHECK);
    assert_outcome(world_submit_atomic(world, "things(1,-) people(1,-) staff(1,-) things(2,-)"), "- unique check -");
    assert_outcome(world_submit(world, "things(1,-)"), "done");
    expect(THINGS, "write 1: try[things(1,-)]");
    expect(THINGS, "write 2: things(1,-)");
}

static void a_refused_decision_aborts_all(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_fails(THINGS, "things(2", ERROR_CHECK);
    assert_outcome(world_submit_atomic(world, "things(1,-) people(1,'a') things(2,-) staff(1,-) things(3,-)"),
                   "- - check - -");
    expect(PEOPLE, "write 1: prepare 1.1 home=things [people(1,'a')]");
    expect(PEOPLE, "write 2: resolve 1.1 abort");
    expect(STAFF, "write 1: prepare 1.1 home=things [staff(1,-)]");
    expect(STAFF, "write 2: resolve 1.1 abort");
    expect(THINGS, "write 1: decide 1.1 (people,staff) [things(1,-) things(2,-) things(3,-)]");
    assert_quiet(world, THINGS); /* there is nothing to forget */
    assert_outcome(world_submit(world, "notes(1,1,NULL)"), "reference_missing");
}

/* A promise that cannot be kept is not forgotten. */
static void a_refused_resolve_is_tried_again_and_keeps_its_locks(void **state)
{
    struct world *world = *state;
    world_start(world);
    hold_writes(true);
    struct sent *sent = world_submit_atomic(world, "people(1,'a') things(1,-) things(2,-)");
    fake_answer(expect(PEOPLE, "write 1: prepare 1.1 home=things [people(1,'a')]"));
    fake_answer(expect(THINGS, "write 1: decide 1.1 (people) [things(1,-) things(2,-)]"));
    assert_outcome(sent, "done done done");
    fake_refuses_next(PEOPLE, ERROR_IO);
    fake_answer(expect(PEOPLE, "write 2: resolve 1.1 commit"));
    struct fake_request *again = expect(PEOPLE, "write 2: resolve 1.1 commit");
    assert_true(world_logged("so told"));
    struct sent *child = world_submit(world, "notes(1,1,NULL)");
    assert_quiet(world, THINGS);
    assert_quiet(world, NOTES);
    fake_answer(again);
    fake_answer(expect(NOTES, "write 1: notes(1,1,NULL)"));
    assert_outcome(child, "done");
    fake_refuses_next(THINGS, ERROR_IO);
    fake_answer(expect(THINGS, "write 2: forget 1.1"));
    fake_answer(expect(THINGS, "write 2: forget 1.1"));
}

/* ---- references ---- */

static void its_own_rows_are_parents_whatever_their_order(void **state)
{
    struct world *world = *state;
    world_start(world);
    assert_outcome(world_submit_atomic(world, "notes(1,1,'a') people(1,'a') notes(2,1,NULL)"), "done done done");
    assert_outcome(world_submit_atomic(world, "staff(1,2) staff(2,3) staff(3,1) staff(4,4)"), "done done done done");
    assert_outcome(world_submit_atomic(world, "visits(1,'x',2) places('x',2)"), "done done");
    assert_outcome(world_submit_atomic(world, "people(-,'b') notes(3,2,NULL)"), "done done");
}

static void other_parents_are_looked_for(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_absent(PLACES, "('x',3)");
    assert_outcome(world_submit(world, "people(7,'g')"), "done");
    struct sent *sent = world_submit_atomic(world, "notes(1,7,NULL) notes(2,8,NULL) people(1,'a') notes(3,9,NULL) "
                                                   "visits(1,'x',3) visits(2,'x',2)");
    assert_outcome(sent, "- reference_missing - reference_missing reference_missing -");
    assert_string_equal(sent->submission->ops[1].error->text, "notes.person 8: no such row in people (id)");
    assert_string_equal(sent->submission->ops[3].error->text, "notes.person 9: no such row in people (id)");
    assert_string_equal(sent->submission->ops[4].error->text, "visits.(a,b) ('x',3): no such row in places (a,b)");
    expect(NOTES, "write 1: try[notes(1,7,NULL) notes(2,8,NULL) notes(3,9,NULL)]");
    assert_quiet(world, NOTES);
    assert_outcome(world_submit(world, "people(1,'a')"), "done"); /* no lock is left */
}

static void all_parents_of_a_row_are_named_together(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_absent(PEOPLE, "'x'");
    struct sent *sent = world_submit_atomic(world, "things(1,-) notes(1,8,'x') notes(2,9,'x')");
    assert_outcome(sent, "- reference_missing reference_missing");
    const struct op *ops = sent->submission->ops;
    assert_string_equal(ops[1].error->text, "notes.person 8: no such row in people (id); "
                                            "notes.author 'x': no such row in people (name)");
    assert_string_equal(ops[2].error->text, "notes.person 9: no such row in people (id); "
                                            "notes.author 'x': no such row in people (name)");
}

static void it_waits_for_an_earlier_parent(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(PEOPLE, WIRE_WRITE, true);
    world_submit(world, "people(1,'a')");
    struct fake_request *parent = expect(PEOPLE, "write 1: people(1,'a')");
    struct sent *sent = world_submit_atomic(world, "notes(1,1,NULL) notes(2,NULL,NULL)");
    assert_quiet(world, NOTES);
    fake_answer(parent);
    assert_outcome(sent, "done done");
}

static void a_refused_question_refuses_the_whole(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(PLACES, WIRE_EXISTS, true);
    struct sent *sent = world_submit_atomic(world, "visits(1,'x',3) things(1,-)");
    fake_refuse(expect(PLACES, "exists places.0: ('x',3)"), ERROR_IO, "the disk is gone");
    assert_outcome(sent, "io -");
    assert_quiet(world, THINGS);
}

/* ---- limits ---- */

static void too_many_rows_are_refused(void **state)
{
    struct world *world = *state;
    world_start(world);
    struct sent *sent = world_submit_many_atomic(world, THINGS, 1, LIMIT_BATCH_ROWS_MAX + 1, value_null());
    sent_outcome(sent);
    assert_int_equal(sent->submission->ops[0].error->code, ERROR_TOO_LARGE);
    assert_string_equal(sent_text(sent), "a transaction of 100001 rows: at most 100000");
    assert_quiet(world, THINGS);
    assert_outcome(world_submit_many_atomic(world, THINGS, 1, LIMIT_BATCH_ROWS_MAX, value_null()), "done …");
}

static void too_many_bytes_for_one_shard_are_refused(void **state)
{
    struct world *world = *state;
    char rows[64 * 32] = "people(1,'a')";
    world_start(world);
    for (int i = 1; i <= 56; i++)
        snprintf(rows + strlen(rows), sizeof rows - strlen(rows), " things(%d,*600000)", i);
    struct sent *sent = world_submit_atomic(world, rows);
    sent_outcome(sent);
    assert_says(sent_text(sent), "in database things: at most 100000 rows and 33554432 bytes");
    assert_quiet(world, PEOPLE);
    assert_quiet(world, THINGS);
    assert_outcome(world_submit(world, "people(1,'a')"), "done"); /* no lock is left */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        engine_test(on_one_shard_it_is_a_group_in_one_batch),
        engine_test(a_group_fails_as_a_whole_and_names_the_row_to_blame),
        engine_test(rows_of_a_group_may_be_there_already),
        engine_test(what_a_group_brings_is_there_for_later_rows),
        engine_test(on_several_shards_each_step_waits_for_the_one_before),
        engine_test(locks_fall_when_all_have_resolved),
        engine_test(all_but_the_home_prepare_at_once),
        engine_test(the_first_with_most_rows_is_home),
        engine_test(rows_that_are_there_already_are_told_on_each_shard),
        engine_test(a_refused_promise_aborts_those_that_were_made),
        engine_test(a_refused_batch_is_a_refused_promise),
        engine_test(each_shard_that_refuses_says_why),
        engine_test(the_home_may_refuse_an_earlier_one),
        engine_test(what_is_missing_in_the_end_is_told_when_nothing_fails_before),
        engine_test(what_is_not_there_is_told_when_nothing_fails_before),
        engine_test(a_shard_that_cannot_be_tried_changes_nothing),
        engine_test(a_refused_decision_aborts_all),
        engine_test(a_refused_resolve_is_tried_again_and_keeps_its_locks),
        engine_test(its_own_rows_are_parents_whatever_their_order),
        engine_test(other_parents_are_looked_for),
        engine_test(all_parents_of_a_row_are_named_together),
        engine_test(it_waits_for_an_earlier_parent),
        engine_test(a_refused_question_refuses_the_whole),
        engine_test(too_many_rows_are_refused),
        engine_test(too_many_bytes_for_one_shard_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
