/* SPDX-License-Identifier: Apache-2.0 */
/* shard.h - a shard's file in a directory of its own, and what is asked of it, in short words for tests.
 *
 * A row is written "1|'Ann|1.5|x00ff|NULL|-": integer, text, real, blob, NULL, not given. What comes back is text too:
 *   "applied; 1.0 unique people(email); same 2.0"   the batch, its failures (entry.op code table(constraint)), the same
 * Entries are collected by shard_insert, shard_group … and sent by shard_apply or shard_write. */
#ifndef SHEAF_TEST_SHARD_H
#define SHEAF_TEST_SHARD_H

#include "answers.h"
#include "batch.h"
#include "children.h"
#include "prepared.h"
#include "read.h"
#include "store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SHARD_DATABASE "town"
#define SHARD_COORDINATOR 77u

extern const char shard_ddl[];
extern const char shard_placement[];

enum { PEOPLE, PAIRS, WORDS, NOTES, COUNTED, HIDDEN, ELSEWHERE };

struct shard {
    char data[64];
    const char *ddl, *placement;
    struct schema *schema;
    struct store_options options;
    struct store *store;
    struct batch *batch;
    struct read *read;
    struct children *children;
    struct error error;
    struct buffer entries, body, answer;
    uint32_t entry_count;
    char text[8192]; /* what the last call said */
};

/* For cmocka: a claimed shard (epoch 1), and its end with the directory. */
int shard_setup(void **state);
int shard_setup_unopened(void **state);
int shard_setup_of(void **state, const char *ddl, const char *placement); /* likewise; they must stay */
int shard_teardown(void **state);

bool shard_open(struct shard *shard);
void shard_close(struct shard *shard);
bool shard_claim(struct shard *shard, uint64_t epoch, uint64_t coordinator);
struct wire_hello shard_hello(void);
/* Opens, claims and makes batch, read and children ready; fails the test when that fails. */
void shard_start(struct shard *shard, uint64_t epoch);

void shard_row(struct shard *shard, table_id table, const char *row, struct buffer *bytes);
void shard_insert(struct shard *shard, table_id table, const char *row);
void shard_insert_again(struct shard *shard, table_id table, const char *row); /* SAME_IS_FINE */
void shard_update(struct shard *shard, table_id table, const char *key, const char *row);
void shard_delete(struct shard *shard, table_id table, const char *key);
/* An op inside a group, prepare or decide, or of a probe. */
void shard_op(struct shard *shard, table_id table, const char *row);
void shard_op_again(struct shard *shard, table_id table, const char *row);
void shard_op_update(struct shard *shard, table_id table, const char *key, const char *row);
void shard_op_delete(struct shard *shard, table_id table, const char *key);
/* Of the row that op number `op` of the entry has inserted. */
void shard_op_update_made(struct shard *shard, table_id table, const char *op, const char *row);
void shard_op_delete_made(struct shard *shard, table_id table, const char *op);
void shard_op_keep(struct shard *shard, const char *key, uint32_t index, int64_t at_ms, const char *outcome);
void shard_group(struct shard *shard, uint32_t ops);
void shard_try(struct shard *shard, uint32_t ops);
void shard_prepare(struct shard *shard, uint64_t txn, const char *locks, uint32_t ops);
void shard_decide(struct shard *shard, uint64_t txn, uint32_t ops);
void shard_resolve(struct shard *shard, uint64_t txn, bool commit);
void shard_forget(struct shard *shard, uint64_t txn);

const char *shard_apply(struct shard *shard, uint64_t number);
const char *shard_apply_again(struct shard *shard); /* the same bytes as last time */
const char *shard_commit(struct shard *shard);
const char *shard_write(struct shard *shard, uint64_t number); /* apply and commit */
const char *shard_probe(struct shard *shard, uint32_t ops);    /* of the ops collected */

/* "0:one 1:two": what is kept under a key, at most 20 bytes of each; " …" when there is more. */
const char *shard_kept(struct shard *shard, const char *key, uint32_t from, int64_t at_ms);

/* "1|Ann;2|Bob": what a statement gives on the shard's own connection. */
const char *shard_sql(struct shard *shard, const char *sql);
/* "fresh=0 epoch=1 last=3 prepared=[9:home:locks] decided=[5] tables=[0:1:7 …]" table:has rows:highest rowid. */
const char *shard_describe(struct shard *shard);
/* "011": the keys separated by ';', each with its values. */
const char *shard_exists(struct shard *shard, table_id table, uint16_t key, const char *keys);
/* "1 2 3 (complete, batch 4)" */
const char *shard_keys(struct shard *shard, table_id table, const int64_t *after, uint32_t limit);
/* The rows as JSON-less text "1|'Ann;2|'Bob" and the next key behind " -> "; `after` NULL: from the start. */
const char *shard_scan(struct shard *shard, table_id table, uint32_t limit, const char *after);
/* As shard_scan from the start; "0='x|2=NULL": the filters' columns and values. */
const char *shard_filter(struct shard *shard, table_id table, uint32_t limit, const char *after, const char *filters);
/* "1|'Ann;none": the rows with the keys, which are separated by ';'. */
const char *shard_rows(struct shard *shard, table_id table, const char *keys);
/* "1|'Ann;7: 'note": the children of a parent with these values, each behind its rowid where it has no key. */
const char *shard_children(struct shard *shard, reference_id reference, const char *values);

/* The path of a file in the directory, in one of two turns of static memory. */
const char *shard_path(const struct shard *shard, const char *name);

#endif
