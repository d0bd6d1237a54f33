/* SPDX-License-Identifier: Apache-2.0 */
#include "columns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Adds the names (divided by spaces) and closes; the text of the error, or "fine". */
static void expect(const char *ddl, const char *names, enum error_code code, const char *expected)
{
    struct error error = {0};
    struct schema *schema = schema_load(ddl, strlen(ddl), "test", NULL, &error);
    struct columns columns;
    bool fine = true;

    if (!schema)
        fail_msg("%s", error.text);
    assert_true(columns_init(&columns, &schema->tables[0]));
    while (fine && *names) {
        size_t len = strcspn(names, " ");
        fine = columns_add(&columns, names, len, &error);
        names += len + (names[len] == ' ');
    }
    fine = fine && columns_close(&columns, &error);
    assert_string_equal(fine ? "fine" : error.text, expected);
    assert_int_equal(fine ? ERROR_NONE : error.code, code);
    if (!fine)
        assert_string_equal(error.table, schema->tables[0].name);
    columns_release(&columns);
    schema_free(schema);
}

static void names_match_without_case_in_any_order(void **state)
{
    const char *ddl = "CREATE TABLE t(id INTEGER PRIMARY KEY, First TEXT, last TEXT);";
    struct error error = {0};
    struct schema *schema = schema_load(ddl, strlen(ddl), "test", NULL, &error);
    struct columns columns;

    (void)state;
    assert_non_null(schema);
    assert_true(columns_init(&columns, &schema->tables[0]));
    assert_true(columns_add(&columns, "LAST", 4, &error));
    assert_true(columns_add(&columns, "first", 5, &error));
    assert_int_equal(columns.count, 2);
    assert_int_equal(columns.field_of[0], SCHEMA_NONE);
    assert_int_equal(columns.field_of[1], 1);
    assert_int_equal(columns.field_of[2], 0);
    columns_release(&columns);
    schema_free(schema);
}

static void an_unknown_column_is_refused(void **state)
{
    (void)state;
    expect("CREATE TABLE t(a);", "a b", ERROR_UNKNOWN_COLUMN, "table t has no column \"b\"");
    expect("CREATE TABLE t(a);", "a aa", ERROR_UNKNOWN_COLUMN, "table t has no column \"aa\"");
}

static void a_column_named_twice_is_refused(void **state)
{
    (void)state;
    expect("CREATE TABLE t(a, b);", "a b A", ERROR_PARSE, "column a is named twice");
}

static void a_generated_column_is_refused(void **state)
{
    (void)state;
    expect("CREATE TABLE t(a, v AS (a), s AS (a) STORED);", "a v", ERROR_PARSE,
           "column v of table t is generated: it takes no value");
    expect("CREATE TABLE t(a, v AS (a), s AS (a) STORED);", "a s", ERROR_PARSE,
           "column s of table t is generated: it takes no value");
}

static void the_key_may_be_missing_when_it_is_the_rowid_or_has_a_default(void **state)
{
    (void)state;
    expect("CREATE TABLE t(id INTEGER PRIMARY KEY, a);", "a", ERROR_NONE, "fine");
    expect("CREATE TABLE t(a, b);", "a", ERROR_NONE, "fine");
    expect("CREATE TABLE t(k TEXT PRIMARY KEY DEFAULT 'x', a);", "a", ERROR_NONE, "fine");
    expect("CREATE TABLE t(k TEXT PRIMARY KEY, a);", "k", ERROR_NONE, "fine");
    expect("CREATE TABLE t(k TEXT PRIMARY KEY, a);", "a", ERROR_PARSE,
           "column k is not named: it is part of the key of table t and has no DEFAULT");
    expect("CREATE TABLE t(id INTEGER PRIMARY KEY, a) WITHOUT ROWID;", "a", ERROR_PARSE,
           "column id is not named: it is part of the key of table t and has no DEFAULT");
    expect("CREATE TABLE t(k TEXT, l INTEGER DEFAULT 1, a, PRIMARY KEY(l, k));", "k", ERROR_NONE, "fine");
    expect("CREATE TABLE t(k TEXT, l INTEGER DEFAULT 1, a, PRIMARY KEY(l, k));", "l", ERROR_PARSE,
           "column k is not named: it is part of the key of table t and has no DEFAULT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_match_without_case_in_any_order),
        cmocka_unit_test(an_unknown_column_is_refused),
        cmocka_unit_test(a_column_named_twice_is_refused),
        cmocka_unit_test(a_generated_column_is_refused),
        cmocka_unit_test(the_key_may_be_missing_when_it_is_the_rowid_or_has_a_default),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
