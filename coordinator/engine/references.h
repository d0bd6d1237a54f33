/* SPDX-License-Identifier: Apache-2.0 */
/* references.h - does every parent exist that a row names?
 *
 * Called when the row holds its locks, so that no parent it names is being inserted or deleted. Rowid parents are
 * looked up in the presence sets; the rest is asked of the parent's shard, collected per key: a question goes at once
 * when none is under way, else with the next that goes. Engine thread only. */
#ifndef SHEAF_REFERENCES_H
#define SHEAF_REFERENCES_H

#include "core.h"

struct missing {
    uint32_t op;
    uint16_t reference; /* position in its table's references */
};

/* Embedded in what checks its rows. Zeroed, with the first two set. */
struct checker {
    /* Every question of checker_row has its answer; not called when none had to be asked. */
    void (*checked)(struct checker *checker);
    /* Whether the operation itself brings the parent that `child` (a row) names. */
    bool (*brings)(struct checker *checker, const struct schema_reference *reference, const struct value *child);

    uint32_t pending;
    uint32_t missing_count, missing_capacity;
    struct missing *missing; /* references_release frees it */
    bool failed;             /* some question was not answered: */
    struct error *error;     /* why; likewise */
};

struct references;

struct references *references_new(struct engine *engine); /* NULL: out of memory */
void references_free(struct references *references);

/* Whether the presence sets tell if the parent is there that `values`, a row of the child, names; none of its columns
 * is NULL. Begins to read a set that was asked often enough. */
enum presence_answer references_look(struct engine *engine, const struct schema_reference *reference,
                                     const struct value *values);

/* Checks one row: what is missing, or has to be asked, is noted in `checker`. */
void references_row(struct references *references, struct checker *checker, table_id table, const struct value *values,
                    uint32_t op);

/* The refusal of a row: every missing parent with its key, `constraint` the first in declaration order. `missing` is
 * in that order. */
void references_refusal(const struct engine *engine, table_id table, const struct value *values,
                        const struct missing *missing, uint32_t count, struct error *ret_error);

/* Brings checker->missing into the order of ops and declarations. */
void references_sort(struct checker *checker);
void references_release(struct checker *checker);

/* Sends what has collected. After each round of the loop. */
void references_pump(struct references *references);

#endif
