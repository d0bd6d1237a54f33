/* SPDX-License-Identifier: Apache-2.0 */
#include "input.h"

#include "csv.h"
#include "msgpack_input.h"
#include "ndjson.h"
#include "source.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct input {
    struct source source;
    enum input_format format;
    union {
        struct csv *csv;
        struct ndjson *ndjson;
        struct msgpack_input *msgpack;
    };
};

static const struct {
    const char *name;
    enum input_format format;
} formats[] = {
    {"csv", INPUT_FORMAT_CSV},      {"tsv", INPUT_FORMAT_TSV},         {"ndjson", INPUT_FORMAT_NDJSON},
    {"jsonl", INPUT_FORMAT_NDJSON}, {"msgpack", INPUT_FORMAT_MSGPACK},
};

enum input_format input_format_of_name(const char *name)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcasecmp(formats[i].name, name) == 0)
            return formats[i].format;
    return INPUT_FORMAT_NONE;
}

enum input_format input_format_of_path(const char *path)
{
    const char *dot = strrchr(path, '.'); /* of a directory: no format's name holds a slash */

    return dot ? input_format_of_name(dot + 1) : INPUT_FORMAT_NONE;
}

static bool open_reader(struct input *input, const struct schema_table *table, struct error *error)
{
    switch (input->format) {
    case INPUT_FORMAT_CSV:
    case INPUT_FORMAT_TSV:
        input->csv = csv_open(&input->source, table, input->format == INPUT_FORMAT_CSV ? ',' : '\t', error);
        return input->csv != NULL;
    case INPUT_FORMAT_NDJSON:
        input->ndjson = ndjson_open(&input->source, table, error);
        return input->ndjson != NULL;
    case INPUT_FORMAT_MSGPACK:
        input->msgpack = msgpack_input_open(&input->source, table, error);
        return input->msgpack != NULL;
    case INPUT_FORMAT_NONE:
        break;
    }
    return error_set(error, ERROR_PARSE, "%s: its format is not known", input->source.path);
}

struct input *input_open(const char *path, enum input_format format, const struct schema *schema, table_id table,
                         bool (*interrupted)(void), struct error *error)
{
    struct input *input = calloc(1, sizeof *input);

    if (!input) {
        error_set(error, ERROR_INTERNAL, "%s: out of memory", path);
        return NULL;
    }
    input->format = format;
    if (!source_open(&input->source, path, interrupted, error)) {
        free(input);
        return NULL;
    }
    if (open_reader(input, &schema->tables[table], error))
        return input;
    source_close(&input->source);
    free(input);
    return NULL;
}

void input_close(struct input *input)
{
    if (!input)
        return;
    if (input->format == INPUT_FORMAT_NDJSON)
        ndjson_close(input->ndjson);
    else if (input->format == INPUT_FORMAT_MSGPACK)
        msgpack_input_close(input->msgpack);
    else
        csv_close(input->csv);
    source_close(&input->source);
    free(input);
}

enum input_result input_next(struct input *input, struct buffer *rows, struct input_record *ret_record,
                             struct error *error)
{
    switch (input->format) {
    case INPUT_FORMAT_NDJSON:
        return ndjson_next(input->ndjson, rows, ret_record, error);
    case INPUT_FORMAT_MSGPACK:
        return msgpack_input_next(input->msgpack, rows, ret_record, error);
    default:
        return csv_next(input->csv, rows, ret_record, error);
    }
}

void input_hurry(struct input *input, bool hurried)
{
    input->source.hurried = hurried;
}

void input_progress(const struct input *input, uint64_t *ret_read, uint64_t *ret_size)
{
    *ret_read = atomic_load_explicit(&input->source.read, memory_order_relaxed);
    *ret_size = input->source.size;
}
