/* SPDX-License-Identifier: Apache-2.0 */
#include "record.h"

#include "row.h"

#include <inttypes.h>

enum input_result record_row(const struct schema_table *table, const struct value *values, struct buffer *rows,
                             struct input_record *ret_record, struct error *error)
{
    size_t at = rows->len;

    if (!row_write(table, values, rows)) {
        rows->len = at;
        error_set(error, ERROR_INTERNAL, "out of memory");
        return INPUT_FAILED;
    }
    size_t len = rows->len - at;
    if (len > LIMIT_ROW_BYTES_MAX) {
        rows->len = at;
        record_refuse(error, table, ERROR_TOO_LARGE, "the row is longer than %d bytes", LIMIT_ROW_BYTES_MAX);
        return INPUT_REFUSED;
    }
    ret_record->row_at = at;
    ret_record->row_len = len;
    return INPUT_ROW;
}

void record_raw(struct input_record *record, const uint8_t *bytes, size_t len)
{
    record->raw = bytes;
    record->raw_truncated = len > LIMIT_RAW_BYTES_MAX;
    record->raw_len = record->raw_truncated ? LIMIT_RAW_BYTES_MAX : len;
}

bool record_refuse(struct error *error, const struct schema_table *table, enum error_code code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    error_set_v(error, code, format, arguments);
    va_end(arguments);
    return error_about(error, table->name, NULL);
}

bool record_refuse_column(struct error *error, const struct schema_table *table, uint16_t column, enum error_code code,
                          const char *why)
{
    error_set(error, code, "column %s: %s", table->columns[column].name, why);
    return error_about(error, table->name, code == ERROR_TYPE ? table->columns[column].name : NULL);
}

enum input_result record_source_over(enum source_result result, const struct source *source, uint64_t line,
                                     struct error *error)
{
    if (result != SOURCE_FAILED)
        return result == SOURCE_WAITS ? INPUT_WAITS : INPUT_END;
    error_prefix(error, "%s:%" PRIu64 ": ", source->path, line);
    return INPUT_FAILED;
}

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit = (char)(digit | 0x20);
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

bool record_hex(const char *digits, size_t len, uint8_t *ret_bytes)
{
    if (len % 2 != 0)
        return false;
    for (size_t i = 0; i < len; i += 2) {
        int high = hex_digit(digits[i]), low = hex_digit(digits[i + 1]);
        if (high < 0 || low < 0)
            return false;
        ret_bytes[i / 2] = (uint8_t)(high << 4 | low);
    }
    return true;
}
