/* SPDX-License-Identifier: Apache-2.0 */
#include "references.h"

#include "keyreader.h"
#include "peer.h"
#include "wire.h"

#include <stdlib.h>
#include <string.h>

#define KEYS_MAX 8192u     /* of one question to a shard */
#define BYTES_MAX 1048576u /* likewise; one key more may stand behind it */

struct question {
    struct checker *checker;
    struct missing about;
};

/* Questions that go to a shard as one. */
struct collection {
    struct ask ask;
    struct group *group;
    struct collection *next;
    uint32_t count, capacity;
    struct question *questions;
};

/* The questions about one key of one table. */
struct group {
    struct references *references;
    table_id table;
    uint16_t key;
    uint32_t under_way;
    struct collection *open;
    bool listed; /* in references->changed */
    struct group *next_changed;
};

struct references {
    struct engine *engine;
    struct group **groups; /* per table, an array over its keys, made when needed */
    struct group *changed; /* with an open collection */
    struct collection *free;
};

struct references *references_new(struct engine *engine)
{
    struct references *references = calloc(1, sizeof *references);
    if (references)
        references->groups = calloc((size_t)engine->schema->table_count + 1, sizeof *references->groups);
    if (!references || !references->groups) {
        free(references);
        return NULL;
    }
    references->engine = engine;
    return references;
}

static void collection_free(struct collection *collection)
{
    if (!collection)
        return;
    buffer_release(&collection->ask.body);
    free(collection->questions);
    free(collection);
}

void references_free(struct references *references)
{
    if (!references)
        return;
    const struct schema *schema = references->engine->schema;
    for (table_id t = 0; t < schema->table_count; t++) {
        for (uint16_t k = 0; references->groups[t] && k < schema->tables[t].key_count; k++)
            collection_free(references->groups[t][k].open);
        free(references->groups[t]);
    }
    while (references->free) {
        struct collection *next = references->free->next;
        collection_free(references->free);
        references->free = next;
    }
    free(references->groups);
    free(references);
}

/* ---- what a checker learns ---- */

static void note_missing(struct checker *checker, const struct missing *about)
{
    if (checker->missing_count == checker->missing_capacity) {
        uint32_t capacity = checker->missing_capacity ? checker->missing_capacity * 2 : 2;
        struct missing *larger = realloc(checker->missing, capacity * sizeof *larger);
        if (!larger)
            panic("out of memory for %u missing parents", capacity);
        checker->missing = larger;
        checker->missing_capacity = capacity;
    }
    checker->missing[checker->missing_count++] = *about;
}

static void note_failed(struct checker *checker, const struct error *error)
{
    checker->failed = true;
    if (!checker->error && (checker->error = malloc(sizeof *error)))
        *checker->error = *error;
}

void references_release(struct checker *checker)
{
    free(checker->missing);
    free(checker->error);
    checker->missing = NULL;
    checker->error = NULL;
    checker->missing_count = checker->missing_capacity = 0;
}

static int by_op(const void *a, const void *b)
{
    const struct missing *x = a, *y = b;
    if (x->op != y->op)
        return x->op < y->op ? -1 : 1;
    return (x->reference > y->reference) - (x->reference < y->reference);
}

void references_sort(struct checker *checker)
{
    if (checker->missing_count > 1)
        qsort(checker->missing, checker->missing_count, sizeof *checker->missing, by_op);
}

/* ---- asking ---- */

static struct group *group_of(struct references *references, table_id table, uint16_t key)
{
    uint16_t count = references->engine->schema->tables[table].key_count;
    struct group *groups = references->groups[table];
    if (!groups) {
        groups = references->groups[table] = calloc(count, sizeof *groups);
        if (!groups)
            panic("out of memory for %u groups of questions", count);
        for (uint16_t k = 0; k < count; k++)
            groups[k] = (struct group){.references = references, .table = table, .key = k};
    }
    return &groups[key];
}

static struct collection *collection_open(struct group *group)
{
    struct references *references = group->references;
    struct collection *collection = references->free;
    if (collection) {
        references->free = collection->next;
        collection->count = 0;
        buffer_clear(&collection->ask.body);
    } else if (!(collection = calloc(1, sizeof *collection)))
        panic("out of memory for a question");
    collection->group = group;
    group->open = collection;
    if (!group->listed) {
        group->listed = true;
        group->next_changed = references->changed;
        references->changed = group;
    }
    return collection;
}

static bool fits(const struct ask *ask, struct cursor body, const struct error *refusal, struct error *error)
{
    const struct collection *collection = ask->context;
    const uint8_t *there;
    uint32_t count;
    if (refusal)
        return true;
    return wire_get_exists_answer(&body, &there, &count, error) &&
           (count == collection->count ||
            error_set(error, ERROR_PARSE, "it is about %u keys, and %u were asked for", count, collection->count));
}

/* The answers are told when the collection is free again: a checker may ask the next thing. */
static void exists_answered(struct ask *ask, struct cursor *body, const struct error *refusal)
{
    struct collection *collection = ask->context;
    struct group *group = collection->group;
    const uint8_t *there = NULL;
    uint32_t count = 0;
    struct error error;
    if (refusal)
        error = *refusal;
    else if (!wire_get_exists_answer(body, &there, &count, &error) || count != collection->count)
        panic("an answer about %u keys to a question about %u", count, collection->count);
    group->under_way--;
    for (uint32_t i = 0; i < collection->count; i++) {
        struct question *question = &collection->questions[i];
        if (refusal)
            note_failed(question->checker, &error);
        else if (!there[i])
            note_missing(question->checker, &question->about);
        if (--question->checker->pending == 0)
            question->checker->checked(question->checker);
    }
    collection->next = group->references->free;
    group->references->free = collection;
    if (group->open && !group->listed) {
        group->listed = true;
        group->next_changed = group->references->changed;
        group->references->changed = group;
    }
}

static void collection_send(struct group *group)
{
    struct collection *collection = group->open;
    struct engine *engine = group->references->engine;
    const struct schema_table *table = &engine->schema->tables[group->table];
    uint32_t values = collection->count * table->keys[group->key].column_count;
    group->open = NULL;
    group->under_way++;
    collection->ask.kind = WIRE_EXISTS;
    collection->ask.answered = exists_answered;
    collection->ask.fits = fits;
    collection->ask.context = collection;
    struct buffer *head = &engine->head;
    buffer_clear(head);
    if (!wire_put_exists(head, group->table, group->key, collection->count, values) ||
        head->len > sizeof collection->ask.head)
        panic("the head of a question takes %zu bytes", head->len);
    memcpy(collection->ask.head, head->bytes, head->len);
    collection->ask.head_len = (uint8_t)head->len;
    peer_ask(&engine->peers[table->database], &collection->ask);
}

void references_pump(struct references *references)
{
    struct group *group = references->changed;
    references->changed = NULL;
    while (group) {
        struct group *next = group->next_changed;
        group->listed = false;
        if (group->open && group->under_way == 0)
            collection_send(group);
        group = next;
    }
}

static void ask(struct references *references, struct checker *checker, const struct schema_reference *reference,
                const struct value *values, const struct missing *about)
{
    struct group *group = group_of(references, reference->parent, reference->parent_key);
    struct collection *collection = group->open ? group->open : collection_open(group);
    if (collection->count == collection->capacity) {
        uint32_t capacity = collection->capacity ? collection->capacity * 2 : 16;
        struct question *larger = realloc(collection->questions, capacity * sizeof *larger);
        if (!larger)
            panic("out of memory for %u questions", capacity);
        collection->questions = larger;
        collection->capacity = capacity;
    }
    const struct schema_table *child = &references->engine->schema->tables[reference->child];
    for (uint16_t i = 0; i < reference->column_count; i++) {
        uint16_t column = reference->child_columns[reference->key_order[i]];
        struct value stored;
        if (!affinity_apply(references->engine->scratch, child->columns[column].affinity, &values[column], &stored,
                            NULL) ||
            !pack_value(&collection->ask.body, &stored))
            panic("out of memory for a question");
    }
    collection->questions[collection->count++] = (struct question){checker, *about};
    checker->pending++;
    if (collection->count >= KEYS_MAX || collection->ask.body.len >= BYTES_MAX)
        collection_send(group);
}

/* ---- checking ---- */

static bool names_nothing(const struct schema_reference *reference, const struct value *values)
{
    for (uint16_t i = 0; i < reference->column_count; i++) {
        enum value_type type = values[reference->child_columns[i]].type;
        if (type == VALUE_NULL || type == VALUE_ABSENT)
            return true;
    }
    return false;
}

enum presence_answer references_look(struct engine *engine, const struct schema_reference *reference,
                                     const struct value *values)
{
    if (!engine->schema->tables[reference->parent].keys[reference->parent_key].rowid)
        return PRESENCE_NOT_KNOWN;
    const struct value *value = &values[reference->child_columns[0]];
    enum affinity affinity = engine->schema->tables[reference->child].columns[reference->child_columns[0]].affinity;
    struct value stored;
    int64_t rowid;
    if (value->type == VALUE_INTEGER && affinity != AFFINITY_REAL) /* which beyond 2^53 stores another number */
        rowid = value->integer;
    else if (!affinity_apply(engine->scratch, affinity, value, &stored, NULL) ||
             !affinity_as_rowid(engine->scratch, &stored, &rowid))
        return PRESENCE_ABSENT;
    enum presence_answer answer = presence_look(engine->presence, reference->parent, rowid);
    if (answer == PRESENCE_NOT_KNOWN && presence_wants_reading(engine->presence, reference->parent))
        keyreader_start(engine, reference->parent);
    return answer;
}

void references_row(struct references *references, struct checker *checker, table_id table, const struct value *values,
                    uint32_t op)
{
    const struct schema *schema = references->engine->schema;
    const struct schema_table *t = &schema->tables[table];
    for (uint16_t r = 0; r < t->reference_count; r++) {
        const struct schema_reference *reference = &schema->references[t->references[r]];
        const struct missing about = {op, r};
        if (names_nothing(reference, values))
            continue;
        enum presence_answer answer = references_look(references->engine, reference, values);
        if (answer == PRESENCE_THERE || checker->brings(checker, reference, values))
            continue;
        if (answer == PRESENCE_ABSENT)
            note_missing(checker, &about);
        else
            ask(references, checker, reference, values, &about);
    }
}

/* ---- refusing ---- */

static bool describe(const struct schema_reference *reference, const struct schema *schema, const struct value *values,
                     struct buffer *text)
{
    const struct schema_table *parent = &schema->tables[reference->parent];
    char columns[256];
    bool several = reference->column_count > 1;
    schema_columns_joined(parent, reference->parent_columns, reference->column_count, columns, sizeof columns);
    bool ok = buffer_format(text, "%s%s.%s%s%s ", text->len ? "; " : "", schema->tables[reference->child].name,
                            several ? "(" : "", reference->constraint, several ? ")" : "") &&
              buffer_put_text(text, several ? "(" : "");
    for (uint16_t i = 0; ok && i < reference->column_count; i++)
        ok = buffer_put_text(text, i ? "," : "") && value_describe(&values[reference->child_columns[i]], text);
    return ok && buffer_format(text, "%s: no such row in %s (%s)", several ? ")" : "", parent->name, columns);
}

void references_refusal(const struct engine *engine, table_id table, const struct value *values,
                        const struct missing *missing, uint32_t count, struct error *ret_error)
{
    const struct schema_table *t = &engine->schema->tables[table];
    struct buffer text = {0};
    bool ok = true;
    for (uint32_t i = 0; ok && i < count; i++)
        ok = describe(&engine->schema->references[t->references[missing[i].reference]], engine->schema, values, &text);
    error_set(ret_error, ERROR_REFERENCE_MISSING, "%.*s", ok ? (int)text.len : 0,
              text.bytes ? (const char *)text.bytes : "");
    error_about(ret_error, t->name, engine->schema->references[t->references[missing[0].reference]].constraint);
    buffer_release(&text);
}
