/* SPDX-License-Identifier: Apache-2.0 */
/* msgpack_input.h - a sequence of msgpack maps, a row each. A record's "line" is its number.
 *
 * Keys are texts, values nil, integers, floats, texts and binaries. The file's end inside a record refuses that one.
 * After a byte that is not msgpack (0xc1) no next record can be found: the record is refused, then the input fails. */
#ifndef SHEAF_MSGPACK_INPUT_H
#define SHEAF_MSGPACK_INPUT_H

#include "input.h"
#include "source.h"

struct msgpack_input;

/* The source stays the caller's. */
struct msgpack_input *msgpack_input_open(struct source *source, const struct schema_table *table, struct error *error);
void msgpack_input_close(struct msgpack_input *input);
enum input_result msgpack_input_next(struct msgpack_input *input, struct buffer *rows, struct input_record *ret_record,
                                     struct error *error);

#endif
