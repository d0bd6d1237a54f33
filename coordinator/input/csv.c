/* SPDX-License-Identifier: Apache-2.0 */
#include "csv.h"

#include "columns.h"
#include "csv_skip.h"
#include "csv_split.h"
#include "record.h"
#include "row.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct csv {
    struct source *source;
    const struct schema_table *table;
    struct columns columns;
    struct csv_split split;
    struct value *values;    /* by column */
    struct buffer unwrapped; /* fields that are not in the file as they are: doubled quotes, hex */
    uint64_t line;           /* at the window's beginning */
    size_t taken;            /* of the window, by the record that the caller has in hands */
    uint32_t taken_lines;
    bool headless; /* interrupted before its header was there: no record can be read */
};

/* A record in the window. BROKEN: `error` says why. */
enum found { FOUND_RECORD, FOUND_BROKEN, FOUND_END, FOUND_WAITS, FOUND_FAILED };

static void take(struct csv *csv, size_t len, uint32_t lines)
{
    csv->taken = len;
    csv->taken_lines = lines;
}

static enum found broken(const struct csv *csv, enum csv_split_result why, struct error *error)
{
    uint64_t line = csv->line + csv->split.line_of_quote;

    if (why == CSV_SPLIT_UNCLOSED)
        record_refuse(error, csv->table, ERROR_PARSE, "the quote that opens on line %" PRIu64 " is not closed", line);
    else
        record_refuse(error, csv->table, ERROR_PARSE,
                      "text follows the closing quote of field %" PRIu32 ", which opens on line %" PRIu64,
                      csv->split.count + 1, line);
    return FOUND_BROKEN;
}

static enum found source_over(const struct csv *csv, enum source_result result, uint64_t line, struct error *error)
{
    return record_source_over(result, csv->source, line, error) == INPUT_FAILED ? FOUND_FAILED : FOUND_END;
}

/* A record has outgrown the view of `view` bytes. It is taken to its end at once, so its raw is a copy. */
static enum found too_long(struct csv *csv, size_t view, struct input_record *record, struct error *error)
{
    struct csv_skipped skipped;

    csv->unwrapped.len = 0;
    if (!buffer_put(&csv->unwrapped, source_window(csv->source), view)) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return FOUND_FAILED;
    }
    enum source_result result = csv_skip_record(&csv->split, csv->source, &skipped, error);
    if (result == SOURCE_FAILED || result == SOURCE_INTERRUPTED)
        return source_over(csv, result, csv->line, error);
    const uint8_t *bytes = csv->unwrapped.bytes;
    size_t len = skipped.first_line ? skipped.first_line - 1 : view;
    record_raw(record, bytes, len - (skipped.first_line > 1 && bytes[len - 1] == '\r'));
    csv->line += skipped.lines;
    record_refuse(error, csv->table, ERROR_TOO_LARGE, "the record is longer than %d bytes", LIMIT_ROW_BYTES_MAX);
    return FOUND_BROKEN;
}

/* Leaves what the caller has seen behind. */
static void leave_behind(struct csv *csv)
{
    source_take(csv->source, csv->taken);
    csv->line += csv->taken_lines;
    take(csv, 0, 0);
}

static enum found find_record(struct csv *csv, struct input_record *record, struct error *error)
{
    struct source *source = csv->source;
    struct csv_split *split = &csv->split;

    leave_behind(csv);
    record->line = csv->line;
    csv_split_begin(split);
    for (;;) {
        size_t waiting = source_waiting(source);
        size_t view = waiting < SOURCE_RECORD_VIEW ? waiting : SOURCE_RECORD_VIEW;
        bool ended = source->ended && view == waiting;
        if (ended && waiting == 0)
            return FOUND_END;
        enum csv_split_result result = csv_split_on(split, source_window(source), view, ended);
        if (result != CSV_SPLIT_MORE) {
            record_raw(record, source_window(source), split->end);
            take(csv, split->next, split->lines_taken);
            if (split->end > LIMIT_ROW_BYTES_MAX) {
                record_refuse(error, csv->table, ERROR_TOO_LARGE, "the record is longer than %d bytes",
                              LIMIT_ROW_BYTES_MAX);
                return FOUND_BROKEN;
            }
            return result == CSV_SPLIT_RECORD ? FOUND_RECORD : broken(csv, result, error);
        }
        if (view == SOURCE_RECORD_VIEW)
            return too_long(csv, view, record, error);
        enum source_result more = source_more_soon(source, error);
        if (more == SOURCE_WAITS)
            return FOUND_WAITS;
        if (more == SOURCE_FAILED || more == SOURCE_INTERRUPTED)
            return source_over(csv, more, csv->line, error);
    }
}

static bool is_blank(const struct csv *csv)
{
    return csv->split.count == 1 && csv->split.end == 0;
}

/* A field's text without doubled quotes; `unwrapped` has room for the whole record. */
static const char *field_text(struct csv *csv, const struct csv_field *field, const uint8_t *record, size_t *ret_len)
{
    const char *from = (const char *)record + field->at;
    const char *end = from + field->len;

    *ret_len = field->len;
    if (!field->doubled)
        return from;
    char *text = (char *)csv->unwrapped.bytes + csv->unwrapped.len;
    char *to = text;
    while (from < end) {
        const char *quote = memchr(from, '"', (size_t)(end - from));
        size_t len = quote ? (size_t)(quote - from) + 1 : (size_t)(end - from);
        memcpy(to, from, len);
        to += len;
        from += len + (quote != NULL);
    }
    *ret_len = (size_t)(to - text);
    csv->unwrapped.len += *ret_len;
    return text;
}

/* Text that came doubled and then is hex takes at most one and a half of its bytes. */
static bool ready_unwrapped(struct csv *csv, struct error *error)
{
    csv->unwrapped.len = 0;
    if (buffer_reserve(&csv->unwrapped, (size_t)csv->split.end * 2 + 1))
        return true;
    return error_set(error, ERROR_INTERNAL, "out of memory");
}

static bool read_field(struct csv *csv, uint16_t column, const struct csv_field *field, const uint8_t *record,
                       bool checked, struct error *error)
{
    const struct schema_column *of = &csv->table->columns[column];
    size_t len;

    if (field->len == 0 && !field->quoted) {
        csv->values[column] = value_null();
        return true;
    }
    const char *text = field_text(csv, field, record, &len);
    if (!checked && !value_text_is_valid(text, len))
        return record_refuse_column(error, csv->table, column, ERROR_PARSE,
                                    memchr(text, 0, len) ? "U+0000 is in the text" : "the text is not UTF-8");
    if (!of->declared_blob) {
        csv->values[column] = row_text_value(of, text, len);
        return true;
    }
    uint8_t *blob = csv->unwrapped.bytes + csv->unwrapped.len;
    if (!record_hex(text, len, blob))
        return record_refuse_column(error, csv->table, column, ERROR_TYPE, "a blob is an even number of hex digits");
    csv->unwrapped.len += len / 2;
    csv->values[column] = value_blob(blob, len / 2);
    return true;
}

static enum input_result read_record(struct csv *csv, struct buffer *rows, struct input_record *record,
                                     struct error *error)
{
    const struct schema_table *table = csv->table;
    const uint8_t *bytes = source_window(csv->source);
    bool checked = value_text_is_valid((const char *)bytes, csv->split.end); /* then every field is */

    if (csv->split.count != csv->columns.count) {
        record_refuse(error, table, ERROR_PARSE, "expected %" PRIu16 " field%s, found %" PRIu32, csv->columns.count,
                      csv->columns.count == 1 ? "" : "s", csv->split.count);
        return INPUT_REFUSED;
    }
    if (!ready_unwrapped(csv, error))
        return INPUT_FAILED;
    for (uint16_t i = 0; i < table->column_count; i++) {
        uint16_t field = csv->columns.field_of[i];
        if (field != SCHEMA_NONE && !read_field(csv, i, &csv->split.fields[field], bytes, checked, error))
            return INPUT_REFUSED;
    }
    return record_row(table, csv->values, rows, record, error);
}

enum input_result csv_next(struct csv *csv, struct buffer *rows, struct input_record *ret_record, struct error *error)
{
    while (!csv->headless) {
        switch (find_record(csv, ret_record, error)) {
        case FOUND_RECORD:
            if (is_blank(csv) && csv->columns.count > 1)
                continue;
            return read_record(csv, rows, ret_record, error);
        case FOUND_BROKEN:
            return INPUT_REFUSED;
        case FOUND_END:
            return INPUT_END;
        case FOUND_WAITS:
            return INPUT_WAITS;
        case FOUND_FAILED:
            return INPUT_FAILED;
        }
    }
    return INPUT_END;
}

static bool read_names(struct csv *csv, struct error *error)
{
    const uint8_t *record = source_window(csv->source);

    if (csv->split.count > csv->split.capacity)
        return record_refuse(error, csv->table, ERROR_PARSE, "the header has %" PRIu32 " fields", csv->split.count);
    if (!ready_unwrapped(csv, error))
        return false;
    for (uint32_t i = 0; i < csv->split.count; i++) {
        size_t len;
        const char *name = field_text(csv, &csv->split.fields[i], record, &len);
        if (!columns_add(&csv->columns, name, len, error))
            return false;
    }
    return columns_close(&csv->columns, error);
}

static bool read_header(struct csv *csv, struct error *error)
{
    struct input_record record = {0};
    enum source_result marked = source_skip_mark(csv->source, error);
    enum found found = marked == SOURCE_MORE ? FOUND_RECORD : source_over(csv, marked, csv->line, error);
    bool fine = false;

    while (found == FOUND_RECORD) {
        found = find_record(csv, &record, error);
        if (found != FOUND_RECORD || !is_blank(csv))
            break;
    }
    switch (found) {
    case FOUND_RECORD:
        fine = read_names(csv, error);
        break;
    case FOUND_END:
        csv->headless = !csv->source->ended; /* interrupted */
        if (csv->headless)
            return true;
        record_refuse(error, csv->table, ERROR_PARSE, "the file is empty: it has no header");
        break;
    case FOUND_BROKEN:
    case FOUND_WAITS: /* nobody is in a hurry yet */
        break;
    case FOUND_FAILED:
        return false;
    }
    return fine || error_prefix(error, "%s:%" PRIu64 ": ", csv->source->path, record.line ? record.line : csv->line);
}

struct csv *csv_open(struct source *source, const struct schema_table *table, char delimiter, struct error *error)
{
    struct csv *csv = calloc(1, sizeof *csv);

    if (csv) {
        *csv = (struct csv){.source = source, .table = table, .line = 1};
        csv->split = (struct csv_split){.delimiter = (uint8_t)delimiter, .capacity = LIMIT_COLUMNS_MAX};
        csv->split.fields = calloc(LIMIT_COLUMNS_MAX, sizeof *csv->split.fields);
        csv->values = calloc((size_t)table->column_count + 1, sizeof *csv->values);
    }
    if (!csv || !csv->split.fields || !csv->values || !columns_init(&csv->columns, table)) {
        csv_close(csv);
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    for (uint16_t i = 0; i < table->column_count; i++)
        csv->values[i] = value_absent();
    if (read_header(csv, error))
        return csv;
    csv_close(csv);
    return NULL;
}

void csv_close(struct csv *csv)
{
    if (!csv)
        return;
    columns_release(&csv->columns);
    buffer_release(&csv->unwrapped);
    free(csv->split.fields);
    free(csv->values);
    free(csv);
}
