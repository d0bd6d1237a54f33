/* SPDX-License-Identifier: Apache-2.0 */
#include "cursor.h"

#include <string.h>

/* Formats: https://github.com/msgpack/msgpack/blob/master/spec.md */

static uint64_t big_endian(const uint8_t *bytes, size_t len)
{
    uint64_t number = 0;
    for (size_t i = 0; i < len; i++)
        number = number << 8 | bytes[i];
    return number;
}

/* A header's byte count or item count that stands in `width` bytes after the first one. */
static bool wide(const struct cursor *cursor, size_t width, uint64_t *ret_number)
{
    if (cursor_left(cursor) < 1 + width)
        return false;
    *ret_number = big_endian(cursor->at + 1, width);
    return true;
}

/* Array (base 0x90, 0xdc, 0xdd) and map (0x80, 0xde, 0xdf): each item takes at least `item_bytes`. */
static bool counted(struct cursor *cursor, uint8_t fix, uint8_t wide16, size_t item_bytes, uint32_t *ret_count)
{
    if (cursor_at_end(cursor))
        return false;
    uint8_t first = *cursor->at;
    uint64_t count;
    size_t head = 1;
    if ((first & 0xf0) == fix) {
        count = first & 0x0f;
    } else if (first == wide16 || first == wide16 + 1) {
        size_t width = first == wide16 ? 2 : 4;
        if (!wide(cursor, width, &count))
            return false;
        head += width;
    } else {
        return false;
    }
    if (count * item_bytes > cursor_left(cursor) - head)
        return false;
    cursor->at += head;
    *ret_count = (uint32_t)count;
    return true;
}

bool cursor_array(struct cursor *cursor, uint32_t *ret_count)
{
    return counted(cursor, 0x90, 0xdc, 1, ret_count);
}

bool cursor_map(struct cursor *cursor, uint32_t *ret_count)
{
    return counted(cursor, 0x80, 0xde, 2, ret_count);
}

/* Any integer form: its bits and whether it is negative. */
static bool integer(struct cursor *cursor, uint64_t *ret_bits, bool *ret_negative)
{
    if (cursor_at_end(cursor))
        return false;
    uint8_t first = *cursor->at;
    if (first <= 0x7f || first >= 0xe0) {
        *ret_bits = (uint64_t)(int64_t)(int8_t)first;
        *ret_negative = first >= 0xe0;
        cursor->at++;
        return true;
    }
    if (first < 0xcc || first > 0xd3)
        return false;
    size_t width = (size_t)1 << ((first - 0xcc) & 3);
    uint64_t bits;
    if (!wide(cursor, width, &bits))
        return false;
    bool is_signed = first >= 0xd0;
    if (is_signed && width < 8 && bits >> (8 * width - 1))
        bits |= ~(uint64_t)0 << (8 * width);
    *ret_bits = bits;
    *ret_negative = is_signed && (int64_t)bits < 0;
    cursor->at += 1 + width;
    return true;
}

bool cursor_uint(struct cursor *cursor, uint64_t *ret_number)
{
    struct cursor next = *cursor;
    uint64_t bits;
    bool negative;
    if (!integer(&next, &bits, &negative) || negative)
        return false;
    *cursor = next;
    *ret_number = bits;
    return true;
}

bool cursor_uint32(struct cursor *cursor, uint32_t *ret_number)
{
    struct cursor next = *cursor;
    uint64_t number;
    if (!cursor_uint(&next, &number) || number > UINT32_MAX)
        return false;
    *cursor = next;
    *ret_number = (uint32_t)number;
    return true;
}

bool cursor_int(struct cursor *cursor, int64_t *ret_number)
{
    struct cursor next = *cursor;
    uint64_t bits;
    bool negative;
    if (!integer(&next, &bits, &negative) || (!negative && bits > INT64_MAX))
        return false;
    *cursor = next;
    *ret_number = (int64_t)bits;
    return true;
}

bool cursor_bool(struct cursor *cursor, bool *ret_truth)
{
    if (cursor_at_end(cursor) || (*cursor->at != 0xc2 && *cursor->at != 0xc3))
        return false;
    *ret_truth = *cursor->at++ == 0xc3;
    return true;
}

bool cursor_nil(struct cursor *cursor)
{
    if (cursor_at_end(cursor) || *cursor->at != 0xc0)
        return false;
    cursor->at++;
    return true;
}

/* str (fixstr, 0xd9-0xdb) and bin (0xc4-0xc6). */
static bool sized(struct cursor *cursor, uint8_t wide8, const uint8_t **ret_bytes, size_t *ret_len)
{
    if (cursor_at_end(cursor))
        return false;
    uint8_t first = *cursor->at;
    uint64_t len;
    size_t head = 1;
    if (wide8 == 0xd9 && (first & 0xe0) == 0xa0) {
        len = first & 0x1f;
    } else if (first >= wide8 && first <= wide8 + 2) {
        size_t width = (size_t)1 << (first - wide8);
        if (!wide(cursor, width, &len))
            return false;
        head += width;
    } else {
        return false;
    }
    if (len > cursor_left(cursor) - head)
        return false;
    *ret_bytes = cursor->at + head;
    *ret_len = (size_t)len;
    cursor->at += head + len;
    return true;
}

bool cursor_text(struct cursor *cursor, const char **ret_text, size_t *ret_len)
{
    const uint8_t *bytes;
    if (!sized(cursor, 0xd9, &bytes, ret_len))
        return false;
    *ret_text = (const char *)bytes;
    return true;
}

bool cursor_blob(struct cursor *cursor, const uint8_t **ret_bytes, size_t *ret_len)
{
    return sized(cursor, 0xc4, ret_bytes, ret_len);
}

bool cursor_string(struct cursor *cursor, char *text, size_t size)
{
    if (cursor_nil(cursor)) {
        text[0] = '\0';
        return true;
    }
    struct cursor next = *cursor;
    const char *bytes;
    size_t len;
    if (!cursor_text(&next, &bytes, &len) || len >= size || memchr(bytes, 0, len))
        return false;
    memcpy(text, bytes, len);
    text[len] = '\0';
    *cursor = next;
    return true;
}

bool cursor_error(struct cursor *cursor, struct error *ret_error)
{
    struct cursor next = *cursor;
    struct error error = {0};
    uint32_t code;
    if (!cursor_uint32(&next, &code) || !error_code_valid(code) ||
        !cursor_string(&next, error.table, sizeof error.table) ||
        !cursor_string(&next, error.constraint, sizeof error.constraint) ||
        !cursor_string(&next, error.text, sizeof error.text))
        return false;
    error.code = (enum error_code)code;
    *ret_error = error;
    *cursor = next;
    return true;
}

static bool real(struct cursor *cursor, double *ret_real)
{
    uint64_t bits;
    if (*cursor->at == 0xcb) {
        if (!wide(cursor, 8, &bits))
            return false;
        memcpy(ret_real, &bits, sizeof *ret_real);
        cursor->at += 9;
        return true;
    }
    if (!wide(cursor, 4, &bits))
        return false;
    uint32_t single_bits = (uint32_t)bits;
    float single;
    memcpy(&single, &single_bits, sizeof single);
    *ret_real = (double)single;
    cursor->at += 5;
    return true;
}

bool cursor_value(struct cursor *cursor, struct value *ret_value)
{
    if (cursor_at_end(cursor))
        return false;
    uint8_t first = *cursor->at;
    const uint8_t *bytes;
    size_t len;
    int64_t number;
    double fraction;
    if (cursor_int(cursor, &number)) {
        *ret_value = value_integer(number);
    } else if (first == 0xc0 || first == 0xc2) {
        *ret_value = first == 0xc0 ? value_null() : value_absent();
        cursor->at++;
    } else if (first == 0xca || first == 0xcb) {
        if (!real(cursor, &fraction))
            return false;
        *ret_value = value_real(fraction);
    } else if (sized(cursor, 0xd9, &bytes, &len)) {
        *ret_value = value_text((const char *)bytes, len);
    } else if (sized(cursor, 0xc4, &bytes, &len)) {
        *ret_value = value_blob(bytes, len);
    } else {
        return false;
    }
    return true;
}

/* Over an extension (fixext 0xd4-0xd8, ext 0xc7-0xc9), `true` or one of cursor_value's kinds. */
static bool skip_leaf(struct cursor *cursor)
{
    struct value value;
    if (cursor_value(cursor, &value))
        return true;
    if (cursor_at_end(cursor))
        return false;
    uint8_t first = *cursor->at;
    uint64_t len = 0;
    if (first == 0xc3) {
        len = 1;
    } else if (first == 0xcf) {
        len = 9;
    } else if (first >= 0xd4 && first <= 0xd8) {
        len = 2 + ((uint64_t)1 << (first - 0xd4));
    } else if (first >= 0xc7 && first <= 0xc9) {
        size_t width = (size_t)1 << (first - 0xc7);
        if (!wide(cursor, width, &len))
            return false;
        len += 2 + width;
    } else {
        return false;
    }
    if (len > cursor_left(cursor))
        return false;
    cursor->at += len;
    return true;
}

bool cursor_skip(struct cursor *cursor)
{
    struct cursor next = *cursor;
    uint64_t left[CURSOR_DEPTH_MAX + 1] = {1};
    size_t depth = 0;
    for (;;) {
        while (left[depth] == 0) {
            if (depth == 0) {
                *cursor = next;
                return true;
            }
            depth--;
        }
        left[depth]--;
        uint32_t count;
        bool map = cursor_map(&next, &count);
        if (map || cursor_array(&next, &count)) {
            if (depth == CURSOR_DEPTH_MAX)
                return false;
            left[++depth] = (uint64_t)count * (map ? 2 : 1);
        } else if (!skip_leaf(&next)) {
            return false;
        }
    }
}
