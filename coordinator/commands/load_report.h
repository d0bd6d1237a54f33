/* SPDX-License-Identifier: Apache-2.0 */
/* load_report.h - what a load says at its end, on stdout: per table, then refusals by reason. */
#ifndef SHEAF_LOAD_REPORT_H
#define SHEAF_LOAD_REPORT_H

#include "load_rejects.h"

struct load_totals {
    uint64_t read;
    uint64_t inserted;
    uint64_t same;
    uint64_t refused;
    uint64_t by_code[ERROR_CODE_COUNT];
    uint64_t refused_by_input;
};

/* Over the inputs of `table`, or over all (SCHEMA_NONE). */
void load_totals(const struct loader_options *options, table_id table, struct load_totals *ret_totals);

/* False only when memory is out. `wall_ns`: the whole load's time. */
bool load_report_put(const struct loader_options *options, const struct load_rejects *rejects, uint64_t wall_ns,
                     bool colour, struct buffer *out);

#endif
