/* SPDX-License-Identifier: Apache-2.0 */
#include "ndjson.h"

#include "json_row.h"
#include "record.h"

#include <stdlib.h>
#include <string.h>

struct ndjson {
    struct source *source;
    const struct schema_table *table;
    struct json_row row;
    uint64_t line; /* at the window's beginning */
    size_t taken;  /* of the window, by the record that the caller has in hands */
    bool begun;
    bool skipping; /* the rest of a line that is too long */
};

/* To the beginning of the next line. */
static enum source_result leave_behind(struct ndjson *ndjson, struct error *error)
{
    enum source_result result = SOURCE_MORE;

    if (!ndjson->begun) {
        result = source_skip_mark(ndjson->source, error);
        ndjson->begun = result == SOURCE_MORE;
        return result;
    }
    source_take(ndjson->source, ndjson->taken);
    ndjson->line += ndjson->taken > 0;
    ndjson->taken = 0;
    if (ndjson->skipping)
        result = source_skip_line(ndjson->source, error);
    ndjson->skipping = ndjson->skipping && result != SOURCE_MORE;
    return result;
}

/* The length of the line at the window's beginning without its end; one that is too long is cut there. END: there is
 * none. */
static enum source_result find_line(struct ndjson *ndjson, size_t *ret_len, struct error *error)
{
    struct source *source = ndjson->source;
    size_t scanned = 0;

    for (;;) {
        const uint8_t *bytes = source_window(source);
        size_t view = source_waiting(source) < SOURCE_RECORD_VIEW ? source_waiting(source) : SOURCE_RECORD_VIEW;
        const uint8_t *feed = memchr(bytes + scanned, '\n', view - scanned);
        size_t len = feed ? (size_t)(feed - bytes) : view;
        ndjson->taken = len + (feed != NULL);
        if (feed || view == SOURCE_RECORD_VIEW || (source->ended && view > 0)) {
            ndjson->skipping = !feed && view == SOURCE_RECORD_VIEW;
            *ret_len = len - (!ndjson->skipping && len > 0 && bytes[len - 1] == '\r');
            return SOURCE_MORE;
        }
        scanned = view;
        enum source_result result = source_more_soon(source, error);
        if (result != SOURCE_MORE && !(result == SOURCE_END && view > 0)) {
            ndjson->taken = 0;
            return result;
        }
    }
}

static bool is_blank(const uint8_t *bytes, size_t len)
{
    while (len > 0 && (bytes[len - 1] == ' ' || bytes[len - 1] == '\t' || bytes[len - 1] == '\r'))
        len--;
    return len == 0;
}

static enum input_result read_line(struct ndjson *ndjson, size_t len, struct buffer *rows, struct input_record *record,
                                   struct error *error)
{
    const struct schema_table *table = ndjson->table;
    enum input_result result = INPUT_REFUSED;

    if (len > LIMIT_ROW_BYTES_MAX) {
        record_refuse(error, table, ERROR_TOO_LARGE, "the record is longer than %d bytes", LIMIT_ROW_BYTES_MAX);
        return INPUT_REFUSED;
    }
    json_t *object = json_row_parse((const char *)source_window(ndjson->source), len, error);
    if (!object)
        error_about(error, table->name, NULL);
    else if (json_row_read(&ndjson->row, table, object, false, error))
        result = record_row(table, ndjson->row.values, rows, record, error);
    json_decref(object);
    return result == INPUT_REFUSED && error->code == ERROR_INTERNAL ? INPUT_FAILED : result;
}

enum input_result ndjson_next(struct ndjson *ndjson, struct buffer *rows, struct input_record *ret_record,
                              struct error *error)
{
    size_t len;

    for (;;) {
        enum source_result more = leave_behind(ndjson, error);
        ret_record->line = ndjson->line;
        if (more == SOURCE_MORE)
            more = find_line(ndjson, &len, error);
        if (more != SOURCE_MORE)
            return record_source_over(more, ndjson->source, ndjson->line, error);
        record_raw(ret_record, source_window(ndjson->source), len);
        if (!is_blank(ret_record->raw, len))
            return read_line(ndjson, len, rows, ret_record, error);
    }
}

struct ndjson *ndjson_open(struct source *source, const struct schema_table *table, struct error *error)
{
    struct ndjson *ndjson = calloc(1, sizeof *ndjson);

    if (ndjson) {
        *ndjson = (struct ndjson){.source = source, .table = table, .line = 1};
        ndjson->row.values = calloc((size_t)table->column_count + 1, sizeof *ndjson->row.values);
    }
    if (ndjson && ndjson->row.values)
        return ndjson;
    ndjson_close(ndjson);
    error_set(error, ERROR_INTERNAL, "out of memory");
    return NULL;
}

void ndjson_close(struct ndjson *ndjson)
{
    if (!ndjson)
        return;
    buffer_release(&ndjson->row.blobs);
    free(ndjson->row.values);
    free(ndjson);
}
