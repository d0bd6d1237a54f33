/* SPDX-License-Identifier: Apache-2.0 */
#include "value.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define DESCRIBED_BYTES_MAX 64u

bool value_same(const struct value *a, const struct value *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case VALUE_NULL:
    case VALUE_ABSENT:
        return true;
    case VALUE_INTEGER:
        return a->integer == b->integer;
    case VALUE_REAL:
        return memcmp(&a->real, &b->real, sizeof a->real) == 0 ||
               (fpclassify(a->real) == FP_ZERO && fpclassify(b->real) == FP_ZERO);
    case VALUE_TEXT:
    case VALUE_BLOB:
        return a->len == b->len && (a->len == 0 || memcmp(a->bytes, b->bytes, a->len) == 0);
    }
    return false;
}

/* Bytes of the code point that starts at text[0], 0 when it is malformed (RFC 3629). */
static size_t code_point_len(const unsigned char *text, size_t left)
{
    unsigned char first = text[0];
    if (first < 0x80)
        return 1;
    size_t len = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || len > left)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if ((first == 0xe0 && text[1] < 0xa0) || (first == 0xed && text[1] > 0x9f) || (first == 0xf0 && text[1] < 0x90) ||
        (first == 0xf4 && text[1] > 0x8f))
        return 0;
    return len;
}

bool value_text_is_valid(const char *bytes, size_t len)
{
    const unsigned char *text = (const unsigned char *)bytes;
    size_t at = 0;
    while (at < len) {
        uint64_t word;
        /* Eight plain ASCII bytes at a time: no high bit, and no zero byte (the classic has-zero trick). */
        while (len - at >= sizeof word) {
            memcpy(&word, text + at, sizeof word);
            if ((word & 0x8080808080808080u) || ((word - 0x0101010101010101u) & ~word & 0x8080808080808080u))
                break;
            at += sizeof word;
        }
        if (at == len)
            break;
        if (text[at] == 0)
            return false;
        size_t whole = code_point_len(text + at, len - at);
        if (!whole)
            return false;
        at += whole;
    }
    return true;
}

static size_t cut_at_code_point(const char *bytes, size_t len)
{
    if (len <= DESCRIBED_BYTES_MAX)
        return len;
    size_t cut = DESCRIBED_BYTES_MAX;
    while (cut > 0 && ((unsigned char)bytes[cut] & 0xc0) == 0x80)
        cut--;
    return cut;
}

static bool describe_text(const struct value *value, struct buffer *text)
{
    size_t cut = cut_at_code_point(value->bytes, value->len);
    bool ok = buffer_put(text, "'", 1);
    for (size_t i = 0; ok && i < cut; i++)
        ok = buffer_put(text, value->bytes + i, 1) && (value->bytes[i] != '\'' || buffer_put(text, "'", 1));
    return ok && buffer_put_text(text, cut < value->len ? "…'" : "'");
}

static bool describe_blob(const struct value *value, struct buffer *text)
{
    size_t cut = value->len < DESCRIBED_BYTES_MAX / 2 ? value->len : DESCRIBED_BYTES_MAX / 2;
    bool ok = buffer_put_text(text, "x'");
    for (size_t i = 0; ok && i < cut; i++)
        ok = buffer_format(text, "%02x", (unsigned char)value->bytes[i]);
    return ok && buffer_put_text(text, cut < value->len ? "…'" : "'");
}

static bool describe_real(double real, struct buffer *text)
{
    char digits[40];
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, real);
        double back = 0;
        if (sscanf(digits, "%lf", &back) == 1 && memcmp(&back, &real, sizeof back) == 0)
            break;
    }
    bool looks_whole = isfinite(real) && !strpbrk(digits, ".e");
    return buffer_put_text(text, digits) && (!looks_whole || buffer_put_text(text, ".0"));
}

bool value_describe(const struct value *value, struct buffer *text)
{
    switch (value->type) {
    case VALUE_NULL:
        return buffer_put_text(text, "NULL");
    case VALUE_ABSENT:
        return buffer_put_text(text, "(not given)");
    case VALUE_INTEGER:
        return buffer_format(text, "%lld", (long long)value->integer);
    case VALUE_REAL:
        return describe_real(value->real, text);
    case VALUE_TEXT:
        return describe_text(value, text);
    case VALUE_BLOB:
        return describe_blob(value, text);
    }
    return false;
}
