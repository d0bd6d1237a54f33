/* SPDX-License-Identifier: Apache-2.0 */
/* read.h - questions that change nothing: exists, keys, scan. On the writer's connection, outside a transaction: they
 * see every committed batch and none other. Owns its prepared statements. Main thread. */
#ifndef SHEAF_READ_H
#define SHEAF_READ_H

#include "error.h"
#include "store.h"
#include "wire.h"

struct read;

struct read *read_new(struct store *store, struct error *error);
void read_free(struct read *read);

/* Each puts the answer's body. */
bool read_exists(struct read *read, const struct wire_exists *ask, struct buffer *answer, struct error *error);
bool read_keys(struct read *read, const struct wire_keys *ask, struct buffer *answer, struct error *error);
bool read_scan(struct read *read, const struct wire_scan *ask, struct buffer *answer, struct error *error);

#endif
