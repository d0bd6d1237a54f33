/* SPDX-License-Identifier: Apache-2.0 */
/* input.h - bytes of a file become rows: CSV, TSV, NDJSON and msgpack behind one face.
 *
 * An input reads one file (or stdin) for one table, record by record, in bounded memory, and appends each record's row
 * (row.h) to a buffer of the caller. A record that is wrong is reported with its line and reason and the reading goes
 * on at the next record, wherever that can be found. It knows rows and nothing of shards. One thread per input.
 *
 * Rules (RFC 4180; docs/formats.md): a header names the columns in any order, without case, a missing one takes its
 * DEFAULT; an unquoted empty field is NULL and "" is the empty string; BOM and CRLF accepted; quoted newlines; a blank
 * line is skipped (in a file of one column it is NULL); hex only for columns declared BLOB, in JSON {"hex":"…"}; text
 * is UTF-8 without U+0000; JSON booleans are refused; a record is at most LIMIT_ROW_BYTES_MAX bytes, beyond it
 * too_large, and the rest of it is skipped without being kept. */
#ifndef SHEAF_INPUT_H
#define SHEAF_INPUT_H

#include "buffer.h"
#include "error.h"
#include "schema.h"

enum input_format { INPUT_FORMAT_NONE, INPUT_FORMAT_CSV, INPUT_FORMAT_TSV, INPUT_FORMAT_NDJSON, INPUT_FORMAT_MSGPACK };

/* By extension; "-" and an unknown one are NONE: the caller decides ("-" is CSV). */
enum input_format input_format_of_path(const char *path);
enum input_format input_format_of_name(const char *name); /* "csv", "tsv", "ndjson", "jsonl", "msgpack" */

struct input;

struct input_record {
    uint64_t line; /* where the record starts, 1-based (a CSV's header is 1); msgpack: the record's number */
    size_t row_at; /* in the caller's buffer */
    size_t row_len;
    const uint8_t *raw; /* the record's own bytes without line end, until the next call; cut at LIMIT_RAW_BYTES_MAX */
    size_t raw_len;
    bool raw_truncated;
};

enum input_result {
    INPUT_ROW,
    INPUT_REFUSED, /* this record only: `error` says why (parse, unknown_column, type, too_large); the record's line and
                      raw are given */
    INPUT_END,
    INPUT_WAITS, /* only after input_hurry: the rest of the next record has not come yet; it is given by a later call */
    INPUT_FAILED /* the file cannot be read on: error io, with the file and line */
};

/* Opens and reads what is needed to know the columns. Errors that concern the whole file (unreadable: ERROR_IO; a
 * header with an unknown column: ERROR_UNKNOWN_COLUMN, one named twice or generated, or without the key where the key
 * is neither an integer nor has a DEFAULT: ERROR_PARSE) say "FILE:LINE: …". Path "-" is stdin. `interrupted` may be
 * NULL; when it gives true while a read waits for more bytes (EINTR or poll), input_next returns INPUT_END. An empty
 * CSV file is an error: it has no header. */
struct input *input_open(const char *path, enum input_format format, const struct schema *schema, table_id table,
                         bool (*interrupted)(void), struct error *error);
void input_close(struct input *input);

/* The next record. Its refusal's text does not repeat file and line. */
enum input_result input_next(struct input *input, struct buffer *rows, struct input_record *ret_record,
                             struct error *error);

/* Whether input_next is to say INPUT_WAITS rather than wait for bytes that have not come, so that what was read before
 * can be used meanwhile. A record that is too long is waited for all the same. */
void input_hurry(struct input *input, bool hurried);

/* Bytes read so far and the file's size (0: not known), for a progress bar. Any thread (atomic). */
void input_progress(const struct input *input, uint64_t *ret_read, uint64_t *ret_size);

/* One NDJSON line of `insert`: {"table": NAME, column: value, …}. Gives the table and appends the row. Refuses with
 * parse, unknown_table, unknown_column. A column that is really called "table" is written "=table". */
bool input_json_line(const struct schema *schema, const char *line, size_t len, table_id *ret_table, struct buffer *row,
                     struct error *error);

#endif
