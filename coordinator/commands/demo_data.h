/* SPDX-License-Identifier: Apache-2.0 */
/* demo_data.h - the shop's rows for `coordinator demo`: good ones and every kind of bad one, with what must become of
 * each.
 *
 * The order is that of the operations. Each row's verdict depends on earlier rows only, so that it is the same however
 * the shards are scheduled, and the same when the demo runs again (accepted becomes there already). */
#ifndef SHEAF_DEMO_DATA_H
#define SHEAF_DEMO_DATA_H

#include "error.h"
#include "value.h"

#define DEMO_COLUMNS_MAX 4

struct demo_row {
    const char *table;
    const char *what;         /* the kind of row, for a heading or a message */
    enum error_code expected; /* ERROR_NONE: accepted, or there already */
    unsigned column_count;
    struct value values[DEMO_COLUMNS_MAX]; /* in the table's order */
};

extern const struct demo_row demo_rows[];
extern const unsigned demo_row_count;

#endif
