/* SPDX-License-Identifier: Apache-2.0 */
#include "input.h"
#include "limits.h"
#include "row.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char ddl[] = "CREATE TABLE plain(id INTEGER PRIMARY KEY, name TEXT, b BLOB);"
                          "CREATE TABLE odd(\"Table\" TEXT, x INTEGER);";

static struct schema *schema;

static int load_schema(void **state)
{
    struct error error;

    (void)state;
    schema = schema_load(ddl, strlen(ddl), "test", NULL, &error);
    return schema ? 0 : -1;
}

static int free_schema(void **state)
{
    (void)state;
    schema_free(schema);
    return 0;
}

static void expect_row(const char *line, const char *table, const char *expected)
{
    struct buffer rows = {0}, text = {0};
    struct error error = {0};
    struct value values[8];
    table_id id = SCHEMA_NONE;

    assert_true(buffer_put_text(&rows, "before"));
    if (!input_json_line(schema, line, strlen(line), &id, &rows, &error))
        fail_msg("%s", error.text);
    assert_string_equal(schema->tables[id].name, table);
    assert_memory_equal(rows.bytes, "before", 6);
    assert_true(row_read(&schema->tables[id], rows.bytes + 6, rows.len - 6, values, &error));
    for (uint16_t i = 0; i < schema->tables[id].column_count; i++) {
        assert_true(buffer_put_text(&text, i ? "|" : ""));
        assert_true(values[i].type == VALUE_ABSENT ? buffer_put_text(&text, "-") : value_describe(&values[i], &text));
    }
    assert_true(buffer_put(&text, "", 1));
    assert_string_equal((char *)text.bytes, expected);
    buffer_release(&rows);
    buffer_release(&text);
}

static void expect_refused(const char *line, enum error_code code, const char *table, const char *text)
{
    struct buffer rows = {0};
    struct error error = {0};
    table_id id;

    assert_true(buffer_put_text(&rows, "before"));
    assert_false(input_json_line(schema, line, strlen(line), &id, &rows, &error));
    assert_int_equal(rows.len, 6);
    assert_string_equal(error_code_name(error.code), error_code_name(code));
    assert_string_equal(error.table, table);
    if (strncmp(error.text, text, strlen(text)) != 0)
        assert_string_equal(error.text, text);
    buffer_release(&rows);
}

static void a_line_names_its_table_and_gives_a_row(void **state)
{
    (void)state;
    expect_row("{\"table\":\"PLAIN\",\"name\":\"a\",\"ID\":5}", "plain", "5|'a'|-");
    expect_row("{\"b\":{\"hex\":\"0aff\"},\"name\":null,\"table\":\"plain\"}", "plain", "-|NULL|x'0aff'");
}

static void a_column_called_table_is_written_with_an_equal_sign(void **state)
{
    (void)state;
    expect_row("{\"table\":\"odd\",\"=table\":\"v\",\"x\":1}", "odd", "'v'|1");
    expect_row("{\"table\":\"odd\",\"=TABLE\":\"v\"}", "odd", "'v'|-");
    expect_refused("{\"table\":\"plain\",\"=table\":\"v\"}", ERROR_UNKNOWN_COLUMN, "plain",
                   "table plain has no column \"table\"");
    expect_refused("{\"table\":\"plain\",\"=name\":\"v\"}", ERROR_UNKNOWN_COLUMN, "plain",
                   "table plain has no column \"=name\"");
}

static void a_line_that_names_no_table_is_refused(void **state)
{
    (void)state;
    expect_refused("{\"id\":1}", ERROR_PARSE, "", "the record has no \"table\"");
    expect_refused("{\"table\":1}", ERROR_PARSE, "", "\"table\" is a table's name, a string");
    expect_refused("{\"table\":\"x\"}", ERROR_UNKNOWN_TABLE, "", "there is no table \"x\" in the schema");
    expect_refused("[]", ERROR_PARSE, "", "a record is a JSON object");
    expect_refused("", ERROR_PARSE, "", "JSON, byte 0");
    expect_refused("{\"table\":\"plain\",\"name\":\"a\\u0000\"}", ERROR_PARSE, "",
                   "JSON, byte 33: U+0000 is in the text");
    expect_refused("{\"table\":\"plain\",\"na\\u0000me\":1}", ERROR_PARSE, "", "JSON, byte 29: U+0000 is in the text");
    expect_refused("{\"table\":\"plain\",\"table\":\"odd\"}", ERROR_PARSE, "", "JSON, byte 24: duplicate object key");
}

static void wrong_columns_and_values_are_refused_with_the_table(void **state)
{
    (void)state;
    expect_refused("{\"table\":\"plain\",\"nome\":1}", ERROR_UNKNOWN_COLUMN, "plain",
                   "table plain has no column \"nome\"");
    expect_refused("{\"table\":\"plain\",\"id\":true}", ERROR_PARSE, "plain", "column id: a boolean is not a value");
    expect_refused("{\"table\":\"plain\",\"b\":{\"hex\":\"x\"}}", ERROR_TYPE, "plain", "column b: a blob is");
}

static void a_long_line_is_too_large(void **state)
{
    char *line = malloc(LIMIT_ROW_BYTES_MAX + 2);

    (void)state;
    assert_non_null(line);
    memset(line, ' ', LIMIT_ROW_BYTES_MAX + 1);
    line[LIMIT_ROW_BYTES_MAX + 1] = '\0';
    expect_refused(line, ERROR_TOO_LARGE, "", "the record is longer than 1048576 bytes");
    free(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_names_its_table_and_gives_a_row),
        cmocka_unit_test(a_column_called_table_is_written_with_an_equal_sign),
        cmocka_unit_test(a_line_that_names_no_table_is_refused),
        cmocka_unit_test(wrong_columns_and_values_are_refused_with_the_table),
        cmocka_unit_test(a_long_line_is_too_large),
    };

    return cmocka_run_group_tests(tests, load_schema, free_schema);
}
