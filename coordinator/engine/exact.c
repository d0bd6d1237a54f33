/* SPDX-License-Identifier: Apache-2.0 */
#include "exact.h"

#include <string.h>

static void put(struct buffer *bytes, const void *from, size_t len)
{
    if (!buffer_put(bytes, from, len))
        panic("out of memory for a key");
}

static void put_number(struct buffer *bytes, char kind, const void *eight)
{
    put(bytes, &kind, 1);
    put(bytes, eight, 8);
}

void exact_rowid(int64_t rowid, struct buffer *bytes)
{
    put_number(bytes, 'i', &rowid);
}

/* Integers and reals that are the same number are the same key. */
static void put_real(struct buffer *bytes, double real)
{
    if (real >= -9223372036854775808.0 && real < 9223372036854775808.0 && (double)(int64_t)real == real)
        exact_rowid((int64_t)real, bytes);
    else
        put_number(bytes, 'r', &real);
}

static void put_text(struct buffer *bytes, enum collation collation, const struct value *text)
{
    uint32_t len = text->len;
    while (collation == COLLATION_RTRIM && len && text->bytes[len - 1] == ' ')
        len--;
    put(bytes, "t", 1);
    put(bytes, &len, sizeof len);
    size_t at = bytes->len;
    put(bytes, text->bytes, len);
    for (size_t i = at; collation == COLLATION_NOCASE && i < bytes->len; i++)
        if (bytes->bytes[i] >= 'A' && bytes->bytes[i] <= 'Z')
            bytes->bytes[i] |= 0x20;
}

static bool put_value(struct buffer *bytes, enum collation collation, const struct value *value)
{
    switch (value->type) {
    case VALUE_INTEGER:
        exact_rowid(value->integer, bytes);
        return true;
    case VALUE_REAL:
        put_real(bytes, value->real);
        return true;
    case VALUE_TEXT:
        put_text(bytes, collation, value);
        return true;
    case VALUE_BLOB:
        put(bytes, "b", 1);
        put(bytes, &value->len, sizeof value->len);
        put(bytes, value->bytes, value->len);
        return true;
    case VALUE_NULL:
    case VALUE_ABSENT:
        break;
    }
    return false;
}

static void apply(struct affinity_scratch *scratch, enum affinity affinity, const struct value *value,
                  struct value *ret_value)
{
    if (!affinity_apply(scratch, affinity, value, ret_value, NULL))
        panic("an affinity cannot be applied");
}

/* A rowid is looked up as an integer; what is none names nothing, and equals nothing. */
static bool put_as_rowid(struct affinity_scratch *scratch, const struct value *value, struct buffer *bytes)
{
    int64_t rowid;
    if (value->type == VALUE_NULL || value->type == VALUE_ABSENT)
        return false;
    if (affinity_as_rowid(scratch, value, &rowid))
        exact_rowid(rowid, bytes);
    else
        put(bytes, "x", 1);
    return true;
}

static bool put_column(struct affinity_scratch *scratch, const struct schema_table *table, const struct schema_key *key,
                       uint16_t i, const struct value *value, struct buffer *bytes)
{
    struct value stored;
    if (key->rowid)
        return put_as_rowid(scratch, value, bytes);
    apply(scratch, table->columns[key->columns[i]].affinity, value, &stored);
    return put_value(bytes, key->collations[i], &stored);
}

bool exact_key(struct affinity_scratch *scratch, const struct schema_table *table, uint16_t key,
               const struct value *row, struct buffer *bytes)
{
    const struct schema_key *k = &table->keys[key];
    for (uint16_t i = 0; i < k->column_count; i++)
        if (!put_column(scratch, table, k, i, &row[k->columns[i]], bytes))
            return false;
    return true;
}

bool exact_values(struct affinity_scratch *scratch, const struct schema_table *table, uint16_t key,
                  const struct value *values, struct buffer *bytes)
{
    const struct schema_key *k = &table->keys[key];
    for (uint16_t i = 0; i < k->column_count; i++)
        if (!put_column(scratch, table, k, i, &values[i], bytes))
            return false;
    return true;
}

/* As an operand of `=` beside a column: that one's affinity makes numbers of texts, but no reals of integers. */
static enum affinity as_operand(enum affinity affinity)
{
    return affinity == AFFINITY_REAL ? AFFINITY_NUMERIC : affinity;
}

bool exact_named(struct affinity_scratch *scratch, const struct schema *schema,
                 const struct schema_reference *reference, const struct value *row, struct buffer *bytes)
{
    const struct schema_table *children = &schema->tables[reference->child];
    const struct schema_table *parents = &schema->tables[reference->parent];
    const struct schema_key *key = &parents->keys[reference->parent_key];
    for (uint16_t i = 0; i < reference->column_count; i++) {
        uint16_t from = reference->child_columns[reference->key_order[i]];
        struct value named;
        apply(scratch, children->columns[from].affinity, &row[from], &named);
        if (key->rowid) {
            if (!put_as_rowid(scratch, &named, bytes))
                return false;
            continue;
        }
        apply(scratch, as_operand(parents->columns[key->columns[i]].affinity), &named, &named);
        if (!put_value(bytes, key->collations[i], &named))
            return false;
    }
    return true;
}

uint64_t exact_hash(uint64_t about, const struct buffer *exact)
{
    uint64_t hash = (0xcbf29ce484222325u ^ about) * 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < exact->len; i++)
        hash = (hash ^ exact->bytes[i]) * 0x100000001b3u;
    return hash ^ hash >> 29;
}
