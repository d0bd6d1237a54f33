/* SPDX-License-Identifier: Apache-2.0 */
#include "pack.h"
#include "row.h"
#include "sql_name.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char ddl[] = "CREATE TABLE t (i INTEGER, r REAL, n NUMERIC, t TEXT, b BLOB);\n"
                          "CREATE TABLE \"a \"\"b\" (_rowid_, ROWID, x);\n"
                          "CREATE TABLE k (Key INTEGER PRIMARY KEY, _rowid_);\n"
                          "CREATE TABLE w (x PRIMARY KEY) WITHOUT ROWID;\n"
                          "CREATE TABLE all_three (rowid, oid, _rowid_);\n"
                          "CREATE TABLE two (a, b, c, PRIMARY KEY (c, a));\n";
static struct schema *schema;
static struct error error;

static void a_row_is_read_as_it_was_written(void **state)
{
    (void)state;
    const struct value values[5] = {value_integer(-5), value_real(0.1), value_null(), value_text("h\xc3\xa9", 3),
                                    value_absent()};
    struct value got[5];
    struct buffer bytes = {0};
    assert_true(row_write(&schema->tables[0], values, &bytes));
    assert_true(row_read(&schema->tables[0], bytes.bytes, bytes.len, got, &error));
    for (unsigned i = 0; i < 5; i++)
        assert_true(value_same(&values[i], &got[i]));
    buffer_release(&bytes);
}

static void what_was_filled_in_is_marked(void **state)
{
    (void)state;
    struct value values[5] = {value_integer(-5), value_real(0.1), value_null(), value_text("h", 1), value_absent()};
    struct value got[5];
    struct buffer bytes = {0};
    values[0].filled = values[2].filled = values[3].filled = true;
    assert_true(row_write(&schema->tables[0], values, &bytes));
    assert_true(row_read(&schema->tables[0], bytes.bytes, bytes.len, got, &error));
    for (unsigned i = 0; i < 5; i++) {
        assert_true(value_same(&values[i], &got[i]));
        assert_int_equal(values[i].filled, got[i].filled);
    }
    buffer_release(&bytes);
}

static void a_key_is_given_when_each_of_its_values_is(void **state)
{
    (void)state;
    struct value values[5] = {value_integer(1), value_absent(), value_text("", 0), value_null(), value_null()};
    assert_false(row_key_is_given(&schema->tables[0], values)); /* it has none */
    assert_true(row_key_is_given(&schema->tables[5], values));
    for (unsigned i = 0; i < 3; i += 2)
        for (unsigned how = 0; how < 3; how++) {
            const struct value was = values[i];
            values[i] = how == 0 ? value_absent() : how == 1 ? value_null() : was;
            values[i].filled = how == 2;
            assert_false(row_key_is_given(&schema->tables[5], values));
            values[i] = was;
        }
}

static void a_row_that_is_not_exactly_one_is_refused(void **state)
{
    (void)state;
    const struct value values[5] = {value_integer(300), value_real(0.1), value_null(), value_text("text", 4),
                                    value_blob("\0", 1)};
    struct value got[5];
    struct buffer bytes = {0};
    assert_true(row_write(&schema->tables[0], values, &bytes));
    for (size_t len = 0; len < bytes.len; len++) {
        uint8_t *copy = malloc(len ? len : 1);
        memcpy(copy, bytes.bytes, len);
        assert_false(row_read(&schema->tables[0], copy, len, got, &error));
        assert_int_equal(error.code, ERROR_PARSE);
        free(copy);
    }
    assert_true(buffer_put(&bytes, "\xc0", 1));
    assert_false(row_read(&schema->tables[0], bytes.bytes, bytes.len, got, &error));
    assert_false(row_read(&schema->tables[1], bytes.bytes, bytes.len - 1, got, &error)); /* of three columns */
    assert_false(row_read(&schema->tables[0], (const uint8_t *)"\x95\xc0\xc0\xc0\xc0\xc3", 6, got, &error)); /* true */
    assert_false(row_read(&schema->tables[0], (const uint8_t *)"\x95\xc0\xc0\xc0\xc0\x90", 6, got, &error));
    assert_false(row_read(&schema->tables[0], (const uint8_t *)"\x95\xc0\xc0\xc0\xc0\x91", 6, got, &error));
    assert_false(row_read(&schema->tables[0], (const uint8_t *)"\x95\xc0\xc0\xc0\xc0\x91\xc2", 7, got, &error));
    assert_false(row_read(&schema->tables[0], (const uint8_t *)"\x95\xc0\xc0\xc0\xc0\x91\x91\x01", 8, got, &error));
    buffer_release(&bytes);
}

/* A shortcut must store what the text itself would have stored: SQLite says what that is. */
static void the_shortcut_for_integers_stores_what_sqlite_would_store(void **state)
{
    (void)state;
    static const char *const texts[] = {"0",
                                        "-0",
                                        "00",
                                        "01",
                                        "1",
                                        "-1",
                                        "+1",
                                        " 1",
                                        "1 ",
                                        "1.0",
                                        "1e2",
                                        "",
                                        "-",
                                        "abc",
                                        "1a",
                                        "0x10",
                                        "12.5",
                                        "-01",
                                        "--1",
                                        "9",
                                        "123456789012345",
                                        "-123456789012345",
                                        "1234567890123456",
                                        "9223372036854775807",
                                        "9223372036854775808",
                                        "-9223372036854775808",
                                        "99999999999999999999"};
    sqlite3 *db;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "CREATE TABLE t (i INTEGER, r REAL, n NUMERIC, t TEXT, b BLOB)", NULL, NULL, NULL), SQLITE_OK);
    unsigned integers = 0;
    for (unsigned c = 0; c < 5; c++)
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
            struct value value = row_text_value(&schema->tables[0].columns[c], texts[i], strlen(texts[i]));
            char sql[200];
            snprintf(sql, sizeof sql, "INSERT INTO t (%s) VALUES (?1), (?2)", schema->tables[0].columns[c].name);
            sqlite3_stmt *both;
            assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &both, NULL), SQLITE_OK);
            sqlite3_bind_text(both, 1, texts[i], -1, SQLITE_STATIC);
            if (value.type == VALUE_INTEGER)
                sqlite3_bind_int64(both, 2, value.integer);
            else
                sqlite3_bind_text(both, 2, value.bytes, (int)value.len, SQLITE_STATIC);
            integers += value.type == VALUE_INTEGER;
            assert_int_equal(sqlite3_step(both), SQLITE_DONE);
            sqlite3_finalize(both);
            snprintf(sql, sizeof sql, "SELECT count(DISTINCT typeof(%1$s) || quote(%1$s)) FROM t",
                     schema->tables[0].columns[c].name);
            assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &both, NULL), SQLITE_OK);
            assert_int_equal(sqlite3_step(both), SQLITE_ROW);
            if (sqlite3_column_int(both, 0) != 1)
                fail_msg("'%s' in column %s", texts[i], schema->tables[0].columns[c].name);
            sqlite3_finalize(both);
            sqlite3_exec(db, "DELETE FROM t", NULL, NULL, NULL);
        }
    assert_int_equal(integers, 3 * 6); /* 0, 1, -1, 9 and the two of fifteen digits; never for text and blob */
    sqlite3_close(db);
}

static void a_name_is_quoted_whatever_it_holds(void **state)
{
    (void)state;
    struct buffer sql = {0};
    assert_true(sql_put_name(&sql, "a \"b\"") && sql_put_name(&sql, ""));
    assert_int_equal(sql.len, 11);
    assert_memory_equal(sql.bytes, "\"a \"\"b\"\"\"\"\"", 11);
    buffer_release(&sql);
}

static void a_rowid_has_a_name_that_is_no_column(void **state)
{
    (void)state;
    assert_string_equal(sql_rowid_name(&schema->tables[0]), "_rowid_");
    assert_string_equal(sql_rowid_name(&schema->tables[1]), "oid");
    assert_string_equal(sql_rowid_name(&schema->tables[2]), "Key");
    assert_null(sql_rowid_name(&schema->tables[3]));
    assert_null(sql_rowid_name(&schema->tables[4]));
}

/* ---- tags ---- */

static const char *tag_text(const void *row, size_t len)
{
    static char text[2 * ROW_TAG_BYTES + 1];
    struct row_tag tag = row_tag(row, len);
    for (unsigned i = 0; i < ROW_TAG_BYTES; i++)
        snprintf(text + 2 * i, 3, "%02x", tag.bytes[i]);
    return text;
}

/* They are told to programs, which keep them: these never change. */
static void a_tag_is_the_same_in_every_life(void **state)
{
    (void)state;
    assert_string_equal(tag_text("", 0), "4f33088c8b58a43d38b801008ee6ff20");
    assert_string_equal(tag_text("\x91\x01", 2), "1cc748ea39d6f9d95a181f403ee03fc4");
    assert_string_equal(tag_text("\x92\xa3"
                                 "Ann"
                                 "\x1e\xc0\xc0",
                                 8),
                        "a0c45757f73c376c0f18109e3973a0ab");
    assert_string_equal(tag_text("\x92\xb0"
                                 "a row of one and"
                                 "\xcb\x3f\xf0\0\0\0\0\0\0",
                                 27),
                        "2fee99bd9237099c72651cc3be6540c4");
}

static unsigned bits(uint64_t word)
{
    unsigned count = 0;
    for (; word; word &= word - 1)
        count++;
    return count;
}

/* Of every bit that differs, each lane tells, about half of its bits turning. */
static void each_bit_of_a_row_turns_half_of_both_lanes(void **state)
{
    (void)state;
    unsigned turned[2] = {0, 0}, trials = 0;
    for (size_t len = 1; len <= 40; len++) {
        uint8_t row[40];
        for (size_t i = 0; i < len; i++)
            row[i] = (uint8_t)(i * len);
        struct row_tag was = row_tag(row, len);
        for (size_t bit = 0; bit < 8 * len; bit++, trials++) {
            row[bit / 8] ^= (uint8_t)(1u << bit % 8);
            struct row_tag is = row_tag(row, len);
            row[bit / 8] ^= (uint8_t)(1u << bit % 8);
            for (unsigned lane = 0; lane < 2; lane++) {
                uint64_t a, b;
                memcpy(&a, was.bytes + 8 * lane, 8);
                memcpy(&b, is.bytes + 8 * lane, 8);
                assert_in_range(bits(a ^ b), 8, 56);
                turned[lane] += bits(a ^ b);
            }
        }
    }
    assert_in_range(turned[0], 31 * trials, 33 * trials);
    assert_in_range(turned[1], 31 * trials, 33 * trials);
}

static int compare_words(const void *a, const void *b)
{
    return memcmp(a, b, 8);
}

static void keep_lanes(uint64_t *one, uint64_t *other, size_t at, const uint8_t *row, size_t len)
{
    struct row_tag tag = row_tag(row, len);
    memcpy(&one[at], tag.bytes, 8);
    memcpy(&other[at], tag.bytes + 8, 8);
}

/* Short rows, zeros of every length, words that change places: no lane of any two is the same. */
static void no_lane_of_two_rows_is_the_same(void **state)
{
    (void)state;
    enum { SHORT = 65536, ZEROS = 64, PAIRS = 256 };
    static uint64_t lanes[2][SHORT + ZEROS + PAIRS];
    static const uint8_t zeros[3 + ZEROS];
    size_t count = 0;
    for (unsigned i = 0; i < SHORT; i++)
        keep_lanes(lanes[0], lanes[1], count++, (const uint8_t[]){(uint8_t)i, (uint8_t)(i >> 8)}, 2);
    for (size_t len = 3; len < 3 + ZEROS; len++)
        keep_lanes(lanes[0], lanes[1], count++, zeros, len);
    for (uint8_t i = 1; i < 16; i++)
        for (uint8_t j = 0; j < 16; j++) {
            uint8_t row[16] = {i};
            row[8] = j;
            keep_lanes(lanes[0], lanes[1], count++, row, sizeof row);
        }
    for (unsigned lane = 0; lane < 2; lane++) {
        qsort(lanes[lane], count, 8, compare_words);
        for (size_t i = 1; i < count; i++)
            assert_true(lanes[lane][i - 1] != lanes[lane][i]);
    }
}

static int load_schema(void **state)
{
    (void)state;
    schema = schema_load(ddl, strlen(ddl), "ddl", NULL, &error);
    if (!schema)
        print_error("%s\n", error.text);
    return schema ? 0 : -1;
}

static int free_schema(void **state)
{
    (void)state;
    schema_free(schema);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_read_as_it_was_written),
        cmocka_unit_test(what_was_filled_in_is_marked),
        cmocka_unit_test(a_key_is_given_when_each_of_its_values_is),
        cmocka_unit_test(a_row_that_is_not_exactly_one_is_refused),
        cmocka_unit_test(the_shortcut_for_integers_stores_what_sqlite_would_store),
        cmocka_unit_test(a_name_is_quoted_whatever_it_holds),
        cmocka_unit_test(a_rowid_has_a_name_that_is_no_column),
        cmocka_unit_test(a_tag_is_the_same_in_every_life),
        cmocka_unit_test(each_bit_of_a_row_turns_half_of_both_lanes),
        cmocka_unit_test(no_lane_of_two_rows_is_the_same),
    };
    return cmocka_run_group_tests(tests, load_schema, free_schema);
}
