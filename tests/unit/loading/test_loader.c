/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The index is for the judge alone: its foreign keys look for children. */
#define EMPLOYEES                                                                                          \
    "CREATE TABLE e(id INTEGER PRIMARY KEY CHECK (id > 0), boss INTEGER REFERENCES e(id), u TEXT UNIQUE);" \
    "CREATE INDEX e_boss ON e(boss);"

/* An input of rows (id, boss); boss 0 is NULL. */
static struct world_input *employees(struct world *world, uint32_t count, const int64_t (*rows)[2])
{
    struct world_input *input = world_input(world, "e", count);

    for (uint32_t i = 0; i < count; i++) {
        input->records[i].values[0] = value_integer(rows[i][0]);
        input->records[i].values[1] = rows[i][1] ? value_integer(rows[i][1]) : value_null();
    }
    return input;
}
#define EMPLOYEES_OF(world, ...) \
    employees(world, sizeof((const int64_t[][2]){__VA_ARGS__}) / sizeof(int64_t[2]), (const int64_t[][2]){__VA_ARGS__})

static void a_stream_counts_and_hands_on_what_is_refused_in_order(void **state)
{
    (void)state;
    struct world *world = world_new("CREATE TABLE t(id INTEGER PRIMARY KEY, v INTEGER CHECK (v <> 3));");
    uint32_t count = 30000;
    struct world_input *input = world_input(world, "t", count);

    for (uint32_t i = 0; i < count; i++) {
        input->records[i].values[0] = value_integer(i % 1000 == 999 ? 1 : i + 1); /* every 1000th repeats the first */
        input->records[i].values[1] = value_integer(i % 100 == 50 ? 3 : 4);
        input->records[i].garbage = i % 500 == 7;
    }
    world_load(world);
    assert_int_equal(world->result, LOADER_DONE);
    assert_int_equal(world->counts[0].read, count);
    assert_int_equal(world->counts[0].refused[ERROR_CHECK], 300);
    assert_int_equal(world->counts[0].refused[ERROR_PARSE], 60);
    assert_int_equal(world->counts[0].refused_by_input, 60);
    assert_int_equal(world->counts[0].same, 30);
    assert_int_equal(world->counts[0].inserted, count - 390);
    assert_int_equal(world_ask(world, "SELECT count(*) FROM t"), count - 390);
    assert_int_equal(input->verdicts[7].code, ERROR_PARSE);
    assert_string_equal(input->verdicts[7].raw, "raw 8");
    assert_int_equal(input->verdicts[50].code, ERROR_CHECK);
    assert_string_equal(input->verdicts[50].raw, "raw 51");
    world_free(world);
}

static void tables_wait_for_their_parents_tables(void **state)
{
    (void)state;
    struct world *world = world_new("CREATE TABLE c(id INTEGER PRIMARY KEY, b REFERENCES b(id));"
                                    "CREATE TABLE b(id INTEGER PRIMARY KEY, a REFERENCES a(id));"
                                    "CREATE TABLE a(id INTEGER PRIMARY KEY);");
    uint32_t count = 20000;

    for (int t = 0; t < 3; t++) {
        struct world_input *input = world_input(world, t == 0 ? "c" : t == 1 ? "b" : "a", count);
        for (uint32_t i = 0; i < count; i++) {
            input->records[i].values[0] = value_integer(i + 1);
            input->records[i].values[1] = value_integer(count - i);
        }
    }
    world_load(world);
    assert_int_equal(world->result, LOADER_DONE);
    for (int t = 0; t < 3; t++)
        assert_int_equal(world->counts[t].inserted, count);
    world_free(world);
}

static void several_files_of_a_table_are_one_input(void **state)
{
    (void)state;
    struct world *world = world_new("CREATE TABLE t(id INTEGER PRIMARY KEY, v);");

    for (int f = 0; f < 3; f++) {
        struct world_input *input = world_input(world, "t", 5000);
        for (uint32_t i = 0; i < 5000; i++) {
            input->records[i].values[0] = value_integer(i + 1);
            input->records[i].values[1] = value_integer(f == 2 ? 1 : 0);
        }
    }
    world_load(world);
    assert_int_equal(world->counts[0].inserted, 5000);
    assert_int_equal(world->counts[1].same, 5000);
    assert_int_equal(world->counts[2].refused[ERROR_UNIQUE], 5000);
    world_free(world);
}

static void what_has_come_is_sent_while_the_rest_is_waited_for(void **state)
{
    (void)state;
    struct world *world = world_new("CREATE TABLE t(id INTEGER PRIMARY KEY, v CHECK (v < 5000));");
    struct world_input *input = world_input(world, "t", 6000);

    for (uint32_t i = 0; i < 6000; i++) {
        input->records[i].values[0] = value_integer(i + 1);
        input->records[i].values[1] = value_integer(i);
    }
    world->inputs_wait = true;
    world_load(world);
    assert_int_equal(world->result, LOADER_DONE);
    assert_int_equal(world->counts[0].read, 6000);
    assert_int_equal(world->counts[0].inserted, 5000);
    assert_int_equal(world->counts[0].refused[ERROR_CHECK], 1000);
    assert_true(world->submissions >= 2000);
    world_free(world);
}

static void employees_may_report_to_a_later_line(void **state)
{
    (void)state;
    struct world *world = world_new(EMPLOYEES);
    struct world_input *input =
        EMPLOYEES_OF(world, {1, 2}, {2, 3}, {3, 0}, {4, 5}, {5, 4}, {6, 6}, {7, 8}, {8, 99}, {9, 4}, {-1, 0}, {10, 7});

    world_load(world);
    assert_int_equal(world->result, LOADER_DONE);
    assert_int_equal(world_ask(world, "SELECT group_concat(id) = '1,2,3,4,5,6,9' FROM (SELECT id FROM e ORDER BY id)"),
                     1);
    assert_int_equal(world->counts[0].inserted, 7);
    assert_int_equal(input->verdicts[6].code, ERROR_REFERENCE_MISSING);
    assert_string_equal(input->verdicts[6].text, "e.boss 8: no such row in e (id)");
    assert_string_equal(input->verdicts[6].constraint, "boss");
    assert_string_equal(input->verdicts[7].text, "e.boss 99: no such row in e (id)");
    assert_string_equal(input->verdicts[7].raw, "raw 8");
    assert_int_equal(input->verdicts[9].code, ERROR_CHECK);
    assert_string_equal(input->verdicts[10].text, "e.boss 7: no such row in e (id)");
    world_free(world);
}

static void the_earliest_valid_row_holds_the_key_even_if_a_reference_fails_it(void **state)
{
    (void)state;
    struct world *world = world_new(EMPLOYEES);
    struct world_input *input = EMPLOYEES_OF(world, {1, 99}, {1, 0}, {1, 99}, {-2, 0}, {2, 1});

    world_load(world);
    assert_int_equal(input->verdicts[0].code, ERROR_REFERENCE_MISSING);
    assert_int_equal(input->verdicts[1].code, ERROR_UNIQUE);
    assert_int_equal(input->verdicts[2].code,
                     ERROR_REFERENCE_MISSING); /* an equal repeat shares the fate of the first */
    assert_int_equal(input->verdicts[4].code, ERROR_REFERENCE_MISSING);
    assert_int_equal(world_ask(world, "SELECT count(*) FROM e"), 0);
    world_free(world);
}

static void loading_a_circle_again_inserts_nothing(void **state)
{
    (void)state;
    struct world *world = world_new(EMPLOYEES);

    EMPLOYEES_OF(world, {1, 2}, {2, 1}, {3, 1}, {3, 1});
    world_load(world);
    assert_int_equal(world->counts[0].inserted, 3);
    assert_int_equal(world->counts[0].same, 1);
    assert_int_equal(world->probes, 0); /* an empty table is not asked */
    world_load(world);
    assert_int_equal(world->counts[0].inserted, 0);
    assert_int_equal(world->counts[0].same, 4);
    assert_int_equal(world->probes, 1);
    world_free(world);
}

static void a_killed_load_goes_on(void **state)
{
    (void)state;
    struct world *world = world_new(EMPLOYEES);
    struct world_input *input;

    sqlite3_exec(world->db, "INSERT INTO e VALUES(3,NULL,NULL),(2,3,NULL),(7,NULL,'taken')", NULL, NULL, NULL);
    input = EMPLOYEES_OF(world, {1, 2}, {2, 3}, {3, 0}, {4, 1}, {5, 7}, {6, 0}, {2, 1});
    input->records[5].values[2] = value_text("taken", 5);
    world_load(world);
    assert_int_equal(world->counts[0].same, 2);
    assert_int_equal(world->counts[0].inserted, 3);
    assert_int_equal(input->verdicts[5].code, ERROR_UNIQUE);
    assert_int_equal(input->verdicts[6].code, ERROR_UNIQUE);
    assert_int_equal(world->exists, 1);
    world_free(world);
}

static void rows_without_a_key_get_the_next_one(void **state)
{
    (void)state;
    struct world *world = world_new(EMPLOYEES);
    struct world_input *input;

    sqlite3_exec(world->db, "INSERT INTO e VALUES(5,NULL,NULL),(1234567890123,NULL,NULL)", NULL, NULL, NULL);
    input = EMPLOYEES_OF(world, {0, 0}, {1234567890124, 5}, {0, 1234567890124}, {3, 0}, {0, 1234567890125});
    for (int i = 0; i < 5; i += 2)
        input->records[i].values[0] = i ? value_null() : value_absent();
    world_load(world);
    assert_int_equal(world->counts[0].inserted, 4);
    assert_int_equal(input->verdicts[1].code, ERROR_UNIQUE);
    assert_int_equal(world_ask(world, "SELECT count(*) FROM e WHERE id BETWEEN 1234567890124 AND 1234567890126"), 3);
    world_free(world);
}

static void a_long_chain_goes_in_transactions_of_a_block(void **state)
{
    (void)state;
    struct world *world = world_new(EMPLOYEES);
    uint32_t count = 50000;
    struct world_input *input = world_input(world, "e", count);

    for (uint32_t i = 0; i < count; i++) {
        input->records[i].values[0] = value_integer(i + 1);
        input->records[i].values[1] = i + 1 < count ? value_integer(i + 2) : value_null();
    }
    world_load(world);
    assert_int_equal(world->counts[0].inserted, count);
    assert_int_equal(world->largest_atomic, LOADER_BLOCK_ROWS);
    assert_true(world->atomics <= count / LOADER_BLOCK_ROWS + 1);
    world_free(world);
}

static void rows_that_need_nobody_go_as_single_operations(void **state)
{
    (void)state;
    struct world *world = world_new(EMPLOYEES);
    uint32_t count = 20000;
    struct world_input *input = world_input(world, "e", count);

    for (uint32_t i = 0; i < count; i++) {
        input->records[i].values[0] = value_integer(i + 1);
        input->records[i].values[1] = i < 10000 ? value_null() : value_integer(i - 9999);
    }
    world_load(world);
    assert_int_equal(world->counts[0].inserted, count);
    assert_int_equal(world->atomics, 0);
    world_free(world);
}

static void rows_that_name_themselves_wait_for_nobody(void **state)
{
    (void)state;
    struct world *world = world_new(EMPLOYEES);

    EMPLOYEES_OF(world, {1, 1}, {2, 2}, {3, 3});
    world_load(world);
    assert_int_equal(world->counts[0].inserted, 3);
    assert_int_equal(world->submissions, 1);
    assert_int_equal(world->atomics, 0);
    world_free(world);
}

/* The first circle has `size` rows, then a row behind it, and one more small circle. */
static struct world *circle_of(uint32_t size)
{
    struct world *world = world_new(EMPLOYEES);
    struct world_input *input = world_input(world, "e", size + 3);

    for (uint32_t i = 0; i < size; i++) {
        input->records[i].values[0] = value_integer(i + 1);
        input->records[i].values[1] = value_integer((i + 1) % size + 1);
    }
    input->records[size].values[0] = value_integer(size + 1);
    input->records[size].values[1] = value_integer(1);
    input->records[size + 1].values[0] = value_integer(size + 2);
    input->records[size + 1].values[1] = value_integer(size + 3);
    input->records[size + 2].values[0] = value_integer(size + 3);
    input->records[size + 2].values[1] = value_integer(size + 2);
    world_load(world);
    return world;
}

static void a_circle_is_one_transaction(void **state)
{
    (void)state;
    struct world *world = circle_of(LIMIT_BATCH_ROWS_MAX);

    assert_int_equal(world->counts[0].inserted, LIMIT_BATCH_ROWS_MAX + 3);
    assert_int_equal(world->largest_atomic, LIMIT_BATCH_ROWS_MAX);
    world_free(world);
}

static void a_circle_beyond_one_transaction_is_too_large(void **state)
{
    (void)state;
    uint32_t size = LIMIT_BATCH_ROWS_MAX + 1;
    struct world *world = circle_of(size);

    assert_int_equal(world->counts[0].refused[ERROR_TOO_LARGE], size);
    assert_int_equal(world->counts[0].refused[ERROR_REFERENCE_MISSING], 1);
    assert_int_equal(world->inputs[0].verdicts[size].code, ERROR_REFERENCE_MISSING);
    assert_int_equal(world->counts[0].inserted, 2);
    world_free(world);
}

static void what_another_writer_refused_is_tried_by_itself(void **state)
{
    (void)state;
    for (uint32_t conflicts = 1; conflicts < 4; conflicts++) {
        struct world *world = world_new(EMPLOYEES);
        EMPLOYEES_OF(world, {1, 0}, {2, 1}, {3, 2}, {4, 5}, {5, 4}, {6, 7}, {7, 6}, {8, 6});
        world->conflicts = conflicts;
        world_load(world);
        /* the last circle tried alone may meet the third conflict: then it and the row behind it are refused */
        assert_true(world->counts[0].inserted >= (conflicts < 3 ? 8 : 5));
        assert_int_equal(world->counts[0].inserted + world->counts[0].refused[ERROR_CONFLICT] +
                             world->counts[0].refused[ERROR_REFERENCE_MISSING],
                         8);
        world_free(world);
    }
}

static void circles_over_several_tables_and_parents_outside(void **state)
{
    (void)state;
    struct world *world = world_new(
        "CREATE TABLE top(k TEXT PRIMARY KEY COLLATE NOCASE, w);"
        "CREATE TABLE a(id INTEGER PRIMARY KEY, b INTEGER NOT NULL REFERENCES b(id), t TEXT REFERENCES top(k));"
        "CREATE TABLE b(id INTEGER PRIMARY KEY, a INTEGER NOT NULL REFERENCES a(id), u TEXT UNIQUE);");
    struct world_input *top = world_input(world, "top", 2), *a = world_input(world, "a", 6),
                       *b = world_input(world, "b", 5);
    static const int64_t bs[] = {1, 3, 2, 9, 1, 1}, as[] = {1, 2, 3, 4, 5};
    static const char *const us[] = {"x", "y", "z", "w", "x"}, *const ts[] = {"Ann", "bo", NULL, NULL, "ANN", "cy"};

    top->records[0].values[0] = value_text("ann", 3);
    top->records[1].values[0] = value_text("BO", 2);
    for (uint32_t i = 0; i < 6; i++) {
        a->records[i].values[0] = value_integer(i + 1);
        a->records[i].values[1] = value_integer(bs[i]);
        a->records[i].values[2] = ts[i] ? value_text(ts[i], strlen(ts[i])) : value_null();
    }
    for (uint32_t i = 0; i < 5; i++) {
        b->records[i].values[0] = value_integer(i + 1);
        b->records[i].values[1] = value_integer(as[i]);
        b->records[i].values[2] = value_text(us[i], 1);
    }
    world_load(world);
    assert_int_equal(world_ask(world, "SELECT group_concat(id) = '1,2,3,5' FROM (SELECT id FROM a ORDER BY id)"), 1);
    assert_int_equal(world_ask(world, "SELECT group_concat(id) = '1,2,3' FROM (SELECT id FROM b ORDER BY id)"), 1);
    assert_string_equal(a->verdicts[3].text, "a.b 9: no such row in b (id)");
    assert_string_equal(a->verdicts[5].text, "a.t 'cy': no such row in top (k)");
    assert_string_equal(b->verdicts[3].text, "b.a 4: no such row in a (id)");
    assert_int_equal(b->verdicts[4].code, ERROR_UNIQUE);
    world_free(world);
}

static void every_missing_parent_is_named(void **state)
{
    (void)state;
    struct world *world = world_new("CREATE TABLE p(x INTEGER, y TEXT, PRIMARY KEY (y, x));"
                                    "CREATE TABLE c(id INTEGER PRIMARY KEY, own INTEGER REFERENCES c(id), px INTEGER,"
                                    " py TEXT, FOREIGN KEY (px, py) REFERENCES p(x, y));");
    struct world_input *p = world_input(world, "p", 1), *c = world_input(world, "c", 3);

    p->records[0].values[0] = value_integer(1);
    p->records[0].values[1] = value_text("one", 3);
    for (uint32_t i = 0; i < 3; i++) {
        c->records[i].values[0] = value_integer(i + 1);
        c->records[i].values[1] = i == 2 ? value_null() : value_integer(70);
        c->records[i].values[2] = value_integer(i == 1 ? 2 : 1);
        c->records[i].values[3] = value_text("one", 3);
    }
    world_load(world);
    assert_string_equal(c->verdicts[0].text, "c.own 70: no such row in c (id)");
    assert_string_equal(c->verdicts[1].text,
                        "c.own 70: no such row in c (id); c.px,py (2, 'one'): no such row in p (x,y)");
    assert_string_equal(c->verdicts[1].constraint, "own");
    assert_int_equal(c->verdicts[2].code, ERROR_NONE);
    world_free(world);
}

static void the_first_refusal_stops_where_that_is_asked_for(void **state)
{
    (void)state;
    struct world *world = world_new("CREATE TABLE t(id INTEGER PRIMARY KEY CHECK (id <> 11));" EMPLOYEES);
    struct world_input *input = world_input(world, "t", 200000);

    for (uint32_t i = 0; i < input->count; i++)
        input->records[i].values[0] = value_integer(i + 1);
    world->stop_on_error = true;
    world_load(world);
    assert_int_equal(world->result, LOADER_STOPPED);
    assert_int_equal(world->counts[0].inserted, 10);
    assert_int_equal(world->counts[0].read, 11);
    assert_int_equal(world_ask(world, "SELECT count(*) FROM t"), 10);
    world_forget_inputs(world);
    input = world_input(world, "t", 4);
    for (uint32_t i = 0; i < input->count; i++)
        input->records[i].values[0] = value_integer(100 + i);
    input->records[2].garbage = true;
    world_load(world);
    assert_int_equal(world->result, LOADER_STOPPED);
    assert_int_equal(world->counts[0].inserted, 2);
    assert_int_equal(world->counts[0].read, 3);
    input->records[1].values[0] = value_integer(11); /* before the garbage, which is then never met */
    world_load(world);
    assert_int_equal(world->counts[0].same, 1);
    assert_int_equal(world->counts[0].read, 2);
    assert_int_equal(world->counts[0].refused[ERROR_CHECK], 1);
    assert_int_equal(world->counts[0].refused[ERROR_PARSE], 0);
    world_forget_inputs(world);
    EMPLOYEES_OF(world, {1, 2}, {2, 0}, {3, 9}, {4, 8});
    world_load(world);
    assert_int_equal(world->result, LOADER_STOPPED);
    assert_int_equal(world->counts[0].refused[ERROR_REFERENCE_MISSING], 1);
    world->inputs[0].records[1].garbage = world->inputs[0].records[2].garbage = true;
    world_load(world);
    assert_int_equal(world->counts[0].refused[ERROR_PARSE], 1);
    assert_int_equal(world->counts[0].refused[ERROR_REFERENCE_MISSING], 0);
    world_free(world);
}

static void an_outage_ends_the_load_before_a_million_refusals(void **state)
{
    (void)state;
    for (int cyclic = 0; cyclic < 2; cyclic++) {
        struct world *world = world_new("CREATE TABLE t(id INTEGER PRIMARY KEY);" EMPLOYEES);
        struct world_input *input = world_input(world, cyclic ? "e" : "t", 200000);
        for (uint32_t i = 0; i < input->count; i++)
            input->records[i].values[0] = value_integer(i + 1);
        world->outage = ERROR_UNAVAILABLE;
        world->outage_after = 3;
        world_load(world);
        assert_int_equal(world->result, LOADER_FAILED);
        assert_int_equal(world->error.code, ERROR_UNAVAILABLE);
        assert_int_equal(world->counts[0].inserted, 3 * LOADER_BLOCK_ROWS);
        assert_in_range(world->counts[0].refused[ERROR_UNAVAILABLE], 1, 8 * LOADER_BLOCK_ROWS);
        world_free(world);
    }
}

static void nothing_is_written_when_an_input_cannot_be_opened(void **state)
{
    (void)state;
    struct world *world = world_new("CREATE TABLE t(id INTEGER PRIMARY KEY);");
    struct world_input *input = world_input(world, "t", 1);
    struct loader_input inputs[] = {{input->table, "0", INPUT_FORMAT_CSV}, {input->table, "absent", INPUT_FORMAT_CSV}};
    struct loader_options options = {.engine = world->engine,
                                     .schema = world->schema,
                                     .inputs = inputs,
                                     .input_count = 2,
                                     .counts = world->counts,
                                     .scratch = "."};

    input->records[0].values[0] = value_integer(1);
    assert_int_equal(loader_run(&options, &world->error), LOADER_UNREADABLE);
    assert_string_equal(world->error.text, "absent: not there");
    assert_int_equal(world_ask(world, "SELECT count(*) FROM t"), 0);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_counts_and_hands_on_what_is_refused_in_order),
        cmocka_unit_test(tables_wait_for_their_parents_tables),
        cmocka_unit_test(several_files_of_a_table_are_one_input),
        cmocka_unit_test(what_has_come_is_sent_while_the_rest_is_waited_for),
        cmocka_unit_test(employees_may_report_to_a_later_line),
        cmocka_unit_test(the_earliest_valid_row_holds_the_key_even_if_a_reference_fails_it),
        cmocka_unit_test(loading_a_circle_again_inserts_nothing),
        cmocka_unit_test(a_killed_load_goes_on),
        cmocka_unit_test(rows_without_a_key_get_the_next_one),
        cmocka_unit_test(a_long_chain_goes_in_transactions_of_a_block),
        cmocka_unit_test(rows_that_need_nobody_go_as_single_operations),
        cmocka_unit_test(rows_that_name_themselves_wait_for_nobody),
        cmocka_unit_test(a_circle_is_one_transaction),
        cmocka_unit_test(a_circle_beyond_one_transaction_is_too_large),
        cmocka_unit_test(what_another_writer_refused_is_tried_by_itself),
        cmocka_unit_test(circles_over_several_tables_and_parents_outside),
        cmocka_unit_test(every_missing_parent_is_named),
        cmocka_unit_test(the_first_refusal_stops_where_that_is_asked_for),
        cmocka_unit_test(an_outage_ends_the_load_before_a_million_refusals),
        cmocka_unit_test(nothing_is_written_when_an_input_cannot_be_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
