/* SPDX-License-Identifier: Apache-2.0 */
/* cursor.h - reading msgpack without trusting it.
 *
 * A cursor walks over bytes that somebody else owns; text and blobs are views into them. Nothing is
 * allocated, so no header can reserve memory: a count is accepted only when at least that many bytes are
 * left. Each function reads one item of the asked kind and moves on; on false (wrong kind, out of bounds)
 * the cursor has not moved. Trailing bytes are the caller's business: ask cursor_at_end.
 * (msgpack-c's own unpacker allocates from a header's word for it: 514 MiB for 5 bytes; and costs 6x per row.) */
#ifndef SHEAF_CURSOR_H
#define SHEAF_CURSOR_H

#include "error.h"
#include "value.h"

#define CURSOR_DEPTH_MAX 64 /* of arrays and maps that cursor_skip follows */

struct cursor {
    const uint8_t *at;
    const uint8_t *end;
};

static inline struct cursor cursor_over(const void *bytes, size_t len)
{
    return (struct cursor){(const uint8_t *)bytes, len ? (const uint8_t *)bytes + len : (const uint8_t *)bytes};
}
static inline bool cursor_at_end(const struct cursor *cursor)
{
    return cursor->at == cursor->end;
}
static inline size_t cursor_left(const struct cursor *cursor)
{
    return (size_t)(cursor->end - cursor->at);
}

bool cursor_array(struct cursor *cursor, uint32_t *ret_count);
bool cursor_map(struct cursor *cursor, uint32_t *ret_count);
bool cursor_uint(struct cursor *cursor, uint64_t *ret_number);
bool cursor_uint32(struct cursor *cursor, uint32_t *ret_number);
bool cursor_int(struct cursor *cursor, int64_t *ret_number); /* refuses an unsigned beyond 2^63-1 */
bool cursor_bool(struct cursor *cursor, bool *ret_truth);
bool cursor_nil(struct cursor *cursor);
bool cursor_text(struct cursor *cursor, const char **ret_text, size_t *ret_len);
/* Copies a text into a NUL-terminated array, refusing one that does not fit or holds a NUL; nil gives "". */
bool cursor_string(struct cursor *cursor, char *text, size_t size);
bool cursor_blob(struct cursor *cursor, const uint8_t **ret_bytes, size_t *ret_len);
/* Any of: nil, int, float, str, bin, false (ABSENT). true, arrays, maps and extensions are refused. */
bool cursor_value(struct cursor *cursor, struct value *ret_value);
/* The four items that pack_error wrote; `ret_error` is whole or untouched. */
bool cursor_error(struct cursor *cursor, struct error *ret_error);
/* Over one item of any kind, nested at most CURSOR_DEPTH_MAX deep. */
bool cursor_skip(struct cursor *cursor);

#endif
