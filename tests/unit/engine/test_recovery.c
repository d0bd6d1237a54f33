/* SPDX-License-Identifier: Apache-2.0 */
/* The start: what shards hold is asked, claimed, resolved and forgotten, in that order, or the start fails and says
 * why. */
#include "engine_world.h"

#define TXN(epoch, number) ((uint64_t)(epoch) << 32 | (number))

static void hold(database_id database, bool hellos, bool writes)
{
    fake_hold(database, WIRE_HELLO, hellos);
    fake_hold(database, WIRE_WRITE, writes);
}

static void prepared(database_id database, uint64_t txn, const char *home)
{
    struct fake_says *says = fake_says(database);
    struct wire_prepared *prepared = &says->prepared[says->prepared_count++];
    prepared->txn = txn;
    strcpy(prepared->home, home);
}

static void decided(database_id database, uint64_t txn)
{
    struct fake_says *says = fake_says(database);
    says->decided[says->decided_count++] = txn;
}

static void fails_to_start(struct world *world, enum error_code code, const char *says)
{
    world_start_beside(world);
    assert_false(world_started(world));
    assert_int_equal(world->error.code, code);
    assert_says(world->error.text, says);
}

/* ---- hello and claim ---- */

static void all_are_asked_before_any_is_claimed(void **state)
{
    struct world *world = *state;
    hold(PEOPLE, true, false);
    hold(THINGS, true, false);
    world_start_beside(world);
    struct fake_request *people = expect(PEOPLE, "hello"), *things = expect(THINGS, "hello");
    fake_answer(people);
    fake_answer(things);
    people = expect(PEOPLE, "claim");
    things = expect(THINGS, "claim");
    assert_int_equal(people->header.epoch, 1);
    fake_answer(things);
    fake_answer(people);
    assert_true(world_started(world));
    assert_int_equal(fake_hellos(NOTES), 2);
}

static void nobody_is_claimed_while_one_has_not_said_what_it_holds(void **state)
{
    struct world *world = *state;
    hold(THINGS, true, false);
    for (database_id d = 0; d < TABLES; d++)
        if (d != THINGS)
            fake_says(d)->epoch = 3;
    world_start_beside(world);
    struct fake_request *hello = expect(THINGS, "hello");
    fake_refuse(hello, ERROR_IO, "the disk is gone");
    assert_false(world_started(world));
    assert_string_equal(world->error.text, "the disk is gone");
    for (database_id d = 0; d < TABLES; d++)
        assert_int_equal(fake_says(d)->epoch, d == THINGS ? 0 : 3);
}

static void the_claim_is_one_above_the_highest_epoch(void **state)
{
    struct world *world = *state;
    fake_says(PEOPLE)->epoch = 4;
    fake_says(STAFF)->epoch = 9;
    world_start(world);
    for (database_id d = 0; d < TABLES; d++)
        assert_int_equal(fake_says(d)->epoch, 10);
    assert_outcome(world_submit_atomic(world, "people(1,'a') things(1,-) things(2,-)"), "done done done");
    expect(PEOPLE, "write 1: prepare 10.1 home=things [people(1,'a')]");
}

static void what_the_shards_hold_is_gone_on_with(void **state)
{
    struct world *world = *state;
    fake_says(PEOPLE)->last_batch = 5;
    fake_says(PEOPLE)->tables[0] = (struct wire_table_state){PEOPLE, true, 7, false};
    world_start(world);
    assert_outcome(world_submit(world, "people(-,'a') notes(1,3,NULL)"), "done done");
    struct fake_request *first = fake_next(PEOPLE), *second = fake_next(PEOPLE);
    const char *write = "write 6: people(8,'a')", *exists = "exists people.0: 3"; /* not empty: it is asked */
    assert_true((!strcmp(first->line, write) && !strcmp(second->line, exists)) ||
                (!strcmp(first->line, exists) && !strcmp(second->line, write)));
}

static void a_refused_claim_ends_the_start(void **state)
{
    struct world *world = *state;
    hold(THINGS, true, false);
    world_start_beside(world);
    fake_answer(expect(THINGS, "hello"));
    fake_refuse(expect(THINGS, "claim"), ERROR_CONFLICT, "another coordinator has it");
    assert_false(world_started(world));
    assert_int_equal(world->error.code, ERROR_CONFLICT);
    assert_string_equal(world->error.text, "another coordinator has it");
}

static void a_shard_that_cannot_be_started_ends_the_start(void **state)
{
    struct world *world = *state;
    fake_broken(STAFF);
    fails_to_start(world, ERROR_IO, "database staff: cannot be started, as told");
}

static void a_shard_that_is_lost_ends_the_start(void **state)
{
    struct world *world = *state;
    hold(THINGS, true, false);
    world_start_beside(world);
    fake_answer(expect(THINGS, "hello"));
    expect(THINGS, "claim");
    fake_lose(PEOPLE, false);
    assert_false(world_started(world));
    assert_string_equal(world->error.text, "database people: lost, as told");
}

/* ---- files that are not there ---- */

static void a_missing_file_is_refused_and_nothing_is_claimed(void **state)
{
    struct world *world = *state;
    fake_says(THINGS)->fresh = true;
    fails_to_start(world, ERROR_IO, "database things: things.db is missing or empty, but this data directory was in");
    for (database_id d = 0; d < TABLES; d++)
        assert_int_equal(fake_hellos(d), 1);
}

static void at_the_first_use_files_are_created(void **state)
{
    struct world *world = *state;
    world->options.first_use = true;
    for (database_id d = 0; d < TABLES; d++)
        fake_says(d)->fresh = true;
    world_start(world);
    assert_outcome(world_submit(world, "things(1,-)"), "done");
}

/* ---- what an earlier coordinator left in doubt ---- */

static void what_the_home_has_decided_is_committed_and_then_forgotten(void **state)
{
    struct world *world = *state;
    prepared(PEOPLE, TXN(3, 7), "things");
    prepared(STAFF, TXN(3, 7), "things");
    decided(THINGS, TXN(3, 7));
    fake_says(PEOPLE)->last_batch = 20;
    fake_says(PEOPLE)->epoch = 3;
    hold(PEOPLE, false, true);
    hold(STAFF, false, true);
    hold(THINGS, false, true);
    world_start_beside(world);
    fake_answer(expect(PEOPLE, "write 21: resolve 3.7 commit"));
    struct fake_request *staff = expect(STAFF, "write 1: resolve 3.7 commit");
    assert_true(fake_is_quiet(THINGS));
    fake_answer(staff);
    fake_answer(expect(THINGS, "write 1: forget 3.7"));
    assert_true(world_started(world));
    assert_true(world_logged("was in doubt: committed"));
    assert_false(world_logged("was in doubt: aborted"));
}

static void what_the_home_has_not_decided_is_aborted(void **state)
{
    struct world *world = *state;
    prepared(PEOPLE, TXN(3, 7), "things");
    prepared(PEOPLE, TXN(3, 8), "things");
    prepared(NOTES, TXN(3, 9), "staff");
    decided(THINGS, TXN(3, 8));
    decided(PLACES, TXN(3, 7)); /* not its home */
    decided(PLACES, TXN(3, 9));
    world_start(world);
    expect(PEOPLE, "write 1: resolve 3.7 abort; resolve 3.8 commit");
    expect(NOTES, "write 1: resolve 3.9 abort");
    expect(THINGS, "write 1: forget 3.8");
    expect(PLACES, "write 1: forget 3.7; forget 3.9");
    assert_quiet(world, STAFF);
    assert_true(world_logged("was in doubt: aborted"));
}

static void decisions_that_nobody_needs_any_more_are_forgotten(void **state)
{
    struct world *world = *state;
    decided(THINGS, TXN(3, 1));
    decided(THINGS, TXN(3, 2));
    world_start(world);
    expect(THINGS, "write 1: forget 3.1; forget 3.2");
    assert_outcome(world_submit(world, "things(1,-)"), "done");
    expect(THINGS, "write 2: things(1,-)");
}

static void nothing_is_served_before_all_is_resolved_and_forgotten(void **state)
{
    struct world *world = *state;
    prepared(PEOPLE, TXN(3, 7), "things");
    decided(THINGS, TXN(3, 7));
    hold(THINGS, false, true);
    world_start_beside(world);
    expect(PEOPLE, "write 1: resolve 3.7 commit");
    struct fake_request *forget = expect(THINGS, "write 1: forget 3.7");
    fake_refuse(forget, ERROR_IO, "the disk is full");
    assert_false(world_started(world));
    assert_string_equal(world->error.text, "the disk is full");
}

static void a_refused_resolve_ends_the_start_and_forgets_nothing(void **state)
{
    struct world *world = *state;
    prepared(PEOPLE, TXN(3, 7), "things");
    prepared(STAFF, TXN(3, 7), "things");
    decided(THINGS, TXN(3, 7));
    fake_refuses_next(PEOPLE, ERROR_IO);
    fails_to_start(world, ERROR_IO, "so told");
    assert_true(fake_is_quiet(THINGS));
}

static void a_home_that_the_schema_does_not_know_ends_the_start(void **state)
{
    struct world *world = *state;
    prepared(PEOPLE, TXN(3, 7), "elsewhere");
    fails_to_start(world, ERROR_UNAVAILABLE,
                   "a transaction is in doubt, and its home database elsewhere is not in the schema");
    assert_true(fake_is_quiet(PEOPLE));
}

static void a_shard_that_is_lost_with_a_resolve_ends_the_start(void **state)
{
    struct world *world = *state;
    prepared(PEOPLE, TXN(3, 7), "things");
    hold(PEOPLE, false, true);
    world_start_beside(world);
    expect(PEOPLE, "write 1: resolve 3.7 abort");
    fake_lose(PEOPLE, false);
    assert_false(world_started(world));
    assert_string_equal(world->error.text, "database people: lost, as told");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        engine_test(all_are_asked_before_any_is_claimed),
        engine_test(nobody_is_claimed_while_one_has_not_said_what_it_holds),
        engine_test(the_claim_is_one_above_the_highest_epoch),
        engine_test(what_the_shards_hold_is_gone_on_with),
        engine_test(a_refused_claim_ends_the_start),
        engine_test(a_shard_that_cannot_be_started_ends_the_start),
        engine_test(a_shard_that_is_lost_ends_the_start),
        engine_test(a_missing_file_is_refused_and_nothing_is_claimed),
        engine_test(at_the_first_use_files_are_created),
        engine_test(what_the_home_has_decided_is_committed_and_then_forgotten),
        engine_test(what_the_home_has_not_decided_is_aborted),
        engine_test(decisions_that_nobody_needs_any_more_are_forgotten),
        engine_test(nothing_is_served_before_all_is_resolved_and_forgotten),
        engine_test(a_refused_resolve_ends_the_start_and_forgets_nothing),
        engine_test(a_home_that_the_schema_does_not_know_ends_the_start),
        engine_test(a_shard_that_is_lost_with_a_resolve_ends_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
