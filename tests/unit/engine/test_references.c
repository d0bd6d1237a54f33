/* SPDX-License-Identifier: Apache-2.0 */
/* Parents: who waits for them, who asks about them and how often, and what is said when they are missing. */
#include "engine_world.h"

#include "presence.h"

static void people_have_rows(void)
{
    fake_says(PEOPLE)->tables[0] = (struct wire_table_state){PEOPLE, true, 9, false};
}

/* ---- waiting for a parent ---- */

static void a_row_waits_for_its_parents_commit(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(PEOPLE, WIRE_WRITE, true);
    struct sent *sent = world_submit(world, "people(1,'a') notes(1,1,NULL)");
    struct fake_request *parent = expect(PEOPLE, "write 1: people(1,'a')");
    assert_quiet(world, NOTES);
    fake_answer(parent);
    assert_outcome(sent, "done done");
    expect(NOTES, "write 1: notes(1,1,NULL)");
}

static void children_of_a_refused_row_are_refused(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_fails(PEOPLE, "people(1", ERROR_CHECK);
    struct sent *sent = world_submit(world, "people(1,'a') notes(1,1,NULL) people(2,'b') notes(2,2,NULL)");
    assert_outcome(sent, "check reference_missing done done");
    expect(NOTES, "write 1: notes(2,2,NULL)");
}

static void a_parent_that_was_there_already_is_a_parent(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_same(PEOPLE, "people(1");
    assert_outcome(world_submit(world, "people(1,'a')~ notes(1,1,NULL)"), "same done");
}

static void a_parent_by_a_unique_key_is_waited_for_and_then_asked_about(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(PEOPLE, WIRE_WRITE, true);
    struct sent *sent = world_submit(world, "people(1,'a') notes(1,NULL,'a')");
    struct fake_request *parent = expect(PEOPLE, "write 1: people(1,'a')");
    assert_quiet(world, PEOPLE);
    fake_answer(parent);
    expect(PEOPLE, "exists people.1: 'a'");
    assert_outcome(sent, "done done");
}

static void a_parent_waits_until_an_earlier_child_has_been_refused(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(PEOPLE, WIRE_EXISTS, true);
    fake_absent(PEOPLE, "'a'");
    struct sent *child = world_submit(world, "notes(1,NULL,'a')");
    struct fake_request *exists = expect(PEOPLE, "exists people.1: 'a'");
    struct sent *parent = world_submit(world, "people(1,'a')");
    assert_quiet(world, PEOPLE);
    fake_answer(exists);
    assert_outcome(child, "reference_missing");
    assert_outcome(parent, "done");
}

static void a_row_may_name_itself(void **state)
{
    struct world *world = *state;
    world_start(world);
    assert_outcome(world_submit(world, "staff(1,1) staff(2,1) staff(3,4)"), "done done reference_missing");
}

static void a_row_that_names_nothing_asks_nothing(void **state)
{
    struct world *world = *state;
    people_have_rows();
    world_start(world);
    assert_outcome(world_submit(world, "notes(1,NULL,NULL) notes(2,-,-) visits(1,'x',NULL)"), "done done done");
    assert_quiet(world, PEOPLE);
    assert_quiet(world, PLACES);
}

/* ---- what is said ---- */

static void missing_parents_are_all_named(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_absent(PEOPLE, "'x'");
    struct sent *sent = world_submit(world, "notes(1,7,'x')");
    assert_outcome(sent, "reference_missing");
    assert_string_equal(sent_text(sent), "notes.person 7: no such row in people (id); "
                                         "notes.author 'x': no such row in people (name)");
    assert_string_equal(sent->submission->ops[0].error->table, "notes");
    assert_string_equal(sent->submission->ops[0].error->constraint, "person");
}

static void missing_parents_are_named_in_the_order_of_declaration(void **state)
{
    struct world *world = *state;
    people_have_rows();
    world_start(world);
    fake_hold(PEOPLE, WIRE_EXISTS, true);
    struct sent *sent = world_submit(world, "notes(1,7,'x')");
    struct fake_request *one = fake_next(PEOPLE), *other = fake_next(PEOPLE);
    bool rowid_first = !strcmp(one->line, "exists people.0: 7");
    fake_absent(PEOPLE, "'x'");
    fake_answer(rowid_first ? other : one);
    fake_absent(PEOPLE, "7");
    fake_answer(rowid_first ? one : other);
    assert_outcome(sent, "reference_missing");
    assert_string_equal(sent_text(sent), "notes.person 7: no such row in people (id); "
                                         "notes.author 'x': no such row in people (name)");
}

static void only_the_missing_ones_are_named(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_absent(PEOPLE, "'x'");
    struct sent *sent = world_submit(world, "people(1,'a') notes(1,1,'x')");
    assert_outcome(sent, "done reference_missing");
    assert_string_equal(sent_text(sent), "notes.author 'x': no such row in people (name)");
    assert_string_equal(sent->submission->ops[1].error->constraint, "author");
}

static void a_parent_of_several_columns_is_named_as_one(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_absent(PLACES, "('x',2)");
    struct sent *sent = world_submit(world, "visits(1,'x',2) visits(2,'x',3)");
    assert_outcome(sent, "reference_missing done");
    expect(PLACES, "exists places.0: ('x',2) ('x',3)");
    assert_string_equal(sent_text(sent), "visits.(a,b) ('x',2): no such row in places (a,b)");
    assert_string_equal(sent->submission->ops[0].error->constraint, "a,b");
}

/* ---- questions ---- */

static void questions_are_collected_while_one_is_under_way(void **state)
{
    struct world *world = *state;
    people_have_rows();
    world_start(world);
    fake_hold(PEOPLE, WIRE_EXISTS, true);
    fake_absent(PEOPLE, "6");
    struct sent *first = world_submit(world, "notes(1,5,NULL)");
    struct fake_request *one = expect(PEOPLE, "exists people.0: 5");
    struct sent *second = world_submit(world, "notes(2,6,NULL)");
    struct sent *third = world_submit(world, "notes(3,7,NULL)");
    assert_quiet(world, PEOPLE);
    fake_answer(one);
    fake_answer(expect(PEOPLE, "exists people.0: 6 7"));
    assert_outcome(first, "done");
    assert_outcome(second, "reference_missing");
    assert_outcome(third, "done");
}

static void each_key_of_a_table_is_asked_about_on_its_own(void **state)
{
    struct world *world = *state;
    people_have_rows();
    world_start(world);
    fake_hold(PEOPLE, WIRE_EXISTS, true);
    fake_absent(PEOPLE, "'x'");
    struct sent *sent = world_submit(world, "notes(1,5,'a') notes(2,6,'x')");
    struct fake_request *one = fake_next(PEOPLE), *other = fake_next(PEOPLE);
    const char *rowids = "exists people.0: 5 6", *names = "exists people.1: 'a' 'x'";
    assert_true((!strcmp(one->line, rowids) && !strcmp(other->line, names)) ||
                (!strcmp(one->line, names) && !strcmp(other->line, rowids)));
    fake_answer(one);
    world_settle(world);
    assert_false(sent_is_answered(sent)); /* until both are known */
    fake_answer(other);
    assert_outcome(sent, "done reference_missing");
}

static uint32_t keys_of(struct world *world, const struct fake_request *request)
{
    struct cursor body = cursor_over(request->body.bytes, request->body.len);
    struct wire_exists exists;
    assert_true(wire_get_exists(&body, world->schema, &exists, NULL));
    return exists.count;
}

/* A full one goes also beside another. */
static void a_question_is_full_with_8192_keys(void **state)
{
    struct world *world = *state;
    people_have_rows();
    world_start(world);
    fake_hold(PEOPLE, WIRE_EXISTS, true);
    fake_hold(PEOPLE, WIRE_KEYS, true);
    struct sent *sent = world_submit_many(world, NOTES, 1, 2 * 8192 + 1, value_integer(7));
    expect(PEOPLE, "keys people");
    struct fake_request *first = fake_next(PEOPLE), *second = fake_next(PEOPLE);
    assert_int_equal(keys_of(world, first), 8192);
    assert_int_equal(keys_of(world, second), 8192);
    assert_quiet(world, PEOPLE);
    fake_answer(first);
    fake_answer(second);
    struct fake_request *third = fake_next(PEOPLE);
    assert_int_equal(keys_of(world, third), 1);
    fake_answer(third);
    assert_outcome(sent, "done …");
}

static void a_refused_question_refuses_the_row(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(PEOPLE, WIRE_EXISTS, true);
    struct sent *sent = world_submit(world, "notes(1,NULL,'a')");
    fake_refuse(expect(PEOPLE, "exists people.1: 'a'"), ERROR_IO, "the disk is gone");
    assert_outcome(sent, "io");
    assert_string_equal(sent_text(sent), "the disk is gone");
    assert_quiet(world, NOTES);
}

static void what_is_known_to_be_missing_says_more_than_a_refused_question(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(PEOPLE, WIRE_EXISTS, true);
    struct sent *sent = world_submit(world, "notes(1,7,'a')");
    fake_refuse(expect(PEOPLE, "exists people.1: 'a'"), ERROR_IO, "the disk is gone");
    assert_outcome(sent, "reference_missing");
    assert_string_equal(sent_text(sent), "notes.person 7: no such row in people (id)");
}

/* ---- named by a DEFAULT ---- */

/* What is there was stored with another parent: only its shard can tell. */
static void a_row_whose_default_names_an_absent_parent_may_be_there_already(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_same(LETTERS, "letters(1,");
    struct sent *sent = world_submit(world, "letters(1,'a',-,NULL)~ letters(2,'b',-,NULL)~");
    assert_outcome(sent, "same reference_missing");
    expect(LETTERS, "probe [letters(1,'a',7,NULL)~ letters(2,'b',7,NULL)~]");
    assert_quiet(world, LETTERS); /* nothing is written */
    assert_string_equal(sent_text(sent), "letters.person 7: no such row in people (id)");
}

static void a_row_that_cannot_be_there_already_is_not_asked_about(void **state)
{
    struct world *world = *state;
    world_start(world);
    assert_outcome(world_submit(world, "letters(-,'a',-,NULL)~"), "reference_missing"); /* no key */
    assert_outcome(world_submit(world, "letters(1,'a',-,NULL)"), "reference_missing");  /* it would be unique */
    assert_outcome(world_submit(world, "letters(1,'a',7,NULL)~"), "reference_missing"); /* it was given */
    assert_outcome(world_submit(world, "letters(1,'a',-,9)~"), "reference_missing");    /* this one, too */
    assert_outcome(world_submit(world, "people(7,'p') letters(1,'a',-,NULL)~"), "done done");
    expect(LETTERS, "write 1: letters(1,'a',7,NULL)~");
}

static void rows_that_may_be_there_already_are_collected(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(LETTERS, WIRE_PROBE, true);
    fake_same(LETTERS, "letters(3,");
    struct sent *first = world_submit(world, "letters(1,'a',-,NULL)~");
    struct fake_request *one = expect(LETTERS, "probe [letters(1,'a',7,NULL)~]");
    struct sent *second = world_submit(world, "letters(2,'b',-,NULL)~"),
                *third = world_submit(world, "letters(3,-,-,-)~");
    struct sent *parent = world_submit(world, "people(7,'p')");
    assert_quiet(world, LETTERS);
    assert_quiet(world, PEOPLE); /* until the refusals that name it are told */
    fake_answer(one);
    fake_answer(expect(LETTERS, "probe [letters(2,'b',7,NULL)~ letters(3,-,7,-)~]"));
    assert_outcome(first, "reference_missing");
    assert_outcome(second, "reference_missing");
    assert_outcome(third, "same");
    assert_outcome(parent, "done");
}

static void many_rows_that_may_be_there_already_are_several_questions(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(LETTERS, WIRE_PROBE, true);
    struct sent *sent = world_submit(world, "letters(1,*600000,-,-)~ letters(2,'b',-,-)~ letters(3,'c',-,-)~");
    struct fake_request *first = expect(LETTERS, "probe [letters(1,…"), *second;
    assert_true(fake_is_quiet(LETTERS));
    fake_answer(first);
    second = expect(LETTERS, "probe [letters(2,'b',7,-)~ letters(3,'c',7,-)~]");
    fake_answer(second);
    assert_outcome(sent, "reference_missing reference_missing reference_missing");
}

static void a_row_that_cannot_be_asked_about_is_refused_for_that(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(LETTERS, WIRE_PROBE, true);
    struct sent *sent = world_submit(world, "letters(1,'a',-,NULL)~");
    fake_refuse(expect(LETTERS, "probe…"), ERROR_IO, "the disk is gone");
    assert_outcome(sent, "io");
}

static void a_row_is_asked_about_again_when_its_shard_is_back(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(LETTERS, WIRE_PROBE, true);
    fake_same(LETTERS, "letters(1,");
    struct sent *sent = world_submit(world, "letters(1,'a',-,NULL)~");
    expect(LETTERS, "probe…");
    fake_lose(LETTERS, false);
    fake_connect(LETTERS);
    fake_answer(expect(LETTERS, "probe [letters(1,'a',7,NULL)~]"));
    assert_outcome(sent, "same");
}

static void a_stop_waits_for_who_is_asked_about(void **state)
{
    struct world *world = *state;
    world_start(world);
    fake_hold(LETTERS, WIRE_PROBE, true);
    struct sent *sent = world_submit(world, "letters(1,'a',-,NULL)~");
    struct fake_request *question = expect(LETTERS, "probe…");
    world_stop_beside(world);
    fake_answer(question);
    world_stopped(world);
    assert_outcome(sent, "reference_missing");
}

/* ---- rowids in memory ---- */

static void rowids_of_an_empty_table_are_known_from_the_start(void **state)
{
    struct world *world = *state;
    world_start(world);
    assert_outcome(world_submit(world, "notes(1,1,NULL) people(1,'a') notes(2,1,NULL)"), "reference_missing done done");
    expect(PEOPLE, "write 1: people(1,'a')");
    assert_quiet(world, PEOPLE); /* nobody had to ask */
}

/* Asks so often that the set is read. */
static void read_people(struct world *world, const int64_t *rowids, uint32_t count)
{
    people_have_rows();
    fake_keys(PEOPLE, rowids, count);
    world_start(world);
    fake_hold(PEOPLE, WIRE_KEYS, true);
    assert_outcome(world_submit_many(world, NOTES, 1, PRESENCE_ASKED_MIN, value_integer(7)), "done …");
}

static void rowids_that_are_asked_about_often_are_read_chunk_by_chunk(void **state)
{
    struct world *world = *state;
    static const int64_t rowids[] = {3, 7, 8, 9};
    read_people(world, rowids, 4);
    struct fake_request *first = expect(PEOPLE, "keys people");
    expect(PEOPLE, "exists people.0: 7 …");
    /* not known yet: it is still asked about */
    fake_absent(PEOPLE, "4");
    assert_outcome(world_submit(world, "people(5,'e') notes(-,4,NULL)"), "done reference_missing");
    expect(PEOPLE, "exists people.0: 4");
    expect(PEOPLE, "write 1: people(5,'e')");
    fake_answer(first);
    fake_answer(expect(PEOPLE, "keys people after 7"));
    world_settle(world);
    assert_outcome(world_submit(world, "notes(-,3,NULL) notes(-,5,NULL) notes(-,9,NULL) notes(-,4,NULL)"),
                   "done done done reference_missing");
    assert_quiet(world, PEOPLE);
}

static void rowids_that_a_shard_does_not_tell_are_asked_about_singly(void **state)
{
    struct world *world = *state;
    static const int64_t rowids[] = {3, 7};
    read_people(world, rowids, 2);
    fake_refuse(expect(PEOPLE, "keys people"), ERROR_IO, "the disk is gone");
    expect(PEOPLE, "exists people.0: 7 …");
    assert_outcome(world_submit_many(world, NOTES, 10000, PRESENCE_ASKED_MIN, value_integer(7)), "done …");
    expect(PEOPLE, "exists people.0: 7 …");
    assert_quiet(world, PEOPLE); /* and not read again */
}

static void the_reading_of_rowids_survives_a_loss(void **state)
{
    struct world *world = *state;
    static const int64_t rowids[] = {3, 7, 8, 9};
    read_people(world, rowids, 4);
    fake_answer(expect(PEOPLE, "keys people"));
    expect(PEOPLE, "exists people.0: 7 …");
    expect(PEOPLE, "keys people after 7");
    fake_lose(PEOPLE, false);
    fake_connect(PEOPLE);
    fake_answer(expect(PEOPLE, "keys people after 7"));
    world_settle(world);
    assert_outcome(world_submit(world, "notes(-,3,NULL) notes(-,9,NULL) notes(-,4,NULL)"),
                   "done done reference_missing");
    assert_quiet(world, PEOPLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        engine_test(a_row_waits_for_its_parents_commit),
        engine_test(children_of_a_refused_row_are_refused),
        engine_test(a_parent_that_was_there_already_is_a_parent),
        engine_test(a_parent_by_a_unique_key_is_waited_for_and_then_asked_about),
        engine_test(a_parent_waits_until_an_earlier_child_has_been_refused),
        engine_test(a_row_may_name_itself),
        engine_test(a_row_that_names_nothing_asks_nothing),
        engine_test(missing_parents_are_all_named),
        engine_test(missing_parents_are_named_in_the_order_of_declaration),
        engine_test(only_the_missing_ones_are_named),
        engine_test(a_parent_of_several_columns_is_named_as_one),
        engine_test(questions_are_collected_while_one_is_under_way),
        engine_test(each_key_of_a_table_is_asked_about_on_its_own),
        engine_test(a_question_is_full_with_8192_keys),
        engine_test(a_refused_question_refuses_the_row),
        engine_test(what_is_known_to_be_missing_says_more_than_a_refused_question),
        engine_test(a_row_whose_default_names_an_absent_parent_may_be_there_already),
        engine_test(a_row_that_cannot_be_there_already_is_not_asked_about),
        engine_test(rows_that_may_be_there_already_are_collected),
        engine_test(many_rows_that_may_be_there_already_are_several_questions),
        engine_test(a_row_that_cannot_be_asked_about_is_refused_for_that),
        engine_test(a_row_is_asked_about_again_when_its_shard_is_back),
        engine_test(a_stop_waits_for_who_is_asked_about),
        engine_test(rowids_of_an_empty_table_are_known_from_the_start),
        engine_test(rowids_that_are_asked_about_often_are_read_chunk_by_chunk),
        engine_test(rowids_that_a_shard_does_not_tell_are_asked_about_singly),
        engine_test(the_reading_of_rowids_survives_a_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
