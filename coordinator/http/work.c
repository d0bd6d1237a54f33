/* SPDX-License-Identifier: Apache-2.0 */
#include "work.h"

#include "pack.h"
#include "record.h"
#include "uri.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool out_of_memory(struct error *error)
{
    return error_set(error, ERROR_INTERNAL, "out of memory");
}

static uint16_t widest(const struct schema *schema)
{
    uint16_t columns = 1;

    for (uint16_t i = 0; i < schema->table_count; i++)
        if (schema->tables[i].column_count > columns)
            columns = schema->tables[i].column_count;
    return columns;
}

struct work *work_new(const struct schema *schema, enum work_shape shape, uint32_t capacity)
{
    struct work *work = calloc(1, sizeof *work);

    if (!work)
        return NULL;
    work->shape = shape;
    work->capacity = capacity;
    work->submission = submission_new(capacity ? capacity : 1);
    work->refused = calloc(capacity ? capacity : 1, sizeof *work->refused);
    work->row.values = calloc(widest(schema), sizeof *work->row.values);
    if (!work->submission || !work->refused || !work->row.values) {
        work_free(work);
        return NULL;
    }
    work->submission->atomic = shape == WORK_ATOMIC;
    return work;
}

void work_free(struct work *work)
{
    if (!work)
        return;
    for (uint32_t i = 0; work->refused && i < work->count; i++)
        free(work->refused[i]);
    free(work->refused);
    free(work->row.values);
    buffer_release(&work->row.blobs);
    if (work->submission)
        submission_free(work->submission);
    free(work);
}

/* Numbers out of range, names given twice and U+0000 are still JSON. */
static bool is_json(const struct json_member *member)
{
    json_error_t why = {0};
    json_t *any = json_loadb(member->value, member->len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);

    json_decref(any);
    return any || json_error_code(&why) == json_error_numeric_overflow;
}

json_t *work_object(const struct json_member *member, struct error *why, struct error *error)
{
    json_t *object = NULL;

    if (member->len > LIMIT_ROW_BYTES_MAX)
        error_set(why, ERROR_TOO_LARGE, "a row is longer than %d bytes", LIMIT_ROW_BYTES_MAX);
    else
        object = json_row_parse(member->value, member->len, why);
    if (!object && why->code == ERROR_PARSE && !is_json(member))
        *error = *why;
    return object;
}

void work_add(struct work *work, const struct op *op)
{
    struct submission *submission = work->submission;

    submission->ops[submission->count] = *op;
    submission->ops[submission->count++].position = work->count;
    work->refused[work->count++] = NULL;
}

bool work_refuse(struct work *work, const struct error *why)
{
    struct error *copy = malloc(sizeof *copy);

    if (!copy)
        return false;
    *copy = *why;
    work->refused[work->count++] = copy;
    return true;
}

/* As one that is all or nothing: what is kept under its key lies on the key's own database. */
void work_note(struct work *work)
{
    struct submission *submission = work->submission;

    submission->ops[0] = (struct op){.kind = OP_NOTHING};
    submission->count = 1;
    submission->atomic = true;
}

/* What was appended since `begun`, when positions still fit. */
static bool mark(struct work *work, size_t begun, uint32_t *ret_at, uint32_t *ret_len, struct error *error)
{
    struct buffer *rows = &work->submission->rows;

    if (rows->len > UINT32_MAX) {
        rows->len = begun;
        return error_set(error, ERROR_TOO_LARGE, "the request is too large");
    }
    *ret_at = (uint32_t)begun;
    *ret_len = (uint32_t)(rows->len - begun);
    return true;
}

bool work_row(struct work *work, const struct schema_table *table, json_t *object, struct op *op, struct error *error)
{
    struct buffer *rows = &work->submission->rows;
    size_t begun = rows->len;
    struct input_record record;

    return json_row_read(&work->row, table, object, false, error) &&
           record_row(table, work->row.values, rows, &record, error) == INPUT_ROW &&
           mark(work, begun, &op->row_at, &op->row_len, error);
}

static bool wrong_key(const struct schema_table *table, struct error *error)
{
    char columns[256] = "rowid";

    if (table->primary_key != SCHEMA_NONE)
        schema_columns_joined(table, table->keys[table->primary_key].columns,
                              table->keys[table->primary_key].column_count, columns, sizeof columns);
    error_set(error, ERROR_PARSE, "\"key\" is an object with the key of %s: %s", table->name, columns);
    return error_about(error, table->name, NULL);
}

static bool put_rowid(const struct schema_table *table, json_t *object, struct buffer *rows, struct error *error)
{
    json_t *rowid = json_object_get(object, "rowid");

    if (json_object_size(object) != 1 || !json_is_integer(rowid))
        return wrong_key(table, error);
    struct value value = value_integer(json_integer_value(rowid));
    return (pack_array(rows, 1) && pack_value(rows, &value)) || out_of_memory(error);
}

static bool put_key(struct work *work, const struct schema_table *table, json_t *object, struct buffer *rows,
                    struct error *error)
{
    const struct schema_key *key = &table->keys[table->primary_key];

    if (!json_row_read(&work->row, table, object, false, error))
        return false;
    if (json_object_size(object) != key->column_count)
        return wrong_key(table, error);
    if (!pack_array(rows, key->column_count))
        return out_of_memory(error);
    for (uint16_t i = 0; i < key->column_count; i++) {
        const struct value *value = &work->row.values[key->columns[i]];

        if (value->type == VALUE_ABSENT)
            return wrong_key(table, error);
        if (!pack_value(rows, value))
            return out_of_memory(error);
    }
    return true;
}

bool work_key(struct work *work, const struct schema_table *table, json_t *object, struct op *op, struct error *error)
{
    struct buffer *rows = &work->submission->rows;
    size_t begun = rows->len;
    bool fine = table->primary_key == SCHEMA_NONE ? put_rowid(table, object, rows, error)
                                                  : put_key(work, table, object, rows, error);

    if (!fine)
        rows->len = begun;
    return fine && mark(work, begun, &op->key.at, &op->key.len, error);
}

bool work_path_key(struct work *work, const struct schema_table *table, const char *text, size_t len, struct op *op,
                   struct error *error)
{
    size_t begun = work->submission->rows.len;

    return uri_key(table, text, len, &work->submission->rows, error) &&
           mark(work, begun, &op->key.at, &op->key.len, error);
}
