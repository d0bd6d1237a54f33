/* SPDX-License-Identifier: Apache-2.0 */
#include "json_out.h"

#include "json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool put_real(struct buffer *out, double real)
{
    char text[40];

    if (isnan(real))
        return buffer_put(out, "null", 4);
    if (isinf(real))
        return buffer_put_text(out, real > 0 ? "1e999" : "-1e999");
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, real);
        if (strtod(text, NULL) == real)
            break;
    }
    return buffer_put_text(out, text) && (strpbrk(text, ".e") || buffer_put(out, ".0", 2));
}

static bool put_blob(struct buffer *out, const struct value *value)
{
    static const char digits[] = "0123456789abcdef";

    if (!buffer_put_text(out, "{\"hex\":\"") || !buffer_reserve(out, 2 * (size_t)value->len))
        return false;
    for (uint32_t i = 0; i < value->len; i++) {
        uint8_t byte = (uint8_t)value->bytes[i];

        out->bytes[out->len++] = (uint8_t)digits[byte >> 4];
        out->bytes[out->len++] = (uint8_t)digits[byte & 15];
    }
    return buffer_put(out, "\"}", 2);
}

bool json_out_value(struct buffer *out, const struct value *value)
{
    switch (value->type) {
    case VALUE_INTEGER:
        return json_put_integer(out, value->integer);
    case VALUE_REAL:
        return put_real(out, value->real);
    case VALUE_TEXT:
        return json_put_string(out, value->bytes, value->len);
    case VALUE_BLOB:
        return put_blob(out, value);
    case VALUE_NULL:
    case VALUE_ABSENT:
        break;
    }
    return buffer_put(out, "null", 4);
}

bool json_out_row(struct buffer *out, const struct schema_table *table, const struct value *values)
{
    const char *before = "{";

    for (uint16_t i = 0; i < table->column_count; i++) {
        const char *name = table->columns[i].name;

        if (values[i].type == VALUE_ABSENT)
            continue;
        if (!buffer_put_text(out, before) || !json_put_string(out, name, strlen(name)) || !buffer_put(out, ":", 1) ||
            !json_out_value(out, &values[i]))
            return false;
        before = ",";
    }
    return buffer_put_text(out, *before == '{' ? "{}" : "}");
}
