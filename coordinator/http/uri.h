/* SPDX-License-Identifier: Apache-2.0 */
/* uri.h - what stands in a path or a query becomes values: percent-decoding, KEY, page cursors.
 *
 * Takes raw text: nothing may have been decoded before, since a KEY is split at its commas first. Every refusal is
 * ERROR_PARSE (ERROR_INTERNAL: memory is out) and leaves the output at its old length. Any thread. */
#ifndef SHEAF_URI_H
#define SHEAF_URI_H

#include "buffer.h"
#include "error.h"
#include "schema.h"

/* Appends the decoded text, which must be UTF-8 without U+0000. In a query a plus is a blank. */
bool uri_decode(const char *text, size_t len, bool in_query, struct buffer *out, struct error *error);

/* Appends the text percent-encoded, each in one way only. False: memory is out. */
bool uri_encode(struct buffer *out, const char *text, size_t len);
/* Appends a KEY as it would be encoded so; what cannot be decoded as it is. False: memory is out. */
bool uri_encode_key(struct buffer *out, const char *text, size_t len);

/* A decoded text as a value: an integer in its canonical decimal form, x'…' a blob, else text. Views `text`, whose
 * digits a blob overwrites. */
struct value uri_value(char *text, size_t len);

/* Appends a KEY as the engine takes it: an array of the primary key's values, of a table without one its rowid. */
bool uri_key(const struct schema_table *table, const char *text, size_t len, struct buffer *key, struct error *error);

/* A page's cursor, opaque to users: base64url of such an array. Reading checks that it is one for `table`. */
bool uri_put_cursor(struct buffer *out, const uint8_t *key, size_t len); /* false: memory is out */
bool uri_cursor(const struct schema_table *table, const char *text, size_t len, struct buffer *key,
                struct error *error);

#endif
