/* SPDX-License-Identifier: Apache-2.0 */
/* fake_text.h - what a shard is asked, as the one line of text that fake_shards.h tells of. */
#ifndef SHEAF_TEST_FAKE_TEXT_H
#define SHEAF_TEST_FAKE_TEXT_H

#include "fake_shards.h"

/* Fills in its line. */
void fake_describe(const struct schema *schema, struct fake_request *request);

/* A row; the next key of a question, in brackets when it has several columns. */
void fake_put_op(const struct schema *schema, struct buffer *text, const struct wire_op *op);
void fake_put_key(struct buffer *text, struct wire_exists *exists, uint16_t columns);
uint16_t fake_key_columns(const struct schema *schema, const struct wire_exists *exists);

/* Of a hello. */
bool fake_is_claim(struct cursor body);

#endif
