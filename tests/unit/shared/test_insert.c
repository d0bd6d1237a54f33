/* SPDX-License-Identifier: Apache-2.0 */
#include "insert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char ddl[] =
    "CREATE TABLE t (id INTEGER PRIMARY KEY CONSTRAINT pos CHECK (id > 0), a TEXT DEFAULT 'd', n NUMERIC, u TEXT "
    "UNIQUE);\n"
    "CREATE TABLE \"k t\" (k TEXT COLLATE NOCASE PRIMARY KEY, \"v.w\" INTEGER NOT NULL, g AS (\"v.w\" + 1)) WITHOUT "
    "ROWID;\n"
    "CREATE TABLE s (id INTEGER PRIMARY KEY, i INT, r REAL, b BLOB, x ANY) STRICT;\n"
    "CREATE TABLE c (a TEXT, b INTEGER, PRIMARY KEY (a, b));\n"
    "CREATE UNIQUE INDEX low ON c (lower(a), b);\n"
    "CREATE TABLE plain (x);\n"
    "CREATE TRIGGER no BEFORE INSERT ON plain WHEN NEW.x = 'no' BEGIN SELECT RAISE(ABORT, 'not this one'); END;\n";

struct fixture {
    sqlite3 *db;
    struct schema *schema;
    struct insert *insert;
    struct error error;
    int64_t rowid;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->schema = schema_load(ddl, strlen(ddl), "ddl", NULL, &f->error);
    assert_non_null(f->schema);
    assert_int_equal(sqlite3_open(":memory:", &f->db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(f->db, ddl, NULL, NULL, NULL), SQLITE_OK);
    f->insert = insert_new(f->db, f->schema, &f->error);
    assert_non_null(f->insert);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    insert_free(f->insert);
    assert_int_equal(sqlite3_close(f->db), SQLITE_OK); /* no statement is left */
    schema_free(f->schema);
    free(f);
    return 0;
}

#define T(s) value_text(s, strlen(s))
#define I(n) value_integer(n)
#define R(n) value_real(n)
#define NO value_absent()
#define NIL value_null()

static enum insert_result put(struct fixture *f, const char *table, bool same, const struct value *values)
{
    table_id id = schema_find_table(f->schema, table, strlen(table));
    struct buffer row = {0};
    assert_true(row_write(&f->schema->tables[id], values, &row));
    memset(&f->error, 0, sizeof f->error);
    enum insert_result result = insert_row(f->insert, id, row.bytes, row.len, same, &f->rowid, &f->error);
    buffer_release(&row);
    return result;
}
#define PUT(f, table, same, ...) put(f, table, same, (struct value[]){__VA_ARGS__})

static void refused(struct fixture *f, enum insert_result result, enum error_code code, const char *constraint)
{
    assert_int_equal(result, INSERT_REFUSED);
    if (f->error.code != code || strcmp(f->error.constraint, constraint))
        fail_msg("%s/%s: %s", error_code_name(f->error.code), f->error.constraint, f->error.text);
}

static void a_row_takes_its_defaults_and_its_affinities(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(PUT(f, "t", true, I(5), NO, T("1.0"), NO), INSERT_DONE);
    assert_int_equal(f->rowid, 5);
    assert_int_equal(PUT(f, "t", true, NO, NO, NO, NO), INSERT_DONE);
    assert_int_equal(f->rowid, 6);
    sqlite3_stmt *look;
    assert_int_equal(sqlite3_prepare_v2(f->db, "SELECT a, typeof(n) FROM t WHERE id = 5", -1, &look, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(look), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(look, 0), "d");
    assert_string_equal((const char *)sqlite3_column_text(look, 1), "integer");
    sqlite3_finalize(look);
}

static void refusals_name_their_rule(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(PUT(f, "t", true, I(1), NO, NO, T("x")), INSERT_DONE);
    refused(f, PUT(f, "t", true, I(0), NO, NO, NO), ERROR_CHECK, "pos");
    refused(f, PUT(f, "t", true, I(2), NO, NO, T("x")), ERROR_UNIQUE, "u");
    assert_non_null(strstr(f->error.text, "'x'"));
    refused(f, PUT(f, "t", true, T("one"), NO, NO, NO), ERROR_TYPE, "id");
    refused(f, PUT(f, "k t", true, T("a"), NIL, NO), ERROR_NOT_NULL, "v.w");
    refused(f, PUT(f, "k t", true, NIL, I(1), NO), ERROR_NOT_NULL, "k");
    refused(f, PUT(f, "c", true, NO, I(1)), ERROR_NOT_NULL, "a");
    refused(f, PUT(f, "s", true, I(1), T("x"), NO, NO, NO), ERROR_TYPE, "i");
    refused(f, PUT(f, "plain", true, T("no")), ERROR_CHECK, "");
    assert_non_null(strstr(f->error.text, "not this one"));
    assert_int_equal(PUT(f, "c", true, T("a"), I(1)), INSERT_DONE);
    /* both keys are taken: the first in declaration order is named, whichever SQLite met first */
    refused(f, PUT(f, "c", true, T("A"), I(1)), ERROR_UNIQUE, "low");
    refused(f, PUT(f, "c", false, T("a"), I(1)), ERROR_UNIQUE, "a,b");
}

static struct value filled(struct value value)
{
    value.filled = true;
    return value;
}

static void what_was_filled_in_makes_no_row_another(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(PUT(f, "t", true, I(1), T("a"), I(2), filled(T("one"))), INSERT_DONE);
    assert_int_equal(PUT(f, "t", true, I(1), T("a"), I(2), filled(T("two"))), INSERT_SAME);
    refused(f, PUT(f, "t", true, I(1), T("b"), I(2), filled(T("two"))), ERROR_UNIQUE, "id");
    refused(f, PUT(f, "t", true, filled(I(1)), T("a"), I(2), T("one")), ERROR_UNIQUE, "id"); /* it came without a key */
    assert_int_equal(PUT(f, "k t", true, T("k"), I(1), filled(I(9))), INSERT_DONE); /* generated: computed here */
    refused(f, PUT(f, "k t", true, T("l"), I(1), I(2)), ERROR_PARSE, "g");
}

static void the_same_row_again_is_known(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(PUT(f, "t", true, I(1), T("a"), T("1.50"), T("u")), INSERT_DONE);
    assert_int_equal(PUT(f, "t", true, I(1), T("a"), T("1.50"), T("u")), INSERT_SAME);
    assert_int_equal(PUT(f, "t", true, T("1"), T("a"), R(1.5), NO), INSERT_SAME); /* as stored */
    assert_int_equal(PUT(f, "t", true, I(1), NO, NO, NO), INSERT_SAME);           /* the columns given */
    refused(f, PUT(f, "t", false, I(1), T("a"), T("1.50"), T("u")), ERROR_UNIQUE, "id");
    refused(f, PUT(f, "t", true, I(1), T("A"), T("1.50"), T("u")), ERROR_UNIQUE, "id");
    refused(f, PUT(f, "t", true, I(1), NIL, T("1.50"), T("u")), ERROR_UNIQUE, "id");
    refused(f, PUT(f, "t", true, NO, T("a"), T("1.50"), T("u")), ERROR_UNIQUE,
            "u"); /* without its key it cannot be known */
    assert_int_equal(PUT(f, "k t", true, T("Ann"), I(1), NO), INSERT_DONE);
    assert_int_equal(PUT(f, "k t", true, T("Ann"), I(1), NO), INSERT_SAME);
    refused(f, PUT(f, "k t", true, T("ann"), I(1), NO), ERROR_UNIQUE, "k"); /* the same key, another value */
    assert_int_equal(PUT(f, "s", true, I(1), I(2), I(3), value_blob("\1", 1), T("1")), INSERT_DONE);
    assert_int_equal(PUT(f, "s", true, I(1), R(2.0), R(3.0), value_blob("\1", 1), T("1")), INSERT_SAME);
    refused(f, PUT(f, "s", true, I(1), I(2), I(3), value_blob("\1", 1), I(1)), ERROR_UNIQUE,
            "id"); /* ANY converts nothing */
}

static void a_refused_row_has_no_effect(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(sqlite3_exec(f->db, "BEGIN", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(PUT(f, "plain", true, I(1)), INSERT_DONE);
    refused(f, PUT(f, "plain", true, T("no")), ERROR_CHECK, "");
    refused(f, PUT(f, "t", true, I(-1), NO, NO, NO), ERROR_CHECK, "pos");
    assert_int_equal(PUT(f, "plain", true, I(2)), INSERT_DONE);
    assert_int_equal(sqlite3_exec(f->db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_stmt *look;
    assert_int_equal(
        sqlite3_prepare_v2(f->db, "SELECT (SELECT count(*) FROM plain), (SELECT count(*) FROM t)", -1, &look, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(look), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(look, 0), 2);
    assert_int_equal(sqlite3_column_int(look, 1), 0);
    sqlite3_finalize(look);
}

static void many_sets_of_columns_use_the_right_statement(void **state)
{
    struct fixture *f = *state;
    for (int round = 0; round < 3; round++)
        for (unsigned mask = 0; mask < 16; mask++) {
            struct value values[4] = {mask & 1 ? I(1000 + round * 16 + (int)mask) : NO, mask & 2 ? T("given") : NO,
                                      mask & 4 ? I((int)mask) : NO, NO};
            assert_int_equal(put(f, "t", false, values), INSERT_DONE);
        }
    sqlite3_stmt *look;
    assert_int_equal(sqlite3_prepare_v2(f->db,
                                        "SELECT count(*) FILTER (WHERE a = 'given'), count(*) FILTER (WHERE a = 'd'), "
                                        "count(n) FROM t",
                                        -1, &look, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(look), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(look, 0), 24);
    assert_int_equal(sqlite3_column_int(look, 1), 24);
    assert_int_equal(sqlite3_column_int(look, 2), 24);
    sqlite3_finalize(look);
}

static void a_row_of_another_shape_is_refused(void **state)
{
    struct fixture *f = *state;
    const uint8_t rows[][4] = {{0x93, 1, 2, 3}, {0x94, 1, 2, 0xc3}, {0xc0}};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(insert_row(f->insert, 0, rows[i], 4, true, NULL, &f->error), INSERT_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_row_takes_its_defaults_and_its_affinities, setup, teardown),
        cmocka_unit_test_setup_teardown(refusals_name_their_rule, setup, teardown),
        cmocka_unit_test_setup_teardown(the_same_row_again_is_known, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_filled_in_makes_no_row_another, setup, teardown),
        cmocka_unit_test_setup_teardown(a_refused_row_has_no_effect, setup, teardown),
        cmocka_unit_test_setup_teardown(many_sets_of_columns_use_the_right_statement, setup, teardown),
        cmocka_unit_test_setup_teardown(a_row_of_another_shape_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
