/* SPDX-License-Identifier: Apache-2.0 */
#include "change.h"
#include "pack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char ddl[] =
    "CREATE TABLE t (id INTEGER PRIMARY KEY CONSTRAINT pos CHECK (id > 0), a TEXT NOT NULL DEFAULT 'd', n NUMERIC,"
    " u TEXT UNIQUE, v UNIQUE, g AS (n));\n"
    "CREATE TABLE \"k t\" (k TEXT COLLATE NOCASE, \"v.w\" INTEGER, g AS (\"v.w\" + 1), PRIMARY KEY (\"v.w\", k))"
    " WITHOUT ROWID;\n"
    "CREATE TABLE s (id INTEGER PRIMARY KEY, i INT, x ANY) STRICT;\n"
    "CREATE TABLE c (a TEXT, b INTEGER, PRIMARY KEY (a COLLATE RTRIM, b), UNIQUE (b));\n"
    "CREATE TABLE plain (_rowid_, x);\n"
    "CREATE TABLE nameless (rowid, oid, _rowid_);\n"
    "CREATE TRIGGER no BEFORE UPDATE ON plain WHEN NEW.x = 'no' BEGIN SELECT RAISE(ABORT, 'not this one'); END;\n";

struct fixture {
    sqlite3 *db;
    struct schema *schema;
    struct change *change;
    struct error error;
    char text[400];
};

static void run(struct fixture *f, const char *sql)
{
    if (sqlite3_exec(f->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(f->db));
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->schema = schema_load(ddl, strlen(ddl), "ddl", NULL, &f->error);
    if (!f->schema)
        fail_msg("%s", f->error.text);
    assert_int_equal(sqlite3_open(":memory:", &f->db), SQLITE_OK);
    run(f, ddl);
    run(f, "INSERT INTO t VALUES (1, 'one', 1, 'u1', 'v1'), (2, 'two', 2, 'u2', 'v2'), (3, 'three', 3, NULL, NULL);"
           "INSERT INTO \"k t\" VALUES ('Ann', 1), ('Bob', 1), ('Ann', 2);"
           "INSERT INTO s VALUES (1, 1, 'x'); INSERT INTO c VALUES ('a', 1), ('b', 2);"
           "INSERT INTO plain VALUES ('p', 1), ('q', 2), ('r', 3)");
    f->change = change_new(f->db, f->schema, &f->error);
    assert_non_null(f->change);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    change_free(f->change);
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

static struct buffer key_of(const struct value *values, uint32_t count)
{
    struct buffer key = {0};
    assert_true(pack_array(&key, count));
    for (uint32_t i = 0; i < count; i++)
        assert_true(pack_value(&key, &values[i]));
    return key;
}

static enum change_result update(struct fixture *f, const char *table, const struct value *key, uint32_t key_count,
                                 const struct value *values)
{
    table_id id = schema_find_table(f->schema, table, strlen(table));
    struct buffer key_bytes = key_of(key, key_count), row = {0};
    assert_true(row_write(&f->schema->tables[id], values, &row));
    memset(&f->error, 0, sizeof f->error);
    enum change_result result =
        change_update(f->change, id, key_bytes.bytes, key_bytes.len, row.bytes, row.len, &f->error);
    buffer_release(&key_bytes);
    buffer_release(&row);
    return result;
}

static enum change_result erase(struct fixture *f, const char *table, const struct value *key, uint32_t key_count)
{
    table_id id = schema_find_table(f->schema, table, strlen(table));
    struct buffer key_bytes = key_of(key, key_count);
    memset(&f->error, 0, sizeof f->error);
    enum change_result result = change_delete(f->change, id, key_bytes.bytes, key_bytes.len, &f->error);
    buffer_release(&key_bytes);
    return result;
}

#define KEY(...) (struct value[]){__VA_ARGS__}, (uint32_t)(sizeof((struct value[]){__VA_ARGS__}) / sizeof(struct value))
#define UPDATE(f, table, key, ...) update(f, table, key, (struct value[]){__VA_ARGS__})

static const char *look(struct fixture *f, const char *sql)
{
    sqlite3_stmt *row;
    f->text[0] = '\0';
    assert_int_equal(sqlite3_prepare_v2(f->db, sql, -1, &row, NULL), SQLITE_OK);
    while (sqlite3_step(row) == SQLITE_ROW)
        for (int i = 0; i < sqlite3_column_count(row); i++) {
            const char *text = (const char *)sqlite3_column_text(row, i);
            size_t used = strlen(f->text);
            snprintf(f->text + used, sizeof f->text - used, "%s%s", i ? "|" : used ? ";" : "", text ? text : "NULL");
        }
    sqlite3_finalize(row);
    return f->text;
}

static void refused(struct fixture *f, enum change_result result, enum error_code code, const char *constraint)
{
    assert_int_equal(result, CHANGE_REFUSED);
    if (f->error.code != code || strcmp(f->error.constraint, constraint))
        fail_msg("%s/%s: %s", error_code_name(f->error.code), f->error.constraint, f->error.text);
}

static void the_columns_given_are_changed_with_their_affinities_and_no_other(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(UPDATE(f, "t", KEY(I(2)), NO, NO, T("1.0"), NIL, NO, NO), CHANGE_DONE);
    assert_string_equal(look(f, "SELECT id, a, n, typeof(n), u, v FROM t WHERE id = 2"), "2|two|1|integer|NULL|v2");
    assert_int_equal(UPDATE(f, "t", KEY(I(2)), I(7), T("seven"), NO, NO, NO, NO), CHANGE_DONE);
    assert_string_equal(look(f, "SELECT id, a, n, v FROM t"), "1|one|1|v1;3|three|3|NULL;7|seven|1|v2");
    assert_int_equal(UPDATE(f, "k t", KEY(I(1), T("Bob")), NO, I(5), NO), CHANGE_DONE);
    assert_string_equal(look(f, "SELECT * FROM \"k t\""), "Ann|1|2;Ann|2|3;Bob|5|6");
    assert_int_equal(UPDATE(f, "s", KEY(I(1)), NO, R(2.0), I(3)), CHANGE_DONE);
    assert_string_equal(look(f, "SELECT i, typeof(i), typeof(x) FROM s"), "2|integer|integer");
}

static void a_row_is_named_as_its_key_compares(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(UPDATE(f, "t", KEY(T(" 1.0 ")), NO, T("A"), NO, NO, NO, NO), CHANGE_DONE);
    assert_int_equal(UPDATE(f, "t", KEY(R(2.0)), NO, T("B"), NO, NO, NO, NO), CHANGE_DONE);
    assert_string_equal(look(f, "SELECT a FROM t"), "A;B;three");
    assert_int_equal(UPDATE(f, "k t", KEY(T("1"), T("aNN")), T("Eve"), NO, NO), CHANGE_DONE);
    assert_string_equal(look(f, "SELECT k FROM \"k t\""), "Bob;Eve;Ann");
    assert_int_equal(erase(f, "c", KEY(T("a  "), I(1))), CHANGE_DONE); /* the key's RTRIM, not the column's BINARY */
    assert_string_equal(look(f, "SELECT a FROM c"), "b");
    refused(f, erase(f, "c", KEY(T("B"), I(2))), ERROR_NOT_FOUND, "");
}

static void a_table_without_a_key_names_its_rows_by_their_rowid(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(UPDATE(f, "plain", KEY(I(3)), T("z"), NO), CHANGE_DONE);
    assert_int_equal(erase(f, "plain", KEY(I(1))), CHANGE_DONE);
    assert_string_equal(look(f, "SELECT rowid, * FROM plain"), "2|q|2;3|z|3");
    refused(f, erase(f, "plain", KEY(I(1))), ERROR_NOT_FOUND, "");
    refused(f, erase(f, "plain", KEY(T("q"))), ERROR_NOT_FOUND, "");
    assert_int_equal(erase(f, "nameless", KEY(I(1))), CHANGE_FAILED);
    assert_int_equal(f->error.code, ERROR_INTERNAL);
}

static void a_row_that_is_not_there_is_not_found(void **state)
{
    struct fixture *f = *state;
    refused(f, UPDATE(f, "t", KEY(I(9)), NO, T("x"), NO, NO, NO, NO), ERROR_NOT_FOUND, "");
    assert_string_equal(f->error.table, "t");
    refused(f, UPDATE(f, "t", KEY(NIL), NO, T("x"), NO, NO, NO, NO), ERROR_NOT_FOUND, "");
    refused(f, erase(f, "t", KEY(T("1x"))), ERROR_NOT_FOUND, "");
    refused(f, erase(f, "k t", KEY(I(2), T("Bob"))), ERROR_NOT_FOUND, "");
    assert_int_equal(erase(f, "k t", KEY(I(1), T("Bob"))), CHANGE_DONE);
    refused(f, erase(f, "k t", KEY(I(1), T("Bob"))), ERROR_NOT_FOUND, "");
    assert_string_equal(look(f, "SELECT count(*) FROM t"), "3");
}

static void refusals_name_their_rule_and_have_no_effect(void **state)
{
    struct fixture *f = *state;
    run(f, "BEGIN");
    refused(f, UPDATE(f, "t", KEY(I(1)), I(0), NO, NO, NO, NO, NO), ERROR_CHECK, "pos");
    refused(f, UPDATE(f, "t", KEY(I(1)), NO, NIL, NO, NO, NO, NO), ERROR_NOT_NULL, "a");
    refused(f, UPDATE(f, "t", KEY(I(1)), T("one"), NO, NO, NO, NO, NO), ERROR_TYPE, "id");
    refused(f, UPDATE(f, "t", KEY(I(1)), NIL, NO, NO, NO, NO, NO), ERROR_NOT_NULL, "id");
    refused(f, UPDATE(f, "k t", KEY(I(1), T("Ann")), NIL, NO, NO), ERROR_NOT_NULL, "k");
    refused(f, UPDATE(f, "c", KEY(T("a"), I(1)), NIL, NO), ERROR_NOT_NULL, "a"); /* SQLite would allow it */
    refused(f, UPDATE(f, "s", KEY(I(1)), NO, T("x"), NO), ERROR_TYPE, "i");
    refused(f, UPDATE(f, "k t", KEY(I(1), T("Ann")), T("x"), NO, I(1)), ERROR_PARSE, "g");
    refused(f, UPDATE(f, "t", KEY(I(1)), NO, NO, NO, NO, NO, NO), ERROR_PARSE, "");
    refused(f, UPDATE(f, "plain", KEY(I(1)), NO, T("no")), ERROR_CHECK, "");
    assert_non_null(strstr(f->error.text, "not this one"));
    run(f, "COMMIT");
    assert_string_equal(look(f, "SELECT id, a, u FROM t"), "1|one|u1;2|two|u2;3|three|NULL");
    assert_string_equal(look(f, "SELECT * FROM plain"), "p|1;q|2;r|3");
}

static void a_key_that_is_taken_is_the_first_in_declaration_order(void **state)
{
    struct fixture *f = *state;
    refused(f, UPDATE(f, "t", KEY(I(1)), NO, NO, NO, T("u2"), NO, NO), ERROR_UNIQUE, "u");
    assert_non_null(strstr(f->error.text, "'u2'"));
    refused(f, UPDATE(f, "t", KEY(I(1)), NO, NO, NO, T("u2"), T("v2"), NO), ERROR_UNIQUE, "u");
    refused(f, UPDATE(f, "t", KEY(I(1)), NO, NO, NO, T("u1"), T("v2"), NO), ERROR_UNIQUE, "v"); /* u1 is its own */
    refused(f, UPDATE(f, "t", KEY(I(1)), T("2"), NO, NO, NO, T("v2"), NO), ERROR_UNIQUE, "id");
    refused(f, UPDATE(f, "k t", KEY(I(1), T("Bob")), T("ANN"), NO, NO), ERROR_UNIQUE, "v.w,k");
    assert_non_null(strstr(f->error.text, "1, 'ANN'")); /* with what is stored beside what was given */
    refused(f, UPDATE(f, "c", KEY(T("b"), I(2)), T("a "), I(1)), ERROR_UNIQUE, "a,b");
    refused(f, UPDATE(f, "c", KEY(T("b"), I(2)), NO, I(1)), ERROR_UNIQUE, "b");
    assert_int_equal(UPDATE(f, "t", KEY(I(1)), I(1), NO, NO, T("u1"), T("v1"), NO), CHANGE_DONE);
    assert_string_equal(look(f, "SELECT u, v FROM t"), "u1|v1;u2|v2;NULL|NULL");
}

static void many_sets_of_columns_use_the_right_statement(void **state)
{
    struct fixture *f = *state;
    for (int round = 0; round < 3; round++)
        for (unsigned mask = 1; mask < 16; mask++) {
            char expected[80];
            run(f, "UPDATE t SET a = 'd', n = 0, u = 'u', v = 'v' WHERE id = 1");
            assert_int_equal(UPDATE(f, "t", KEY(I(1)), NO, mask & 1 ? T("A") : NO, mask & 2 ? I((int)mask) : NO,
                                    mask & 4 ? T("U") : NO, mask & 8 ? T("V") : NO, NO),
                             CHANGE_DONE);
            snprintf(expected, sizeof expected, "%s|%u|%s|%s", mask & 1 ? "A" : "d", mask & 2 ? mask : 0,
                     mask & 4 ? "U" : "u", mask & 8 ? "V" : "v");
            assert_string_equal(look(f, "SELECT a, n, u, v FROM t WHERE id = 1"), expected);
        }
}

static void what_is_no_key_or_no_row_is_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *bytes;
        size_t len;
    } keys[] = {{"", 0},    {"\x90", 1}, {"\x92\x01\x01", 3}, {"\x01", 1}, {"\x91\x91\x01", 3}, {"\x91\x01\x01", 3},
                {"\x91", 1}};
    const uint8_t *row = (const uint8_t *)"\x96\xc2\xa1x\xc2\xc2\xc2\xc2", *good = (const uint8_t *)"\x91\x01";
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const uint8_t *key = (const uint8_t *)keys[i].bytes;
        assert_int_equal(change_delete(f->change, 0, key, keys[i].len, &f->error), CHANGE_REFUSED);
        assert_int_equal(f->error.code, ERROR_PARSE);
        assert_int_equal(change_update(f->change, 0, key, keys[i].len, row, 8, &f->error), CHANGE_REFUSED);
        assert_int_equal(f->error.code, ERROR_PARSE);
    }
    for (size_t len = 0; len < 8; len++) {
        assert_int_equal(change_update(f->change, 0, good, 2, row, len, &f->error), CHANGE_REFUSED);
        assert_int_equal(f->error.code, ERROR_PARSE);
    }
    assert_int_equal(change_update(f->change, 0, good, 2, row, 8, &f->error), CHANGE_DONE);
}

static void references_are_not_looked_at(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(look(f, "PRAGMA foreign_keys"), "0");
    run(f, "CREATE TABLE child (r REFERENCES t); INSERT INTO child VALUES (1)");
    assert_int_equal(erase(f, "t", KEY(I(1))), CHANGE_DONE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_columns_given_are_changed_with_their_affinities_and_no_other),
        TEST(a_row_is_named_as_its_key_compares),
        TEST(a_table_without_a_key_names_its_rows_by_their_rowid),
        TEST(a_row_that_is_not_there_is_not_found),
        TEST(refusals_name_their_rule_and_have_no_effect),
        TEST(a_key_that_is_taken_is_the_first_in_declaration_order),
        TEST(many_sets_of_columns_use_the_right_statement),
        TEST(what_is_no_key_or_no_row_is_refused),
        TEST(references_are_not_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
