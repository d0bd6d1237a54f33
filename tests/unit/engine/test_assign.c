/* SPDX-License-Identifier: Apache-2.0 */
#include "assign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

enum { PLAIN, COUNTED, BY_TEXT, DEFAULTS, CHILD, NO_ROWID, GENERATED };

static const char ddl[] =
    "CREATE TABLE plain (id INTEGER PRIMARY KEY, name TEXT DEFAULT 'not a key');\n"
    "CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT);\n"
    "CREATE TABLE by_text (id TEXT PRIMARY KEY);\n"
    "CREATE TABLE defaults (a TEXT DEFAULT 'it''s' UNIQUE, b INTEGER DEFAULT (1 + 2) UNIQUE, c REAL DEFAULT -1.5 "
    "UNIQUE,"
    " d DEFAULT (hex(randomblob(8))) UNIQUE, e BLOB DEFAULT x'00ff' UNIQUE, f DEFAULT word UNIQUE, g DEFAULT [a word]"
    " UNIQUE, h DEFAULT \"quoted\" UNIQUE, i DEFAULT TRUE UNIQUE, j DEFAULT NULL UNIQUE, k DEFAULT '' UNIQUE, l DEFAULT"
    " 'free');\n"
    "CREATE TABLE child (id INTEGER PRIMARY KEY, p DEFAULT 7 REFERENCES plain, t TEXT DEFAULT 'x' REFERENCES "
    "by_text);\n"
    "CREATE TABLE no_rowid (id INTEGER PRIMARY KEY) WITHOUT ROWID;\n"
    "CREATE TABLE generated (id INTEGER PRIMARY KEY, x INT NOT NULL DEFAULT (6) CHECK (x < 0), p INT AS (x + 1) "
    "REFERENCES "
    "plain, q TEXT AS ('t' || x) STORED REFERENCES by_text, free AS (x));\n"
    "CREATE TRIGGER never BEFORE INSERT ON generated BEGIN SELECT RAISE(ABORT, 'no'); END;\n";

struct world {
    struct schema *schema;
    struct affinity_scratch *scratch;
    struct assign *assign;
    struct value values[16];
    struct assign_claims claims;
    struct assigned assigned;
    struct error error;
};

static int setup(void **state)
{
    struct world *world = *state = calloc(1, sizeof *world);
    if (!world)
        return -1;
    world->schema = schema_load(ddl, strlen(ddl), "test", NULL, &world->error);
    if (!world->schema)
        fail_msg("%s", world->error.text);
    world->scratch = affinity_open(&world->error);
    world->assign = assign_new(world->schema, world->scratch, &world->error);
    return world->assign ? 0 : -1;
}

static int teardown(void **state)
{
    struct world *world = *state;
    assign_free(world->assign);
    affinity_close(world->scratch);
    schema_free(world->schema);
    free(world);
    return 0;
}

static void blank(struct world *world)
{
    for (size_t i = 0; i < 16; i++)
        world->values[i] = value_absent();
}

static bool row(struct world *world, table_id table, struct value key)
{
    blank(world);
    world->values[0] = key;
    return assign_row(world->assign, table, world->values, &world->claims, &world->assigned, &world->error);
}

static void assert_gets(struct world *world, table_id table, int64_t key)
{
    assert_true(row(world, table, value_absent()));
    assert_true(world->assigned.rewritten && world->assigned.key_assigned && world->assigned.has_rowid);
    assert_int_equal(world->assigned.rowid, key);
    assert_int_equal(world->values[0].type, VALUE_INTEGER);
    assert_int_equal(world->values[0].integer, key);
}

static void the_first_row_gets_1(void **state)
{
    assert_gets(*state, PLAIN, 1);
    assert_gets(*state, PLAIN, 2);
    assert_gets(*state, COUNTED, 1); /* each table counts on its own */
}

static void null_asks_for_a_key_as_well(void **state)
{
    struct world *world = *state;
    assert_true(row(world, PLAIN, value_null()));
    assert_true(world->assigned.key_assigned);
    assert_int_equal(world->values[0].integer, 1);
}

static void a_key_is_above_every_one_that_was_seen(void **state)
{
    struct world *world = *state;
    assign_stored(world->assign, PLAIN, 41);
    assign_stored(world->assign, PLAIN, 17);
    assert_gets(world, PLAIN, 42);
    assert_true(row(world, PLAIN, value_integer(100)));
    assert_false(world->assigned.rewritten);
    assert_false(world->assigned.key_assigned);
    assert_true(world->assigned.has_rowid);
    assert_int_equal(world->assigned.rowid, 100);
    assert_gets(world, PLAIN, 101);
    assert_true(row(world, PLAIN, value_integer(50)));
    assert_gets(world, PLAIN, 102);
}

static void a_key_written_as_text_or_real_counts(void **state)
{
    struct world *world = *state;
    assert_true(row(world, PLAIN, value_text(" 200.0 ", 7)));
    assert_true(world->assigned.has_rowid);
    assert_int_equal(world->assigned.rowid, 200);
    assert_gets(world, PLAIN, 201);
    assert_true(row(world, PLAIN, value_real(300.0)));
    assert_gets(world, PLAIN, 301);
    assert_true(row(world, PLAIN, value_text("none", 4))); /* its shard will refuse it */
    assert_false(world->assigned.has_rowid);
    assert_gets(world, PLAIN, 302);
}

/* What SQLite does: max(rowid) + 1, but at least 1 with AUTOINCREMENT. */
static void behind_a_negative_maximum_it_goes_on_as_sqlite_does(void **state)
{
    static const char *const sql[] = {
        "CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (-10); INSERT INTO t VALUES (NULL)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO t VALUES (-10); INSERT INTO t VALUES "
        "(NULL)",
    };
    const table_id tables[] = {PLAIN, COUNTED};
    struct world *world = *state;
    for (int i = 0; i < 2; i++) {
        sqlite3 *db;
        assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, sql[i], NULL, NULL, NULL), SQLITE_OK);
        assign_stored(world->assign, tables[i], -10);
        assert_gets(world, tables[i], sqlite3_last_insert_rowid(db));
        sqlite3_close(db);
    }
}

static void settle(struct world *world, bool stored)
{
    assign_settle(world->assign, &world->claims, stored);
    assert_null(world->claims.first);
}

static void above_the_largest_integer_there_is_none_with_autoincrement(void **state)
{
    struct world *world = *state;
    assign_stored(world->assign, COUNTED, INT64_MAX - 1);
    assert_gets(world, COUNTED, INT64_MAX);
    for (int again = 0; again < 3; again++) {
        assert_false(row(world, COUNTED, value_absent()));
        assert_int_equal(world->error.code, ERROR_TOO_LARGE);
        assert_string_equal(world->error.table, "counted");
        assert_string_equal(world->error.constraint, "id");
        settle(world, again == 0);
        if (again == 1)
            assign_removed(world->assign, COUNTED, INT64_MAX); /* sqlite_sequence knows it still */
    }
    assert_true(row(world, COUNTED, value_integer(5))); /* one that brings its own is no worse off */
}

static void above_the_largest_integer_one_is_taken_at_random(void **state)
{
    struct world *world = *state;
    int64_t last = 0;
    assign_stored(world->assign, PLAIN, INT64_MAX - 1);
    assert_gets(world, PLAIN, INT64_MAX);
    settle(world, true);
    for (int i = 0; i < 100; i++) {
        assert_true(row(world, PLAIN, value_absent()));
        assert_true(world->assigned.key_assigned);
        assert_true(world->assigned.rowid > 0 && world->assigned.rowid <= INT64_C(1) << 62);
        assert_int_not_equal(world->assigned.rowid, last);
        last = world->assigned.rowid;
        settle(world, i % 2);
    }
    assign_removed(world->assign, PLAIN, INT64_MAX);
    assert_gets(world, PLAIN, INT64_MAX);
}

static void what_was_refused_does_not_count(void **state)
{
    struct world *world = *state;
    const table_id tables[] = {PLAIN, COUNTED};
    const int64_t refused[] = {1000, INT64_MAX - 1, INT64_MAX};
    for (int i = 0; i < 2; i++)
        for (int r = 0; r < 3; r++) {
            assert_true(row(world, tables[i], value_integer(refused[r])));
            settle(world, false);
            assert_gets(world, tables[i], r + 1);
            settle(world, true);
        }
}

static void a_key_is_above_every_claim_that_is_left(void **state)
{
    struct world *world = *state;
    struct assign_claims lower = {0}, higher = {0};
    assign_stored(world->assign, PLAIN, 10);
    assign_claim(world->assign, &lower, PLAIN, 20);
    assign_claim(world->assign, &higher, PLAIN, 30);
    assign_claim(world->assign, &higher, PLAIN, INT64_MAX);
    assign_claim(world->assign, &higher, PLAIN, 25);
    assert_gets(world, PLAIN, 31); /* and not at random: who claims the last one may be refused */
    settle(world, false);
    assign_settle(world->assign, &higher, false);
    assert_gets(world, PLAIN, 21);
    settle(world, false);
    assign_settle(world->assign, &lower, false);
    assert_gets(world, PLAIN, 11);
    assign_claim(world->assign, &lower, PLAIN, 5);
    assert_gets(world, PLAIN, 12);
    assign_settle(world->assign, &lower, true);
    settle(world, true);
    assert_gets(world, PLAIN, 13);
}

/* As it is when a row with the last rowid has been there all the time. */
static void the_last_integer_alone_does_not_stop_the_counting(void **state)
{
    struct world *world = *state;
    assert_true(row(world, PLAIN, value_integer(INT64_MAX)));
    settle(world, true);
    assert_gets(world, PLAIN, 1);
    assign_stored(world->assign, COUNTED, 7);
    assign_stored(world->assign, COUNTED, INT64_MAX);
    assert_false(row(world, COUNTED, value_absent()));
    assert_int_equal(world->error.code, ERROR_TOO_LARGE);
}

static void tables_without_a_rowid_key_get_none(void **state)
{
    struct world *world = *state;
    const table_id tables[] = {BY_TEXT, NO_ROWID};
    for (int i = 0; i < 2; i++) {
        assert_true(row(world, tables[i], value_absent()));
        assert_false(world->assigned.rewritten);
        assert_false(world->assigned.has_rowid);
        assert_int_equal(world->values[0].type, VALUE_ABSENT);
        assert_true(row(world, tables[i], value_integer(7)));
        assert_false(world->assigned.has_rowid);
    }
}

static void a_default_that_is_no_key_is_left_to_the_shard(void **state)
{
    struct world *world = *state;
    assert_true(row(world, PLAIN, value_integer(1)));
    assert_int_equal(world->values[1].type, VALUE_ABSENT);
}

static void a_default_of_a_reference_column_is_filled_in(void **state)
{
    struct world *world = *state;
    assert_true(row(world, CHILD, value_integer(1)));
    assert_true(world->assigned.rewritten);
    assert_false(world->assigned.key_assigned);
    assert_true(value_same(&world->values[1], &(struct value){.type = VALUE_INTEGER, .integer = 7}));
    assert_true(value_same(&world->values[2], &(struct value){.type = VALUE_TEXT, .len = 1, .bytes = "x"}));
    assert_true(world->values[1].filled && world->values[2].filled);
    assert_false(world->values[0].filled);
    blank(world);
    world->values[0] = value_integer(2);
    world->values[1] = value_null(); /* given: that is not absent */
    world->values[2] = value_text("y", 1);
    assert_true(assign_row(world->assign, CHILD, world->values, &world->claims, &world->assigned, &world->error));
    assert_false(world->assigned.rewritten);
    assert_int_equal(world->values[1].type, VALUE_NULL);
}

static struct value column_of(sqlite3_stmt *statement, int i)
{
    size_t len = (size_t)sqlite3_column_bytes(statement, i);
    switch (sqlite3_column_type(statement, i)) {
    case SQLITE_INTEGER:
        return value_integer(sqlite3_column_int64(statement, i));
    case SQLITE_FLOAT:
        return value_real(sqlite3_column_double(statement, i));
    case SQLITE_TEXT:
        return value_text((const char *)sqlite3_column_text(statement, i), len);
    case SQLITE_BLOB:
        return value_blob(sqlite3_column_blob(statement, i), len);
    default:
        return value_null();
    }
}

static void every_form_of_a_default_is_what_sqlite_stores(void **state)
{
    struct world *world = *state;
    const struct schema_table *table = &world->schema->tables[DEFAULTS];
    sqlite3 *db;
    sqlite3_stmt *look;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, ddl, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "INSERT INTO defaults DEFAULT VALUES", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT * FROM defaults", -1, &look, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(look), SQLITE_ROW);
    blank(world);
    if (!assign_row(world->assign, DEFAULTS, world->values, &world->claims, &world->assigned, &world->error))
        fail_msg("%s", world->error.text);
    assert_true(world->assigned.rewritten);
    for (uint16_t c = 0; c < table->column_count; c++) {
        struct value expected = column_of(look, c);
        if (table->columns[c].name[0] == 'd') { /* chance */
            assert_int_equal(world->values[c].type, VALUE_TEXT);
            assert_int_equal(world->values[c].len, 16);
        } else if (table->columns[c].name[0] == 'l')
            assert_int_equal(world->values[c].type, VALUE_ABSENT);
        else if (world->values[c].type != expected.type || (expected.type && !value_same(&world->values[c], &expected)))
            fail_msg("column %s", table->columns[c].name);
    }
    sqlite3_finalize(look);
    sqlite3_close(db);
}

static void an_expression_is_computed_again_for_each_row(void **state)
{
    struct world *world = *state;
    char first[16];
    blank(world);
    assert_true(assign_row(world->assign, DEFAULTS, world->values, &world->claims, &world->assigned, &world->error));
    memcpy(first, world->values[3].bytes, 16);
    blank(world);
    assert_true(assign_row(world->assign, DEFAULTS, world->values, &world->claims, &world->assigned, &world->error));
    assert_memory_not_equal(first, world->values[3].bytes, 16);
}

static void a_generated_column_that_refers_is_computed(void **state)
{
    struct world *world = *state;
    const struct value six = value_integer(6), seven = value_integer(7), text = value_text("t6", 2);
    assert_true(row(world, GENERATED, value_integer(1)));
    assert_true(world->assigned.rewritten);
    assert_true(value_same(&world->values[1], &six) && world->values[1].filled);
    assert_true(value_same(&world->values[2], &seven) && world->values[2].filled);
    assert_true(value_same(&world->values[3], &text) && world->values[3].filled);
    assert_int_equal(world->values[4].type, VALUE_ABSENT); /* it refers to nothing */
    blank(world);
    world->values[0] = value_integer(1); /* the row before is gone */
    world->values[1] = value_null();     /* which the shard refuses */
    assert_true(assign_row(world->assign, GENERATED, world->values, &world->claims, &world->assigned, &world->error));
    assert_int_equal(world->values[2].type, VALUE_ABSENT);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_row_gets_1),
        TEST(null_asks_for_a_key_as_well),
        TEST(a_key_is_above_every_one_that_was_seen),
        TEST(a_key_written_as_text_or_real_counts),
        TEST(behind_a_negative_maximum_it_goes_on_as_sqlite_does),
        TEST(above_the_largest_integer_there_is_none_with_autoincrement),
        TEST(above_the_largest_integer_one_is_taken_at_random),
        TEST(what_was_refused_does_not_count),
        TEST(a_key_is_above_every_claim_that_is_left),
        TEST(the_last_integer_alone_does_not_stop_the_counting),
        TEST(tables_without_a_rowid_key_get_none),
        TEST(a_default_that_is_no_key_is_left_to_the_shard),
        TEST(a_default_of_a_reference_column_is_filled_in),
        TEST(every_form_of_a_default_is_what_sqlite_stores),
        TEST(an_expression_is_computed_again_for_each_row),
        TEST(a_generated_column_that_refers_is_computed),
    };
    return cmocka_run_group_tests_name("assign", tests, NULL, NULL);
}
