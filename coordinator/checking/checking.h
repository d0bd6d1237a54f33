/* SPDX-License-Identifier: Apache-2.0 */
/* checking.h - every database file of a directory and every reference between them, read and judged, nothing changed.
 *
 * Works on files that nobody serves, wherever they were copied to, and beside a running system: then each file is one
 * snapshot, references are looked at as parents.h tells, and a transaction that is just under way is no finding.
 * When somebody opens a file that nobody had open, all is read again: a start beside a check makes no findings.
 * Memory: a page cache shared out over the files, and what is shown of each kind of finding. One thread. */
#ifndef SHEAF_CHECKING_H
#define SHEAF_CHECKING_H

#include "findings.h"
#include "origin.h"
#include "parents.h"
#include "schema.h"

struct checking_options {
    const char *data;
    struct origin_note note;
    /* Whether the configuration names an address for this database: its file may be on another host. May be NULL. */
    bool (*has_address)(void *context, const char *database);
    /* Whether a coordinator has the directory at this moment, whose transactions are under way. May be NULL. */
    bool (*is_held)(void *context);
    void *context;
};

struct checking_table {
    bool looked;    /* its file can be used */
    bool elsewhere; /* its file is not here and need not be */
    uint64_t rows;
};

struct checking {
    struct schema *schema;
    struct checking_table *tables;        /* per table of the schema */
    struct reference_figures *references; /* per reference */
    struct findings findings;
    uint16_t files;     /* that could be used */
    uint16_t written;   /* of these, how many were written meanwhile */
    uint16_t elsewhere; /* that are not here and need not be */
    uint64_t time_ns;
};

/* The caller releases the result. ERROR_IO, ERROR_NOT_FOUND: there is nothing to check; ERROR_PARSE: the schema that
 * the files keep cannot be used; ERROR_INTERNAL. */
bool checking_run(const struct checking_options *options, struct checking *ret_checking, struct error *error);
void checking_release(struct checking *checking);

#endif
