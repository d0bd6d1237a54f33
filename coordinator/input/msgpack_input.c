/* SPDX-License-Identifier: Apache-2.0 */
#include "msgpack_input.h"

#include "columns.h"
#include "cursor.h"
#include "msgpack_measure.h"
#include "record.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum state { BETWEEN_RECORDS, SKIPPING, LOST };

struct msgpack_input {
    struct source *source;
    const struct schema_table *table;
    struct value *values;
    bool *given;
    struct msgpack_measure measure;
    enum state state;
    uint64_t number; /* of the record under way */
    size_t taken;    /* of the window, by the record that the caller has in hands */
};

static const char *kind_of(uint8_t first)
{
    if ((first & 0xe0) == 0xa0 || (first >= 0xd9 && first <= 0xdb))
        return "a text";
    if ((first & 0xf0) == 0x90 || first == 0xdc || first == 0xdd)
        return "an array";
    if ((first & 0xf0) == 0x80 || first == 0xde || first == 0xdf)
        return "a map";
    if (first == 0xc2 || first == 0xc3)
        return "a boolean";
    if (first == 0xc0)
        return "nil";
    if (first >= 0xc4 && first <= 0xc6)
        return "a binary";
    if ((first >= 0xc7 && first <= 0xc9) || (first >= 0xd4 && first <= 0xd8))
        return "an extension";
    return first == 0xca || first == 0xcb ? "a float" : "an integer";
}

static bool read_value(const struct msgpack_input *input, struct cursor *cursor, uint16_t column, struct error *error)
{
    const struct schema_table *table = input->table;
    const char *name = table->columns[column].name;
    uint8_t first = *cursor->at; /* the record is whole, so a value follows its key */
    struct value *value = &input->values[column];

    if (!cursor_value(cursor, value)) {
        if (first == 0xcf)
            return record_refuse_column(error, table, column, ERROR_PARSE, "the integer is beyond 9223372036854775807");
        return record_refuse(error, table, ERROR_PARSE, "column %s: %s is not a value", name, kind_of(first));
    }
    if (value->type == VALUE_ABSENT)
        return record_refuse(error, table, ERROR_PARSE, "column %s: a boolean is not a value", name);
    if (value->type == VALUE_REAL && isnan(value->real))
        return record_refuse_column(error, table, column, ERROR_PARSE, "the float is not a number");
    if (value->type == VALUE_TEXT && !value_text_is_valid(value->bytes, value->len))
        return record_refuse_column(error, table, column, ERROR_PARSE,
                                    memchr(value->bytes, 0, value->len) ? "U+0000 is in the text"
                                                                        : "the text is not UTF-8");
    return true;
}

static bool read_map(struct msgpack_input *input, struct cursor cursor, struct error *error)
{
    const struct schema_table *table = input->table;
    uint32_t count;

    if (!cursor_map(&cursor, &count))
        return record_refuse(error, table, ERROR_PARSE, "expected a map, found %s", kind_of(*cursor.at));
    for (uint16_t i = 0; i < table->column_count; i++)
        input->values[i] = value_absent();
    memset(input->given, 0, table->column_count * sizeof *input->given);
    while (count-- > 0) {
        const char *name;
        size_t len;
        if (!cursor_text(&cursor, &name, &len))
            return record_refuse(error, table, ERROR_PARSE, "a column's name is a text, not %s", kind_of(*cursor.at));
        uint16_t column = columns_find(table, name, len, error);
        if (column == SCHEMA_NONE)
            return false;
        if (input->given[column])
            return record_refuse_column(error, table, column, ERROR_PARSE, "it is given twice");
        input->given[column] = true;
        if (!read_value(input, &cursor, column, error))
            return false;
    }
    return true;
}

/* Over the rest of a record that is too long. */
static enum source_result skip_rest(struct msgpack_input *input, struct error *error)
{
    for (;;) {
        size_t used;
        enum msgpack_measured measured =
            msgpack_measure_on(&input->measure, source_window(input->source), source_waiting(input->source), &used);
        source_take(input->source, used);
        if (measured != MSGPACK_MORE) {
            input->state = measured == MSGPACK_WHOLE ? BETWEEN_RECORDS : LOST;
            return SOURCE_MORE;
        }
        enum source_result result = source_more(input->source, error);
        if (result != SOURCE_MORE)
            return result;
    }
}

static enum input_result lost(const struct msgpack_input *input, struct error *error)
{
    error_set(error, ERROR_IO, "this is not msgpack, and where the next record begins is not known");
    return record_source_over(SOURCE_FAILED, input->source, input->number, error);
}

static enum input_result refuse_size(struct msgpack_input *input, struct error *error)
{
    record_refuse(error, input->table, ERROR_TOO_LARGE, "the record is longer than %d bytes", LIMIT_ROW_BYTES_MAX);
    return INPUT_REFUSED;
}

/* The record in the window is over, one way or the other. */
static enum input_result conclude(struct msgpack_input *input, enum msgpack_measured measured, struct buffer *rows,
                                  struct input_record *record, struct error *error)
{
    const uint8_t *bytes = source_window(input->source);

    record_raw(record, bytes, input->taken);
    if (measured == MSGPACK_INVALID) {
        input->state = LOST;
        record_raw(record, bytes, input->taken + 1); /* the byte that is none */
        record_refuse(error, input->table, ERROR_PARSE, "byte %zu of the record is not msgpack", input->taken + 1);
        return INPUT_REFUSED;
    }
    if (measured == MSGPACK_MORE) {
        record_raw(record, bytes, input->taken = source_waiting(input->source));
        record_refuse(error, input->table, ERROR_PARSE, "the file ends inside this record");
        return INPUT_REFUSED;
    }
    if (input->taken > LIMIT_ROW_BYTES_MAX)
        return refuse_size(input, error);
    if (!read_map(input, cursor_over(bytes, input->taken), error))
        return INPUT_REFUSED;
    return record_row(input->table, input->values, rows, record, error);
}

enum input_result msgpack_input_next(struct msgpack_input *input, struct buffer *rows, struct input_record *ret_record,
                                     struct error *error)
{
    struct source *source = input->source;
    enum source_result more = SOURCE_MORE;

    source_take(source, input->taken);
    input->taken = 0;
    if (input->state == SKIPPING)
        more = skip_rest(input, error);
    if (more == SOURCE_MORE && input->state == LOST)
        return lost(input, error);
    ret_record->line = ++input->number;
    if (input->state != SKIPPING)
        input->measure = (struct msgpack_measure){.items = 1};
    while (more == SOURCE_MORE || (more == SOURCE_END && source_waiting(source) > 0 && input->state != SKIPPING)) {
        size_t view = source_waiting(source) < SOURCE_RECORD_VIEW ? source_waiting(source) : SOURCE_RECORD_VIEW;
        size_t used;
        enum msgpack_measured measured =
            msgpack_measure_on(&input->measure, source_window(source) + input->taken, view - input->taken, &used);
        input->taken += used;
        if (measured != MSGPACK_MORE || (more == SOURCE_END && view < SOURCE_RECORD_VIEW))
            return conclude(input, measured, rows, ret_record, error);
        if (view == SOURCE_RECORD_VIEW) {
            record_raw(ret_record, source_window(source), view);
            input->state = SKIPPING;
            return refuse_size(input, error);
        }
        more = source_more_soon(source, error);
    }
    if (more == SOURCE_WAITS)
        input->taken = 0; /* it is measured again from its beginning */
    input->number--;
    return record_source_over(more, source, input->number + 1, error);
}

struct msgpack_input *msgpack_input_open(struct source *source, const struct schema_table *table, struct error *error)
{
    struct msgpack_input *input = calloc(1, sizeof *input);

    if (input) {
        *input = (struct msgpack_input){.source = source, .table = table};
        input->values = calloc((size_t)table->column_count + 1, sizeof *input->values);
        input->given = calloc((size_t)table->column_count + 1, sizeof *input->given);
    }
    if (input && input->values && input->given)
        return input;
    msgpack_input_close(input);
    error_set(error, ERROR_INTERNAL, "out of memory");
    return NULL;
}

void msgpack_input_close(struct msgpack_input *input)
{
    if (!input)
        return;
    free(input->values);
    free(input->given);
    free(input);
}
