/* SPDX-License-Identifier: Apache-2.0 */
#include "row.h"

#include "pack.h"

#include <endian.h>
#include <string.h>

#define SHORTCUT_DIGITS_MAX 15u

static bool read_filled(struct cursor *cursor, struct value *ret_value)
{
    uint32_t count;
    if (!cursor_array(cursor, &count) || count != 1 || !cursor_value(cursor, ret_value) ||
        ret_value->type == VALUE_ABSENT)
        return false;
    ret_value->filled = true;
    return true;
}

bool row_read(const struct schema_table *table, const uint8_t *bytes, size_t len, struct value *values,
              struct error *error)
{
    struct cursor cursor = cursor_over(bytes, len);
    uint32_t count;
    if (!cursor_array(&cursor, &count) || count != table->column_count)
        return error_set(error, ERROR_PARSE, "a row of %s has %u values", table->name, table->column_count);
    for (uint32_t i = 0; i < count; i++)
        if (!cursor_value(&cursor, &values[i]) && !read_filled(&cursor, &values[i]))
            return error_set(error, ERROR_PARSE, "a row of %s: value %u cannot be read", table->name, i + 1);
    return cursor_at_end(&cursor) || error_set(error, ERROR_PARSE, "a row of %s has trailing bytes", table->name);
}

bool row_write(const struct schema_table *table, const struct value *values, struct buffer *bytes)
{
    bool ok = pack_array(bytes, table->column_count);
    for (uint16_t i = 0; ok && i < table->column_count; i++)
        ok = (!values[i].filled || pack_array(bytes, 1)) && pack_value(bytes, &values[i]);
    return ok;
}

/* -?[1-9][0-9]{0,14} or 0: what SQLite prints for that integer, so the affinity would give just this. */
static bool canonical_integer(const char *text, size_t len, int64_t *ret_number)
{
    bool negative = len > 0 && text[0] == '-';
    size_t at = negative;
    if (at == len || len - at > SHORTCUT_DIGITS_MAX || (text[at] == '0' && (negative || len > 1)))
        return false;
    int64_t number = 0;
    for (; at < len; at++) {
        if (text[at] < '0' || text[at] > '9')
            return false;
        number = number * 10 + (text[at] - '0');
    }
    *ret_number = negative ? -number : number;
    return true;
}

struct value row_text_value(const struct schema_column *column, const char *text, size_t len)
{
    int64_t number;
    if (column->affinity >= AFFINITY_NUMERIC && canonical_integer(text, len, &number))
        return value_integer(number);
    return value_text(text, len);
}

/* A bijection that spreads every bit over all of them. */
static uint64_t mixed(uint64_t a)
{
    a = (a ^ a >> 32) * 0xd6e8feb86659fd93u;
    a = (a ^ a >> 32) * 0xd6e8feb86659fd93u;
    return a ^ a >> 32;
}

/* Two lanes that take in each word differently: what one does not tell apart, the other still does. */
struct row_tag row_tag(const uint8_t *row, size_t len)
{
    /* mixed before the first word: else a length and a word could make up for one another */
    uint64_t one = mixed(0x9e3779b97f4a7c15u ^ len), other = mixed(0xc2b2ae3d27d4eb4fu + len);
    struct row_tag tag;
    for (size_t at = 0; at < len; at += 8) {
        uint64_t word = 0;
        memcpy(&word, row + at, len - at < 8 ? len - at : 8);
        word = le64toh(word);
        one = mixed(one ^ word);
        other = mixed(other + word) * 0x9fb21c651e98df25u;
    }
    one = htole64(mixed(one));
    other = htole64(mixed(other));
    memcpy(tag.bytes, &one, sizeof one);
    memcpy(tag.bytes + sizeof one, &other, sizeof other);
    return tag;
}

bool row_key_is_given(const struct schema_table *table, const struct value *values)
{
    if (table->primary_key == SCHEMA_NONE)
        return false;
    const struct schema_key *key = &table->keys[table->primary_key];
    for (uint16_t i = 0; i < key->column_count; i++) {
        const struct value *value = &values[key->columns[i]];
        if (value->type == VALUE_ABSENT || value->type == VALUE_NULL || value->filled)
            return false;
    }
    return true;
}
