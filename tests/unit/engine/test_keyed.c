/* SPDX-License-Identifier: Apache-2.0 */
/* Submissions with an idempotency key: kept with their effect, told again, never done twice. */
#include "clock.h"
#include "engine_world.h"

#include <stdio.h>

static void hold_writes(bool hold)
{
    for (database_id d = 0; d < TABLES; d++)
        fake_hold(d, WIRE_WRITE, hold);
}

/* A key for a batch whose home is that database. */
static const char *key_at(database_id home)
{
    static char key[16];
    for (unsigned i = 0; i < 1000; i++) {
        struct submission *submission = submission_new(1);
        struct error error;
        uint64_t number;
        snprintf(key, sizeof key, "K%u", i);
        assert_true(submission_set_key(submission, "/batch", SCHEMA_NONE, key, strlen(key), "", "", 0, &error));
        struct row_tag tag = row_tag(submission->key.bytes, submission->key.len);
        memcpy(&number, tag.bytes, sizeof number);
        submission_free(submission);
        if (number % TABLES == home)
            return key;
    }
    fail_msg("no key for database %u", home);
    return NULL;
}

/* A line about the key of key_at. */
static const char *of(const char *key, const char *format)
{
    static char lines[4][256];
    static unsigned turn;
    char *line = lines[turn++ % 4];
    size_t len = 0;
    for (; *format && len + 20 < sizeof lines[0]; format++)
        len += (size_t)(*format == '@' ? snprintf(line + len, 20, "%s", key) : snprintf(line + len, 2, "%c", *format));
    line[len] = '\0';
    return line;
}

/* ---- one operation ---- */

static void an_insert_is_kept_with_its_row_and_told_again(void **state)
{
    struct world *world = *state;
    world_start(world);
    struct sent *first = world_submit_keyed(world, "K", "things(-,'a')");
    assert_outcome(first, "done");
    expect(THINGS, "kept K");
    expect(THINGS, "write 1: group[things(1,'a') +K.0=done]");
    assert_false(sent_is_replayed(first));
    struct sent *again = world_submit_keyed(world, "K", "things(-,'a')");
    assert_outcome(again, "done");
    assert_true(sent_is_replayed(again));
    assert_true(again->submission->ops[0].key_assigned);
    assert_int_equal(again->submission->ops[0].rowid, 1);
    expect(THINGS, "kept K");
    assert_quiet(world, THINGS); /* nothing was written */
}

static void time_goes_on_from_the_latest_that_is_kept(void **state)
{
    struct world *world = *state;
    const int64_t latest_ms = 5000000;
    fake_says(THINGS)->kept_at_ms = latest_ms - 1000;
    fake_says(STAFF)->kept_at_ms = latest_ms;
    uint64_t before_ns = clock_monotonic_ns();
    world_start(world);
    assert_outcome(world_submit_keyed(world, "K", "things(1,'a')"), "done");
    int64_t first_ms = fake_asked_at_ms(THINGS);
    assert_outcome(world_submit_keyed(world, "L", "things(2,'a')"), "done");
    int64_t took_ms = (int64_t)((clock_monotonic_ns() - before_ns) / 1000000) + 1;
    assert_in_range(first_ms, latest_ms, latest_ms + took_ms);
    assert_in_range(fake_asked_at_ms(THINGS), first_ms, latest_ms + took_ms);
}

static void another_body_is_refused(void **state)
{
    struct world *world = *state;
    world_start(world);
    assert_outcome(world_submit_keyed(world, "K", "things(1,'a')"), "done");
    struct sent *other = world_submit_keyed(world, "K", "things(1,'b') things(2,'b')");
    assert_outcome(other, "key_reused key_reused");
    assert_false(other->submission->ops[0].replayed);
    assert_outcome(world_submit_keyed(world, "K", "things(1,'a')"), "done");
    expect(THINGS, "kept K");
    expect(THINGS, "write 1: group[things(1,'a') +K.0=done]");
    expect(THINGS, "kept K");
    expect(THINGS, "kept K");
    assert_quiet(world, THINGS);
}

static void a_key_of_another_path_is_another(void **state)
{
    struct world *world = *state;
    world_start(world);
    assert_outcome(world_submit_keyed(world, "K", "things(1,NULL)"), "done");
    assert_outcome(world_submit_keyed(world, "K", "staff(1,NULL)"), "done");
    assert_outcome(world_submit_keyed(world, "L", "things(2,NULL)"), "done");
    assert_outcome(world_submit(world, "things(3,NULL)"), "done");
    expect(STAFF, "kept K");
    expect(STAFF, "write 1: group[staff(1,NULL) +K.0=done]");
}

static void a_refusal_is_kept_before_it_is_told(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_fails(THINGS, "things(1", ERROR_UNIQUE);
    fake_hold(THINGS, WIRE_WRITE, true);
    struct sent *sent = world_submit_keyed(world, "K", "things(1,'a')");
    expect(THINGS, "kept K");
    fake_answer(expect(THINGS, "write 1: group[things(1,'a') +K.0=done]"));
    struct fake_request *refusal = expect(THINGS, "write 2: group[+K.0=unique]");
    world_settle(world);
    assert_false(sent_is_answered(sent));
    fake_answer(refusal);
    assert_outcome(sent, "unique");
    fake_hold(THINGS, WIRE_WRITE, false);
    fake_fails(THINGS, NULL, ERROR_NONE); /* now it could be done; but it has been refused */
    struct sent *again = world_submit_keyed(world, "K", "things(1,'a')");
    assert_outcome(again, "unique");
    assert_true(sent_is_replayed(again));
    assert_string_equal(sent_text(again), "so told");
    assert_string_equal(again->submission->ops[0].error->table, "things");
    assert_string_equal(again->submission->ops[0].error->constraint, "rule");
    assert_outcome(world_submit_keyed(world, "L", "things(-,-)"), "done");
}

static void a_refusal_without_its_shard_is_kept_as_well(void **state)
{
    struct world *world = *state;
    world_start(world);
    assert_outcome(world_submit_keyed(world, "K", "notes(1,7,NULL)"), "reference_missing");
    expect(NOTES, "kept K");
    expect(NOTES, "write 1: group[+K.0=reference_missing]");
    assert_outcome(world_submit(world, "people(7,NULL)"), "done");
    struct sent *again = world_submit_keyed(world, "K", "notes(1,7,NULL)");
    assert_outcome(again, "reference_missing");
    assert_true(sent_is_replayed(again));
}

static void what_may_pass_is_not_kept(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_fails(THINGS, "+K", ERROR_BUSY);
    assert_outcome(world_submit_keyed(world, "K", "things(1,'a')"), "busy");
    fake_fails(THINGS, NULL, ERROR_NONE);
    struct sent *again = world_submit_keyed(world, "K", "things(1,'a')");
    assert_outcome(again, "done");
    assert_false(sent_is_replayed(again));
    expect(THINGS, "kept K");
    expect(THINGS, "write 1: group[things(1,'a') +K.0=done]");
    expect(THINGS, "kept K");
    expect(THINGS, "write 2: group[things(1,'a') +K.0=done]");
}

static void a_refusal_that_cannot_be_kept_is_not_told(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_fails(NOTES, "+K.0=ref", ERROR_BUSY);
    struct sent *sent = world_submit_keyed(world, "K", "notes(1,7,NULL)");
    assert_outcome(sent, "busy");
    fake_fails(NOTES, NULL, ERROR_NONE);
    assert_outcome(world_submit(world, "people(7,NULL)"), "done");
    assert_outcome(world_submit_keyed(world, "K", "notes(1,7,NULL)"), "done");
}

static void an_op_whose_question_is_refused_is_not_begun(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(THINGS, WIRE_KEPT, true);
    struct sent *sent = world_submit_keyed(world, "K", "things(1,'a')");
    fake_refuse(expect(THINGS, "kept K"), ERROR_IO, "the disk is gone");
    assert_outcome(sent, "io");
    assert_quiet(world, THINGS);
    sent = world_submit_keyed(world, "K", "things(1,'a')");
    fake_answer(expect(THINGS, "kept K"));
    assert_outcome(sent, "done");
}

/* ---- one after the other ---- */

static void the_same_key_waits_for_the_first_outcome(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    struct sent *first = world_submit_keyed(world, "K", "things(1,'a')");
    struct sent *second = world_submit_keyed(world, "K", "things(1,'a')");
    expect(THINGS, "kept K");
    struct fake_request *write = expect(THINGS, "write 1: group[things(1,'a') +K.0=done]");
    struct sent *other = world_submit_keyed(world, "L", "things(2,'a')");
    expect(THINGS, "kept L"); /* others do not wait */
    assert_quiet(world, THINGS);
    fake_answer(write);
    assert_outcome(first, "done");
    expect(THINGS, "kept K");
    fake_answer(expect(THINGS, "write 2: group[things(2,'a') +L.0=done]"));
    assert_outcome(second, "done");
    assert_outcome(other, "done");
    assert_true(sent_is_replayed(second) && !sent_is_replayed(first));
    assert_quiet(world, THINGS);
}

/* Killed between its commit and its answer. */
static void a_loss_before_the_answer_has_one_effect(void **state)
{
    for (int applies = 0; applies <= 1; applies++) {
        struct world *world = *state;
        world_start(world);
        fake_hold(THINGS, WIRE_WRITE, true);
        struct sent *first = world_submit_keyed(world, "K", "things(-,'a')");
        expect(THINGS, "kept K");
        expect(THINGS, "write 1: group[things(1,'a') +K.0=done]");
        fake_lose(THINGS, applies);
        struct sent *second = world_submit_keyed(world, "K", "things(-,'a')");
        fake_connect(THINGS);
        fake_answer(expect(THINGS, "write 1: group[things(1,'a') +K.0=done]")); /* the same bytes */
        assert_outcome(first, "done");
        assert_outcome(second, "done");
        assert_true(sent_is_replayed(second));
        assert_int_equal(second->submission->ops[0].rowid, 1);
        expect(THINGS, "kept K");
        assert_quiet(world, THINGS);
        world_close(state);
        assert_int_equal(world_open(state), 0);
    }
}

static void a_retry_of_what_is_unknown_finds_the_truth(void **state)
{
    struct world *world = *state;
    world->options.limits.answer_ms = SOON_MS;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    assert_outcome(world_submit_keyed(world, "K", "things(1,'a')"), "unknown");
    expect(THINGS, "kept K");
    struct fake_request *write = expect(THINGS, "write 1: group[things(1,'a') +K.0=done]");
    struct sent *early = world_submit_keyed(world, "K", "things(1,'a')");
    assert_outcome(early, "unavailable");
    assert_says(sent_text(early), "an earlier request with this idempotency key has no outcome yet");
    assert_quiet(world, THINGS);
    fake_answer(write);
    fake_hold(THINGS, WIRE_WRITE, false);
    struct sent *again = world_submit_keyed(world, "K", "things(1,'a')");
    assert_outcome(again, "done");
    assert_true(sent_is_replayed(again));
    expect(THINGS, "kept K");
    assert_quiet(world, THINGS);
}

static void a_refusal_that_may_be_kept_is_unknown_until_it_is(void **state)
{
    struct world *world = *state;
    world->options.limits.answer_ms = SOON_MS;
    world_start(world);
    fake_hold(NOTES, WIRE_WRITE, true);
    assert_outcome(world_submit_keyed(world, "K", "notes(1,7,NULL)"), "unknown");
    expect(NOTES, "kept K");
    fake_answer(expect(NOTES, "write 1: group[+K.0=reference_missing]"));
    assert_outcome(world_submit(world, "people(7,NULL)"), "done");
    assert_outcome(world_submit_keyed(world, "K", "notes(1,7,NULL)"), "reference_missing");
}

static void a_stop_does_not_wait_for_a_key_that_nobody_asks_for(void **state)
{
    struct world *world = *state;
    world->options.limits.answer_ms = SOON_MS;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    fake_hold(NOTES, WIRE_WRITE, true);
    assert_outcome(world_submit_keyed(world, "K", "things(1,'a')"), "unknown");
    assert_outcome(world_submit_keyed(world, "K", "notes(1,7,NULL)"), "unknown");
    world_stop(world);
}

static void a_stop_answers_who_waits_for_a_key(void **state)
{
    struct world *world = *state;
    world->options.limits.answer_ms = SOON_MS;
    world_start(world);
    fake_hold(THINGS, WIRE_KEPT, true);
    struct sent *asking = world_submit_keyed(world, "K", "things(1,'a')");
    struct sent *locking = world_submit_keyed(world, "K", "things(1,'a')");
    expect(THINGS, "kept K");
    world_stop(world);
    assert_outcome(asking, "unavailable");
    assert_outcome(locking, "unavailable");
}

static void a_stop_that_waits_no_longer_answers_all(void **state)
{
    struct world *world = *state;
    world->options.limits.stop_ms = SOON_MS;
    world_start(world);
    const char *key = key_at(PLACES);
    fake_hold(THINGS, WIRE_WRITE, true);
    fake_hold(NOTES, WIRE_WRITE, true);
    fake_hold(PLACES, WIRE_WRITE, true);
    fake_hold(VISITS, WIRE_KEPT, true);
    struct sent *written = world_submit_keyed(world, "K", "things(1,'a')");
    struct sent *locking = world_submit_keyed(world, "K", "things(1,'a')");
    struct sent *refused = world_submit_keyed(world, "K", "notes(1,7,NULL)");
    struct sent *claiming = world_submit_keyed(world, key, "people(1,'a') staff(1,NULL)");
    struct sent *asking = world_submit_keyed(world, "K", "visits(1,NULL,NULL) visits(2,NULL,NULL)");
    expect(NOTES, "kept K");
    expect(NOTES, "write 1: group[+K.0=reference_missing]");
    expect(VISITS, "kept K");
    expect(PLACES, of(key, "kept @"));
    expect(PLACES, of(key, "write 1: group[+@.claim]"));
    world_stop(world);
    assert_outcome(written, "unknown");
    assert_outcome(locking, "unavailable");
    assert_outcome(refused, "unknown");
    assert_outcome(claiming, "unavailable unavailable");
    assert_outcome(asking, "unavailable unavailable");
}

/* ---- shards that are away ---- */

static void a_server_refuses_at_once_what_a_shard_that_is_away_would_have_to_know(void **state)
{
    struct world *world = *state;
    world->options.patient = false;
    world_start(world);
    const char *key = key_at(PLACES);
    fake_lose(PLACES, false);
    fake_lose(THINGS, false);
    assert_outcome(world_submit_keyed(world, "K", "things(1,'a')"), "unavailable");
    assert_outcome(world_submit_keyed(world, key, "people(1,'a') staff(1,NULL)"), "unavailable unavailable");
    assert_outcome(world_submit_keyed_atomic(world, key, "people(1,'a') staff(1,NULL)"), "unavailable unavailable");
    assert_outcome(world_submit_keyed(world, "K", "people(2,'b')"), "done"); /* others go on */
    world_reconnect(world, PLACES);
    assert_outcome(world_submit_keyed(world, key, "people(1,'a') staff(1,NULL) things(1,NULL)"),
                   "done done unavailable");
    world_reconnect(world, THINGS);
    struct sent *again = world_submit_keyed(world, key, "people(1,'a') staff(1,NULL) things(1,NULL)");
    assert_outcome(again, "done done done");
    assert_true(again->submission->ops[0].replayed && again->submission->ops[1].replayed &&
                !again->submission->ops[2].replayed);
    assert_outcome(world_submit_keyed(world, "K", "things(2,'a')"), "done");
}

static void who_waits_for_a_key_is_refused_at_once_when_its_home_is_lost(void **state)
{
    struct world *world = *state;
    world->options.patient = false;
    world_start(world);
    fake_hold(THINGS, WIRE_WRITE, true);
    struct sent *first = world_submit_keyed(world, "K", "things(1,'a')");
    struct sent *second = world_submit_keyed(world, "K", "things(1,'a')");
    expect(THINGS, "kept K");
    expect(THINGS, "write 1: group[things(1,'a') +K.0=done]");
    world_settle(world);
    fake_lose(THINGS, true);
    assert_outcome(second, "unavailable");
    assert_false(sent_is_answered(first)); /* its shard will tell */
    fake_hold(THINGS, WIRE_WRITE, false);
    fake_connect(THINGS);
    assert_outcome(first, "done");
    struct sent *third = world_submit_keyed(world, "K", "things(1,'a')");
    assert_outcome(third, "done");
    assert_true(sent_is_replayed(third));
}

static void a_question_that_its_shard_is_lost_with_is_refused_at_once(void **state)
{
    struct world *world = *state;
    world->options.patient = false;
    world_start(world);
    fake_hold(THINGS, WIRE_KEPT, true);
    struct sent *sent = world_submit_keyed(world, "K", "things(1,'a')");
    expect(THINGS, "kept K");
    fake_lose(THINGS, false);
    assert_outcome(sent, "unavailable");
    fake_hold(THINGS, WIRE_KEPT, false);
    world_reconnect(world, THINGS);
    assert_outcome(world_submit_keyed(world, "K", "things(1,'a')"), "done");
}

/* ---- several on their own ---- */

static void each_of_an_array_is_kept_by_itself(void **state)
{
    struct world *world = *state;
    const char *rows = "things(1,-) things(-,-) things(3,-) things(-,-) things(5,-)";
    world_start(world);
    fake_fails(THINGS, "things(3", ERROR_CHECK);
    struct sent *first = world_submit_keyed(world, "K", rows);
    assert_outcome(first, "done done check done done");
    expect(THINGS, "kept K");
    struct sent *again = world_submit_keyed(world, "K", rows);
    assert_outcome(again, "done done check done done");
    assert_true(sent_is_replayed(again));
    for (int i = 0; i < 5; i++)
        assert_int_equal(again->submission->ops[i].rowid, first->submission->ops[i].rowid);
    assert_string_equal(sent_text(again), "so told");
    for (struct fake_request *request; strcmp((request = fake_next(THINGS))->line, "kept K") != 0;)
        assert_says(request->line, "write ");
    expect(THINGS, "kept K from 3"); /* the second page */
    assert_quiet(world, THINGS);
}

static void only_those_without_an_outcome_run_again(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_fails(THINGS, "things(2", ERROR_UNAVAILABLE);
    assert_outcome(world_submit_keyed(world, "K", "things(1,-) things(2,-) things(3,-)"), "done unavailable done");
    fake_fails(THINGS, NULL, ERROR_NONE);
    fake_hold(THINGS, WIRE_WRITE, true);
    struct sent *again = world_submit_keyed(world, "K", "things(1,-) things(2,-) things(3,-)");
    while (strncmp(fake_next(THINGS)->line, "write", 5) != 0)
        ;
    struct fake_request *request = fake_next(THINGS);
    while (strstr(request->line, "+K.0=done")) /* it may have been sent in two */
        request = fake_next(THINGS);
    while (!strstr(request->line, "group[things(2,-) +K.1=done]") || request->answered)
        request = fake_next(THINGS);
    assert_null(strstr(request->line, "things(1"));
    assert_null(strstr(request->line, "things(3"));
    fake_answer(request);
    assert_outcome(again, "done done done");
    assert_true(again->submission->ops[0].replayed && !again->submission->ops[1].replayed &&
                again->submission->ops[2].replayed);
    assert_quiet(world, THINGS);
}

static void more_than_may_be_active_are_done_all_the_same(void **state)
{
    struct world *world = *state;
    char rows[2048] = "";
    world->options.limits.engine_ops_max = 16;
    world_start(world);
    for (int i = 1; i <= 50; i++)
        snprintf(rows + strlen(rows), sizeof rows - strlen(rows), "things(%d,-) ", i);
    assert_outcome(world_submit_keyed(world, "K", rows), "done …");
    struct sent *again = world_submit_keyed(world, "K", rows);
    assert_outcome(again, "done …");
    assert_true(sent_is_replayed(again));
    assert_outcome(world_submit_keyed_atomic(world, "K", rows), "done …");
    assert_outcome(world_submit_keyed_atomic(world, "K", rows), "done …");
    assert_outcome(world_submit(world, "things(99,-)"), "done");
}

static void ops_of_several_databases_are_begun_when_the_key_is_noted(void **state)
{
    struct world *world = *state;
    world_start(world);
    const char *key = key_at(PLACES), *rows = "people(1,'a') notes(1,1,NULL) notes(2,9,NULL)";
    hold_writes(true);
    struct sent *sent = world_submit_keyed(world, key, rows);
    expect(PLACES, of(key, "kept @"));
    expect(PEOPLE, of(key, "kept @"));
    expect(NOTES, of(key, "kept @"));
    struct fake_request *claim = expect(PLACES, of(key, "write 1: group[+@.claim]"));
    assert_quiet(world, PEOPLE);
    fake_answer(claim);
    struct fake_request *parent = expect(PEOPLE, of(key, "write 1: group[people(1,'a') +@.0=done]"));
    fake_answer(expect(NOTES, of(key, "write 1: group[+@.2=reference_missing]")));
    assert_quiet(world, NOTES); /* the child waits */
    fake_answer(parent);
    fake_answer(expect(NOTES, of(key, "write 2: group[notes(1,1,NULL) +@.1=done]")));
    assert_outcome(sent, "done done reference_missing");
    hold_writes(false);
    struct sent *again = world_submit_keyed(world, key, rows);
    assert_outcome(again, "done done reference_missing");
    assert_true(sent_is_replayed(again));
    expect(PLACES, of(key, "kept @"));
    assert_quiet(world, PLACES);
    assert_outcome(world_submit_keyed(world, key, "things(1,-) staff(1,-)"), "key_reused key_reused");
    expect(THINGS, of(key, "kept @"));
    expect(STAFF, of(key, "kept @"));
    assert_quiet(world, THINGS);
    assert_quiet(world, STAFF);
    assert_outcome(world_submit_keyed_atomic(world, key, "things(1,-) staff(1,-)"), "key_reused key_reused");
}

static void what_has_nothing_to_do_only_notes_its_key(void **state)
{
    struct world *world = *state;
    world_start(world);
    struct sent *first = world_submit_keyed(world, "K", "!things(1)");
    assert_outcome(first, "done");
    expect(THINGS, "kept K");
    expect(THINGS, "write 1: group[+K.claim]");
    assert_outcome(world_submit_keyed(world, "K", "!things(1)"), "done");
    expect(THINGS, "kept K");
    assert_outcome(world_submit_keyed(world, "K", "!things(2)"), "key_reused");
    expect(THINGS, "kept K");
    assert_outcome(world_submit_keyed(world, "K", "things(1,-)"), "key_reused");
    expect(THINGS, "kept K");
    assert_outcome(world_submit_keyed(world, "L", "things(1,-)"), "done");
    assert_outcome(world_submit_keyed(world, "L", "!things(1)"), "key_reused");
    expect(THINGS, "kept L");
    expect(THINGS, "write 2: group[things(1,-) +L.0=done]");
    expect(THINGS, "kept L");
    assert_quiet(world, THINGS);
}

static void so_does_a_batch_on_its_home(void **state)
{
    struct world *world = *state;
    world_start(world);
    const char *key = key_at(PLACES);
    hold_writes(true);
    struct sent *first = world_submit_keyed_atomic(world, key, "!things(1)");
    expect(PLACES, of(key, "kept @"));
    struct fake_request *claim = expect(PLACES, of(key, "write 1: group[+@.claim]"));
    struct sent *again = world_submit_keyed_atomic(world, key, "!things(1)");
    world_settle(world);
    assert_false(sent_is_answered(first));
    fake_answer(claim);
    assert_outcome(first, "done");
    assert_outcome(again, "done");
    hold_writes(false);
    assert_outcome(world_submit_keyed_atomic(world, key, "things(1,-) staff(1,-)"), "key_reused key_reused");
    assert_quiet(world, THINGS);
}

static void nothing_is_told_when_its_key_cannot_be_noted(void **state)
{
    struct world *world = *state;
    world->options.patient = false;
    world_start(world);
    fake_fails(THINGS, "+", ERROR_BUSY);
    assert_outcome(world_submit_keyed(world, "K", "!things(1)"), "busy");
    fake_fails(THINGS, NULL, ERROR_NONE);
    assert_outcome(world_submit_keyed(world, "K", "!things(2)"), "done");
    fake_lose(THINGS, false);
    assert_outcome(world_submit_keyed(world, "K", "!things(2)"), "unavailable");
}

static void a_key_that_cannot_be_noted_begins_nothing(void **state)
{
    struct world *world = *state;
    world_start(world);
    const char *key = key_at(PLACES);
    fake_fails(PLACES, "+", ERROR_BUSY);
    assert_outcome(world_submit_keyed(world, key, "people(1,'a') things(1,-)"), "busy busy");
    expect(PEOPLE, of(key, "kept @"));
    assert_quiet(world, PEOPLE);
    fake_fails(PLACES, NULL, ERROR_NONE);
    assert_outcome(world_submit_keyed(world, key, "people(1,'a') things(1,-)"), "done done");
}

static void a_key_that_is_noted_too_late_begins_nothing(void **state)
{
    struct world *world = *state;
    world->options.limits.answer_ms = SOON_MS;
    world_start(world);
    const char *key = key_at(PLACES);
    fake_hold(PLACES, WIRE_WRITE, true);
    assert_outcome(world_submit_keyed(world, key, "people(1,'a') things(1,-)"), "unavailable unavailable");
    expect(PLACES, of(key, "kept @"));
    struct fake_request *claim = expect(PLACES, of(key, "write 1: group[+@.claim]"));
    assert_outcome(world_submit_keyed(world, key, "people(1,'a') things(1,-)"), "unavailable unavailable");
    fake_answer(claim);
    assert_outcome(world_submit_keyed(world, key, "people(1,'a') things(1,-)"), "done done");
    expect(PLACES, of(key, "kept @"));
    assert_quiet(world, PLACES); /* it is noted */
    expect(PEOPLE, of(key, "kept @"));
    expect(PEOPLE, of(key, "kept @"));
    expect(PEOPLE, of(key, "write 1: group[people(1,'a') +@.0=done]"));
    assert_quiet(world, PEOPLE);
}

static void without_one_database_the_others_ops_are_done(void **state)
{
    struct world *world = *state;
    world_start(world);
    const char *key = key_at(PLACES);
    fake_hold(PEOPLE, WIRE_KEPT, true);
    struct sent *sent = world_submit_keyed(world, key, "people(1,'a') things(1,-)");
    fake_refuse(expect(PEOPLE, of(key, "kept @")), ERROR_UNAVAILABLE, "away");
    assert_outcome(sent, "unavailable done");
    assert_quiet(world, PEOPLE);
    fake_hold(PEOPLE, WIRE_KEPT, false);
    struct sent *again = world_submit_keyed(world, key, "people(1,'a') things(1,-)");
    assert_outcome(again, "done done");
    assert_true(!again->submission->ops[0].replayed && again->submission->ops[1].replayed);
    fake_hold(PLACES, WIRE_KEPT, true);
    sent = world_submit_keyed(world, key, "people(1,'a') things(1,-)");
    expect(PLACES, of(key, "kept @"));
    expect(PLACES, of(key, "write 1: group[+@.claim]"));
    expect(PLACES, of(key, "kept @"));
    world_settle(world);
    fake_refuse(expect(PLACES, of(key, "kept @")), ERROR_UNAVAILABLE, "away");
    assert_outcome(sent, "done done"); /* what is known is known */
    sent = world_submit_keyed(world, key, "people(2,'b') staff(1,-)");
    expect(STAFF, of(key, "kept @"));
    fake_refuse(expect(PLACES, of(key, "kept @")), ERROR_UNAVAILABLE, "away");
    assert_outcome(sent, "key_reused key_reused"); /* which people knows */
    sent = world_submit_keyed(world, key, "notes(1,-,-) staff(1,-)");
    expect(STAFF, of(key, "kept @"));
    fake_refuse(expect(PLACES, of(key, "kept @")), ERROR_UNAVAILABLE, "away");
    assert_outcome(sent, "unavailable unavailable");
    assert_quiet(world, STAFF);
}

/* ---- all or nothing ---- */

static void on_its_home_alone_it_is_one_group(void **state)
{
    struct world *world = *state;
    world_start(world);
    const char *key = key_at(THINGS);
    struct sent *first = world_submit_keyed_atomic(world, key, "things(-,'a') things(7,'b')");
    assert_outcome(first, "done done");
    expect(THINGS, of(key, "kept @"));
    expect(THINGS, of(key, "write 1: group[things(1,'a') things(7,'b') +@=done]"));
    struct sent *again = world_submit_keyed_atomic(world, key, "things(-,'a') things(7,'b')");
    assert_outcome(again, "done done");
    assert_true(sent_is_replayed(again));
    assert_int_equal(again->submission->ops[0].rowid, 1);
    assert_true(again->submission->ops[0].key_assigned && !again->submission->ops[1].key_assigned);
    assert_outcome(world_submit_keyed_atomic(world, key, "things(-,'a')"), "key_reused");
    expect(THINGS, of(key, "kept @"));
    expect(THINGS, of(key, "kept @"));
    assert_quiet(world, THINGS);
}

static size_t locks_of(const struct fake_request *request)
{
    struct cursor body = cursor_over(request->body.bytes, request->body.len);
    struct wire_entry entry;
    uint64_t batch;
    uint32_t count;
    assert_true(wire_get_write(&body, &batch, &count, NULL) && wire_get_entry(&body, &entry, NULL));
    return entry.locks_len / 9;
}

static void its_home_takes_part_in_the_transaction(void **state)
{
    struct world *world = *state;
    world_start(world);
    const char *key = key_at(PLACES);
    hold_writes(true);
    struct sent *first = world_submit_keyed_atomic(world, key, "things(1,'a') things(2,'b')");
    struct sent *second = world_submit_keyed_atomic(world, key, "things(1,'a') things(2,'b')");
    expect(PLACES, of(key, "kept @"));
    struct fake_request *prepare = expect(PLACES, of(key, "write 1: prepare 1.1 home=things [+@=done]"));
    assert_int_equal(locks_of(prepare), 4); /* two rows, their table, which nobody may see half, and the key */
    fake_answer(prepare);
    fake_answer(expect(THINGS, "write 1: decide 1.1 (places) [things(1,'a') things(2,'b')]"));
    assert_outcome(first, "done done");
    struct fake_request *resolve = expect(PLACES, "write 2: resolve 1.1 commit");
    assert_quiet(world, PLACES); /* who asked now would not be told */
    fake_answer(resolve);
    fake_answer(expect(THINGS, "write 2: forget 1.1"));
    assert_outcome(second, "done done");
    assert_true(sent_is_replayed(second));
    expect(PLACES, of(key, "kept @"));
    assert_quiet(world, PLACES);
    assert_quiet(world, THINGS);
}

static void a_loss_at_any_step_has_one_effect(void **state)
{
    for (unsigned lost_at = 0; lost_at < 4; lost_at++)
        for (int applies = 0; applies <= 1; applies++) {
            struct world *world = *state;
            const char *key = key_at(PLACES);
            const struct {
                database_id database;
                const char *line;
            } steps[] = {
                {PLACES, of(key, "write 1: prepare 1.1 home=things [+@=done]")},
                {THINGS, "write 1: decide 1.1 (places) [things(1,'a') things(2,'b')]"},
                {PLACES, "write 2: resolve 1.1 commit"},
                {THINGS, "write 2: forget 1.1"},
            };
            world_start(world);
            hold_writes(true);
            struct sent *first = world_submit_keyed_atomic(world, key, "things(-,'a') things(2,'b')");
            struct sent *second = world_submit_keyed_atomic(world, key, "things(-,'a') things(2,'b')");
            expect(PLACES, of(key, "kept @"));
            for (unsigned i = 0; i < 4; i++) {
                struct fake_request *request = expect(steps[i].database, steps[i].line);
                if (i == lost_at) {
                    fake_lose(steps[i].database, applies);
                    fake_connect(steps[i].database);
                    request = expect(steps[i].database, steps[i].line);
                }
                fake_answer(request);
            }
            assert_outcome(first, "done done");
            assert_outcome(second, "done done");
            assert_true(sent_is_replayed(second) && !sent_is_replayed(first));
            assert_int_equal(second->submission->ops[0].rowid, 1);
            assert_quiet(world, THINGS);
            world_close(state);
            assert_int_equal(world_open(state), 0);
        }
}

static void what_fails_as_a_whole_is_kept_as_a_whole(void **state)
{
    struct world *world = *state;
    world_start(world);
    const char *key = key_at(PLACES), *rows = "things(1,-) people(1,'a') staff(1,-) things(2,-)";
    fake_fails(PEOPLE, "people(1", ERROR_UNIQUE);
    fake_fails(STAFF, "staff(1", ERROR_CHECK);
    assert_outcome(world_submit_keyed_atomic(world, key, rows), "- unique check -");
    expect(PLACES, of(key, "kept @"));
    expect(PLACES, of(key, "write 1: prepare 1.1 home=things [+@=done]"));
    while (!fake_is_quiet(PLACES) && !strstr(fake_next(PLACES)->line, "resolve 1.1 abort"))
        ;
    fake_fails(PEOPLE, NULL, ERROR_NONE);
    fake_fails(STAFF, NULL, ERROR_NONE);
    struct sent *again = world_submit_keyed_atomic(world, key, rows);
    assert_outcome(again, "- unique - -"); /* the first of them tells why */
    assert_true(sent_is_replayed(again));
    assert_outcome(world_submit(world, "people(1,'a') staff(1,-)"), "done done"); /* no lock is left */
}

static void what_fails_by_one_that_may_pass_is_not_kept(void **state)
{
    struct world *world = *state;
    world_start(world);
    const char *key = key_at(PLACES), *rows = "things(1,-) people(1,'a') staff(1,-) things(2,-)";
    fake_fails(PEOPLE, "people(1", ERROR_UNIQUE);
    fake_fails(STAFF, "staff(1", ERROR_IO);
    assert_outcome(world_submit_keyed_atomic(world, key, rows), "- unique io -");
    fake_fails(PEOPLE, NULL, ERROR_NONE);
    fake_fails(STAFF, NULL, ERROR_NONE);
    assert_outcome(world_submit_keyed_atomic(world, key, rows), "done done done done");
}

static void a_full_home_refuses_the_whole(void **state)
{
    struct world *world = *state;
    world_start(world);
    const char *key = key_at(PLACES);
    fake_fails(PLACES, "+", ERROR_BUSY);
    assert_outcome(world_submit_keyed_atomic(world, key, "things(1,-) things(2,-)"), "busy -");
    assert_quiet(world, THINGS);
    fake_fails(PLACES, NULL, ERROR_NONE);
    assert_outcome(world_submit_keyed_atomic(world, key, "things(1,-) things(2,-)"), "done done");
}

static void as_many_rows_as_a_transaction_may_have_can_have_a_key(void **state)
{
    struct world *world = *state;
    world_start(world);
    const char *key = key_at(THINGS);
    struct sent *sent = world_submit_many_keyed(world, key, THINGS, LIMIT_BATCH_ROWS_MAX);
    assert_outcome(sent, "done …");
    sent = world_submit_many_keyed(world, key, THINGS, LIMIT_BATCH_ROWS_MAX);
    assert_outcome(sent, "done …");
    assert_true(sent_is_replayed(sent));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        engine_test(an_insert_is_kept_with_its_row_and_told_again),
        engine_test(time_goes_on_from_the_latest_that_is_kept),
        engine_test(another_body_is_refused),
        engine_test(a_key_of_another_path_is_another),
        engine_test(a_refusal_is_kept_before_it_is_told),
        engine_test(a_refusal_without_its_shard_is_kept_as_well),
        engine_test(what_may_pass_is_not_kept),
        engine_test(a_refusal_that_cannot_be_kept_is_not_told),
        engine_test(an_op_whose_question_is_refused_is_not_begun),
        engine_test(the_same_key_waits_for_the_first_outcome),
        engine_test(a_loss_before_the_answer_has_one_effect),
        engine_test(a_retry_of_what_is_unknown_finds_the_truth),
        engine_test(a_refusal_that_may_be_kept_is_unknown_until_it_is),
        engine_test(a_stop_does_not_wait_for_a_key_that_nobody_asks_for),
        engine_test(a_stop_answers_who_waits_for_a_key),
        engine_test(a_stop_that_waits_no_longer_answers_all),
        engine_test(a_server_refuses_at_once_what_a_shard_that_is_away_would_have_to_know),
        engine_test(who_waits_for_a_key_is_refused_at_once_when_its_home_is_lost),
        engine_test(a_question_that_its_shard_is_lost_with_is_refused_at_once),
        engine_test(each_of_an_array_is_kept_by_itself),
        engine_test(only_those_without_an_outcome_run_again),
        engine_test(more_than_may_be_active_are_done_all_the_same),
        engine_test(ops_of_several_databases_are_begun_when_the_key_is_noted),
        engine_test(what_has_nothing_to_do_only_notes_its_key),
        engine_test(so_does_a_batch_on_its_home),
        engine_test(nothing_is_told_when_its_key_cannot_be_noted),
        engine_test(a_key_that_cannot_be_noted_begins_nothing),
        engine_test(a_key_that_is_noted_too_late_begins_nothing),
        engine_test(without_one_database_the_others_ops_are_done),
        engine_test(on_its_home_alone_it_is_one_group),
        engine_test(its_home_takes_part_in_the_transaction),
        engine_test(a_loss_at_any_step_has_one_effect),
        engine_test(what_fails_as_a_whole_is_kept_as_a_whole),
        engine_test(what_fails_by_one_that_may_pass_is_not_kept),
        engine_test(a_full_home_refuses_the_whole),
        engine_test(as_many_rows_as_a_transaction_may_have_can_have_a_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
