/* SPDX-License-Identifier: Apache-2.0 */
/* findings.h - what a check found, in the order in which it was found.
 *
 * The caller bounds how many it adds about one thing (FINDINGS_SHOWN, then one that says how many more). One thread. */
#ifndef SHEAF_FINDINGS_H
#define SHEAF_FINDINGS_H

#include "error.h"

#include <stddef.h>

#define FINDINGS_SHOWN 20 /* of one kind about one file or reference */

enum finding_kind {
    FINDING_WRONG,      /* no start of Sheaf mends it */
    FINDING_IN_DOUBT,   /* left by a transaction that was cut short: the next start resolves it */
    FINDING_UNREADABLE, /* could not be looked at, which says nothing about what is in it */
    FINDING_REMARK      /* nothing is wrong, but the figures say less because of it */
};

struct finding {
    enum finding_kind kind;
    char *about; /* a database or a file */
    char *text;  /* one line; values of users are in it as value_describe writes them */
};

struct findings {
    struct finding *items;
    size_t count;
    size_t counts[FINDING_REMARK + 1];
};

bool findings_add(struct findings *findings, struct error *error, enum finding_kind kind, const char *about,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));
void findings_release(struct findings *findings);

#endif
