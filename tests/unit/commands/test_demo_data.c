/* SPDX-License-Identifier: Apache-2.0 */
/* The demo's plan against one SQLite database with the shop's own DDL. */
#include "demo_data.h"

#include "insert.h"
#include "row.h"
#include "schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct shop {
    struct schema *schema;
    sqlite3 *connection;
    struct insert *insert;
};

static void shop_open(struct shop *shop)
{
    struct error error;

    shop->schema = schema_load(schema_shop, strlen(schema_shop), "shop", NULL, &error);
    assert_non_null(shop->schema);
    assert_int_equal(sqlite3_open(":memory:", &shop->connection), SQLITE_OK);
    assert_int_equal(sqlite3_exec(shop->connection, schema_shop, NULL, NULL, NULL), SQLITE_OK);
    shop->insert = insert_new(shop->connection, shop->schema, &error);
    assert_non_null(shop->insert);
}

static void shop_close(struct shop *shop)
{
    insert_free(shop->insert);
    sqlite3_close(shop->connection);
    schema_free(shop->schema);
}

static int orphans(void *context, int count, char **values, char **names)
{
    (void)count;
    (void)values;
    (void)names;
    ++*(int *)context;
    return 0;
}

/* What the shop answers to one row; a row without its parents is taken out again. */
static enum error_code verdict_of(struct shop *shop, const struct demo_row *row, enum insert_result *ret_result)
{
    table_id table = schema_find_table(shop->schema, row->table, strlen(row->table));
    struct buffer bytes = {0};
    struct error error = {0};
    int64_t rowid;
    int missing = 0;

    assert_true(table != SCHEMA_NONE);
    assert_int_equal(shop->schema->tables[table].column_count, row->column_count);
    assert_true(row_write(&shop->schema->tables[table], row->values, &bytes));
    assert_int_equal(sqlite3_exec(shop->connection, "SAVEPOINT s", NULL, NULL, NULL), SQLITE_OK);
    *ret_result = insert_row(shop->insert, table, bytes.bytes, bytes.len, true, &rowid, &error);
    assert_int_not_equal(*ret_result, INSERT_FAILED);
    if (*ret_result == INSERT_DONE)
        sqlite3_exec(shop->connection, "PRAGMA foreign_key_check", orphans, &missing, NULL);
    sqlite3_exec(shop->connection, missing ? "ROLLBACK TO s; RELEASE s" : "RELEASE s", NULL, NULL, NULL);
    buffer_release(&bytes);
    return missing ? ERROR_REFERENCE_MISSING : *ret_result == INSERT_REFUSED ? error.code : ERROR_NONE;
}

static void every_row_gets_the_verdict_that_is_planned_for_it(void **state)
{
    struct shop shop;

    (void)state;
    shop_open(&shop);
    for (int round = 0; round < 2; round++)
        for (unsigned i = 0; i < demo_row_count; i++) {
            enum insert_result result;
            enum error_code verdict = verdict_of(&shop, &demo_rows[i], &result);

            if (verdict != demo_rows[i].expected)
                print_message("row %u: %s, but %s\n", i + 1, error_code_name(demo_rows[i].expected),
                              error_code_name(verdict));
            assert_int_equal(verdict, demo_rows[i].expected);
            if (verdict == ERROR_NONE)
                assert_int_equal(result, round ? INSERT_SAME : INSERT_DONE);
        }
    shop_close(&shop);
}

static void every_kind_of_refusal_of_the_shop_occurs(void **state)
{
    static const enum error_code kinds[] = {ERROR_NONE, ERROR_UNIQUE,   ERROR_CHECK,
                                            ERROR_TYPE, ERROR_NOT_NULL, ERROR_REFERENCE_MISSING};

    (void)state;
    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
        bool found = false;

        for (unsigned i = 0; i < demo_row_count; i++)
            found |= demo_rows[i].expected == kinds[kind];
        assert_true(found);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_gets_the_verdict_that_is_planned_for_it),
        cmocka_unit_test(every_kind_of_refusal_of_the_shop_occurs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
