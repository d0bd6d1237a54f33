/* SPDX-License-Identifier: Apache-2.0 */
/* again.h - is a row that would be refused for its references in its database already?
 *
 * A column that was not given says nothing against a row's being there already, whatever parent its DEFAULT names. Only
 * the row's shard can compare: it is asked what it would say to the row (PROBE), many at a time; a question goes at
 * once when none is under way to that database, or when it is full. Called for rows that are refused otherwise, under
 * their locks: so the answer stays true. Engine thread only. */
#ifndef SHEAF_AGAIN_H
#define SHEAF_AGAIN_H

#include "references.h"

struct again;

/* Embedded in who asks; kept until `told`. */
struct again_member {
    /* `failed`: it could not be asked. */
    void (*told)(struct again_member *member, bool is_there, const struct error *failed);
};

struct again *again_new(struct engine *engine); /* NULL: out of memory */
void again_free(struct again *again);

/* Whether a row like this could be there: its primary key was given, and each of the parents that are missing is named
 * by a column that was not given. `missing`: positions in the table's references. */
bool again_is_possible(const struct schema *schema, table_id table, const struct value *values,
                       const struct missing *missing, uint32_t count);

void again_ask(struct again *again, struct again_member *member, table_id table, const uint8_t *row, size_t len);

/* Sends what has collected. After each round of the loop. */
void again_pump(struct again *again);

#endif
