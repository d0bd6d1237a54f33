/* SPDX-License-Identifier: Apache-2.0 */
/* loader.h - many files as one input (docs/formats.md, "What a load means").
 *
 * Meaning: the result is that of taking tables parents first, each in input order. Tables are taken by strongly
 * connected components of the reference graph, in topological order: a component starts when every input of every
 * component above it is finished (its parents are then all there or known to be missing), so neither the order of files
 * nor of rows matters and nothing has to wait in memory. Components that do not depend on each other run at the same
 * time. A component without a cycle streams; one with a cycle (a table that refers to itself, tables in a circle) is
 * staged in a temporary SQLite file (stage.h), its uniqueness decided first, then its references, then released parents
 * first; rows that need each other are committed in one transaction.
 *
 * Bounded: per input at most LOADER_BLOCKS_IN_FLIGHT blocks of LOADER_BLOCK_ROWS rows (or LOADER_BLOCK_BYTES) are
 * unanswered. */
#ifndef SHEAF_LOADER_H
#define SHEAF_LOADER_H

#include "engine.h"
#include "error.h"
#include "input.h"
#include "schema.h"

#include <stdatomic.h>

#define LOADER_BLOCK_ROWS 4096
#define LOADER_BLOCK_BYTES 524288
#define LOADER_BLOCKS_IN_FLIGHT 6

struct loader_input {
    table_id table;
    const char *path; /* "-": stdin */
    enum input_format format;
};

/* One per input; counters may be read by any thread while it runs. */
struct loader_counts {
    _Atomic uint64_t read; /* records */
    _Atomic uint64_t inserted;
    _Atomic uint64_t same;
    _Atomic uint64_t refused[ERROR_CODE_COUNT];
    _Atomic uint64_t bytes_read;
    _Atomic uint64_t bytes_total; /* 0: not known */
    _Atomic uint64_t parse_ns;
    _Atomic uint64_t refused_by_input; /* of `refused`: records that never became a row */
    _Atomic uint64_t began_ns;         /* clock_monotonic_ns of its first record; 0: not begun */
    _Atomic uint64_t ended_ns;         /* of its table's last verdict */
};

struct loader_reject {
    const struct loader_input *input;
    uint64_t line;
    const struct error *error;
    const uint8_t *raw;
    size_t raw_len;
    bool raw_truncated;
};

struct loader_options {
    struct engine *engine;
    const struct schema *schema;
    const struct loader_input *inputs;
    size_t input_count;
    struct loader_counts *counts; /* input_count of them, zeroed */
    bool stop_on_error;           /* no new row is begun after the first refusal; what was committed stays */
    bool keep_raw;                /* rejects carry raw (costs memory for what is in flight) */
    const char *scratch;          /* directory for the staging file: the data directory */
    struct histogram
        *parse; /* input_count of them, zeroed: ns per record; read them when the load is over. May be NULL */
    bool (*interrupted)(void);
    /* The files are all open and their headers right; false ends the load before its first row. May be NULL. */
    bool (*begin)(void *context, struct error *error);
    /* A refused row; serialised, from any thread; false stops the load (the rejects file is full). May be NULL. */
    bool (*reject)(void *context, const struct loader_reject *reject, struct error *error);
    void *context;
};

enum loader_result {
    LOADER_DONE,        /* every record has its verdict */
    LOADER_STOPPED,     /* by stop_on_error */
    LOADER_INTERRUPTED, /* by a signal: what was begun is finished */
    LOADER_UNREADABLE,  /* `error`: an input cannot be opened or read on */
    LOADER_FAILED       /* `error`: a shard is unavailable, the staging file or the rejects cannot be written, … */
};

/* Runs the whole load; blocks. Files are all opened, and their headers judged, before the first row is written. */
enum loader_result loader_run(const struct loader_options *options, struct error *error);

#endif
