/* SPDX-License-Identifier: Apache-2.0 */
#include "json_out.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void gives(struct value value, const char *text)
{
    struct buffer out = {0};

    assert_true(json_out_value(&out, &value));
    assert_int_equal(out.len, strlen(text));
    assert_memory_equal(out.bytes, text, out.len);
    buffer_release(&out);
}

static void values_keep_all_that_they_are(void **state)
{
    (void)state;
    gives(value_null(), "null");
    gives(value_integer(INT64_MIN), "-9223372036854775808");
    gives(value_integer(9007199254740993), "9007199254740993");
    gives(value_real(1), "1.0");
    gives(value_real(0.1), "0.1");
    gives(value_real(0.1 + 0.2), "0.30000000000000004");
    gives(value_real(1e300), "1e+300");
    gives(value_real(-INFINITY), "-1e999");
    gives(value_text("a\"\n\xc3\xa9", 5), "\"a\\\"\\n\xc3\xa9\"");
    gives(value_blob("\x00\xff", 2), "{\"hex\":\"00ff\"}");
    gives(value_blob("", 0), "{\"hex\":\"\"}");
}

static void a_row_is_its_columns_that_are_there(void **state)
{
    (void)state;
    struct schema_column columns[] = {{.name = "a"}, {.name = "b"}, {.name = "c"}};
    const struct schema_table table = {.name = "t", .column_count = 3, .columns = columns};
    struct value values[] = {value_absent(), value_integer(1), value_null()};
    struct buffer out = {0};

    assert_true(json_out_row(&out, &table, values) && buffer_put(&out, "", 1));
    assert_string_equal(out.bytes, "{\"b\":1,\"c\":null}");
    buffer_clear(&out);
    values[1] = values[2] = value_absent();
    assert_true(json_out_row(&out, &table, values) && buffer_put(&out, "", 1));
    assert_string_equal(out.bytes, "{}");
    buffer_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_keep_all_that_they_are),
        cmocka_unit_test(a_row_is_its_columns_that_are_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
