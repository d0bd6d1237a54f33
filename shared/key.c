/* SPDX-License-Identifier: Apache-2.0 */
#include "key.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* FNV-1a over eight bytes at a time, finished with a mixer (MurmurHash3's fmix64): keys are often small neighbouring
 * integers. */
static uint64_t mixed(uint64_t bits)
{
    bits ^= bits >> 33;
    bits *= 0xff51afd7ed558ccdu;
    bits ^= bits >> 33;
    bits *= 0xc4ceb9fe1a85ec53u;
    return bits ^ bits >> 33;
}

struct key_hash key_start(uint32_t space)
{
    return (struct key_hash){mixed(0xcbf29ce484222325u ^ space)};
}

static struct key_hash add_word(struct key_hash hash, uint64_t word, uint64_t kind)
{
    return (struct key_hash){mixed((hash.bits ^ mixed(word + kind * 0x9e3779b97f4a7c15u)) * 0x100000001b3u)};
}

static struct key_hash add_number(struct key_hash hash, double number)
{
    uint64_t word;
    if (fpclassify(number) == FP_ZERO)
        number = 0.0;
    memcpy(&word, &number, sizeof word);
    return add_word(hash, word, 1);
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool key_reads_as_number(const char *text, size_t len, double *ret_number)
{
    size_t start = 0;
    while (start < len && is_blank(text[start]))
        start++;
    while (len > start && is_blank(text[len - 1]))
        len--;
    size_t at = start + (start < len && (text[start] == '+' || text[start] == '-'));
    size_t digits = 0;
    for (; at < len && text[at] >= '0' && text[at] <= '9'; at++)
        digits++;
    if (at < len && text[at] == '.')
        for (at++; at < len && text[at] >= '0' && text[at] <= '9'; at++)
            digits++;
    if (!digits)
        return false;
    if (at < len && (text[at] == 'e' || text[at] == 'E')) {
        at++;
        at += at < len && (text[at] == '+' || text[at] == '-');
        size_t exponent = 0;
        for (; at < len && text[at] >= '0' && text[at] <= '9'; at++)
            exponent++;
        if (!exponent)
            return false;
    }
    if (at != len)
        return false;
    char digits_text[400];
    if (len - start >= sizeof digits_text) {
        *ret_number = 0.0;
        return true;
    }
    memcpy(digits_text, text + start, len - start);
    digits_text[len - start] = '\0';
    *ret_number = strtod(digits_text, NULL);
    return true;
}

/* Text without trailing blanks and ASCII case. */
static struct key_hash add_text(struct key_hash hash, const char *text, size_t len)
{
    while (len > 0 && text[len - 1] == ' ')
        len--;
    uint64_t word = 0xcbf29ce484222325u;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        word = (word ^ (c >= 'A' && c <= 'Z' ? c + 32u : c)) * 0x100000001b3u;
    }
    return add_word(hash, word, 2);
}

/* Integers below 2^63 are read alike by everybody: SQLite reduces the decimal text of one to an int64 before it rounds.
 * What has a fraction, or is larger, may be read one unit in the last place apart by SQLite and by strtod, so of those
 * only sign and magnitude count: too coarse on purpose. */
static struct key_hash add_coarse_number(struct key_hash hash, double number)
{
    if (fabs(number) < 9223372036854775808.0 && rint(number) == number)
        return add_number(hash, number);
    int exponent = 2000;
    if (isfinite(number))
        (void)frexp(number, &exponent);
    return add_word(hash, (uint64_t)(int64_t)(number < 0 ? -exponent - 5000 : exponent), 3);
}

struct key_hash key_add(struct key_hash hash, const struct value *value)
{
    double number;
    switch (value->type) {
    case VALUE_INTEGER:
        return add_coarse_number(hash, (double)value->integer);
    case VALUE_REAL:
        return add_coarse_number(hash, value->real);
    case VALUE_TEXT:
        if (key_reads_as_number(value->bytes, value->len, &number))
            return add_coarse_number(hash, number);
        return add_text(hash, value->bytes, value->len);
    case VALUE_BLOB:
        return add_text(hash, value->bytes, value->len);
    case VALUE_NULL:
    case VALUE_ABSENT:
        break;
    }
    return add_word(hash, 0, 5);
}
