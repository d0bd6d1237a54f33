/* SPDX-License-Identifier: Apache-2.0 */
/* csv_split.h - where the fields of one RFC 4180 record are. Copies nothing and can be stopped anywhere.
 *
 * Zero the `under way` part by csv_split_begin, then call csv_split_on with the record's bytes so far, again with more
 * of them when it answers MORE. The outcome depends on the bytes alone, not on where they were divided.
 *
 * A quote opens a quoted field only at the field's beginning, elsewhere it is itself. A record is broken when text
 * follows a closing quote, or when the file ends before a closing quote. The next record then begins on the line after
 * the one on which that quote opened, so that a forgotten quote does not cost the rows behind it. */
#ifndef SHEAF_CSV_SPLIT_H
#define SHEAF_CSV_SPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct csv_field {
    uint32_t at; /* from the record's beginning; the quotes not included */
    uint32_t len;
    bool quoted;
    bool doubled; /* holds doubled quotes */
};

enum csv_state { CSV_FIELD_BEGINS, CSV_PLAIN, CSV_QUOTED, CSV_QUOTE_CLOSED, CSV_BROKEN };
enum csv_split_result { CSV_SPLIT_MORE, CSV_SPLIT_RECORD, CSV_SPLIT_TEXT_AFTER_QUOTE, CSV_SPLIT_UNCLOSED };

struct csv_split {
    struct csv_field *fields;
    uint32_t capacity;
    uint8_t delimiter;

    /* under way */
    uint32_t count;         /* fields; those beyond the capacity are only counted */
    uint32_t lines;         /* line feeds inside closed fields */
    uint32_t line_of_quote; /* of the quoted field last opened: line feeds of the record before it */
    uint32_t quote_at;
    uint32_t scan;
    struct csv_field field;
    enum csv_state state;
    enum csv_split_result fault;

    /* when it is over */
    uint32_t end;         /* of the record, without line end */
    uint32_t next;        /* where the next record begins */
    uint32_t lines_taken; /* line feeds before `next` */
};

void csv_split_begin(struct csv_split *split);

/* `ended`: nothing follows `len`. SOURCE_PADDING bytes behind `len` are readable. `len` fits 32 bits. */
enum csv_split_result csv_split_on(struct csv_split *split, const uint8_t *bytes, size_t len, bool ended);

#endif
