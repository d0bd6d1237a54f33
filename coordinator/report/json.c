/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include "style.h"

#include <stdio.h>
#include <string.h>

/* Bytes that may stand in a JSON string as they are, as far as ASCII goes. */
static bool is_plain(uint8_t byte)
{
    return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
}

static bool put_escaped(struct buffer *out, uint8_t byte)
{
    switch (byte) {
    case '"':
        return buffer_put(out, "\\\"", 2);
    case '\\':
        return buffer_put(out, "\\\\", 2);
    case '\n':
        return buffer_put(out, "\\n", 2);
    case '\r':
        return buffer_put(out, "\\r", 2);
    case '\t':
        return buffer_put(out, "\\t", 2);
    default:
        return buffer_format(out, "\\u%04x", byte);
    }
}

bool json_put_string(struct buffer *out, const char *text, size_t len)
{
    if (!buffer_reserve(out, len + 2) || !buffer_put(out, "\"", 1))
        return false;
    for (size_t i = 0; i < len;) {
        size_t plain = i;
        size_t bytes;
        uint32_t point;
        bool fine;

        while (plain < len && is_plain((uint8_t)text[plain]))
            plain++;
        if (plain > i && !buffer_put(out, text + i, plain - i))
            return false;
        i = plain;
        if (i == len)
            break;
        bytes = style_decode(text + i, len - i, &point);
        if (bytes > 1)
            fine = buffer_put(out, text + i, bytes);
        else if (bytes == 0)
            fine = buffer_put_text(out, "\xef\xbf\xbd");
        else
            fine = put_escaped(out, (uint8_t)text[i]);
        if (!fine)
            return false;
        i += bytes ? bytes : 1;
    }
    return buffer_put(out, "\"", 1);
}

bool json_put_unsigned(struct buffer *out, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return buffer_put(out, digits + at, sizeof digits - at);
}

bool json_put_integer(struct buffer *out, int64_t number)
{
    if (number >= 0)
        return json_put_unsigned(out, (uint64_t)number);
    return buffer_put(out, "-", 1) && json_put_unsigned(out, 0 - (uint64_t)number);
}

static bool put_or_null(struct buffer *out, const char *text)
{
    return *text ? json_put_string(out, text, strlen(text)) : buffer_put(out, "null", 4);
}

bool json_put_error_fields(struct buffer *out, const struct error *error)
{
    const char *code = error_code_name(error->code);

    return buffer_put_text(out, "\"code\":") && json_put_string(out, code, strlen(code)) &&
           buffer_put_text(out, ",\"table\":") && put_or_null(out, error->table) &&
           buffer_put_text(out, ",\"constraint\":") && put_or_null(out, error->constraint) &&
           buffer_put_text(out, ",\"message\":") && json_put_string(out, error->text, strlen(error->text));
}

bool json_put_error(struct buffer *out, const struct error *error)
{
    return buffer_put(out, "{", 1) && json_put_error_fields(out, error) && buffer_put(out, "}", 1);
}
