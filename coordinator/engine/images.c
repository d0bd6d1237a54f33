/* SPDX-License-Identifier: Apache-2.0 */
#include "images.h"

#include "exact.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS_START 64u

/* What an image can be found by. Entries are never taken out in a round: a finder looks whether they still hold. */
enum by { BY_BASE_IDENTITY, BY_IDENTITY, BY_BASE_KEY, BY_KEY, BY_NAMED };

struct image_entry {
    struct image_entry *next;
    struct image *image;
    uint64_t hash;
    uint32_t len;
    enum by by;
    uint16_t id;  /* table or reference */
    uint16_t key; /* number of the key */
    uint8_t bytes[];
};

void images_init(struct images *images, struct engine *engine)
{
    *images = (struct images){.engine = engine};
}

void images_release(struct images *images)
{
    arena_release(&images->bases);
    arena_release(&images->round);
    buffer_release(&images->key);
    free(images->buckets);
    images->buckets = NULL;
}

static const struct schema_table *table_of(const struct images *images, table_id table)
{
    return &images->engine->schema->tables[table];
}

/* ---- the index ---- */

static uint64_t hash_of(enum by by, uint16_t id, uint16_t key, const struct buffer *bytes)
{
    return exact_hash((uint64_t)by << 32 | (uint64_t)id << 16 | key, bytes);
}

static void grow(struct images *images)
{
    size_t count = images->bucket_count ? images->bucket_count * 4 : BUCKETS_START;
    struct image_entry **buckets = calloc(count, sizeof(struct image_entry *));
    if (!buckets)
        panic("out of memory for %zu rows of a transaction", images->entry_count);
    for (size_t i = 0; i < images->bucket_count; i++)
        for (struct image_entry *entry = images->buckets[i], *next; entry; entry = next) {
            next = entry->next;
            entry->next = buckets[entry->hash % count];
            buckets[entry->hash % count] = entry;
        }
    free(images->buckets);
    images->buckets = buckets;
    images->bucket_count = count;
}

/* By images->key. */
static void enter(struct images *images, struct image *image, enum by by, uint16_t id, uint16_t key)
{
    if (images->entry_count >= images->bucket_count)
        grow(images);
    struct image_entry *entry = arena_take(&images->round, sizeof *entry + images->key.len);
    uint64_t hash = hash_of(by, id, key, &images->key);
    struct image_entry **bucket = &images->buckets[hash % images->bucket_count];
    *entry = (struct image_entry){.next = *bucket,
                                  .image = image,
                                  .hash = hash,
                                  .len = (uint32_t)images->key.len,
                                  .by = by,
                                  .id = id,
                                  .key = key};
    if (images->key.len)
        memcpy(entry->bytes, images->key.bytes, images->key.len);
    *bucket = entry;
    images->entry_count++;
}

static const struct image_entry *find(const struct images *images, const struct image_entry *after, enum by by,
                                      uint16_t id, uint16_t key, const struct buffer *bytes)
{
    if (!images->bucket_count)
        return NULL;
    uint64_t hash = hash_of(by, id, key, bytes);
    const struct image_entry *entry = after ? after->next : images->buckets[hash % images->bucket_count];
    for (; entry; entry = entry->next)
        if (entry->hash == hash && entry->by == by && entry->id == id && entry->key == key &&
            entry->len == bytes->len && !memcmp(entry->bytes, bytes->bytes, bytes->len))
            return entry;
    return NULL;
}

/* ---- keys ---- */

static bool identity_of(struct images *images, const struct image *image, const struct value *values,
                        struct buffer *bytes)
{
    const struct schema_table *table = table_of(images, image->table);
    if (table->primary_key != SCHEMA_NONE)
        return exact_key(images->engine->scratch, table, table->primary_key, values, bytes);
    if (image->has_base)
        exact_rowid(image->rowid, bytes);
    return image->has_base;
}

bool images_identity(struct images *images, const struct image *image, struct buffer *bytes)
{
    return identity_of(images, image, image->now, bytes);
}

static bool has_key(struct images *images, table_id table, uint16_t key, const struct value *values)
{
    buffer_clear(&images->key);
    return exact_key(images->engine->scratch, table_of(images, table), key, values, &images->key);
}

static bool has_named(struct images *images, reference_id reference, const struct value *values)
{
    const struct schema *schema = images->engine->schema;
    buffer_clear(&images->key);
    return exact_named(images->engine->scratch, schema, &schema->references[reference], values, &images->key);
}

static void enter_identity(struct images *images, struct image *image, const struct value *values, enum by by)
{
    buffer_clear(&images->key);
    if (identity_of(images, image, values, &images->key))
        enter(images, image, by, image->table, 0);
}

static void enter_now(struct images *images, struct image *image)
{
    const struct schema_table *table = table_of(images, image->table);
    enter_identity(images, image, image->now, BY_IDENTITY);
    for (uint16_t k = 0; k < table->key_count; k++)
        if (table->keys[k].referenced && has_key(images, image->table, k, image->now))
            enter(images, image, BY_KEY, image->table, k);
    for (uint16_t r = 0; r < table->reference_count; r++)
        if (has_named(images, table->references[r], image->now))
            enter(images, image, BY_NAMED, table->references[r], 0);
}

static void enter_base(struct images *images, struct image *image)
{
    const struct schema_table *table = table_of(images, image->table);
    enter_identity(images, image, image->base, BY_BASE_IDENTITY);
    for (uint16_t k = 0; k < table->key_count; k++)
        if (table->keys[k].referenced && has_key(images, image->table, k, image->base))
            enter(images, image, BY_BASE_KEY, image->table, k);
    enter_now(images, image);
}

/* ---- rounds ---- */

static void clear_index(struct images *images)
{
    arena_clear(&images->round);
    if (images->buckets)
        memset(images->buckets, 0, images->bucket_count * sizeof(struct image_entry *));
    images->entry_count = 0;
}

void images_forget(struct images *images)
{
    clear_index(images);
    arena_clear(&images->bases);
    images->first = images->last = images->last_base = NULL;
}

void images_reset(struct images *images)
{
    if (images->last_base) /* before the others go with the round's memory */
        images->last_base->next = NULL;
    else
        images->first = NULL;
    images->last = images->last_base;
    clear_index(images);
    for (struct image *image = images->first; image; image = image->next) {
        image->now = image->base;
        image->exists = true;
        image->written = false;
        enter_base(images, image);
    }
}

static void append(struct images *images, struct image *image)
{
    image->next = NULL;
    if (images->last)
        images->last->next = image;
    else
        images->first = image;
    images->last = image;
}

bool images_add_base(struct images *images, table_id table, int64_t rowid, const uint8_t *row, size_t len)
{
    const struct schema_table *t = table_of(images, table);
    struct value *values = arena_take(&images->bases, t->column_count * sizeof *values);
    const uint8_t *copy = arena_copy(&images->bases, row, len);
    struct image image = {.table = table,
                          .has_base = true,
                          .exists = true,
                          .number = images->numbers++,
                          .rowid = t->primary_key == SCHEMA_NONE ? rowid : 0,
                          .base = values,
                          .now = values,
                          .base_row = copy,
                          .base_row_len = len};
    if (!row_read(t, copy, len, values, NULL))
        return false;
    buffer_clear(&images->key);
    if (identity_of(images, &image, values, &images->key) &&
        find(images, NULL, BY_BASE_IDENTITY, table, 0, &images->key))
        return true;
    struct image *kept = arena_copy(&images->bases, &image, sizeof image);
    kept->next = images->last_base ? images->last_base->next : images->first;
    if (images->last_base)
        images->last_base->next = kept;
    else
        images->first = kept;
    if (!kept->next)
        images->last = kept;
    images->last_base = kept;
    enter_base(images, kept);
    return true;
}

/* ---- writing ---- */

static const struct value *copied(struct images *images, table_id table, const struct value *values)
{
    uint16_t count = table_of(images, table)->column_count;
    struct value *copy = arena_copy(&images->round, values, count * sizeof *values);
    for (uint16_t i = 0; i < count; i++)
        if (copy[i].type == VALUE_TEXT || copy[i].type == VALUE_BLOB)
            copy[i].bytes = arena_copy(&images->round, values[i].bytes, values[i].len);
    return copy;
}

struct image *images_insert(struct images *images, table_id table, const struct value *values, uint32_t op)
{
    struct image *image = arena_take(&images->round, sizeof *image);
    *image = (struct image){.table = table, .exists = true, .written = true, .op = op, .number = images->numbers++};
    image->now = copied(images, table, values);
    append(images, image);
    enter_now(images, image);
    return image;
}

void images_write(struct images *images, struct image *image, const struct value *values, uint32_t op)
{
    image->op = op;
    image->written = true;
    image->exists = values != NULL;
    if (!values)
        return;
    image->now = copied(images, image->table, values);
    enter_now(images, image);
}

/* ---- finding ---- */

static bool is_so(struct images *images, const struct image *image, bool computed, const struct buffer *bytes)
{
    return image->exists && computed && images->key.len == bytes->len &&
           !memcmp(images->key.bytes, bytes->bytes, bytes->len);
}

struct image *images_find(struct images *images, table_id table, const struct buffer *identity)
{
    const struct image_entry *entry = NULL;
    while ((entry = find(images, entry, BY_IDENTITY, table, 0, identity))) {
        buffer_clear(&images->key);
        if (is_so(images, entry->image, identity_of(images, entry->image, entry->image->now, &images->key), identity))
            return entry->image;
    }
    return NULL;
}

struct image *images_with_key(struct images *images, table_id table, uint16_t key, const struct buffer *exact)
{
    const struct image_entry *entry = NULL;
    while ((entry = find(images, entry, BY_KEY, table, key, exact)))
        if (is_so(images, entry->image, has_key(images, table, key, entry->image->now), exact))
            return entry->image;
    return NULL;
}

bool images_base_has_key(struct images *images, table_id table, uint16_t key, const struct buffer *exact)
{
    return find(images, NULL, BY_BASE_KEY, table, key, exact) != NULL;
}

/* By rowid where that is known, else as they came: shards tell them as SQLite comes upon them. */
static int by_turn(const void *a, const void *b, void *table)
{
    const struct image *left = *(struct image *const *)a, *right = *(struct image *const *)b;
    uint16_t column = ((const struct schema_table *)table)->rowid_column;
    bool has_rowids = column == SCHEMA_NONE && left->has_base && right->has_base;
    int64_t l = has_rowids ? left->rowid : 0, r = has_rowids ? right->rowid : 0;
    if (column != SCHEMA_NONE && left->now[column].type == VALUE_INTEGER && right->now[column].type == VALUE_INTEGER) {
        l = left->now[column].integer;
        r = right->now[column].integer;
    }
    if (l != r)
        return l < r ? -1 : 1;
    return left->number < right->number ? -1 : left->number > right->number;
}

uint32_t images_naming(struct images *images, reference_id reference, const struct buffer *exact,
                       struct image ***ret_list)
{
    const struct schema *schema = images->engine->schema;
    uint32_t count = 0, room = 0;
    const struct image_entry *entry = NULL;
    while ((entry = find(images, entry, BY_NAMED, reference, 0, exact)))
        room++;
    struct image **list = arena_take(&images->round, (room + 1) * sizeof *list);
    images->mark++; /* a row that was written more than once may stand in the chain as often */
    while ((entry = find(images, entry, BY_NAMED, reference, 0, exact)))
        if (is_so(images, entry->image, has_named(images, reference, entry->image->now), exact) &&
            entry->image->mark != images->mark) {
            entry->image->mark = images->mark;
            list[count++] = entry->image;
        }
    qsort_r(list, count, sizeof *list, by_turn, (void *)&schema->tables[schema->references[reference].child]);
    *ret_list = list;
    return count;
}
