/* SPDX-License-Identifier: Apache-2.0 */
#include "json_row.h"
#include "record.h"

static bool table_of(const struct schema *schema, json_t *object, table_id *ret_table, struct error *error)
{
    json_t *name = json_object_get(object, "table");

    if (!json_is_string(name))
        return error_set(error, ERROR_PARSE,
                         name ? "\"table\" is a table's name, a string" : "the record has no \"table\"");
    *ret_table = schema_find_table(schema, json_string_value(name), json_string_length(name));
    return *ret_table != SCHEMA_NONE ||
           error_set(error, ERROR_UNKNOWN_TABLE, "there is no table \"%s\" in the schema", json_string_value(name));
}

bool input_json_line(const struct schema *schema, const char *line, size_t len, table_id *ret_table, struct buffer *row,
                     struct error *error)
{
    struct value values[LIMIT_COLUMNS_MAX];
    struct json_row json_row = {.values = values};
    struct input_record record;
    table_id id = SCHEMA_NONE;

    if (len > LIMIT_ROW_BYTES_MAX)
        return error_set(error, ERROR_TOO_LARGE, "the record is longer than %d bytes", LIMIT_ROW_BYTES_MAX);
    json_t *object = json_row_parse(line, len, error);
    if (!object)
        return false;
    bool fine = table_of(schema, object, &id, error);
    if (fine) {
        const struct schema_table *table = &schema->tables[id];
        *ret_table = id;
        fine = json_row_read(&json_row, table, object, true, error) &&
               record_row(table, values, row, &record, error) == INPUT_ROW;
    }
    buffer_release(&json_row.blobs);
    json_decref(object);
    return fine;
}
