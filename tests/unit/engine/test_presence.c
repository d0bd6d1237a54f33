/* SPDX-License-Identifier: Apache-2.0 */
#include "presence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PLENTY ((size_t)1 << 30)

enum { PARENT, OTHER, UNNAMED, BY_TEXT, CHILD };

static const char ddl[] = "CREATE TABLE parent (id INTEGER PRIMARY KEY);"
                          "CREATE TABLE other (id INTEGER PRIMARY KEY);"
                          "CREATE TABLE unnamed (id INTEGER PRIMARY KEY, mail TEXT UNIQUE);"
                          "CREATE TABLE by_text (id TEXT PRIMARY KEY);"
                          "CREATE TABLE child (id INTEGER PRIMARY KEY, p REFERENCES parent, o REFERENCES other (id),"
                          " u REFERENCES unnamed (mail), t REFERENCES by_text);";

static struct schema *schema;

static int load(void **state)
{
    struct error error;
    (void)state;
    schema = schema_load(ddl, strlen(ddl), "test", NULL, &error);
    return schema ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    schema_free(schema);
    return 0;
}

static int setup(void **state)
{
    return (*state = presence_new(schema, PLENTY)) ? 0 : -1;
}

static int teardown(void **state)
{
    presence_free(*state);
    return 0;
}

/* As the engine does: asks until the set is to be read. */
static void ask_until_reading(struct presence *presence, table_id table)
{
    for (unsigned i = 0; i < PRESENCE_ASKED_MIN; i++) {
        assert_false(presence_wants_reading(presence, table));
        assert_int_equal(presence_look(presence, table, i), PRESENCE_NOT_KNOWN);
    }
    assert_true(presence_wants_reading(presence, table));
    assert_false(presence_wants_reading(presence, table)); /* said once */
}

static const int64_t nasty[] = {
    INT64_MIN, INT64_MIN + 1,       -4294967297, -4294967296,   -4294967295, -2,        -1, 0,
    1,         INT64_C(4294967295), 4294967296,  INT64_MAX - 1, INT64_MAX,   0x7fffffff};
#define NASTY (sizeof nasty / sizeof *nasty)

static void a_rowid_may_be_any_64_bits(void **state)
{
    presence_is_empty(*state, PARENT);
    for (size_t i = 0; i < NASTY; i++) {
        for (size_t j = 0; j < NASTY; j++)
            assert_int_equal(presence_look(*state, PARENT, nasty[j]), j < i ? PRESENCE_THERE : PRESENCE_ABSENT);
        presence_add(*state, PARENT, nasty[i]);
    }
    for (size_t i = 0; i < NASTY; i++)
        assert_int_equal(presence_look(*state, PARENT, nasty[i]), PRESENCE_THERE);
    assert_int_equal(presence_look(*state, PARENT, 2), PRESENCE_ABSENT);
    assert_int_equal(presence_look(*state, PARENT, INT64_C(8589934592)), PRESENCE_ABSENT);
    assert_int_equal(presence_look(*state, OTHER, 1), PRESENCE_NOT_KNOWN);
}

static void pieces_that_come_in_any_order_are_found(void **state)
{
    presence_is_empty(*state, PARENT);
    for (int round = 0; round < 2; round++)
        for (int64_t i = 0; i < 2000; i++) {
            int64_t rowid = (int64_t)((uint64_t)(i * 1237 % 2000) * 0x123456789u) - INT64_C(1000000000000);
            assert_int_equal(presence_look(*state, PARENT, rowid), round ? PRESENCE_THERE : PRESENCE_ABSENT);
            assert_int_equal(presence_look(*state, PARENT, rowid + 1), PRESENCE_ABSENT);
            presence_add(*state, PARENT, rowid);
        }
}

static void what_nobody_names_by_rowid_is_not_kept(void **state)
{
    const table_id tables[] = {UNNAMED, BY_TEXT, CHILD};
    for (size_t i = 0; i < 3; i++) {
        presence_is_empty(*state, tables[i]);
        presence_add(*state, tables[i], 1);
        for (unsigned n = 0; n < PRESENCE_ASKED_MIN + 1; n++)
            assert_int_equal(presence_look(*state, tables[i], 1), PRESENCE_NOT_KNOWN);
        assert_false(presence_wants_reading(*state, tables[i]));
    }
}

static void a_set_is_read_chunk_by_chunk(void **state)
{
    const int64_t first[] = {-5, 1, 2}, second[] = {7};
    presence_add(*state, PARENT, 1000); /* not read yet: the chunks will say it */
    ask_until_reading(*state, PARENT);
    assert_int_equal(presence_look(*state, PARENT, 1000), PRESENCE_NOT_KNOWN);
    presence_chunk(*state, PARENT, first, 3, false);
    assert_int_equal(presence_look(*state, PARENT, -5), PRESENCE_THERE);
    assert_int_equal(presence_look(*state, PARENT, 3), PRESENCE_NOT_KNOWN);
    presence_add(*state, PARENT, 3); /* an insert that passes meanwhile, behind what was read */
    presence_chunk(*state, PARENT, second, 1, true);
    assert_int_equal(presence_look(*state, PARENT, 3), PRESENCE_THERE);
    assert_int_equal(presence_look(*state, PARENT, 7), PRESENCE_THERE);
    assert_int_equal(presence_look(*state, PARENT, 4), PRESENCE_ABSENT);
    assert_int_equal(presence_look(*state, PARENT, 1000), PRESENCE_ABSENT);
    assert_false(presence_wants_reading(*state, PARENT));
}

static void an_empty_table_that_is_read_is_known(void **state)
{
    ask_until_reading(*state, PARENT);
    presence_chunk(*state, PARENT, NULL, 0, true);
    assert_int_equal(presence_look(*state, PARENT, 1), PRESENCE_ABSENT);
    assert_int_equal(presence_look(*state, OTHER, 1), PRESENCE_NOT_KNOWN);
}

static void a_set_that_was_given_up_stays_unknown(void **state)
{
    const int64_t chunk[] = {1, 2};
    ask_until_reading(*state, PARENT);
    presence_chunk(*state, PARENT, chunk, 2, false);
    presence_give_up(*state, PARENT);
    presence_chunk(*state, PARENT, chunk, 2, true); /* was under way */
    presence_add(*state, PARENT, 5);
    presence_is_empty(*state, PARENT);
    for (unsigned i = 0; i < PRESENCE_ASKED_MIN + 1; i++)
        assert_int_equal(presence_look(*state, PARENT, i % 6), PRESENCE_NOT_KNOWN);
    assert_false(presence_wants_reading(*state, PARENT));
}

static void over_the_budget_the_largest_set_goes(void **state)
{
    struct presence *presence = presence_new(schema, 1048576);
    (void)state;
    assert_non_null(presence);
    presence_is_empty(presence, PARENT);
    presence_is_empty(presence, OTHER);
    for (int64_t i = 0; i < 1000; i++)
        presence_add(presence, OTHER, i);
    int64_t rowid = 0;
    for (; rowid < 3000000; rowid++) { /* each in a container of its own: some ten bytes */
        presence_add(presence, PARENT, rowid * 70000);
        if (presence_look(presence, PARENT, rowid * 70000) == PRESENCE_NOT_KNOWN)
            break;
    }
    assert_in_range(rowid, 50000, 1000000); /* neither at once nor never */
    assert_int_equal(presence_look(presence, PARENT, 0), PRESENCE_NOT_KNOWN);
    assert_int_equal(presence_look(presence, OTHER, 999), PRESENCE_THERE);
    assert_int_equal(presence_look(presence, OTHER, 1000), PRESENCE_ABSENT);
    presence_free(presence);
}

/* The rest of a chunk must not begin a set that then lacks its first half. */
static void a_set_that_grows_too_large_while_it_is_read_is_given_up(void **state)
{
    enum { MANY = 600000 };
    struct presence *presence = presence_new(schema, 1048576);
    int64_t *chunk = malloc(MANY * sizeof *chunk);
    (void)state;
    assert_true(presence && chunk);
    for (int64_t i = 0; i < MANY; i++)
        chunk[i] = i * 70000;
    ask_until_reading(presence, PARENT);
    presence_chunk(presence, PARENT, chunk, MANY, true);
    assert_int_equal(presence_look(presence, PARENT, 0), PRESENCE_NOT_KNOWN);
    assert_int_equal(presence_look(presence, PARENT, (int64_t)(MANY - 1) * 70000), PRESENCE_NOT_KNOWN);
    assert_int_equal(presence_look(presence, PARENT, 1), PRESENCE_NOT_KNOWN);
    free(chunk);
    presence_free(presence);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_rowid_may_be_any_64_bits),
        TEST(pieces_that_come_in_any_order_are_found),
        TEST(what_nobody_names_by_rowid_is_not_kept),
        TEST(a_set_is_read_chunk_by_chunk),
        TEST(an_empty_table_that_is_read_is_known),
        TEST(a_set_that_was_given_up_stays_unknown),
        TEST(over_the_budget_the_largest_set_goes),
        TEST(a_set_that_grows_too_large_while_it_is_read_is_given_up),
    };
    return cmocka_run_group_tests_name("presence", tests, load, unload);
}
