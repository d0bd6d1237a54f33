/* SPDX-License-Identifier: Apache-2.0 */
#include "records.h"

#include "limits.h"
#include "row.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define HOW_BYTES 3u /* how the rest is given */
#define GROWN_BYTES 600000u
#define GROWN_MAX 4u /* of them in one input: 2.4 MB */
#define INPUT_FD 90  /* always the same, so that what names the path says the same */
#define COLUMNS_MAX 16
#define RECORDS_MAX 5000u /* letters are integers to msgpack, and each a record */

static const char ddl[] =
    "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL, body BLOB, price REAL, n NUMERIC, free,"
    " twice AS (n * 2), kind TEXT DEFAULT 'x', a TEXT, \"two words\" TEXT);\n"
    "CREATE TABLE single (a TEXT);\n";

struct text {
    const uint8_t *bytes;
    size_t len;
};

/* ---- the input, given ---- */

static struct {
    struct text rest;
    size_t piece;
    int fd; /* -1: all was given */
    bool held;
} pipe_feed;

static bool make_equal(int from, int to)
{
    bool fine = dup2(from, to) == to;
    close(from);
    return fine;
}

static void give_piece(void)
{
    if (pipe_feed.fd < 0)
        return;
    size_t len = pipe_feed.piece < pipe_feed.rest.len ? pipe_feed.piece : pipe_feed.rest.len;
    if (len > 0) {
        if (write(pipe_feed.fd, pipe_feed.rest.bytes, len) != (ssize_t)len)
            panic("a pipe does not take %zu bytes", len);
        pipe_feed.rest.bytes += len;
        pipe_feed.rest.len -= len;
    }
    if (pipe_feed.rest.len == 0) {
        close(pipe_feed.fd);
        pipe_feed.fd = -1;
    }
}

/* Asked before each wait for more bytes; so no thread has to give them. A hurried reader is told that it waits. */
static bool interrupted(void)
{
    int waiting = 0;
    if (!pipe_feed.held && ioctl(INPUT_FD, FIONREAD, &waiting) == 0 && waiting == 0)
        give_piece();
    return false;
}

/* The pipe is in packet mode: a read gets one write's bytes and no more. */
static void open_pipe(struct text given, size_t first, size_t piece)
{
    int fds[2];
    if (pipe2(fds, O_DIRECT | O_CLOEXEC) != 0 || !make_equal(fds[0], INPUT_FD))
        panic("no pipe");
    pipe_feed.rest = given;
    pipe_feed.fd = fds[1];
    pipe_feed.held = false;
    pipe_feed.piece = first;
    give_piece();
    pipe_feed.piece = piece;
}

static void open_file(struct text given)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, given.bytes, given.len) != (ssize_t)given.len || !make_equal(fd, INPUT_FD))
        panic("no file in memory");
}

static void close_given(void)
{
    close(INPUT_FD);
    if (pipe_feed.fd >= 0)
        close(pipe_feed.fd);
    pipe_feed.fd = -1;
}

/* ---- one record ---- */

struct place { /* in the input, behind the last record */
    size_t at;
    uint64_t line;
};

/* Where line `line` begins. */
static void go_to_line(struct text given, struct place *place, uint64_t line)
{
    while (place->line < line) {
        const uint8_t *feed = memchr(given.bytes + place->at, '\n', given.len - place->at);
        if (!feed)
            panic("line %llu is beyond the end", (unsigned long long)line);
        place->at = (size_t)(feed - given.bytes) + 1;
        place->line++;
    }
}

static bool begins_with_mark(struct text given)
{
    return given.len >= 3 && memcmp(given.bytes, "\xef\xbb\xbf", 3) == 0;
}

/* A line's record stands on the line that it names; what is before it is only line ends and blanks. */
static void check_line(enum input_format format, struct text given, const struct input_record *record, bool first,
                       struct place *place)
{
    struct place begun = *place;
    if (record->line < place->line)
        panic("line %llu comes after line %llu", (unsigned long long)record->line, (unsigned long long)place->line);
    go_to_line(given, place, record->line);
    if (place->at == 0 && begins_with_mark(given))
        place->at = 3;
    for (size_t i = begun.at; !first && i < place->at; i++)
        if (!memchr(format == INPUT_FORMAT_NDJSON ? "\r\n \t" : "\r\n\r\n", given.bytes[i], 4))
            panic("the byte at %zu is in no record", i);
    if (record->raw_len > given.len - place->at ||
        (record->raw_len && memcmp(record->raw, given.bytes + place->at, record->raw_len) != 0))
        panic("the raw of line %llu is not what stands there", (unsigned long long)record->line);
    place->at += record->raw_len;
    for (size_t i = place->at - record->raw_len; i < place->at; i++)
        place->line += given.bytes[i] == '\n';
}

/* A sequence without anything between. */
static void check_item(struct text given, const struct input_record *record, struct place *place)
{
    if (record->line != ++place->line)
        panic("record %llu comes as %llu", (unsigned long long)place->line, (unsigned long long)record->line);
    if (record->raw_len > given.len - place->at || memcmp(record->raw, given.bytes + place->at, record->raw_len) != 0)
        panic("the raw of record %llu is not what stands there", (unsigned long long)record->line);
    place->at += record->raw_len;
}

static void check_row(const struct schema_table *table, const uint8_t *bytes, size_t len)
{
    struct value values[COLUMNS_MAX];
    struct buffer again = {0};
    struct error error;
    if (len > LIMIT_ROW_BYTES_MAX)
        panic("a row of %zu bytes", len);
    if (!row_read(table, bytes, len, values, &error))
        panic("a row cannot be read: %s", error.text);
    for (uint16_t i = 0; i < table->column_count; i++) {
        if (values[i].type == VALUE_TEXT && !value_text_is_valid(values[i].bytes, values[i].len))
            panic("column %s holds what is no text", table->columns[i].name);
        if (table->columns[i].generated && values[i].type != VALUE_ABSENT)
            panic("the generated column %s is given", table->columns[i].name);
    }
    if (!row_write(table, values, &again) || again.len != len || memcmp(again.bytes, bytes, len) != 0)
        panic("a row is written in another way when it is written again");
    buffer_release(&again);
}

/* ---- the fields of a CSV, once more ---- */

/* The next field; moves *at to its end. False: it is NULL. */
static bool next_field(const uint8_t **at, const uint8_t *end, char delimiter, struct buffer *field)
{
    field->len = 0;
    if (*at < end && **at == '"') {
        for (++*at; *at < end; ++*at) {
            if (**at == '"' && (++*at == end || **at != '"'))
                break;
            buffer_put(field, *at, 1);
        }
        return true;
    }
    while (*at < end && **at != delimiter)
        buffer_put(field, (*at)++, 1);
    return field->len > 0;
}

/* Up to the line end of the record that begins at `at`. */
static const uint8_t *record_end(const uint8_t *at, const uint8_t *end, char delimiter)
{
    while (at < end && *at != '\n') {
        bool quoted = *at == '"';
        for (at += quoted; quoted && at < end; at++)
            if (*at == '"' && (at + 1 == end || *++at != '"'))
                break;
        while (at < end && *at != delimiter && *at != '\n')
            at++;
        at += at < end && *at == delimiter;
    }
    return at;
}

/* Which field of the header is that column; -1: none. */
static int field_of(struct text given, char delimiter, const char *name)
{
    const uint8_t *at = given.bytes, *all = given.bytes + given.len;
    struct buffer field = {0};
    int found = -1;
    if (begins_with_mark(given))
        at += 3;
    while (at < all && (*at == '\n' || (*at == '\r' && at + 1 < all && at[1] == '\n')))
        at++;
    const uint8_t *end = record_end(at, all, delimiter);
    if (end > at && end < all && end[-1] == '\r')
        end--;
    for (int i = 0; at <= end && found < 0; i++, at++) {
        (void)next_field(&at, end, delimiter, &field);
        if (field.len == strlen(name) && strncasecmp((const char *)field.bytes, name, field.len) == 0)
            found = i;
    }
    buffer_release(&field);
    return found;
}

static void check_text(const struct value *value, bool given, const struct buffer *field, const char *name)
{
    bool same = given ? value->type == VALUE_TEXT && value->len == field->len &&
                            (!field->len || memcmp(value->bytes, field->bytes, field->len) == 0)
                      : value->type == VALUE_NULL;
    if (!same)
        panic("column %s is not what the file says", name);
}

static void check_fields(const struct schema_table *table, struct text given, char delimiter,
                         const struct input_record *record, const uint8_t *row)
{
    struct value values[COLUMNS_MAX];
    struct buffer field = {0};
    if (!row_read(table, row, record->row_len, values, NULL))
        return;
    for (uint16_t c = 0; c < table->column_count; c++) {
        const uint8_t *at = record->raw, *end = record->raw + record->raw_len;
        int wanted = field_of(given, delimiter, table->columns[c].name);
        bool is_given = false;
        if (table->columns[c].affinity != AFFINITY_TEXT || wanted < 0)
            continue;
        for (int i = 0; i <= wanted; i++, at++)
            is_given = next_field(&at, end, delimiter, &field);
        check_text(&values[c], is_given, &field, table->columns[c].name);
    }
    buffer_release(&field);
}

/* ---- all that come ---- */

static void note_error(const struct error *error, struct buffer *told)
{
    if (!buffer_format(told, "%s %s.%s: %s", error_code_name(error->code), error->table, error->constraint,
                       error->text))
        panic("out of memory");
    if (!error->text[0] || error->code == ERROR_INTERNAL)
        panic("refused as %s: %s", error_code_name(error->code), error->text);
}

static void note_record(enum input_result result, const struct input_record *record, const struct buffer *rows,
                        const struct error *error, struct buffer *told)
{
    bool fine = buffer_format(told, "\n%llu %zu%s ", (unsigned long long)record->line, record->raw_len,
                              record->raw_truncated ? "..." : "") &&
                buffer_put(told, record->raw, record->raw_len);
    if (result == INPUT_ROW)
        fine = fine && buffer_put(told, rows->bytes + record->row_at, record->row_len);
    else
        note_error(error, told);
    if (!fine)
        panic("out of memory");
}

struct reading {
    enum input_format format;
    const struct schema_table *table;
    struct text given;
    bool hurry;
    struct buffer told; /* what came of it */
    struct buffer rows;
    struct place place;
    bool cut; /* a record was too long: what follows it is not known */
};

static void take_record(struct reading *reading, enum input_result result, const struct input_record *record,
                        const struct error *error, size_t rows_before, bool first)
{
    note_record(result, record, &reading->rows, error, &reading->told);
    if (result == INPUT_ROW) {
        if (record->row_at != rows_before || record->row_at + record->row_len != reading->rows.len)
            panic("a row is not where its record says");
        check_row(reading->table, reading->rows.bytes + record->row_at, record->row_len);
        if (reading->format != INPUT_FORMAT_NDJSON && reading->format != INPUT_FORMAT_MSGPACK &&
            record->raw_len < GROWN_BYTES)
            check_fields(reading->table, reading->given, reading->format == INPUT_FORMAT_CSV ? ',' : '\t', record,
                         reading->rows.bytes + record->row_at);
    } else if (reading->rows.len != rows_before) {
        panic("a refused record leaves bytes behind");
    }
    bool long_one = record->raw_len > LIMIT_RAW_BYTES_MAX - 2 || record->raw_truncated;
    if (reading->format != INPUT_FORMAT_MSGPACK)
        check_line(reading->format, reading->given, record, first || reading->cut, &reading->place);
    else if (!reading->cut && !long_one)
        check_item(reading->given, record, &reading->place);
    reading->cut = long_one || (reading->cut && reading->format == INPUT_FORMAT_MSGPACK);
    reading->rows.len = 0;
}

static void read_all(struct reading *reading, struct input *input)
{
    enum input_result result = INPUT_ROW;
    unsigned count = 0;
    for (bool first = true; result != INPUT_END && result != INPUT_FAILED && count++ < RECORDS_MAX;) {
        struct input_record record = {0};
        struct error error = {0};
        size_t before = reading->rows.len;
        pipe_feed.held = reading->hurry && result != INPUT_WAITS; /* who was told that it waits, waits */
        input_hurry(input, pipe_feed.held);
        result = input_next(input, &reading->rows, &record, &error);
        if (result == INPUT_ROW || result == INPUT_REFUSED) {
            take_record(reading, result, &record, &error, before, first);
            first = false;
        } else if (reading->rows.len != before) {
            panic("bytes are left behind without a record");
        }
        if (result == INPUT_FAILED)
            note_error(&error, &reading->told);
        if (result == INPUT_WAITS && !pipe_feed.held)
            panic("one that is not hurried waits");
    }
    bool whole =
        count > RECORDS_MAX || reading->place.at == reading->given.len || reading->cut || result == INPUT_FAILED;
    if (reading->format == INPUT_FORMAT_MSGPACK && !whole)
        panic("the records end at byte %zu of %zu", reading->place.at, reading->given.len);
}

static void read_given(const struct schema *schema, table_id table, struct reading *reading)
{
    char path[32];
    struct error error = {0};
    snprintf(path, sizeof path, "/dev/fd/%d", INPUT_FD);
    reading->table = &schema->tables[table];
    reading->place.line = reading->format != INPUT_FORMAT_MSGPACK;
    struct input *input = input_open(path, reading->format, schema, table, interrupted, &error);
    if (input)
        read_all(reading, input);
    else
        note_error(&error, &reading->told);
    input_close(input);
    close_given();
    buffer_release(&reading->rows);
}

/* ---- both ways ---- */

static struct text grow(struct text from, bool grown, struct buffer *bytes)
{
    unsigned count = 0;
    for (size_t i = 0; i < from.len; i++) {
        if (grown && from.bytes[i] == 0xc1 && count++ < GROWN_MAX) {
            if (!buffer_reserve(bytes, GROWN_BYTES))
                panic("out of memory");
            memset(bytes->bytes + bytes->len, 'a', GROWN_BYTES);
            bytes->len += GROWN_BYTES;
        } else if (!buffer_put(bytes, from.bytes + i, 1)) {
            panic("out of memory");
        }
    }
    return (struct text){bytes->bytes, bytes->len};
}

static const struct schema *tables(void)
{
    static const struct schema *schema;
    struct error error;
    if (!schema && !(schema = schema_load(ddl, sizeof ddl - 1, "fuzz", NULL, &error)))
        panic("%s", error.text);
    return schema;
}

void records_check(enum input_format format, const uint8_t *bytes, size_t len)
{
    if (len < HOW_BYTES)
        return;
    bool grown = bytes[2] & FLAG_GROWN;
    table_id table = (bytes[2] & FLAG_SINGLE) != 0;
    size_t scale = grown ? 200 : 1; /* a pipe's packet has at most 4,096 bytes, and a few of these are cut again */
    struct buffer content = {0};
    const struct text given = grow((struct text){bytes + HOW_BYTES, len - HOW_BYTES}, grown, &content);
    struct reading whole = {.format = format, .given = given}, pieces = {.format = format, .given = given};

    if (format == INPUT_FORMAT_CSV && bytes[2] & FLAG_TABS)
        whole.format = pieces.format = INPUT_FORMAT_TSV;
    pieces.hurry = !grown;
    open_file(given);
    read_given(tables(), table, &whole);
    open_pipe(given, 1 + bytes[0] * scale, 1 + bytes[1] * scale);
    read_given(tables(), table, &pieces);
    if (whole.told.len != pieces.told.len ||
        (whole.told.len && memcmp(whole.told.bytes, pieces.told.bytes, whole.told.len) != 0))
        panic("in pieces it comes to something else");
    buffer_release(&whole.told);
    buffer_release(&pieces.told);
    buffer_release(&content);
}
