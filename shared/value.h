/* SPDX-License-Identifier: Apache-2.0 */
/* value.h - one SQLite value, as a view.
 *
 * A value owns nothing: text and blob point into the bytes it was read from. VALUE_ABSENT is not
 * a SQLite value: in a row it says that the column was not given and takes its DEFAULT. */
#ifndef SHEAF_VALUE_H
#define SHEAF_VALUE_H

#include "buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum value_type { VALUE_NULL, VALUE_INTEGER, VALUE_REAL, VALUE_TEXT, VALUE_BLOB, VALUE_ABSENT };

/* https://sqlite.org/datatype3.html section 3. VALUE affinity of a column, in SQLite's own words. */
enum affinity { AFFINITY_BLOB, AFFINITY_TEXT, AFFINITY_NUMERIC, AFFINITY_INTEGER, AFFINITY_REAL };

/* SQLite's built-in collations; a schema that names another is refused at load. */
enum collation { COLLATION_BINARY, COLLATION_NOCASE, COLLATION_RTRIM };

struct value {
    enum value_type type;
    uint32_t len; /* bytes of text or blob */
    bool filled;  /* in a row: nobody gave it, it is a DEFAULT, an assigned key or generated */
    union {
        int64_t integer;
        double real;
        const char *bytes;
    };
};

static inline struct value value_null(void)
{
    return (struct value){.type = VALUE_NULL};
}
static inline struct value value_absent(void)
{
    return (struct value){.type = VALUE_ABSENT};
}
static inline struct value value_integer(int64_t integer)
{
    return (struct value){.type = VALUE_INTEGER, .integer = integer};
}
static inline struct value value_real(double real)
{
    return (struct value){.type = VALUE_REAL, .real = real};
}
static inline struct value value_text(const char *bytes, size_t len)
{
    return (struct value){.type = VALUE_TEXT, .len = (uint32_t)len, .bytes = bytes};
}
static inline struct value value_blob(const void *bytes, size_t len)
{
    return (struct value){.type = VALUE_BLOB, .len = (uint32_t)len, .bytes = bytes};
}

/* Same type and same content, byte for byte (reals compared by bits, -0.0 equal to 0.0). No affinity, no collation. */
bool value_same(const struct value *a, const struct value *b);

/* Whether text is well-formed UTF-8 without U+0000. */
bool value_text_is_valid(const char *bytes, size_t len);

/* Appends the value as a person reads it in a message: 5, 1.5, 'it''s', x'0aff', NULL; text and blobs cut
 * at 64 bytes (never inside a code point) with an ellipsis. False only when memory is out. */
bool value_describe(const struct value *value, struct buffer *text);

#endif
