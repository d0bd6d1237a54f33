/* SPDX-License-Identifier: Apache-2.0 */
#include "feed.h"

#include "csv_split.h"
#include "record.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define CSV INPUT_FORMAT_CSV
#define MIB ((size_t)1048576)

static const char two[] = "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT);";
static const char three[] = "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT DEFAULT 'x', price REAL);";
static const char one[] = "CREATE TABLE t(name TEXT);";
static const char blob[] = "CREATE TABLE t(id INTEGER PRIMARY KEY, b BLOB);";

static void a_header_names_the_columns_in_any_order_without_case(void **state)
{
    (void)state;
    feed_text(three, CSV, "price,ID\n1.5,7\n2,8\n", "2: 7|-|'1.5'\n3: 8|-|2\n");
}

static void a_last_line_needs_no_line_feed(void **state)
{
    (void)state;
    feed_text(two, CSV, "id,name\n1,a", "2: 1|'a'\n");
    feed_text(two, CSV, "id,name\n1,", "2: 1|NULL\n");
    feed_text(two, CSV, "id,name\n1,\"a\"", "2: 1|'a'\n");
    feed_text(two, CSV, "id,name\n1,a\r", "2: 1|'a'\n");
    feed_text(two, CSV, "id,name\n1,\"a\"\r", "2: 1|'a'\n");
    feed_text(two, CSV, "id,name", "");
}

static void crlf_and_a_byte_order_mark_are_accepted(void **state)
{
    (void)state;
    feed_text(two, CSV,
              "\xef\xbb\xbf"
              "id,name\r\n1,a\r\n2,\"b\"\r\n3,\r\n4,\"\"\r\n",
              "2: 1|'a'\n3: 2|'b'\n4: 3|NULL\n5: 4|''\n");
    feed_text(two, CSV, "\xef\xbb\xbf\"id\",name\n1,a\n", "2: 1|'a'\n");
}

static void an_unquoted_empty_field_is_null_and_a_quoted_one_is_the_empty_string(void **state)
{
    (void)state;
    feed_text(two, CSV, "id,name\n1,\n2,\"\"\n,\n", "2: 1|NULL\n3: 2|''\n4: NULL|NULL\n");
}

static void quoted_fields_hold_delimiters_line_ends_and_doubled_quotes(void **state)
{
    (void)state;
    feed_text(two, CSV, "id,name\n1,\"a,b\"\n2,\"c\r\nd\"\n3,\"\"\"e\"\"f\"\"\"\n4,g\n",
              "2: 1|'a,b'\n3: 2|'c\r\nd'\n5: 3|'\"e\"f\"'\n6: 4|'g'\n");
    feed_text(two, CSV, "\"na\nme\"\"\",id\n",
              "open: unknown_column t.: FILE:1: table t has no column \"na\\x0ame\"\"\n");
}

static void a_quote_inside_an_unquoted_field_is_itself(void **state)
{
    (void)state;
    feed_text(two, CSV, "id,name\n1,5\" disk\n2,a\"b\"\n", "2: 1|'5\" disk'\n3: 2|'a\"b\"'\n");
}

static void a_blank_line_is_skipped_but_in_a_file_of_one_column_it_is_null(void **state)
{
    (void)state;
    feed_text(two, CSV, "id,name\n\n1,a\n\r\n2,b\n\n", "3: 1|'a'\n5: 2|'b'\n");
    feed_text(one, CSV, "name\na\n\nb\n\"\"\n", "2: 'a'\n3: NULL\n4: 'b'\n5: ''\n");
    feed_text(two, CSV, "\nid,name\n1,a\n", "3: 1|'a'\n");
}

static void a_record_with_another_count_of_fields_is_refused_and_the_next_is_read(void **state)
{
    (void)state;
    feed_text(two, CSV, "id,name\n1\n2,a,b\n\"3\n\"\n4,c\n",
              "2: parse t.: expected 2 fields, found 1 [1]\n3: parse t.: expected 2 fields, found 3 [2,a,b]\n"
              "4: parse t.: expected 2 fields, found 1 [\"3\\0a\"]\n6: 4|'c'\n");
    feed_text(one, CSV, "name\na,b\n", "2: parse t.: expected 1 field, found 2 [a,b]\n");
}

static void text_after_a_closing_quote_is_refused(void **state)
{
    (void)state;
    feed_text(two, CSV, "id,name\n1,\"a\"b\n2,\"c\" \r\n3,d\n",
              "2: parse t.: text follows the closing quote of field 2, which opens on line 2 [1,\"a\"b]\n"
              "3: parse t.: text follows the closing quote of field 2, which opens on line 3 [2,\"c\" ]\n4: 3|'d'\n");
    feed_text(
        two, CSV, "id,name\n1,\"a\"\rb\n2,c\n",
        "2: parse t.: text follows the closing quote of field 2, which opens on line 2 [1,\"a\"\\0db]\n3: 2|'c'\n");
}

static void a_forgotten_quote_costs_its_line_and_no_row_behind_it(void **state)
{
    (void)state;
    feed_text(two, CSV, "id,name\n1,\"a\n2,b\n3,c\n",
              "2: parse t.: the quote that opens on line 2 is not closed [1,\"a]\n3: 2|'b'\n4: 3|'c'\n");
    feed_text(two, CSV, "id,name\n1,\"a\r\n2,\"b\"\r\n3,c\r\n",
              "2: parse t.: text follows the closing quote of field 2, which opens on line 2 [1,\"a]\n"
              "3: 2|'b'\n4: 3|'c'\n");
    feed_text(two, CSV, "id,name\n\"1\n\",\"a\n2,b\n",
              "2: parse t.: the quote that opens on line 3 is not closed [\"1\\0a\",\"a]\n4: 2|'b'\n");
    feed_text(two, CSV, "id,name\n1,\"", "2: parse t.: the quote that opens on line 2 is not closed [1,\"]\n");
}

static void text_that_is_not_utf8_or_holds_nul_is_refused_with_its_column(void **state)
{
    (void)state;
    feed_text(two, CSV, "id,name\n1,\xc3\xa9\n2,\xff\n3,a\0b\n\0,c\n4,d\n",
              "2: 1|'\xc3\xa9'\n3: parse t.: column name: the text is not UTF-8 [2,\\ff]\n"
              "4: parse t.: column name: U+0000 is in the text [3,a\\00b]\n"
              "5: parse t.: column id: U+0000 is in the text [\\00,c]\n6: 4|'d'\n");
}

static void a_code_point_does_not_reach_over_a_delimiter(void **state)
{
    (void)state;
    feed_text(two, CSV, "name,id\n\xc3,\xa9\n", "2: parse t.: column id: the text is not UTF-8 [\\c3,\\a9]\n");
}

static void hex_is_read_for_columns_declared_blob_alone(void **state)
{
    (void)state;
    feed_text(blob, CSV, "id,b\n1,00fF\n2,\"0\"\"a\"\n3,abc\n4,x\n5,\n6,\"\"\n7,\"0a\"\n",
              "2: 1|x'00ff'\n3: type t.b: column b: a blob is an even number of hex digits [2,\"0\"\"a\"]\n"
              "4: type t.b: column b: a blob is an even number of hex digits [3,abc]\n"
              "5: type t.b: column b: a blob is an even number of hex digits [4,x]\n6: 5|NULL\n7: 6|x''\n8: 7|x'0a'\n");
    feed_text(two, CSV, "id,name\n1,00ff\n", "2: 1|'00ff'\n");
}

static void hex_looks_at_its_own_digits_alone(void **state)
{
    uint8_t bytes[2];

    (void)state;
    assert_true(record_hex("aBcd", 4, bytes));
    assert_memory_equal(bytes, "\xab\xcd", 2);
    assert_false(record_hex("abcd", 3, bytes));
    assert_false(record_hex("@0", 2, bytes));
    assert_false(record_hex("0G", 2, bytes));
    assert_false(record_hex("\x11"
                            "0",
                            2, bytes)); /* a digit but for the bit that folds case */
}

static void integers_beyond_a_double_stay_exact(void **state)
{
    (void)state;
    feed_text(two, CSV, "id,name\n9007199254740993,a\n99999999999999999999,b\n007,c\n",
              "2: '9007199254740993'|'a'\n3: '99999999999999999999'|'b'\n4: '007'|'c'\n");
}

static void tsv_is_csv_with_tabs(void **state)
{
    (void)state;
    feed_text(two, INPUT_FORMAT_TSV, "id\tname\n1\ta,b\n2\t\"c\td\"\n", "2: 1|'a,b'\n3: 2|'c\td'\n");
}

static void a_file_without_a_header_is_an_error(void **state)
{
    (void)state;
    feed_text(two, CSV, "", "open: parse t.: FILE:1: the file is empty: it has no header\n");
    feed_text(two, CSV, "\xef\xbb\xbf", "open: parse t.: FILE:1: the file is empty: it has no header\n");
    feed_text(two, CSV, "id,\"name\n", "open: parse t.: FILE:1: the quote that opens on line 1 is not closed\n");
}

/* The given bytes with `count` times `fill` between them; nothing of it is kept by the input. */
static char *stretched(const char *before, char fill, size_t count, const char *after, size_t *ret_len)
{
    size_t head = strlen(before), tail = strlen(after);
    char *bytes = malloc(head + count + tail + 1);

    assert_non_null(bytes);
    memcpy(bytes, before, head);
    memset(bytes + head, fill, count);
    memcpy(bytes + head + count, after, tail + 1);
    *ret_len = head + count + tail;
    return bytes;
}

/* As a file and through a pipe in uneven pieces. */
static void expect_stretched(const char *before, char fill, size_t count, const char *after, const char *expected)
{
    size_t len;
    char *bytes = stretched(before, fill, count, after, &len);
    char *whole = feed(two, CSV, bytes, len, len, FEED_WHOLE);
    char *pieces = feed(two, CSV, bytes, len, 7, 4001);

    assert_string_equal(whole, expected);
    assert_string_equal(pieces, expected);
    free(whole);
    free(pieces);
    free(bytes);
}

static void a_record_of_a_mebibyte_is_read_and_one_byte_more_is_too_large(void **state)
{
    size_t len;
    char *bytes = stretched("id,name\n1,", 'a', MIB - 2, "\r\n2,b\n", &len);
    char *got = feed("CREATE TABLE t(id INTEGER PRIMARY KEY, b TEXT, name TEXT);", CSV, bytes, len, len, FEED_WHOLE);

    (void)state;
    assert_non_null(strstr(got, "too_large t.: the row is longer")); /* its wire form has a longer header */
    assert_non_null(strstr(got, "\n3: 2|-|'b'\n"));
    free(got);
    free(bytes);
    expect_stretched("id,name\n1,", 'a', MIB - 1, "\r\n2,b\n",
                     "2: too_large t.: the record is longer than 1048576 bytes "
                     "[1,aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa of 1048576...]\n3: 2|'b'\n");
    bytes = stretched("id,name\n1,", 'a', MIB - 100, "\n2,b\n", &len);
    got = feed(two, CSV, bytes, len, 9, 65536);
    assert_non_null(strstr(got, "2: 1|'aaa"));
    assert_non_null(strstr(got, "\n3: 2|'b'\n"));
    free(got);
    free(bytes);
}

/* Its end comes into view a byte later each time, and with one line end before the other. */
static void a_record_just_beyond_a_mebibyte_is_too_large_wherever_it_ends(void **state)
{
    static const char *const ends[] = {"\n2,b\n", "\r\n2,b\n", ",\n2,b\n", "\"\n2,b\n"};

    (void)state;
    for (size_t over = 1; over <= 12; over++)
        for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
            expect_stretched("id,name\n1,", 'a', MIB - 2 + over, ends[i],
                             "2: too_large t.: the record is longer than 1048576 bytes "
                             "[1,aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa of 1048576...]\n"
                             "3: 2|'b'\n");
}

static void a_huge_line_is_too_large_and_the_next_row_is_read(void **state)
{
    (void)state;
    expect_stretched("id,name\n1,", 'a', 20 * MIB, "\n2,b\n",
                     "2: too_large t.: the record is longer than 1048576 bytes "
                     "[1,aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa of 1048576...]\n3: 2|'b'\n");
    expect_stretched("id,name\n\"1\n\",", 'a', 3 * MIB, "",
                     "2: too_large t.: the record is longer than 1048576 bytes "
                     "[\"1\\0a\",aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa of 1048576...]\n");
}

static void a_huge_quoted_field_that_is_not_closed_costs_its_line_only(void **state)
{
    (void)state;
    expect_stretched("id,name\n1,\"a\n2,b\n3,\"", 'c', 3 * MIB, "\"\n4,d\n",
                     "2: parse t.: text follows the closing quote of field 2, which opens on line 2 [1,\"a]\n3: 2|'b'\n"
                     "4: too_large t.: the record is longer than 1048576 bytes "
                     "[3,\"ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc of 1048576...]\n5: 4|'d'\n");
    expect_stretched("id,name\n1,\"a\r\n2,b\n3,", 'c', 3 * MIB, "\n4,d\n",
                     "2: too_large t.: the record is longer than 1048576 bytes [1,\"a]\n3: 2|'b'\n"
                     "4: too_large t.: the record is longer than 1048576 bytes "
                     "[3,cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc of 1048576...]\n5: 4|'d'\n");
}

static void a_huge_record_is_one_however_many_lines_it_has(void **state)
{
    (void)state;
    expect_stretched(
        "id,name\n1,\"a\"\"", '\n', 3 * MIB, "\"\r\n2,b\n",
        "2: too_large t.: the record is longer than 1048576 bytes "
        "[1,\"a\"\"\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a"
        "\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a"
        "\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a\\0a of 1048576...]\n3145731: 2|'b'\n");
    expect_stretched("id,name\n1,", 'a', 3 * MIB, ",\"b\n\"\"c\n\",\"\n\"\n2,b\n",
                     "2: too_large t.: the record is longer than 1048576 bytes "
                     "[1,aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa of 1048576...]\n6: 2|'b'\n");
    expect_stretched("id,name\n1,\"", 'a', 3 * MIB, "\n\"", /* and the file ends */
                     "2: too_large t.: the record is longer than 1048576 bytes "
                     "[1,\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa of 1048576...]\n");
}

/* The end of the quoted field comes into view a byte later each time. */
static void a_huge_quoted_field_ends_where_it_ends(void **state)
{
    static const char *const ends[] = {"\"\n2,b\n", "\"\r\n2,b\n", "\",\"c\"\n2,b\n", "\"\",\"\n2,b\n"};

    (void)state;
    for (size_t over = 0; over <= 8; over++)
        for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
            expect_stretched("id,name\n1,\"x\n", 'a', MIB - 4 + over, ends[i],
                             "2: too_large t.: the record is longer than 1048576 bytes "
                             "[1,\"x\\0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa of 1048576...]\n"
                             "4: 2|'b'\n");
}

static void a_quote_forgotten_in_a_huge_record_costs_its_line(void **state)
{
    static const char is_too_large[] = "2: too_large t.: the record is longer than 1048576 bytes ";
    static const char as[] = "[1,aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa of 1048576...]\n";
    char expected[512];

    (void)state;
    snprintf(expected, sizeof expected, "%s%s3: 2|'c'\n", is_too_large, as);
    expect_stretched("id,name\n1,", 'a', 3 * MIB, ",\"b\n2,c\n", expected);     /* never closed */
    expect_stretched("id,name\n1,", 'a', 3 * MIB, ",\"b\" c\n2,c\n", expected); /* text behind it */
    snprintf(expected, sizeof expected, "%s%s3: 2|'\"c\"'\n", is_too_large, as);
    expect_stretched("id,name\n1,", 'a', 3 * MIB, ",\"b\n2,\"\"\"c\"\"\"\n", expected);
    expect_stretched("id,name\n1,\"a\r\n2,b\n3,", 'c', 3 * MIB, "\"x\"\n4,\"d\n\"\n5,e\n",
                     "2: too_large t.: the record is longer than 1048576 bytes [1,\"a]\n3: 2|'b'\n"
                     "4: too_large t.: the record is longer than 1048576 bytes "
                     "[3,cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc of 1048576...]\n"
                     "5: 4|'d\n'\n7: 5|'e'\n");
}

static void many_records_cross_the_blocks_of_a_file_unharmed(void **state)
{
    struct buffer bytes = {0}, expected = {0};

    (void)state;
    assert_true(buffer_put_text(&bytes, "id,name\n"));
    for (int i = 1; i <= 60000; i++) {
        assert_true(buffer_format(&bytes, "%d,\"n,%d\"\n", i, i));
        assert_true(buffer_format(&expected, "%d: %d|'n,%d'\n", i + 1, i, i));
    }
    assert_true(buffer_put(&expected, "", 1));
    char *whole = feed(two, CSV, bytes.bytes, bytes.len, bytes.len, FEED_WHOLE);
    char *pieces = feed(two, CSV, bytes.bytes, bytes.len, 1, 4096);
    assert_true(strcmp(whole, (char *)expected.bytes) == 0);
    assert_true(strcmp(pieces, (char *)expected.bytes) == 0);
    free(whole);
    free(pieces);
    buffer_release(&bytes);
    buffer_release(&expected);
}

/* Bytes lie behind the view when a record is longer than it. */
static void what_lies_behind_the_view_is_not_seen(void **state)
{
    static const char bytes[] = "a,bcd\n\"x\"\n,,,,,,,,,,,,,,,,";
    struct csv_field fields[4];

    (void)state;
    for (size_t len = 0; len <= 6; len++) {
        struct csv_split split = {.fields = fields, .capacity = 4, .delimiter = ','};
        csv_split_begin(&split);
        enum csv_split_result result = csv_split_on(&split, (const uint8_t *)bytes, len, false);
        assert_int_equal(result, len < 6 ? CSV_SPLIT_MORE : CSV_SPLIT_RECORD);
        if (len == 6)
            continue;
        assert_int_equal(csv_split_on(&split, (const uint8_t *)bytes, len, true), CSV_SPLIT_RECORD);
        assert_int_equal(split.end, len);
        assert_int_equal(split.next, len);
    }
}

/* True once, as when somebody takes note of the signal. */
static bool once(void)
{
    static bool asked;
    bool answer = !asked;

    asked = true;
    return answer;
}

static void an_interrupted_wait_ends_the_input(void **state)
{
    struct error error = {0};
    struct schema *schema = schema_load(two, strlen(two), "test", NULL, &error);
    struct input_record record;
    struct buffer rows = {0};
    char path[32];
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "id,name\n1,a\n", 12), 12);
    snprintf(path, sizeof path, "/dev/fd/%d", fds[0]);
    struct input *input = input_open(path, CSV, schema, 0, once, &error);
    assert_non_null(input);
    assert_int_equal(input_next(input, &rows, &record, &error), INPUT_END);
    input_close(input);
    close(fds[0]);
    close(fds[1]);
    schema_free(schema);
}

static unsigned looks_until_interrupted;

static bool interrupted_by_now(void)
{
    return looks_until_interrupted == 0 || --looks_until_interrupted == 0;
}

/* Ctrl-C ends the writer of a pipeline in the middle of a record: what it wrote of it is no record. */
static void what_an_interrupted_writer_left_unfinished_is_no_record(void **state)
{
    struct error error = {0};
    struct schema *schema = schema_load(two, strlen(two), "test", NULL, &error);
    struct input_record record;
    struct buffer rows = {0};
    char path[32];
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "id,name\n1,a\n2,b", 15), 15);
    snprintf(path, sizeof path, "/dev/fd/%d", fds[0]);
    looks_until_interrupted = 100;
    struct input *input = input_open(path, CSV, schema, 0, interrupted_by_now, &error);
    assert_non_null(input);
    assert_int_equal(input_next(input, &rows, &record, &error), INPUT_ROW);
    looks_until_interrupted = 2; /* at the wait not yet, at the end of the file it is */
    close(fds[1]);
    assert_int_equal(input_next(input, &rows, &record, &error), INPUT_END);
    input_close(input);
    close(fds[0]);
    buffer_release(&rows);
    schema_free(schema);
}

static void files_that_cannot_be_read_are_io(void **state)
{
    struct error error = {0};
    struct schema *schema = schema_load(two, strlen(two), "test", NULL, &error);

    (void)state;
    assert_null(input_open("/nonexistent.csv", CSV, schema, 0, NULL, &error));
    assert_int_equal(error.code, ERROR_IO);
    assert_string_equal(error.text, "/nonexistent.csv: No such file or directory");
    assert_null(input_open("/", CSV, schema, 0, NULL, &error));
    assert_int_equal(error.code, ERROR_IO);
    assert_string_equal(error.text, "/: Is a directory");
    schema_free(schema);
}

static void progress_counts_the_bytes_of_a_file(void **state)
{
    struct error error = {0};
    struct schema *schema = schema_load(two, strlen(two), "test", NULL, &error);
    char path[] = "/tmp/sheaf-input-XXXXXX";
    int fd = mkstemp(path);
    uint64_t bytes, size;

    (void)state;
    assert_int_equal(write(fd, "id,name\n", 8), 8);
    struct input *input = input_open(path, CSV, schema, 0, NULL, &error);
    assert_non_null(input);
    input_progress(input, &bytes, &size);
    assert_int_equal(bytes, 8);
    assert_int_equal(size, 8);
    input_close(input);
    close(fd);
    unlink(path);
    schema_free(schema);
}

static void formats_are_known_by_extension_and_by_name(void **state)
{
    (void)state;
    assert_int_equal(input_format_of_path("a/b.CSV"), INPUT_FORMAT_CSV);
    assert_int_equal(input_format_of_path("b.jsonl"), INPUT_FORMAT_NDJSON);
    assert_int_equal(input_format_of_path("b.msgpack"), INPUT_FORMAT_MSGPACK);
    assert_int_equal(input_format_of_path("a.csv/b"), INPUT_FORMAT_NONE);
    assert_int_equal(input_format_of_path("-"), INPUT_FORMAT_NONE);
    assert_int_equal(input_format_of_name("tsv"), INPUT_FORMAT_TSV);
    assert_int_equal(input_format_of_name("xml"), INPUT_FORMAT_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_names_the_columns_in_any_order_without_case),
        cmocka_unit_test(a_last_line_needs_no_line_feed),
        cmocka_unit_test(crlf_and_a_byte_order_mark_are_accepted),
        cmocka_unit_test(an_unquoted_empty_field_is_null_and_a_quoted_one_is_the_empty_string),
        cmocka_unit_test(quoted_fields_hold_delimiters_line_ends_and_doubled_quotes),
        cmocka_unit_test(a_quote_inside_an_unquoted_field_is_itself),
        cmocka_unit_test(a_blank_line_is_skipped_but_in_a_file_of_one_column_it_is_null),
        cmocka_unit_test(a_record_with_another_count_of_fields_is_refused_and_the_next_is_read),
        cmocka_unit_test(text_after_a_closing_quote_is_refused),
        cmocka_unit_test(a_forgotten_quote_costs_its_line_and_no_row_behind_it),
        cmocka_unit_test(text_that_is_not_utf8_or_holds_nul_is_refused_with_its_column),
        cmocka_unit_test(a_code_point_does_not_reach_over_a_delimiter),
        cmocka_unit_test(hex_is_read_for_columns_declared_blob_alone),
        cmocka_unit_test(hex_looks_at_its_own_digits_alone),
        cmocka_unit_test(integers_beyond_a_double_stay_exact),
        cmocka_unit_test(tsv_is_csv_with_tabs),
        cmocka_unit_test(a_file_without_a_header_is_an_error),
        cmocka_unit_test(a_record_of_a_mebibyte_is_read_and_one_byte_more_is_too_large),
        cmocka_unit_test(a_record_just_beyond_a_mebibyte_is_too_large_wherever_it_ends),
        cmocka_unit_test(a_huge_line_is_too_large_and_the_next_row_is_read),
        cmocka_unit_test(a_huge_quoted_field_that_is_not_closed_costs_its_line_only),
        cmocka_unit_test(a_huge_record_is_one_however_many_lines_it_has),
        cmocka_unit_test(a_huge_quoted_field_ends_where_it_ends),
        cmocka_unit_test(a_quote_forgotten_in_a_huge_record_costs_its_line),
        cmocka_unit_test(many_records_cross_the_blocks_of_a_file_unharmed),
        cmocka_unit_test(what_lies_behind_the_view_is_not_seen),
        cmocka_unit_test(an_interrupted_wait_ends_the_input),
        cmocka_unit_test(what_an_interrupted_writer_left_unfinished_is_no_record),
        cmocka_unit_test(files_that_cannot_be_read_are_io),
        cmocka_unit_test(progress_counts_the_bytes_of_a_file),
        cmocka_unit_test(formats_are_known_by_extension_and_by_name),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
