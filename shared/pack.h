/* SPDX-License-Identifier: Apache-2.0 */
/* pack.h - writing msgpack into a buffer, over msgpack-c's packer.
 *
 * Every function appends to `buffer` and returns false only when memory is out (the content is then
 * undefined and the buffer is to be cleared). A value's forms: NULL nil; INTEGER int; REAL float 64;
 * TEXT str; BLOB bin; ABSENT false (booleans have no other meaning inside a row). */
#ifndef SHEAF_PACK_H
#define SHEAF_PACK_H

#include "buffer.h"
#include "error.h"
#include "value.h"

bool pack_array(struct buffer *buffer, uint32_t count);
bool pack_uint(struct buffer *buffer, uint64_t number);
bool pack_int(struct buffer *buffer, int64_t number);
bool pack_bool(struct buffer *buffer, bool truth);
bool pack_text(struct buffer *buffer, const char *text, size_t len);
bool pack_string(struct buffer *buffer, const char *text); /* NUL-terminated; NULL is packed as nil */
bool pack_blob(struct buffer *buffer, const void *bytes, size_t len);
bool pack_value(struct buffer *buffer, const struct value *value);
bool pack_raw(struct buffer *buffer, const void *bytes, size_t len); /* already msgpack */
/* Four items: code, table, constraint, text; the empty ones as nil. Read by cursor_error. */
bool pack_error(struct buffer *buffer, const struct error *error);

/* An array whose count is not known yet: always the 5-byte form, patched later by pack_array_close. */
bool pack_array_open(struct buffer *buffer, size_t *ret_at);
void pack_array_close(struct buffer *buffer, size_t at, uint32_t count);

#endif
