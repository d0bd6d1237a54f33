/* SPDX-License-Identifier: Apache-2.0 */
/* query_string.h - the NAME=VALUE parts of what follows a question mark, decoded one after the other.
 *
 * A name ends at the first `=` that is not its first byte: `=limit=5` has the name `=limit`. One thread. */
#ifndef SHEAF_QUERY_STRING_H
#define SHEAF_QUERY_STRING_H

#include "buffer.h"
#include "error.h"

struct query_string {
    const char *at; /* raw; NULL: nothing (more) */
};

struct query_part { /* NUL-terminated, in `decoded` */
    const char *name;
    size_t name_len;
    char *value;
    size_t value_len;
};

/* The next part, appended to `decoded`, where room for twice the query's length was reserved before the first (nothing
 * that was given moves). False at the end, and with `error` filled (ERROR_PARSE) for one that is not well formed. */
bool query_string_next(struct query_string *query, struct buffer *decoded, struct query_part *ret_part,
                       struct error *error);

#endif
