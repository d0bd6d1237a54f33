/* SPDX-License-Identifier: Apache-2.0 */
#include "rowkeys.h"

#include "key.h"

#include <stdlib.h>
#include <string.h>

#define REQUEST_SPACE UINT32_MAX /* no table's */
#define OWN_SPACES 2u            /* of a table, behind its keys: its rowids, itself */

struct rowkeys {
    const struct schema *schema;
    uint32_t *first_space; /* per table: the number of its first key */
};

struct rowkeys *rowkeys_new(const struct schema *schema)
{
    struct rowkeys *rowkeys = calloc(1, sizeof *rowkeys);
    if (!rowkeys || !(rowkeys->first_space = calloc((size_t)schema->table_count + 1, sizeof *rowkeys->first_space))) {
        free(rowkeys);
        return NULL;
    }
    rowkeys->schema = schema;
    for (table_id t = 0; t < schema->table_count; t++)
        rowkeys->first_space[t + 1] = rowkeys->first_space[t] + schema->tables[t].key_count + OWN_SPACES;
    return rowkeys;
}

void rowkeys_free(struct rowkeys *rowkeys)
{
    if (!rowkeys)
        return;
    free(rowkeys->first_space);
    free(rowkeys);
}

size_t rowkeys_wants_max(const struct rowkeys *rowkeys, table_id table)
{
    const struct schema_table *t = &rowkeys->schema->tables[table];
    return (size_t)t->key_count + t->reference_count;
}

static bool is_null(const struct value *value)
{
    return value->type == VALUE_NULL || value->type == VALUE_ABSENT;
}

static bool is_opaque(const struct schema_table *table, const struct schema_key *key)
{
    if (key->expression)
        return true;
    for (uint16_t i = 0; i < key->column_count; i++)
        if (table->columns[key->columns[i]].generated)
            return true;
    return false;
}

bool rowkeys_taken(const struct rowkeys *rowkeys, table_id table, uint16_t key, const struct value *values,
                   uint64_t *ret_key)
{
    const struct schema_table *t = &rowkeys->schema->tables[table];
    const struct schema_key *k = &t->keys[key];
    struct key_hash hash = key_start(rowkeys->first_space[table] + key);
    if (!is_opaque(t, k))
        for (uint16_t i = 0; i < k->column_count; i++) {
            if (is_null(&values[k->columns[i]]))
                return false;
            hash = key_add(hash, &values[k->columns[i]]);
        }
    *ret_key = hash.bits;
    return true;
}

bool rowkeys_named(const struct rowkeys *rowkeys, const struct schema_reference *reference, const struct value *values,
                   uint64_t *ret_key)
{
    const struct schema_table *parent = &rowkeys->schema->tables[reference->parent];
    struct key_hash hash = key_start(rowkeys->first_space[reference->parent] + reference->parent_key);
    bool opaque = is_opaque(parent, &parent->keys[reference->parent_key]);
    for (uint16_t i = 0; i < reference->column_count; i++) {
        const struct value *value = &values[reference->child_columns[reference->key_order[i]]];
        if (is_null(value))
            return false;
        if (!opaque)
            hash = key_add(hash, value);
    }
    *ret_key = hash.bits;
    return true;
}

bool rowkeys_row(const struct rowkeys *rowkeys, table_id table, const struct value *values, uint64_t *ret_key)
{
    const struct schema_table *t = &rowkeys->schema->tables[table];
    if (t->primary_key == SCHEMA_NONE) {
        *ret_key = rowkeys_rowid(rowkeys, table, values[0].integer);
        return true;
    }
    const struct schema_key *key = &t->keys[t->primary_key];
    struct key_hash hash = key_start(rowkeys->first_space[table] + t->primary_key);
    for (uint16_t i = 0; i < key->column_count; i++) {
        if (is_null(&values[i]))
            return false;
        hash = key_add(hash, &values[i]);
    }
    *ret_key = hash.bits;
    return true;
}

uint64_t rowkeys_rowid(const struct rowkeys *rowkeys, table_id table, int64_t rowid)
{
    const struct value value = value_integer(rowid);
    return key_add(key_start(rowkeys->first_space[table] + rowkeys->schema->tables[table].key_count), &value).bits;
}

uint64_t rowkeys_request(const void *key, size_t len)
{
    const struct value value = value_blob(key, len);
    return key_add(key_start(REQUEST_SPACE), &value).bits;
}

bool rowkeys_is_coarse(const struct rowkeys *rowkeys, table_id table, uint16_t key)
{
    const struct schema_table *t = &rowkeys->schema->tables[table];
    return t->keys[key].partial || is_opaque(t, &t->keys[key]);
}

uint64_t rowkeys_table(const struct rowkeys *rowkeys, table_id table)
{
    return key_start(rowkeys->first_space[table] + rowkeys->schema->tables[table].key_count + 1).bits;
}

size_t rowkeys_wants(const struct rowkeys *rowkeys, table_id table, const struct value *values, bool atomic,
                     struct lock_want *wants)
{
    const struct schema_table *t = &rowkeys->schema->tables[table];
    size_t count = 0;
    for (uint16_t k = 0; k < t->key_count; k++)
        if (rowkeys_taken(rowkeys, table, k, values, &wants[count].key)) {
            bool coarse = rowkeys_is_coarse(rowkeys, table, k);
            wants[count].exclusive = atomic || !coarse || t->reference_count > 0 || t->keys[k].referenced;
            wants[count].in_order = !wants[count].exclusive;
            count++;
        }
    for (uint16_t r = 0; r < t->reference_count; r++)
        if (rowkeys_named(rowkeys, &rowkeys->schema->references[t->references[r]], values, &wants[count].key)) {
            wants[count].exclusive = wants[count].in_order = false;
            count++;
        }
    return count;
}

static bool texts_equal(enum collation collation, const struct value *a, const struct value *b)
{
    uint32_t a_len = a->len, b_len = b->len;
    if (collation == COLLATION_RTRIM) {
        while (a_len && a->bytes[a_len - 1] == ' ')
            a_len--;
        while (b_len && b->bytes[b_len - 1] == ' ')
            b_len--;
    }
    if (a_len != b_len)
        return false;
    if (collation != COLLATION_NOCASE)
        return a_len == 0 || memcmp(a->bytes, b->bytes, a_len) == 0;
    for (uint32_t i = 0; i < a_len; i++) {
        unsigned char x = (unsigned char)a->bytes[i], y = (unsigned char)b->bytes[i];
        x = x >= 'A' && x <= 'Z' ? (unsigned char)(x + 32) : x;
        y = y >= 'A' && y <= 'Z' ? (unsigned char)(y + 32) : y;
        if (x != y)
            return false;
    }
    return true;
}

/* Exact, also beyond 2^53 where a double has gaps. */
static bool integer_is_real(int64_t integer, double real)
{
    if (real < -9223372036854775808.0 || real >= 9223372036854775808.0)
        return false;
    return (int64_t)real == integer && real - (double)(int64_t)real == 0.0;
}

static bool stored_equal(enum collation collation, const struct value *a, const struct value *b)
{
    if (a->type == VALUE_INTEGER && b->type == VALUE_REAL)
        return integer_is_real(a->integer, b->real);
    if (a->type == VALUE_REAL && b->type == VALUE_INTEGER)
        return integer_is_real(b->integer, a->real);
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case VALUE_INTEGER:
        return a->integer == b->integer;
    case VALUE_REAL:
        return a->real >= b->real && a->real <= b->real;
    case VALUE_TEXT:
        return texts_equal(collation, a, b);
    case VALUE_BLOB:
        return a->len == b->len && (a->len == 0 || memcmp(a->bytes, b->bytes, a->len) == 0);
    case VALUE_NULL:
    case VALUE_ABSENT:
        break;
    }
    return false;
}

/* A rowid is looked up as an integer, not compared: -2^63 as a real finds nothing. */
static bool rowids_equal(struct affinity_scratch *scratch, const struct value *a, const struct value *b)
{
    int64_t named, own;
    return affinity_as_rowid(scratch, a, &named) && affinity_as_rowid(scratch, b, &own) && named == own;
}

/* As an operand of `=` beside a column: that one's affinity makes numbers of texts, but no reals of integers. */
static enum affinity as_operand(enum affinity affinity)
{
    return affinity == AFFINITY_REAL ? AFFINITY_NUMERIC : affinity;
}

bool rowkeys_names(struct affinity_scratch *scratch, const struct schema *schema,
                   const struct schema_reference *reference, const struct value *child, const struct value *parent)
{
    const struct schema_table *children = &schema->tables[reference->child];
    const struct schema_table *parents = &schema->tables[reference->parent];
    const struct schema_key *key = &parents->keys[reference->parent_key];
    for (uint16_t i = 0; i < reference->column_count; i++) {
        uint16_t from = reference->child_columns[reference->key_order[i]], to = key->columns[i];
        struct value named, own;
        if (!affinity_apply(scratch, children->columns[from].affinity, &child[from], &named, NULL))
            return false;
        if (key->rowid)
            return rowids_equal(scratch, &named, &parent[to]);
        if (!affinity_apply(scratch, as_operand(parents->columns[to].affinity), &named, &named, NULL) ||
            !affinity_apply(scratch, parents->columns[to].affinity, &parent[to], &own, NULL) ||
            !stored_equal(key->collations[i], &named, &own))
            return false;
    }
    return true;
}

bool rowkeys_names_itself(struct affinity_scratch *scratch, const struct schema *schema,
                          const struct schema_reference *reference, const struct value *row, bool at_end)
{
    const struct schema_table *table = &schema->tables[reference->parent];
    if (reference->child != reference->parent)
        return false;
    if (at_end || table->keys[reference->parent_key].rowid)
        return rowkeys_names(scratch, schema, reference, row, row);
    for (uint16_t i = 0; i < reference->column_count; i++) {
        uint16_t from = reference->child_columns[i], to = reference->parent_columns[i];
        struct value named, own;
        if (!affinity_apply(scratch, table->columns[from].affinity, &row[from], &named, NULL) ||
            !affinity_apply(scratch, table->columns[to].affinity, &row[to], &own, NULL) ||
            !stored_equal(COLLATION_BINARY, &named, &own))
            return false;
    }
    return true;
}
