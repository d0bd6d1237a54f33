/* SPDX-License-Identifier: Apache-2.0 */
#include "json_row.h"

#include "columns.h"
#include "limits.h"
#include "record.h"
#include "row.h"

#include <string.h>
#include <strings.h>

/* How deep brackets nest. Valid JSON or not: it bounds the parser's recursion. */
static bool nests_too_deep(const char *text, size_t len)
{
    int depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '"')
            in_string = !in_string;
        else if (in_string)
            i += c == '\\';
        else if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth--;
        if (depth > LIMIT_JSON_DEPTH_MAX)
            return true;
    }
    return false;
}

/* Our own words where the library names its options. */
static const char *reason_of(const json_error_t *why)
{
    enum json_error_code code = json_error_code(why);
    bool is_nul = code == json_error_null_character || code == json_error_null_byte_in_key;
    return is_nul ? "U+0000 is in the text" : why->text;
}

json_t *json_row_parse(const char *text, size_t len, struct error *error)
{
    json_error_t why = {0};

    if (nests_too_deep(text, len)) {
        error_set(error, ERROR_PARSE, "JSON nests more than %d levels deep", LIMIT_JSON_DEPTH_MAX);
        return NULL;
    }
    json_t *object = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (!object && json_error_code(&why) == json_error_out_of_memory) {
        error_set(error, ERROR_INTERNAL, "out of memory");
    } else if (!object) {
        error_set(error, ERROR_PARSE, "JSON, byte %d: %s", why.position, reason_of(&why));
    } else if (!json_is_object(object)) {
        json_decref(object);
        object = NULL;
        error_set(error, ERROR_PARSE, "a record is a JSON object");
    }
    return object;
}

static bool read_blob(struct json_row *row, const struct schema_table *table, uint16_t column, json_t *object,
                      struct error *error)
{
    json_t *digits = json_object_get(object, "hex");

    if (json_object_size(object) != 1 || !json_is_string(digits))
        return record_refuse_column(error, table, column, ERROR_PARSE,
                                    "an object is not a value (a blob is {\"hex\":\"00ff\"})");
    size_t len = json_string_length(digits);
    uint8_t *bytes = row->blobs.bytes + row->blobs.len;
    if (!record_hex(json_string_value(digits), len, bytes))
        return record_refuse_column(error, table, column, ERROR_TYPE, "a blob is an even number of hex digits");
    row->blobs.len += len / 2;
    row->values[column] = value_blob(bytes, len / 2);
    return true;
}

static bool read_value(struct json_row *row, const struct schema_table *table, uint16_t column, json_t *json,
                       struct error *error)
{
    struct value *value = &row->values[column];

    switch (json_typeof(json)) {
    case JSON_NULL:
        *value = value_null();
        return true;
    case JSON_INTEGER:
        *value = value_integer(json_integer_value(json));
        return true;
    case JSON_REAL:
        *value = value_real(json_real_value(json));
        return true;
    case JSON_STRING:
        *value = row_text_value(&table->columns[column], json_string_value(json), json_string_length(json));
        return true;
    case JSON_OBJECT:
        return read_blob(row, table, column, json, error);
    case JSON_ARRAY:
        return record_refuse_column(error, table, column, ERROR_PARSE, "an array is not a value");
    case JSON_TRUE:
    case JSON_FALSE:
        return record_refuse_column(error, table, column, ERROR_PARSE, "a boolean is not a value");
    }
    return false;
}

/* Bytes that the object's blobs may take: at most half of their digits. */
static bool reserve_blobs(struct json_row *row, json_t *object)
{
    const char *key;
    json_t *member;
    size_t digits = 0;

    row->blobs.len = 0;
    json_object_foreach(object, key, member) if (json_is_object(member)) digits +=
        json_string_length(json_object_get(member, "hex"));
    return buffer_reserve(&row->blobs, digits / 2 + 1);
}

bool json_row_read(struct json_row *row, const struct schema_table *table, json_t *object, bool names_table,
                   struct error *error)
{
    const char *key;
    json_t *member;

    if (!reserve_blobs(row, object))
        return error_set(error, ERROR_INTERNAL, "out of memory");
    for (uint16_t i = 0; i < table->column_count; i++)
        row->values[i] = value_absent();
    json_object_foreach(object, key, member)
    {
        const char *name = key;
        if (names_table && strcmp(key, "table") == 0)
            continue;
        if (names_table && strcasecmp(key, "=table") == 0)
            name++;
        uint16_t column = columns_find(table, name, strlen(name), error);
        if (column == SCHEMA_NONE)
            return false;
        if (row->values[column].type != VALUE_ABSENT) /* in another case of letters */
            return record_refuse_column(error, table, column, ERROR_PARSE, "it is given twice");
        if (!read_value(row, table, column, member, error))
            return false;
    }
    return true;
}
