/* SPDX-License-Identifier: Apache-2.0 */
#include "work.h"

#include "cursor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char ddl[] = "CREATE TABLE t (id INTEGER PRIMARY KEY, a);"
                          "CREATE TABLE pair (b TEXT, a INTEGER, v, PRIMARY KEY (a, b));"
                          "CREATE TABLE loose (v);";
static struct schema *schema;
static struct work *work;

static int begin(void **state)
{
    struct error error;

    (void)state;
    schema = schema_load(ddl, strlen(ddl), "ddl", NULL, &error);
    work = schema ? work_new(schema, WORK_MANY, 4) : NULL;
    return work ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    work_free(work);
    schema_free(schema);
    return 0;
}

static const struct schema_table *table(const char *name)
{
    return &schema->tables[schema_find_table(schema, name, strlen(name))];
}

static struct json_member member(const char *text)
{
    return (struct json_member){.value = text, .len = strlen(text)};
}

static json_t *object(const char *text)
{
    struct error error;
    json_t *read = json_row_parse(text, strlen(text), &error);

    assert_non_null(read);
    return read;
}

static void what_is_json_but_no_row_is_refused_by_itself(void **state)
{
    (void)state;
    const char *const alone[] = {"5",
                                 "null",
                                 "[1]",
                                 "\"x\"",
                                 "{\"a\":1,\"a\":2}",
                                 "{\"a\":\"\\u0000\"}",
                                 " true ",
                                 "1e999",
                                 "{\"a\":1e999}",
                                 "{\"a\":9223372036854775808}"};
    const char *const all[] = {"",         " ",       "{",        "{\"a\":}",           "{} {}",
                               "nonsense", "{'a':1}", "\"\xff\"", "{\"a\":\"\\ud800\"}"};

    for (size_t i = 0; i < sizeof alone / sizeof *alone; i++) {
        struct error why = {0}, error = {0};
        struct json_member one = member(alone[i]);

        assert_null(work_object(&one, &why, &error));
        if (error.code != ERROR_NONE)
            fail_msg("%s: %s", alone[i], error.text);
        assert_int_equal(why.code, ERROR_PARSE);
    }
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct error why = {0}, error = {0};
        struct json_member one = member(all[i]);

        assert_null(work_object(&one, &why, &error));
        if (error.code != ERROR_PARSE)
            fail_msg("%s is taken for JSON", all[i]);
    }
}

static void a_row_at_its_limit_is_taken_and_one_beyond_it_too_large(void **state)
{
    (void)state;
    struct error why = {0}, error = {0};
    char *text = malloc(LIMIT_ROW_BYTES_MAX + 2);

    assert_non_null(text);
    memset(text, ' ', LIMIT_ROW_BYTES_MAX + 1);
    text[0] = '{';
    text[LIMIT_ROW_BYTES_MAX - 1] = '}';
    text[LIMIT_ROW_BYTES_MAX] = '\0';
    struct json_member just = member(text);
    json_t *read = work_object(&just, &why, &error);
    assert_non_null(read);
    json_decref(read);
    text[LIMIT_ROW_BYTES_MAX - 1] = ' ';
    text[LIMIT_ROW_BYTES_MAX] = '}';
    text[LIMIT_ROW_BYTES_MAX + 1] = '\0';
    struct json_member beyond = member(text);
    assert_null(work_object(&beyond, &why, &error));
    assert_int_equal(why.code, ERROR_TOO_LARGE);
    assert_int_equal(error.code, ERROR_NONE);
    free(text);
}

static void results_and_operations_keep_their_order(void **state)
{
    (void)state;
    struct error error = {0};

    error_set(&error, ERROR_PARSE, "no");
    work_add(work, &(struct op){.kind = OP_DELETE});
    assert_true(work_refuse(work, &error));
    work_add(work, &(struct op){.kind = OP_UPDATE});
    assert_int_equal(work->count, 3);
    assert_int_equal(work->submission->count, 2);
    assert_null(work->refused[0]);
    assert_int_equal(work->refused[1]->code, ERROR_PARSE);
    assert_null(work->refused[2]);
    assert_int_equal(work->submission->ops[1].kind, OP_UPDATE);
    assert_int_equal(work->submission->ops[1].position, 2);
    assert_false(work->submission->atomic);
}

static void only_an_atomic_one_is_atomic(void **state)
{
    (void)state;
    struct work *atomic = work_new(schema, WORK_ATOMIC, 0), *one = work_new(schema, WORK_ONE, 1);

    assert_true(atomic->submission->atomic);
    assert_false(one->submission->atomic);
    work_free(atomic);
    work_free(one);
    work_free(NULL);
}

static void a_row_and_a_key_stand_one_after_the_other(void **state)
{
    (void)state;
    struct error error = {0};
    struct op op = {0};
    json_t *row = object("{\"a\":\"x\"}"), *key = object("{\"id\":5}");

    assert_true(work_key(work, table("t"), key, &op, &error));
    assert_int_equal(op.key.at, 0);
    assert_true(work_row(work, table("t"), row, &op, &error));
    assert_int_equal(op.row_at, op.key.len);
    assert_int_equal(op.row_at + op.row_len, work->submission->rows.len);
    json_decref(row);
    json_decref(key);
}

static void a_key_is_in_its_own_order_whatever_the_object_s(void **state)
{
    (void)state;
    struct error error = {0};
    struct op by_object = {0}, by_path = {0};
    json_t *key = object("{\"b\":\"x\",\"A\":7}");
    const uint8_t *bytes;

    assert_true(work_key(work, table("pair"), key, &by_object, &error));
    assert_true(work_path_key(work, table("pair"), "7,x", 3, &by_path, &error));
    bytes = work->submission->rows.bytes;
    assert_int_equal(by_object.key.len, by_path.key.len);
    assert_memory_equal(bytes + by_object.key.at, bytes + by_path.key.at, by_path.key.len);
    json_decref(key);
}

static void a_table_without_a_key_takes_a_rowid(void **state)
{
    (void)state;
    struct error error = {0};
    struct op op = {0};
    json_t *key = object("{\"rowid\":-3}");
    struct value value;
    uint32_t count;

    assert_true(work_key(work, table("loose"), key, &op, &error));
    struct cursor cursor = cursor_over(work->submission->rows.bytes + op.key.at, op.key.len);
    assert_true(cursor_array(&cursor, &count) && count == 1 && cursor_value(&cursor, &value));
    assert_int_equal(value.integer, -3);
    json_decref(key);
}

static void what_is_wrong_leaves_the_bytes_as_they_were(void **state)
{
    (void)state;
    const struct {
        const char *table, *key;
        enum error_code code;
    } wrong[] = {{"t", "{}", ERROR_PARSE},
                 {"t", "{\"a\":1}", ERROR_PARSE},
                 {"t", "{\"id\":1,\"a\":1}", ERROR_PARSE},
                 {"t", "{\"x\":1}", ERROR_UNKNOWN_COLUMN},
                 {"pair", "{\"a\":1}", ERROR_PARSE},
                 {"pair", "{\"a\":1,\"v\":1}", ERROR_PARSE},
                 {"loose", "{\"v\":1}", ERROR_PARSE},
                 {"loose", "{\"rowid\":\"1\"}", ERROR_PARSE},
                 {"loose", "{\"rowid\":1,\"v\":1}", ERROR_PARSE}};

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct error error = {0};
        struct op op = {0};
        json_t *key = object(wrong[i].key);

        assert_false(work_key(work, table(wrong[i].table), key, &op, &error));
        assert_int_equal(error.code, wrong[i].code);
        assert_string_equal(error.table, wrong[i].table);
        assert_int_equal(work->submission->rows.len, 0);
        json_decref(key);
    }
    struct error error = {0};
    struct op op = {0};
    json_t *row = object("{\"id\":1,\"a\":true}");
    assert_false(work_row(work, table("t"), row, &op, &error));
    assert_int_equal(work->submission->rows.len, 0);
    assert_false(work_path_key(work, table("pair"), "7", 1, &op, &error));
    assert_int_equal(work->submission->rows.len, 0);
    json_decref(row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_json_but_no_row_is_refused_by_itself, begin, end),
        cmocka_unit_test_setup_teardown(a_row_at_its_limit_is_taken_and_one_beyond_it_too_large, begin, end),
        cmocka_unit_test_setup_teardown(results_and_operations_keep_their_order, begin, end),
        cmocka_unit_test_setup_teardown(only_an_atomic_one_is_atomic, begin, end),
        cmocka_unit_test_setup_teardown(a_row_and_a_key_stand_one_after_the_other, begin, end),
        cmocka_unit_test_setup_teardown(a_key_is_in_its_own_order_whatever_the_object_s, begin, end),
        cmocka_unit_test_setup_teardown(a_table_without_a_key_takes_a_rowid, begin, end),
        cmocka_unit_test_setup_teardown(what_is_wrong_leaves_the_bytes_as_they_were, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
