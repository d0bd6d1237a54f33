/* SPDX-License-Identifier: Apache-2.0 */
/* feed.h - feeds bytes to an input, divided in many ways, and writes down what came out.
 *
 * One line a record: "LINE: VALUE|VALUE", "LINE: CODE TABLE.RULE: TEXT [RAW]" (RAW… when it is cut), and "failed: …" or
 * "open: …" at the end. A column not given is "-"; FILE stands for the path. */
#ifndef SHEAF_TEST_FEED_H
#define SHEAF_TEST_FEED_H

#include "input.h"

#define FEED_WHOLE 0 /* as a regular file */

/* What an input makes of the bytes when it gets them from a pipe, `piece` of them at a time after the first `first`.
 * The caller frees it. */
char *feed(const char *ddl, enum input_format format, const void *bytes, size_t len, size_t first, size_t piece);

/* The expected outcome as a file, byte by byte, and divided in two at every place. */
void feed_expect(const char *ddl, enum input_format format, const void *bytes, size_t len, const char *expected);

#define feed_text(ddl, format, text, expected) feed_expect(ddl, format, text, sizeof(text) - 1, expected)

#endif
