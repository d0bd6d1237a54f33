/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite is asked: two values that it could hold equal in some column must have the same lock key, and be stored as
 * affinity.c says. */
#include "affinity.h"
#include "key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

#define TEXT(t)                                                \
    {                                                          \
        .type = VALUE_TEXT, .len = sizeof(t) - 1, .bytes = (t) \
    }
#define INT(i)                                \
    {                                         \
        .type = VALUE_INTEGER, .integer = (i) \
    }
#define REAL(r)                         \
    {                                   \
        .type = VALUE_REAL, .real = (r) \
    }

static const struct value values[] = {
    INT(0),
    INT(1),
    INT(-1),
    INT(5),
    INT(9007199254740993),
    INT(9007199254740992),
    INT(INT64_MAX),
    INT(INT64_MIN),
    REAL(0.0),
    REAL(-0.0),
    REAL(1.0),
    REAL(0.1),
    REAL(5.0),
    REAL(9007199254740992.0),
    REAL(9.3e18),
    REAL(1e300),
    REAL(-1e300),
    TEXT("0"),
    TEXT("-0"),
    TEXT("1"),
    TEXT("01"),
    TEXT("1.0"),
    TEXT(" 1"),
    TEXT("1 "),
    TEXT("\t1.0\n"),
    TEXT("+1"),
    TEXT("1e0"),
    TEXT("10e-1"),
    TEXT("0.1"),
    TEXT(".1"),
    TEXT("1."),
    TEXT("1e"),
    TEXT("0x1"),
    TEXT("5"),
    TEXT("5.0"),
    TEXT("9007199254740993"),
    TEXT("9007199254740993.0"),
    TEXT("9223372036854775807"),
    TEXT("9223372036854775808"),
    TEXT("1e300"),
    TEXT("inf"),
    TEXT("nan"),
    TEXT(""),
    TEXT(" "),
    TEXT("a"),
    TEXT("A"),
    TEXT("a "),
    TEXT("A  "),
    TEXT("a\t"),
    TEXT("ab"),
    TEXT("aB"),
    TEXT("\xc3\xa4"),
    TEXT("\xc3\x84"),
    TEXT("1a"),
    TEXT("1 a"),
    TEXT("-"),
    TEXT("."),
    TEXT("+.e1"),
    TEXT("0.10000000000000000000001"),
    {.type = VALUE_BLOB, .len = 1, .bytes = "a"},
    {.type = VALUE_BLOB, .len = 1, .bytes = "1"},
    {.type = VALUE_NULL},
};
#define VALUES (sizeof values / sizeof *values)

static const char *const declared[] = {"BLOB", "TEXT", "NUMERIC", "INTEGER", "REAL"}; /* as enum affinity */
static const char *const collations[] = {"BINARY", "NOCASE", "RTRIM"};

static void bind(sqlite3_stmt *statement, int at, const struct value *value)
{
    if (value->type == VALUE_INTEGER)
        sqlite3_bind_int64(statement, at, value->integer);
    else if (value->type == VALUE_REAL)
        sqlite3_bind_double(statement, at, value->real);
    else if (value->type == VALUE_TEXT)
        sqlite3_bind_text(statement, at, value->bytes, (int)value->len, SQLITE_STATIC);
    else if (value->type == VALUE_BLOB)
        sqlite3_bind_blob(statement, at, value->bytes, (int)value->len, SQLITE_STATIC);
}

static uint64_t hash_of(const struct value *value)
{
    return key_add(key_start(7), value).bits;
}

static void what_sqlite_holds_equal_has_the_same_lock_key(void **state)
{
    (void)state;
    unsigned equal = 0;
    for (unsigned a = 0; a < 5; a++)
        for (unsigned c = 0; c < 3; c++) {
            sqlite3 *db;
            char sql[200];
            sqlite3_stmt *insert, *find;
            assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
            snprintf(sql, sizeof sql, "CREATE TABLE t (n, k %s COLLATE %s)", declared[a], collations[c]);
            assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
            assert_int_equal(sqlite3_prepare_v2(db, "INSERT INTO t VALUES (?,?)", -1, &insert, NULL), SQLITE_OK);
            for (size_t i = 0; i < VALUES; i++) {
                sqlite3_bind_int64(insert, 1, (sqlite3_int64)i);
                sqlite3_bind_null(insert, 2);
                bind(insert, 2, &values[i]);
                assert_int_equal(sqlite3_step(insert), SQLITE_DONE);
                sqlite3_reset(insert);
            }
            assert_int_equal(sqlite3_prepare_v2(db, "SELECT n FROM t WHERE k = ?", -1, &find, NULL), SQLITE_OK);
            for (size_t i = 0; i < VALUES; i++) {
                sqlite3_clear_bindings(find);
                bind(find, 1, &values[i]);
                while (sqlite3_step(find) == SQLITE_ROW) {
                    size_t other = (size_t)sqlite3_column_int64(find, 0);
                    equal += other != i;
                    if (hash_of(&values[i]) != hash_of(&values[other]))
                        fail_msg("%s %s: values %zu and %zu are equal to SQLite and have different lock keys",
                                 declared[a], collations[c], i, other);
                }
                sqlite3_reset(find);
            }
            sqlite3_finalize(insert);
            sqlite3_finalize(find);
            sqlite3_close(db);
        }
    assert_true(equal > 200); /* else it asked nothing */
}

static void different_keys_mostly_differ(void **state)
{
    (void)state;
    for (int64_t i = 0; i < 100000; i++) {
        struct value a = value_integer(i), b = value_integer(i + 1);
        assert_true(hash_of(&a) != hash_of(&b));
    }
    struct value a = value_integer(1);
    assert_true(key_add(key_start(1), &a).bits != key_add(key_start(2), &a).bits);
    struct value x = value_text("x", 1), y = value_text("y", 1);
    assert_true(key_add(key_add(key_start(1), &x), &y).bits != key_add(key_add(key_start(1), &y), &x).bits);
}

static void affinity_is_what_sqlite_stores(void **state)
{
    (void)state;
    struct error error;
    struct affinity_scratch *scratch = affinity_open(&error);
    assert_non_null(scratch);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    for (unsigned a = 0; a < 5; a++) {
        char sql[200];
        sqlite3_stmt *store, *look;
        snprintf(sql, sizeof sql, "CREATE TABLE t%u (k %s)", a, declared[a]);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        snprintf(sql, sizeof sql, "INSERT OR REPLACE INTO t%u (rowid, k) VALUES (1, ?)", a);
        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &store, NULL), SQLITE_OK);
        snprintf(sql, sizeof sql, "SELECT k FROM t%u", a);
        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &look, NULL), SQLITE_OK);
        for (size_t i = 0; i < VALUES; i++) {
            struct value found, stored = value_null();
            sqlite3_clear_bindings(store);
            bind(store, 1, &values[i]);
            assert_int_equal(sqlite3_step(store), SQLITE_DONE);
            assert_int_equal(sqlite3_step(look), SQLITE_ROW);
            switch (sqlite3_column_type(look, 0)) {
            case SQLITE_INTEGER:
                stored = value_integer(sqlite3_column_int64(look, 0));
                break;
            case SQLITE_FLOAT:
                stored = value_real(sqlite3_column_double(look, 0));
                break;
            case SQLITE_TEXT:
                stored = value_text((const char *)sqlite3_column_text(look, 0), (size_t)sqlite3_column_bytes(look, 0));
                break;
            case SQLITE_BLOB:
                stored = value_blob(sqlite3_column_blob(look, 0), (size_t)sqlite3_column_bytes(look, 0));
                break;
            default:
                break;
            }
            assert_true(affinity_apply(scratch, (enum affinity)a, &values[i], &found, &error));
            if (!value_same(&found, &stored))
                fail_msg("%s: value %zu is stored otherwise", declared[a], i);
            sqlite3_reset(store);
            sqlite3_reset(look);
        }
        sqlite3_finalize(store);
        sqlite3_finalize(look);
    }
    sqlite3_close(db);
    affinity_close(scratch);
}

static void a_rowid_is_what_reads_as_an_integer(void **state)
{
    (void)state;
    struct error error;
    struct affinity_scratch *scratch = affinity_open(&error);
    const struct value yes[] = {INT(5), REAL(5.0), TEXT("5"), TEXT(" 5.0 "), TEXT("+5"), TEXT("50e-1")};
    const struct value no[] = {
        REAL(5.5),  TEXT("5x"),          TEXT(""), TEXT("x"), {.type = VALUE_BLOB, .len = 1, .bytes = "5"},
        REAL(1e30), {.type = VALUE_NULL}};
    int64_t rowid;
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        assert_true(affinity_as_rowid(scratch, &yes[i], &rowid));
        assert_int_equal(rowid, 5);
    }
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        assert_false(affinity_as_rowid(scratch, &no[i], &rowid));
    affinity_close(scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_sqlite_holds_equal_has_the_same_lock_key),
        cmocka_unit_test(different_keys_mostly_differ),
        cmocka_unit_test(affinity_is_what_sqlite_stores),
        cmocka_unit_test(a_rowid_is_what_reads_as_an_integer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
