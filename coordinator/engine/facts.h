/* SPDX-License-Identifier: Apache-2.0 */
/* facts.h - what a transaction has to know of the shards, each thing asked once.
 *
 * A fact that is looked up and not known is noted; facts_ask sends all that is noted, and `told` is called when every
 * answer is there. Rows that are told become bases of the transaction's images. A fact stays true for as long as the
 * locks are held under which it was asked: a row's identity, a parent's key. `op` is which of the plan's operations
 * wants to know. Engine thread. */
#ifndef SHEAF_FACTS_H
#define SHEAF_FACTS_H

#include "images.h"

enum fact { FACT_NOT_KNOWN, FACT_NO, FACT_YES };

struct fact_entry;
struct fact_ask;
struct facts;

/* Everything that was asked is known; or `error` says why not (ERROR_UNAVAILABLE and the like), and `op` is the first
 * operation that wanted to know it. */
typedef void facts_told(struct facts *facts, uint32_t op, const struct error *error);

struct facts {
    struct engine *engine;
    struct images *images;
    facts_told *told;
    struct arena arena;
    struct fact_entry **buckets;
    size_t bucket_count, count;
    struct fact_entry *first_wanted, *last_wanted;
    uint32_t wanted;       /* noted and not asked yet */
    struct fact_ask *asks; /* under way */
    uint32_t failed_op;
    struct error *error; /* of that operation's failure */
    struct buffer key;   /* scratch */
};

void facts_init(struct facts *facts, struct engine *engine, struct images *images, facts_told *told);
/* What is under way is not waited for. */
void facts_release(struct facts *facts);
void facts_forget(struct facts *facts);

/* Is there a row with this identity? `values`: its primary key's, or its rowid. When there is it is a base now. */
enum fact facts_row(struct facts *facts, table_id table, const struct buffer *identity, const struct value *values,
                    uint32_t op);

/* Are the rows that name this parent key bases (FACT_YES)? `parent`: the parent's row. */
enum fact facts_children(struct facts *facts, reference_id reference, const struct buffer *exact,
                         const struct value *parent, uint32_t op);

/* Is the parent stored that `child`, a row, names? */
enum fact facts_parent(struct facts *facts, reference_id reference, const struct buffer *exact,
                       const struct value *child, uint32_t op);

/* Sends what is noted; there must be something. */
void facts_ask(struct facts *facts);

#endif
