/* SPDX-License-Identifier: Apache-2.0 */
#include "transaction_rows.h"

#include "task.h"

#include <stdlib.h>
#include <string.h>

/* Adds what engine->values says. */
static void add_row(struct engine *engine, struct transaction_rows *rows, const struct op *op, uint32_t number,
                    const struct assigned *assigned)
{
    const struct schema_table *table = &engine->schema->tables[op->table];
    rows->want_count += rowkeys_wants(engine->rowkeys, op->table, engine->values, true, &rows->wants[rows->want_count]);
    rows->bytes[table->database] += op->row_len;
    rows->ops[table->database]++;
    if (assigned->has_rowid)
        rows->arrivals[rows->arrival_count++] = (struct arrival){op->table, assigned->rowid};
    for (uint16_t k = 0; k < table->key_count; k++)
        if (table->keys[k].referenced &&
            rowkeys_taken(engine->rowkeys, op->table, k, engine->values, &rows->brought[rows->brought_count].key))
            rows->brought[rows->brought_count++].op = number;
}

static int by_key(const void *a, const void *b)
{
    const struct brought *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->op > y->op) - (x->op < y->op);
}

bool transaction_rows_read(struct engine *engine, struct submission *submission, struct transaction_rows *ret_rows,
                           uint32_t *ret_op, struct error *error)
{
    size_t wants = 0, keys = 0;
    *ret_op = 0;
    *ret_rows = (struct transaction_rows){0};
    for (uint32_t i = 0; i < submission->count; i++) {
        wants += rowkeys_wants_max(engine->rowkeys, submission->ops[i].table);
        keys += engine->schema->tables[submission->ops[i].table].key_count;
    }
    ret_rows->wants = malloc((wants + 1) * sizeof *ret_rows->wants);
    ret_rows->brought = malloc((keys + 1) * sizeof *ret_rows->brought);
    ret_rows->arrivals = malloc(((size_t)submission->count + 1) * sizeof *ret_rows->arrivals);
    bool ok = (ret_rows->wants && ret_rows->brought && ret_rows->arrivals) ||
              error_set(error, ERROR_INTERNAL, "out of memory");
    for (uint32_t i = 0; ok && i < submission->count; i++) {
        struct assigned assigned;
        *ret_op = i;
        ok = task_read_row(engine, submission, &submission->ops[i], &assigned, error);
        if (ok)
            add_row(engine, ret_rows, &submission->ops[i], i, &assigned);
    }
    if (ok && ret_rows->brought_count)
        qsort(ret_rows->brought, ret_rows->brought_count, sizeof *ret_rows->brought, by_key);
    return ok;
}

void transaction_rows_release(struct transaction_rows *rows)
{
    free(rows->brought);
    free(rows->arrivals);
    free(rows->wants);
    *rows = (struct transaction_rows){0};
}

bool transaction_rows_bring(const struct transaction_rows *rows, struct engine *engine,
                            const struct submission *submission, const struct schema_reference *reference,
                            const struct value *child)
{
    uint64_t key;
    if (!rowkeys_named(engine->rowkeys, reference, child, &key))
        return false;
    size_t low = 0, high = rows->brought_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (rows->brought[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < rows->brought_count && rows->brought[low].key == key; low++) {
        const struct op *op = &submission->ops[rows->brought[low].op];
        if (op->table == reference->parent &&
            row_read(&engine->schema->tables[op->table], submission->rows.bytes + op->row_at, op->row_len,
                     engine->other_values, NULL) &&
            rowkeys_names(engine->scratch, engine->schema, reference, child, engine->other_values))
            return true;
    }
    return false;
}

bool transaction_rows_locks(const struct transaction_rows *rows, struct buffer *bytes)
{
    if (!buffer_reserve(bytes, rows->want_count * 9))
        return false;
    for (size_t i = 0; i < rows->want_count; i++) {
        uint8_t *to = bytes->bytes + bytes->len;
        for (unsigned b = 0; b < 8; b++)
            to[b] = (uint8_t)(rows->wants[i].key >> (8 * b));
        to[8] = rows->wants[i].exclusive;
        bytes->len += 9;
    }
    return true;
}
