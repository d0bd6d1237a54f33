/* SPDX-License-Identifier: Apache-2.0 */
#include "made.h"

#include <stdlib.h>

#define CAPACITY_START 16u

void made_clear(struct made *made)
{
    made->count = 0;
}

void made_release(struct made *made)
{
    free(made->rows);
    *made = (struct made){0};
}

bool made_note(struct made *made, uint32_t op, table_id table, int64_t rowid)
{
    if (made->count == made->capacity) {
        uint32_t capacity = made->capacity ? made->capacity * 2 : CAPACITY_START;
        struct made_row *larger = realloc(made->rows, capacity * sizeof *larger);
        if (!larger)
            return false;
        made->rows = larger;
        made->capacity = capacity;
    }
    made->rows[made->count++] = (struct made_row){op, table, rowid};
    return true;
}

static int by_op(const void *op, const void *row)
{
    uint32_t wanted = *(const uint32_t *)op, has = ((const struct made_row *)row)->op;
    return wanted < has ? -1 : wanted > has;
}

const struct made_row *made_find(const struct made *made, const struct wire_op *op, struct error *error)
{
    struct cursor cursor = cursor_over(op->key, op->key_len);
    const struct made_row *row = NULL;
    uint32_t items, number;
    if (cursor_array(&cursor, &items) && items == 1 && cursor_uint32(&cursor, &number) && cursor_at_end(&cursor) &&
        made->count)
        row = bsearch(&number, made->rows, made->count, sizeof *made->rows, by_op);
    if (row && row->table == op->table)
        return row;
    error_set(error, ERROR_INTERNAL, "a row of table number %u that nothing before it has inserted", op->table);
    return NULL;
}

bool made_key(const struct made_row *row, struct buffer *ret_key)
{
    const struct value rowid = value_integer(row->rowid);
    buffer_clear(ret_key);
    return pack_array(ret_key, 1) && pack_value(ret_key, &rowid);
}
