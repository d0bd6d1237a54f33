/* SPDX-License-Identifier: Apache-2.0 */
/* etag.h - tags of rows (row.h) as HTTP writes them: "32 hex digits" in quotes. Any thread. */
#ifndef SHEAF_ETAG_H
#define SHEAF_ETAG_H

#include "buffer.h"
#include "error.h"
#include "row.h"

#define ETAG_TEXT_SIZE (2 * ROW_TAG_BYTES + 3) /* with quotes and NUL */

void etag_text(const struct row_tag *tag, char text[ETAG_TEXT_SIZE]);

/* An If-Match or If-None-Match: `*`, or a list. Appends the tags, ROW_TAG_BYTES each, that could be one of ours. Weak
 * ones (W/"…") count only with `weak_too`: If-None-Match compares weakly, If-Match does not. ERROR_PARSE when it is
 * neither; `tags` is then as it was. */
bool etag_read_list(const char *text, bool weak_too, bool *ret_any, struct buffer *tags, struct error *error);

#endif
