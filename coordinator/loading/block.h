/* SPDX-License-Identifier: Apache-2.0 */
/* block.h - a stretch of one input's records: rows for the engine, and what the input refused in between, in their
 * order.
 *
 * Blocks are reused: block_clear keeps their memory. Inside the room only; a block belongs to one thread, its
 * submission to the engine while it is there. */
#ifndef SHEAF_BLOCK_H
#define SHEAF_BLOCK_H

#include "run.h"

#define BLOCK_REFUSALS_MAX 128 /* a block is full with as many: an error is large */

struct block_raw {
    size_t at; /* in block.raw */
    size_t len;
    bool truncated;
};

struct block_refusal {
    uint32_t before; /* stands before this op */
    uint64_t line;
    struct error error;
    struct block_raw raw;
};

struct block {
    size_t input;
    struct submission *submission;
    struct block_raw *raws; /* per op; only with keep_raw */
    struct buffer raw;
    struct block_refusal *refusals;
    uint32_t refusal_count;
    struct query query; /* for whoever probes with it */
    bool hurried;       /* set before block_fill: it does not even wait for a first record */
    bool waits;         /* said by block_fill: the input has nothing more just now */
    bool finished;      /* under `gate` */
    struct gate *gate;
};

bool block_init(struct block *block, const struct run *run, struct gate *gate, struct error *error);
void block_release(struct block *block);
void block_clear(struct block *block);

/* Records of the input until the block is full, the input ends or has nothing more just now, or the run stops. False
 * when this input gives no more: at its end, or because the run was stopped or failed. The block may hold records even
 * then. */
bool block_fill(struct block *block, struct run *run, size_t input);

static inline bool block_is_empty(const struct block *block)
{
    return block->submission->count == 0 && block->refusal_count == 0;
}

/* The op's own text, for its reject. */
struct run_raw block_raw_of(const struct block *block, uint32_t op);

/* Hands on what the input refused and stands before op `before`; *next is the first not yet handed on (starts at 0). */
void block_refuse_before(const struct block *block, struct run *run, uint32_t before, uint32_t *next);

#endif
