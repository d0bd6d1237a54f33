/* SPDX-License-Identifier: Apache-2.0 */
/* work.h - the operations of one request, out of its JSON: what the engine gets, and what was refused before it.
 *
 * Results stand in the order of the request; each is an operation of the submission, in its order, or an error. Keys
 * and rows are appended to the submission's bytes; a failed work_row or work_key leaves them as they were. Every error
 * is one for the user (ERROR_INTERNAL: memory is out). Owned by one request; one thread. */
#ifndef SHEAF_WORK_H
#define SHEAF_WORK_H

#include "engine.h"
#include "json_cut.h"
#include "json_row.h"

enum work_shape {
    WORK_ONE,   /* the request is one operation */
    WORK_MANY,  /* each has an outcome of its own */
    WORK_ATOMIC /* all or nothing */
};

struct work {
    enum work_shape shape;
    struct submission *submission;
    uint32_t count, capacity; /* results */
    struct error **refused;   /* per result: why it was not submitted; NULL: the next operation is its */
    struct json_row row;      /* scratch */
};

/* `capacity` results at most. NULL: out of memory. */
struct work *work_new(const struct schema *schema, enum work_shape shape, uint32_t capacity);
void work_free(struct work *work);

/* A member of the request's array as an object; the caller ends it with json_decref. NULL with `why`: it is JSON, but
 * cannot be an operation, and is refused by itself; NULL with `error`: it is no JSON, and so the whole body is none. */
json_t *work_object(const struct json_member *member, struct error *why, struct error *error);

/* One more result. work_refuse: false when memory is out. */
void work_add(struct work *work, const struct op *op);
bool work_refuse(struct work *work, const struct error *why);

/* Of a submission without operations, and with a key: it is there for that alone. Results stay as they are. */
void work_note(struct work *work);

/* A row's columns. */
bool work_row(struct work *work, const struct schema_table *table, json_t *object, struct op *op, struct error *error);
/* A key as JSON: {"id":5}; of a table without a primary key {"rowid":5}. */
bool work_key(struct work *work, const struct schema_table *table, json_t *object, struct op *op, struct error *error);
/* A KEY of a path. */
bool work_path_key(struct work *work, const struct schema_table *table, const char *text, size_t len, struct op *op,
                   struct error *error);

#endif
