/* SPDX-License-Identifier: Apache-2.0 */
/* images.h - the rows that a transaction touches: as they are stored, and as it leaves them.
 *
 * A base is a row that a shard told, frozen by the locks that were held when it was asked for. The transaction is gone
 * through again whenever more has been told (plan.h): images_reset then puts every row back to its base and forgets the
 * rows that were inserted. Found by keys in their exact form (exact.h). Engine thread. */
#ifndef SHEAF_IMAGES_H
#define SHEAF_IMAGES_H

#include "arena.h"
#include "core.h"

struct image {
    struct image *next;
    table_id table;
    bool has_base;
    bool exists;                    /* now */
    bool written;                   /* by this transaction, in this round */
    uint32_t op;                    /* by which of its operations last */
    uint64_t mark, number;          /* images.c's own */
    int64_t rowid;                  /* of a base in a table without a primary key */
    uint32_t made_by;               /* of a new row there: which of its shard's operations inserts it (plan_write.c) */
    const struct value *base, *now; /* by column; NULL: none. A generated column's value is the base's, or ABSENT */
    const uint8_t *base_row;        /* wire form */
    size_t base_row_len;
};

struct image_entry;

struct images {
    struct engine *engine;
    struct arena bases, round;
    struct image *first, *last; /* bases first, then what was inserted in this round */
    struct image *last_base;
    struct image_entry **buckets;
    size_t bucket_count, entry_count;
    uint64_t mark, numbers;
    struct buffer key; /* scratch */
};

void images_init(struct images *images, struct engine *engine);
void images_release(struct images *images);
/* Forgets the bases, too. */
void images_forget(struct images *images);
void images_reset(struct images *images);

/* A row that a shard told; told again it changes nothing. Only between two rounds. False: it cannot be read. */
bool images_add_base(struct images *images, table_id table, int64_t rowid, const uint8_t *row, size_t len);

/* A new row; `values` are copied. */
struct image *images_insert(struct images *images, table_id table, const struct value *values, uint32_t op);
/* `values` (copied) are what the row is from now on; NULL: it is deleted. */
void images_write(struct images *images, struct image *image, const struct value *values, uint32_t op);

/* The exact form of a row's identity: its primary key, else its rowid. */
bool images_identity(struct images *images, const struct image *image, struct buffer *bytes);

/* The row that has this identity now; NULL: none that is known here. */
struct image *images_find(struct images *images, table_id table, const struct buffer *identity);
/* The row that has this key now. */
struct image *images_with_key(struct images *images, table_id table, uint16_t key, const struct buffer *exact);
/* Whether a base has it, or had it before this round changed it. */
bool images_base_has_key(struct images *images, table_id table, uint16_t key, const struct buffer *exact);
/* The rows that name this parent key now, as a list in memory of this round, in the order in which one SQLite file
 * comes upon them, as far as that is known: by rowid, and without one (and where the primary key is another) bases as
 * shards told them, then what was inserted. */
uint32_t images_naming(struct images *images, reference_id reference, const struct buffer *exact,
                       struct image ***ret_list);

#endif
