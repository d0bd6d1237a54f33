/* SPDX-License-Identifier: Apache-2.0 */
#include "columns.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

bool columns_init(struct columns *columns, const struct schema_table *table)
{
    *columns = (struct columns){.table = table, .field_of = calloc((size_t)table->column_count + 1, sizeof(uint16_t))};
    for (uint16_t i = 0; columns->field_of && i < table->column_count; i++)
        columns->field_of[i] = SCHEMA_NONE;
    return columns->field_of != NULL;
}

void columns_release(struct columns *columns)
{
    free(columns->field_of);
    columns->field_of = NULL;
}

/* As a precision of printf; error_set cuts what is too long for a message. */
static int shown(size_t len)
{
    return len < INT_MAX ? (int)len : INT_MAX;
}

uint16_t columns_find(const struct schema_table *table, const char *name, size_t len, struct error *error)
{
    uint16_t column = schema_find_column(table, name, len);

    if (column != SCHEMA_NONE && !table->columns[column].generated)
        return column;
    if (column == SCHEMA_NONE && memchr(name, 0, len))
        error_set(error, ERROR_UNKNOWN_COLUMN, "a column of table %s is named with a NUL", table->name);
    else if (column == SCHEMA_NONE)
        error_set(error, ERROR_UNKNOWN_COLUMN, "table %s has no column \"%.*s\"", table->name, shown(len), name);
    else
        error_set(error, ERROR_PARSE, "column %s of table %s is generated: it takes no value",
                  table->columns[column].name, table->name);
    error_about(error, table->name, NULL);
    return SCHEMA_NONE;
}

bool columns_add(struct columns *columns, const char *name, size_t len, struct error *error)
{
    const struct schema_table *table = columns->table;
    uint16_t column = columns_find(table, name, len, error);

    if (column == SCHEMA_NONE)
        return false;
    if (columns->field_of[column] != SCHEMA_NONE) {
        error_set(error, ERROR_PARSE, "column %s is named twice", table->columns[column].name);
        return error_about(error, table->name, NULL);
    }
    columns->field_of[column] = columns->count++;
    return true;
}

bool columns_close(const struct columns *columns, struct error *error)
{
    const struct schema_table *table = columns->table;

    for (uint16_t i = 0; i < table->column_count; i++) {
        const struct schema_column *column = &table->columns[i];
        if (column->key_position == 0 || columns->field_of[i] != SCHEMA_NONE || i == table->rowid_column ||
            column->has_default)
            continue;
        error_set(error, ERROR_PARSE, "column %s is not named: it is part of the key of table %s and has no DEFAULT",
                  column->name, table->name);
        return error_about(error, table->name, NULL);
    }
    return true;
}
