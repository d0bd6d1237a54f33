/* SPDX-License-Identifier: Apache-2.0 */
/* record.h - what the readers of all formats do with a record: its row, its refusal, hex. */
#ifndef SHEAF_RECORD_H
#define SHEAF_RECORD_H

#include "input.h"
#include "source.h"

/* Appends the row and says where. Refuses one whose wire form is too long, leaving `rows` as it was. */
enum input_result record_row(const struct schema_table *table, const struct value *values, struct buffer *rows,
                             struct input_record *ret_record, struct error *error);

/* The record's own bytes, cut at LIMIT_RAW_BYTES_MAX. */
void record_raw(struct input_record *record, const uint8_t *bytes, size_t len);

/* Each fills the error with the table; the second also with the column as the rule. Both return false. */
bool record_refuse(struct error *error, const struct schema_table *table, enum error_code code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
bool record_refuse_column(struct error *error, const struct schema_table *table, uint16_t column, enum error_code code,
                          const char *why);

/* What a reader answers when its source gave no more; the error gets "FILE:LINE: ". */
enum input_result record_source_over(enum source_result result, const struct source *source, uint64_t line,
                                     struct error *error);

/* A blob from hex digits, written into `ret_bytes` (len / 2). False: an odd number of them, or something else. */
bool record_hex(const char *digits, size_t len, uint8_t *ret_bytes);

#endif
