/* SPDX-License-Identifier: Apache-2.0 */
#include "trust.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static sqlite3 *connection;

static int open_trusted(void **state)
{
    (void)state;
    return sqlite3_open(":memory:", &connection) != SQLITE_OK || !trust_functions(connection);
}

static int close_it(void **state)
{
    (void)state;
    return sqlite3_close(connection);
}

static int run(const char *sql)
{
    int code = sqlite3_exec(connection, sql, NULL, NULL, NULL);
    if (code != SQLITE_OK)
        print_message("%s: %s\n", sql, sqlite3_errmsg(connection));
    return code;
}

static void json_works_in_every_place(void **state)
{
    (void)state;
    assert_int_equal(run("CREATE TABLE t (v CHECK (json_valid(v)), w AS (v ->> 'a'), x DEFAULT (json_array(1)));"
                         "CREATE INDEX i ON t (json_extract(v, '$.a'));"
                         "CREATE VIEW q AS SELECT json_group_array(w) FROM t;"
                         "CREATE TRIGGER g BEFORE INSERT ON t WHEN json_type(NEW.v) = 'array'"
                         " BEGIN SELECT RAISE(ABORT, 'no'); END;"
                         "INSERT INTO t (v) VALUES ('{\"a\":1}')"),
                     SQLITE_OK);
    assert_int_not_equal(run("INSERT INTO t (v) VALUES ('{')"), SQLITE_OK);
    assert_int_equal(run("INSERT INTO t (v) VALUES ('[]')"), SQLITE_CONSTRAINT);
}

static void no_function_is_left_that_reaches_memory_or_modules(void **state)
{
    (void)state;
    static const char *const names[] = {
        "fts3_tokenizer('simple')", "rtreenode(2, x'00')", "rtreedepth(x'00')", "matchinfo(1)", "fts5(1)",
        "load_extension('x')"};
    char sql[100];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        sqlite3_snprintf(sizeof sql, sql, "SELECT %s", names[i]);
        assert_int_equal(run(sql), SQLITE_ERROR);
    }
}

/* What a program adds of its own is taken for unsafe unless it says otherwise. */
static void answer(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count;
    (void)values;
    sqlite3_result_int(context, 1);
}

static void only_what_says_so_is_safe(void **state)
{
    (void)state;
    assert_int_equal(sqlite3_create_function(connection, "mine", 0, SQLITE_UTF8, NULL, answer, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_create_function(connection, "safe", 0,
                                             SQLITE_UTF8 | SQLITE_INNOCUOUS | SQLITE_DETERMINISTIC, NULL, answer, NULL,
                                             NULL),
                     SQLITE_OK);
    assert_true(trust_functions(connection));
    assert_int_equal(run("SELECT mine()"), SQLITE_ERROR);
    assert_int_equal(run("CREATE TABLE t (v CHECK (safe())); INSERT INTO t VALUES (1)"), SQLITE_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(json_works_in_every_place, open_trusted, close_it),
        cmocka_unit_test_setup_teardown(no_function_is_left_that_reaches_memory_or_modules, open_trusted, close_it),
        cmocka_unit_test_setup_teardown(only_what_says_so_is_safe, open_trusted, close_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
