/* SPDX-License-Identifier: Apache-2.0 */
/* csv.h - CSV and TSV: a header, then a row a record. The rules are input.h's. */
#ifndef SHEAF_CSV_H
#define SHEAF_CSV_H

#include "input.h"
#include "source.h"

struct csv;

/* Reads the header. An interruption while it waits gives a reader that is at its end. The source stays the caller's. */
struct csv *csv_open(struct source *source, const struct schema_table *table, char delimiter, struct error *error);
void csv_close(struct csv *csv);
enum input_result csv_next(struct csv *csv, struct buffer *rows, struct input_record *ret_record, struct error *error);

#endif
