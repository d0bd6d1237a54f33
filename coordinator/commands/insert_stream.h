/* SPDX-License-Identifier: Apache-2.0 */
/* insert_stream.h - JSON lines in, JSON answers out: what `coordinator insert` does between two descriptors.
 *
 * A reader thread takes whatever read(2) gives, as many complete lines as there are, and submits them as one block; so
 * a slow writer's line goes at once and a fast writer's lines go together. The calling thread writes the answers in the
 * order of the lines, as soon as the line's row is durable. Bounded: INSERT_BLOCKS_MAX blocks unanswered, then the
 * reader waits. */
#ifndef SHEAF_INSERT_STREAM_H
#define SHEAF_INSERT_STREAM_H

#include "engine.h"
#include "error.h"
#include "histogram.h"
#include "schema.h"

#include <stdbool.h>
#include <stdint.h>

#define INSERT_BLOCKS_MAX 16
#define INSERT_BLOCK_LINES 1024
#define INSERT_BLOCK_BYTES 524288

struct insert_stream {
    struct engine *engine;
    const struct schema *schema;
    int in_fd;
    int out_fd;
    int interrupt_fd;        /* becomes readable when no more input is to be taken; -1: none */
    int64_t ops_max;         /* the engine's limit of operations that are unanswered */
    struct histogram *parse; /* per database: ns per line; may be NULL */
};

struct insert_outcome {
    uint64_t accepted; /* there already included */
    uint64_t refused;
    uint64_t unparsed; /* of the refused: those that reached no database */
    bool unavailable;  /* some line's outcome is unknown, or its database was not there */
    bool internal;
    bool broken_pipe;  /* the reader of the answers went away; what was submitted was finished */
    bool input_failed; /* `error`: the input could not be read on */
};

/* Runs until the input ends, the interrupt comes, or answers can no longer be written; everything that was submitted is
 * finished then. False: `error` (io: the answers could not be written, not for a broken pipe; internal: out of memory).
 * The outcome is always filled. */
bool insert_stream_run(const struct insert_stream *stream, struct insert_outcome *ret_outcome, struct error *error);

#endif
