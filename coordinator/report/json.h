/* SPDX-License-Identifier: Apache-2.0 */
/* json.h - JSON that front ends write, straight into a buffer: no tree, nothing allocated but the buffer's growth.
 *
 * Every function appends and returns false only when memory is out. Strings come out as valid UTF-8 whatever goes in:
 * control characters as \uNNNN, each byte that is no UTF-8 as U+FFFD. */
#ifndef SHEAF_JSON_H
#define SHEAF_JSON_H

#include "buffer.h"
#include "error.h"

bool json_put_string(struct buffer *out, const char *text, size_t len); /* with its quotes */
bool json_put_unsigned(struct buffer *out, uint64_t number);
bool json_put_integer(struct buffer *out, int64_t number);

/* {"code":…,"table":… or null,"constraint":… or null,"message":…}: an error as every front end answers it. */
bool json_put_error(struct buffer *out, const struct error *error);

/* The fields alone, without braces. */
bool json_put_error_fields(struct buffer *out, const struct error *error);

#endif
