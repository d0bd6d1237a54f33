/* SPDX-License-Identifier: Apache-2.0 */
#include "uri.h"

#include "cursor.h"
#include "pack.h"
#include "record.h"

#include <ctype.h>
#include <string.h>

static const char digits64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static bool out_of_memory(struct error *error)
{
    return error_set(error, ERROR_INTERNAL, "out of memory");
}

bool uri_decode(const char *text, size_t len, bool in_query, struct buffer *out, struct error *error)
{
    size_t begun = out->len;

    if (!buffer_reserve(out, len))
        return out_of_memory(error);
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = (uint8_t)text[i];

        if (byte == '%') {
            if (len - i < 3 || !record_hex(text + i + 1, 2, &byte)) {
                out->len = begun;
                return error_set(error, ERROR_PARSE, "a percent sign is followed by two hex digits");
            }
            i += 2;
        } else if (byte == '+' && in_query) {
            byte = ' ';
        }
        out->bytes[out->len++] = byte;
    }
    if (out->len == begun || value_text_is_valid((const char *)out->bytes + begun, out->len - begun))
        return true;
    out->len = begun;
    return error_set(error, ERROR_PARSE, "what is percent-encoded is no UTF-8 text without U+0000");
}

static bool stays(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("-._~", c));
}

bool uri_encode(struct buffer *out, const char *text, size_t len)
{
    static const char hex[] = "0123456789ABCDEF";

    if (!buffer_reserve(out, 3 * len))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!stays(text[i]))
            out->bytes[out->len++] = '%';
        if (!stays(text[i]))
            out->bytes[out->len++] = (uint8_t)hex[(uint8_t)text[i] >> 4];
        out->bytes[out->len++] = stays(text[i]) ? (uint8_t)text[i] : (uint8_t)hex[(uint8_t)text[i] & 15];
    }
    return true;
}

bool uri_encode_key(struct buffer *out, const char *text, size_t len)
{
    struct buffer decoded = {0};
    struct error error;
    bool fine = buffer_reserve(&decoded, 1);

    for (const char *end = text + len, *part = text; fine; part++) {
        size_t part_len = 0;

        while (part + part_len < end && part[part_len] != ',')
            part_len++;
        buffer_clear(&decoded);
        fine = uri_decode(part, part_len, false, &decoded, &error)
                   ? uri_encode(out, (const char *)decoded.bytes, decoded.len)
                   : buffer_put(out, part, part_len);
        part += part_len;
        if (part == end)
            break;
        fine = fine && buffer_put(out, ",", 1);
    }
    buffer_release(&decoded);
    return fine;
}

/* -?[1-9][0-9]* or 0, within 64 bits. */
static bool read_integer(const char *text, size_t len, int64_t *ret_integer)
{
    bool negative = len > 0 && *text == '-';
    size_t at = negative;
    int64_t number = 0; /* counted down: the lowest has no counterpart */

    if (at == len || (text[at] == '0' && len > 1))
        return false;
    for (; at < len; at++) {
        int digit = text[at] - '0';

        if (digit < 0 || digit > 9 || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_sub_overflow(number, digit, &number))
            return false;
    }
    if (!negative && number == INT64_MIN)
        return false;
    *ret_integer = negative ? number : -number;
    return true;
}

/* x'…' with nothing but pairs of hex digits: what is none stays as it was, so this is asked before a byte is written.
 */
static bool is_blob(const char *text, size_t len)
{
    if (len < 3 || len % 2 == 0 || (text[0] | 0x20) != 'x' || text[1] != '\'' || text[len - 1] != '\'')
        return false;
    for (size_t i = 2; i < len - 1; i++)
        if (!isxdigit((unsigned char)text[i]))
            return false;
    return true;
}

struct value uri_value(char *text, size_t len)
{
    int64_t integer;

    if (read_integer(text, len, &integer))
        return value_integer(integer);
    if (is_blob(text, len) &&
        record_hex(text + 2, len - 3, (uint8_t *)text)) /* a pair is read before its byte is written */
        return value_blob(text, (len - 3) / 2);
    return value_text(text, len);
}

static bool put_key(const struct schema_table *table, const char *text, size_t len, struct buffer *scratch,
                    struct buffer *key, struct error *error)
{
    uint32_t columns = schema_key_columns(table), count = 1;

    for (size_t i = 0; i < len; i++)
        count += text[i] == ',';
    if (count != columns) {
        error_set(error, ERROR_PARSE, "the key of %s has %u value(s), not %u", table->name, columns, count);
        return error_about(error, table->name, NULL);
    }
    if (!pack_array(key, columns))
        return out_of_memory(error);
    for (uint32_t i = 0; i < columns; i++) {
        const char *comma = memchr(text, ',', len);
        size_t part = comma ? (size_t)(comma - text) : len;

        buffer_clear(scratch);
        if (!buffer_reserve(scratch, 1))
            return out_of_memory(error);
        if (!uri_decode(text, part, false, scratch, error))
            return false;
        struct value value = uri_value((char *)scratch->bytes, scratch->len);
        if (!pack_value(key, &value))
            return out_of_memory(error);
        text += part + (comma != NULL);
        len -= part + (comma != NULL);
    }
    return true;
}

bool uri_key(const struct schema_table *table, const char *text, size_t len, struct buffer *key, struct error *error)
{
    struct buffer scratch = {0};
    size_t begun = key->len;
    bool fine = put_key(table, text, len, &scratch, key, error);

    if (!fine)
        key->len = begun;
    buffer_release(&scratch);
    return fine;
}

bool uri_put_cursor(struct buffer *out, const uint8_t *key, size_t len)
{
    if (!buffer_reserve(out, (len * 4 + 2) / 3))
        return false;
    for (size_t i = 0; i < len; i += 3) {
        size_t bytes = len - i < 3 ? len - i : 3;
        uint32_t bits = (uint32_t)key[i] << 16 | (bytes > 1 ? (uint32_t)key[i + 1] << 8 : 0) |
                        (bytes > 2 ? (uint32_t)key[i + 2] : 0);

        for (size_t digit = 0; digit <= bytes; digit++)
            out->bytes[out->len++] = (uint8_t)digits64[bits >> (18 - 6 * digit) & 63];
    }
    return true;
}

static bool decode64(const char *text, size_t len, struct buffer *out)
{
    uint32_t bits = 0;
    unsigned held = 0;

    for (size_t i = 0; i < len; i++) {
        const char *digit = text[i] ? strchr(digits64, text[i]) : NULL;

        if (!digit)
            return false;
        bits = bits << 6 | (uint32_t)(digit - digits64);
        held += 6;
        if (held >= 8) {
            held -= 8;
            out->bytes[out->len++] = (uint8_t)(bits >> held);
        }
    }
    return held < 6 && (bits & ((1u << held) - 1)) == 0;
}

bool uri_cursor(const struct schema_table *table, const char *text, size_t len, struct buffer *key, struct error *error)
{
    size_t begun = key->len;
    uint32_t count = 0;

    if (!buffer_reserve(key, len + 1))
        return out_of_memory(error);
    bool fine = decode64(text, len, key);
    struct cursor cursor = cursor_over(key->bytes + begun, key->len - begun);
    fine = fine && cursor_array(&cursor, &count) && count == schema_key_columns(table);
    for (uint32_t i = 0; fine && i < count; i++) {
        struct value value;

        fine = cursor_value(&cursor, &value) && value.type != VALUE_ABSENT;
    }
    if (fine && cursor_at_end(&cursor))
        return true;
    key->len = begun;
    return error_set(error, ERROR_PARSE, "after: it is no \"next\" of a page of %s", table->name);
}
