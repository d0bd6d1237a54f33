/* SPDX-License-Identifier: Apache-2.0 */
/* script.h - operations written as a line of text, for tests that do the same twice: what a random test did can be
 * read, cut down by hand, and put into a test with a name.
 *
 *   insert t(1,'a',-)      a value for each column: 7 -7 1.5 'text' x'0a' NULL, and - for one that is not given
 *   upsert t(1,'a',-)      likewise
 *   update t[1](-,'b',-)   with the primary key's values in the key's order, or the rowid of a table without one
 *   delete t[1]
 *   read t[1]
 *   { delete t[1]; insert t(1,'c',-) }    one transaction
 *   < delete t[1]; insert t(1,'c',-) >    one submission, each operation for itself
 *
 * A text holds no quote. Values view the line, which must live as long as what was read from it. */
#ifndef SHEAF_TEST_SCRIPT_H
#define SHEAF_TEST_SCRIPT_H

#include "engine.h"

#define SCRIPT_OPS_MAX 8
#define SCRIPT_COLUMNS_MAX 16
#define SCRIPT_KEYS_MAX 4

struct script_op {
    enum op_kind kind;
    table_id table;
    struct value row[SCRIPT_COLUMNS_MAX];
    struct value key[SCRIPT_KEYS_MAX];
};

struct script_line {
    bool atomic;
    uint32_t count;
    struct script_op ops[SCRIPT_OPS_MAX];
    char blobs[256]; /* bytes of x'…' */
    size_t blob_bytes;
};

/* Panics, with the line, on anything else. */
void script_read(const struct schema *schema, const char *text, struct script_line *line);

void script_put_value(struct buffer *text, const struct value *value);

/* The submission for the line; the caller frees it. */
struct submission *script_submission(const struct schema *schema, const struct script_line *line);

#endif
