/* SPDX-License-Identifier: Apache-2.0 */
#include "script.h"

#include "pack.h"
#include "row.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    const struct schema *schema;
    const char *text, *at;
    struct script_line *line;
};

static void skip(struct reader *reader)
{
    while (*reader->at == ' ')
        reader->at++;
}

static bool takes(struct reader *reader, const char *word)
{
    skip(reader);
    if (strncmp(reader->at, word, strlen(word)) != 0)
        return false;
    reader->at += strlen(word);
    return true;
}

static void must(struct reader *reader, const char *word)
{
    if (!takes(reader, word))
        panic("%s: %s is missing at %s", reader->text, word, reader->at);
}

static const char *quoted(struct reader *reader, size_t *ret_len)
{
    const char *from = reader->at;
    const char *end = strchr(from, '\'');
    if (!end)
        panic("%s: an open quote", reader->text);
    reader->at = end + 1;
    *ret_len = (size_t)(end - from);
    return from;
}

static struct value blob(struct reader *reader)
{
    struct script_line *line = reader->line;
    char *bytes = line->blobs + line->blob_bytes;
    size_t len;
    const char *hex = quoted(reader, &len);
    if (len % 2 || line->blob_bytes + len / 2 > sizeof line->blobs)
        panic("%s: no room for a blob", reader->text);
    for (size_t i = 0; i < len; i += 2) {
        const char two[] = {hex[i], hex[i + 1], '\0'};
        line->blobs[line->blob_bytes++] = (char)strtol(two, NULL, 16);
    }
    return value_blob(bytes, len / 2);
}

static struct value number(struct reader *reader)
{
    char *end, *real_end;
    int64_t integer = strtoll(reader->at, &end, 10);
    double real = strtod(reader->at, &real_end);
    if (end == reader->at)
        panic("%s: no value at %s", reader->text, reader->at);
    reader->at = real_end > end ? real_end : end;
    return real_end > end ? value_real(real) : value_integer(integer);
}

static struct value value(struct reader *reader)
{
    size_t len;
    skip(reader);
    if (takes(reader, "NULL"))
        return value_null();
    if (takes(reader, "x'") || takes(reader, "X'"))
        return blob(reader);
    if (takes(reader, "'")) {
        const char *text = quoted(reader, &len);
        return value_text(text, len);
    }
    if (reader->at[0] == '-' && !isdigit((unsigned char)reader->at[1])) {
        reader->at++;
        return value_absent();
    }
    return number(reader);
}

static void values(struct reader *reader, const char *open, const char *close, struct value *list, uint16_t count)
{
    must(reader, open);
    for (uint16_t i = 0; i < count; i++) {
        if (i)
            must(reader, ",");
        list[i] = value(reader);
    }
    must(reader, close);
}

static void read_op(struct reader *reader, struct script_op *op)
{
    static const char *const words[] = {[OP_INSERT] = "insert ",
                                        [OP_UPDATE] = "update ",
                                        [OP_DELETE] = "delete ",
                                        [OP_UPSERT] = "upsert ",
                                        [OP_READ] = "read "};
    size_t kind = 0, len;
    while (kind < sizeof words / sizeof *words && !takes(reader, words[kind]))
        kind++;
    len = strcspn(reader->at, "([");
    *op = (struct script_op){.kind = (enum op_kind)kind, .table = schema_find_table(reader->schema, reader->at, len)};
    if (kind == sizeof words / sizeof *words || op->table == SCHEMA_NONE)
        panic("%s: no operation at %s", reader->text, reader->at);
    reader->at += len;
    const struct schema_table *table = &reader->schema->tables[op->table];
    if (table->column_count > SCRIPT_COLUMNS_MAX || schema_key_columns(table) > SCRIPT_KEYS_MAX)
        panic("%s has too many columns for a script", table->name);
    if (op->kind != OP_INSERT && op->kind != OP_UPSERT)
        values(reader, "[", "]", op->key, schema_key_columns(table));
    if (op->kind != OP_DELETE && op->kind != OP_READ)
        values(reader, "(", ")", op->row, table->column_count);
}

void script_read(const struct schema *schema, const char *text, struct script_line *line)
{
    struct reader reader = {schema, text, text, line};
    *line = (struct script_line){.atomic = takes(&reader, "{")};
    const char *close = line->atomic ? "}" : takes(&reader, "<") ? ">" : "";
    do {
        if (line->count == SCRIPT_OPS_MAX)
            panic("%s: too many operations", text);
        read_op(&reader, &line->ops[line->count++]);
    } while (*close && takes(&reader, ";"));
    must(&reader, close);
    skip(&reader);
    if (*reader.at)
        panic("%s: what is %s?", text, reader.at);
}

/* ---- writing ---- */

static void written(bool ok)
{
    if (!ok)
        panic("out of memory");
}

void script_put_value(struct buffer *text, const struct value *given)
{
    written(given->type == VALUE_ABSENT ? buffer_put_text(text, "-") : value_describe(given, text));
}

struct submission *script_submission(const struct schema *schema, const struct script_line *line)
{
    struct submission *submission = submission_new(line->count);
    written(submission != NULL);
    submission->atomic = line->atomic;
    submission->count = line->count;
    for (uint32_t i = 0; i < line->count; i++) {
        const struct script_op *from = &line->ops[i];
        const struct schema_table *table = &schema->tables[from->table];
        struct op *op = &submission->ops[i];
        struct buffer *rows = &submission->rows;
        *op = (struct op){.kind = from->kind, .table = from->table, .position = i, .key.at = (uint32_t)rows->len};
        if (from->kind != OP_INSERT && from->kind != OP_UPSERT) {
            written(pack_array(rows, schema_key_columns(table)));
            for (uint16_t k = 0; k < schema_key_columns(table); k++)
                written(pack_value(rows, &from->key[k]));
            op->key.len = (uint32_t)rows->len - op->key.at;
        }
        op->row_at = (uint32_t)rows->len;
        if (from->kind != OP_DELETE && from->kind != OP_READ)
            written(row_write(table, from->row, rows));
        op->row_len = (uint32_t)rows->len - op->row_at;
    }
    return submission;
}
