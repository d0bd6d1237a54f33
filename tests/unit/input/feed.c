/* SPDX-License-Identifier: Apache-2.0 */
#include "feed.h"

#include "row.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

struct feeder {
    int fd;
    const uint8_t *bytes;
    size_t len;
    size_t first;
    size_t piece;
};

/* The pipe is in packet mode: a read gets one write's bytes and no more. */
static void *feeder_run(void *context)
{
    const struct feeder *feeder = context;
    size_t at = 0;

    while (at < feeder->len) {
        size_t piece = at == 0 ? feeder->first : feeder->piece;
        if (piece > feeder->len - at)
            piece = feeder->len - at;
        ssize_t put = write(feeder->fd, feeder->bytes + at, piece);
        if (put <= 0)
            break;
        at += (size_t)put;
    }
    close(feeder->fd);
    return NULL;
}

static void put_row(const struct schema_table *table, const uint8_t *bytes, size_t len, struct buffer *text)
{
    struct value values[64];
    struct error error;

    assert_true(table->column_count <= 64);
    if (!row_read(table, bytes, len, values, &error))
        fail_msg("%s", error.text);
    for (uint16_t i = 0; i < table->column_count; i++) {
        assert_true(i == 0 || buffer_put_text(text, "|"));
        if (values[i].type == VALUE_ABSENT)
            assert_true(buffer_put_text(text, "-"));
        else
            assert_true(value_describe(&values[i], text));
    }
}

static void put_error(const struct error *error, const char *path, struct buffer *text)
{
    const char *said = error->text;

    assert_true(buffer_format(text, "%s %s.%s: ", error_code_name(error->code), error->table, error->constraint));
    if (strncmp(said, path, strlen(path)) == 0) {
        assert_true(buffer_put_text(text, "FILE"));
        said += strlen(path);
    }
    assert_true(buffer_put_text(text, said));
}

static void put_raw(const struct input_record *record, struct buffer *text)
{
    assert_true(buffer_put_text(text, " ["));
    for (size_t i = 0; i < record->raw_len && i < 64; i++) {
        uint8_t byte = record->raw[i];
        assert_true(byte >= ' ' && byte < 0x7f ? buffer_put(text, &byte, 1) : buffer_format(text, "\\%02x", byte));
    }
    if (record->raw_len > 64)
        assert_true(buffer_format(text, " of %zu", record->raw_len));
    assert_true(buffer_put_text(text, record->raw_truncated ? "...]" : "]"));
}

static void put_records(struct input *input, const struct schema_table *table, const char *path, struct buffer *text)
{
    struct buffer rows = {0};
    enum input_result result = INPUT_ROW;

    for (;;) {
        struct input_record record = {0};
        struct error error = {0};
        size_t before = rows.len;
        input_hurry(input, result != INPUT_WAITS); /* who was told that it waits, waits */
        result = input_next(input, &rows, &record, &error);
        if (result == INPUT_WAITS) {
            assert_int_equal(rows.len, before);
            continue;
        }
        if (result == INPUT_END || result == INPUT_FAILED) {
            if (result == INPUT_FAILED) {
                assert_true(buffer_put_text(text, "failed: "));
                put_error(&error, path, text);
                assert_true(buffer_put_text(text, "\n"));
            }
            break;
        }
        assert_true(buffer_format(text, "%" PRIu64 ": ", record.line));
        if (result == INPUT_ROW) {
            assert_int_equal(record.row_at, before);
            assert_int_equal(record.row_at + record.row_len, rows.len);
            put_row(table, rows.bytes + record.row_at, record.row_len, text);
        } else {
            assert_int_equal(rows.len, before);
            put_error(&error, path, text);
            put_raw(&record, text);
        }
        assert_true(buffer_put_text(text, "\n"));
    }
    buffer_release(&rows);
}

static int open_whole(const void *bytes, size_t len)
{
    int fd = memfd_create("feed", MFD_CLOEXEC);

    assert_true(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
    return fd;
}

char *feed(const char *ddl, enum input_format format, const void *bytes, size_t len, size_t first, size_t piece)
{
    struct buffer text = {0};
    struct error error = {0};
    struct schema *schema = schema_load(ddl, strlen(ddl), "test", NULL, &error);
    struct feeder feeder = {.bytes = bytes, .len = len, .first = first, .piece = piece};
    pthread_t thread;
    char path[32];
    int fds[2] = {-1, -1};

    if (!schema)
        fail_msg("%s", error.text);
    if (piece == FEED_WHOLE) {
        fds[0] = open_whole(bytes, len);
    } else {
        assert_int_equal(pipe2(fds, O_DIRECT | O_CLOEXEC), 0);
        feeder.fd = fds[1];
        assert_int_equal(pthread_create(&thread, NULL, feeder_run, &feeder), 0);
    }
    snprintf(path, sizeof path, "/dev/fd/%d", fds[0]);
    struct input *input = input_open(path, format, schema, 0, NULL, &error);
    if (input) {
        put_records(input, &schema->tables[0], path, &text);
    } else {
        assert_true(buffer_put_text(&text, "open: "));
        put_error(&error, path, &text);
        assert_true(buffer_put_text(&text, "\n"));
    }
    input_close(input);
    close(fds[0]);
    if (piece != FEED_WHOLE)
        pthread_join(thread, NULL);
    schema_free(schema);
    assert_true(buffer_put(&text, "", 1));
    return (char *)text.bytes;
}

static void expect_once(const char *ddl, enum input_format format, const void *bytes, size_t len, size_t first,
                        size_t piece, const char *expected)
{
    char *got = feed(ddl, format, bytes, len, first, piece);
    bool same = strcmp(got, expected) == 0;

    if (!same)
        print_error("first %zu bytes, then %zu at a time\n", first, piece);
    assert_string_equal(got, expected);
    free(got);
}

void feed_expect(const char *ddl, enum input_format format, const void *bytes, size_t len, const char *expected)
{
    expect_once(ddl, format, bytes, len, len, FEED_WHOLE, expected);
    expect_once(ddl, format, bytes, len, 1, 1, expected);
    for (size_t first = 1; first < len; first++)
        expect_once(ddl, format, bytes, len, first, len, expected);
}
