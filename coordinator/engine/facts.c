/* SPDX-License-Identifier: Apache-2.0 */
#include "facts.h"

#include "exact.h"
#include "peer.h"
#include "references.h"
#include "wire.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS_START 64u
#define KEYS_MAX 1024u /* of one question */
#define ROWS_MAX 256u  /* likewise, when rows are asked for: their answer has to fit a message */
#define BYTES_MAX 1048576u

enum about { ABOUT_ROW, ABOUT_CHILDREN, ABOUT_KEY };

struct fact_entry {
    struct fact_entry *next, *next_wanted;
    enum about about;
    enum fact state;
    uint16_t id;  /* table; of children the reference */
    uint16_t key; /* ABOUT_KEY: the key's number */
    uint16_t value_count;
    uint32_t op;                /* the first that wants to know */
    const struct value *values; /* to be asked with */
    uint32_t len;
    uint8_t bytes[];
};

/* One question under way. */
struct fact_ask {
    struct ask ask;
    struct facts *facts;
    struct fact_ask *next;
    uint32_t count;
    struct fact_entry *entries[];
};

void facts_init(struct facts *facts, struct engine *engine, struct images *images, facts_told *told)
{
    *facts = (struct facts){.engine = engine, .images = images, .told = told};
}

static void ask_free(struct fact_ask *ask)
{
    buffer_release(&ask->ask.body);
    free(ask);
}

static database_id database_of(const struct facts *facts, const struct fact_entry *entry)
{
    const struct schema *schema = facts->engine->schema;
    table_id table = entry->about == ABOUT_CHILDREN ? schema->references[entry->id].child : entry->id;
    return schema->tables[table].database;
}

void facts_forget(struct facts *facts)
{
    while (facts->asks) {
        struct fact_ask *ask = facts->asks;
        facts->asks = ask->next;
        peer_take_back(&facts->engine->peers[database_of(facts, ask->entries[0])], &ask->ask);
        ask_free(ask);
    }
    if (facts->buckets)
        memset(facts->buckets, 0, facts->bucket_count * sizeof(struct fact_entry *));
    arena_clear(&facts->arena);
    free(facts->error);
    facts->error = NULL;
    facts->failed_op = 0;
    facts->count = 0;
    facts->wanted = 0;
    facts->first_wanted = facts->last_wanted = NULL;
}

void facts_release(struct facts *facts)
{
    while (facts->asks) {
        struct fact_ask *next = facts->asks->next;
        ask_free(facts->asks);
        facts->asks = next;
    }
    arena_release(&facts->arena);
    buffer_release(&facts->key);
    free(facts->buckets);
    free(facts->error);
    facts->buckets = NULL;
    facts->error = NULL;
}

/* ---- looking up ---- */

static uint64_t hash_of(enum about about, uint16_t id, uint16_t key, const struct buffer *bytes)
{
    return exact_hash((uint64_t)about << 32 | (uint64_t)id << 16 | key, bytes);
}

static uint64_t hash_of_entry(const struct fact_entry *entry)
{
    const struct buffer bytes = {.bytes = (uint8_t *)entry->bytes, .len = entry->len};
    return hash_of(entry->about, entry->id, entry->key, &bytes);
}

static void grow(struct facts *facts)
{
    size_t count = facts->bucket_count ? facts->bucket_count * 4 : BUCKETS_START;
    struct fact_entry **buckets = calloc(count, sizeof(struct fact_entry *));
    if (!buckets)
        panic("out of memory for %zu facts", facts->count);
    for (size_t i = 0; i < facts->bucket_count; i++)
        for (struct fact_entry *entry = facts->buckets[i], *next; entry; entry = next) {
            size_t at = hash_of_entry(entry) % count;
            next = entry->next;
            entry->next = buckets[at];
            buckets[at] = entry;
        }
    free(facts->buckets);
    facts->buckets = buckets;
    facts->bucket_count = count;
}

static struct fact_entry *find_or_note(struct facts *facts, enum about about, uint16_t id, uint16_t key,
                                       const struct buffer *bytes, uint32_t op, bool *ret_new)
{
    if (facts->count >= facts->bucket_count)
        grow(facts);
    struct fact_entry **bucket = &facts->buckets[hash_of(about, id, key, bytes) % facts->bucket_count];
    *ret_new = false;
    for (struct fact_entry *entry = *bucket; entry; entry = entry->next)
        if (entry->about == about && entry->id == id && entry->key == key && entry->len == bytes->len &&
            !memcmp(entry->bytes, bytes->bytes, bytes->len)) {
            entry->op = op < entry->op ? op : entry->op;
            return entry;
        }
    struct fact_entry *entry = arena_take(&facts->arena, sizeof *entry + bytes->len);
    *entry = (struct fact_entry){
        .next = *bucket, .about = about, .id = id, .key = key, .op = op, .len = (uint32_t)bytes->len};
    memcpy(entry->bytes, bytes->bytes, bytes->len);
    *bucket = entry;
    facts->count++;
    facts->wanted++;
    if (facts->last_wanted)
        facts->last_wanted->next_wanted = entry;
    else
        facts->first_wanted = entry;
    facts->last_wanted = entry;
    *ret_new = true;
    return entry;
}

static struct value copied(struct facts *facts, const struct value *value)
{
    struct value copy = *value;
    if (copy.type == VALUE_TEXT || copy.type == VALUE_BLOB)
        copy.bytes = arena_copy(&facts->arena, value->bytes, value->len);
    return copy;
}

enum fact facts_row(struct facts *facts, table_id table, const struct buffer *identity, const struct value *values,
                    uint32_t op)
{
    const struct schema_table *t = &facts->engine->schema->tables[table];
    bool fresh;
    struct fact_entry *entry = find_or_note(facts, ABOUT_ROW, table, 0, identity, op, &fresh);
    if (!fresh)
        return entry->state;
    uint16_t count = schema_key_columns(t);
    struct value *copy = arena_take(&facts->arena, count * sizeof *copy);
    for (uint16_t i = 0; i < count; i++)
        copy[i] = copied(facts, &values[i]);
    entry->values = copy;
    entry->value_count = count;
    return FACT_NOT_KNOWN;
}

enum fact facts_children(struct facts *facts, reference_id reference, const struct buffer *exact,
                         const struct value *parent, uint32_t op)
{
    const struct schema_reference *r = &facts->engine->schema->references[reference];
    bool fresh;
    struct fact_entry *entry = find_or_note(facts, ABOUT_CHILDREN, reference, 0, exact, op, &fresh);
    if (!fresh)
        return entry->state;
    struct value *copy = arena_take(&facts->arena, r->column_count * sizeof *copy);
    for (uint16_t i = 0; i < r->column_count; i++)
        copy[i] = copied(facts, &parent[r->parent_columns[i]]);
    entry->values = copy;
    entry->value_count = r->column_count;
    return FACT_NOT_KNOWN;
}

enum fact facts_parent(struct facts *facts, reference_id reference, const struct buffer *exact,
                       const struct value *child, uint32_t op)
{
    const struct schema *schema = facts->engine->schema;
    const struct schema_reference *r = &schema->references[reference];
    enum presence_answer answer = references_look(facts->engine, r, child);
    if (answer != PRESENCE_NOT_KNOWN)
        return answer == PRESENCE_THERE ? FACT_YES : FACT_NO;
    bool fresh;
    struct fact_entry *entry = find_or_note(facts, ABOUT_KEY, r->parent, r->parent_key, exact, op, &fresh);
    if (!fresh)
        return entry->state;
    struct value *copy = arena_take(&facts->arena, r->column_count * sizeof *copy);
    for (uint16_t i = 0; i < r->column_count; i++) {
        uint16_t column = r->child_columns[r->key_order[i]];
        struct value stored;
        if (!affinity_apply(facts->engine->scratch, schema->tables[r->child].columns[column].affinity, &child[column],
                            &stored, NULL))
            panic("an affinity cannot be applied");
        copy[i] = copied(facts, &stored);
    }
    entry->values = copy;
    entry->value_count = r->column_count;
    return FACT_NOT_KNOWN;
}

/* ---- answers ---- */

static void keys_told(struct fact_ask *ask, struct cursor *body)
{
    const uint8_t *there;
    uint32_t count;
    struct error error;
    if (!wire_get_exists_answer(body, &there, &count, &error) || count != ask->count)
        panic("an answer about %u keys to a question about %u", count, ask->count);
    for (uint32_t i = 0; i < count; i++)
        ask->entries[i]->state = there[i] ? FACT_YES : FACT_NO;
}

static void add_base(struct facts *facts, table_id table, int64_t rowid, const uint8_t *row, size_t len)
{
    if (!images_add_base(facts->images, table, rowid, row, len))
        panic("a row of %s that a shard told cannot be read", facts->engine->schema->tables[table].name);
}

static void rows_told(struct fact_ask *ask, struct cursor *body)
{
    struct facts *facts = ask->facts;
    struct wire_rows rows;
    struct error error;
    if (!wire_get_read_answer(body, &rows, &error) || rows.count != ask->count)
        panic("an answer that does not fit the question for %u rows", ask->count);
    for (uint32_t i = 0; i < rows.count; i++) {
        struct fact_entry *entry = ask->entries[i];
        const uint8_t *row;
        size_t len;
        if (!wire_get_row(&rows, &row, &len))
            panic("rows of %s that cannot be read", facts->engine->schema->tables[entry->id].name);
        entry->state = row ? FACT_YES : FACT_NO;
        if (row)
            add_base(facts, entry->id, entry->values[0].type == VALUE_INTEGER ? entry->values[0].integer : 0, row, len);
    }
}

static void children_told(struct fact_ask *ask, struct cursor *body)
{
    struct facts *facts = ask->facts;
    table_id table = facts->engine->schema->references[ask->entries[0]->id].child;
    struct wire_children children;
    struct error error;
    if (!wire_get_children_answer(body, &children, &error))
        panic("the children of a row cannot be read: %s", error.text);
    for (uint32_t i = 0; i < children.count; i++) {
        int64_t rowid;
        const uint8_t *row;
        size_t len;
        if (!wire_get_child(&children, &rowid, &row, &len))
            panic("a child of a row cannot be read");
        add_base(facts, table, rowid, row, len);
    }
    ask->entries[0]->state = FACT_YES;
}

/* Of several failures the one that the earliest operation meets. */
static void note_failure(struct facts *facts, const struct fact_ask *ask, const struct error *error)
{
    uint32_t op = ask->entries[0]->op;
    for (uint32_t i = 1; i < ask->count; i++)
        op = ask->entries[i]->op < op ? ask->entries[i]->op : op;
    if (facts->error && facts->failed_op <= op)
        return;
    if (!facts->error && !(facts->error = malloc(sizeof *facts->error)))
        panic("out of memory for a refusal: %s", error->text);
    facts->failed_op = op;
    *facts->error = *error;
}

static bool row_fits(const struct fact_ask *ask, table_id table, const uint8_t *row, size_t len, struct error *error)
{
    struct engine *engine = ask->facts->engine;
    return row_read(&engine->schema->tables[table], row, len, engine->values, error);
}

static bool rows_fit(const struct fact_ask *ask, struct cursor body, struct error *error)
{
    struct wire_rows rows;
    const uint8_t *row;
    size_t len;
    bool ok = wire_get_read_answer(&body, &rows, error) &&
              (rows.count == ask->count ||
               error_set(error, ERROR_PARSE, "it is about %u rows, and %u were asked for", rows.count, ask->count));
    for (uint32_t i = 0, count = ok ? rows.count : 0; ok && i < count; i++)
        ok = wire_get_row(&rows, &row, &len) ? !row || row_fits(ask, ask->entries[i]->id, row, len, error)
                                             : error_set(error, ERROR_PARSE, "a row cannot be read");
    return ok;
}

static bool children_fit(const struct fact_ask *ask, struct cursor body, struct error *error)
{
    table_id table = ask->facts->engine->schema->references[ask->entries[0]->id].child;
    struct wire_children children;
    int64_t rowid;
    const uint8_t *row;
    size_t len;
    bool ok = wire_get_children_answer(&body, &children, error);
    for (uint32_t i = 0, count = ok ? children.count : 0; ok && i < count; i++)
        ok = wire_get_child(&children, &rowid, &row, &len) ? row_fits(ask, table, row, len, error)
                                                           : error_set(error, ERROR_PARSE, "a row cannot be read");
    return ok;
}

static bool keys_fit(const struct fact_ask *ask, struct cursor body, struct error *error)
{
    const uint8_t *there;
    uint32_t count;
    return wire_get_exists_answer(&body, &there, &count, error) &&
           (count == ask->count ||
            error_set(error, ERROR_PARSE, "it is about %u keys, and %u were asked for", count, ask->count));
}

static bool fits(const struct ask *base, struct cursor body, const struct error *refusal, struct error *error)
{
    const struct fact_ask *ask = base->context;
    return refusal                     ? true
           : base->kind == WIRE_EXISTS ? keys_fit(ask, body, error)
           : base->kind == WIRE_READ   ? rows_fit(ask, body, error)
                                       : children_fit(ask, body, error);
}

static void answered(struct ask *base, struct cursor *body, const struct error *refusal)
{
    struct fact_ask *ask = base->context;
    struct facts *facts = ask->facts;
    if (refusal)
        note_failure(facts, ask, refusal);
    else if (ask->ask.kind == WIRE_EXISTS)
        keys_told(ask, body);
    else if (ask->ask.kind == WIRE_READ)
        rows_told(ask, body);
    else
        children_told(ask, body);
    struct fact_ask **at = &facts->asks;
    while (*at != ask)
        at = &(*at)->next;
    *at = ask->next;
    ask_free(ask);
    if (!facts->asks)
        facts->told(facts, facts->failed_op, facts->error);
}

/* ---- asking ---- */

static uint32_t most(const struct fact_entry *entry)
{
    return entry->about == ABOUT_CHILDREN ? 1 : entry->about == ABOUT_ROW ? ROWS_MAX : KEYS_MAX;
}

static bool put_values(struct buffer *body, const struct fact_entry *entry)
{
    bool ok = true;
    for (uint16_t i = 0; ok && i < entry->value_count; i++)
        ok = pack_value(body, &entry->values[i]);
    return ok;
}

static bool put_question(const struct fact_ask *ask, struct buffer *body)
{
    const struct fact_entry *first = ask->entries[0];
    uint32_t values = ask->count * first->value_count;
    bool ok = first->about == ABOUT_ROW   ? wire_put_read(body, first->id, ask->count, values)
              : first->about == ABOUT_KEY ? wire_put_exists(body, first->id, first->key, ask->count, values)
                                          : wire_put_children(body, first->id, values);
    for (uint32_t i = 0; ok && i < ask->count; i++)
        ok = put_values(body, ask->entries[i]);
    return ok;
}

/* Takes from what is wanted all that can be asked together with the first. */
static struct fact_ask *gather(struct facts *facts)
{
    struct fact_entry *first = facts->first_wanted, **at = &facts->first_wanted;
    uint32_t room = most(first), count = 0;
    size_t bytes = 0;
    struct fact_ask *ask =
        calloc(1, sizeof *ask + (room < facts->wanted ? room : facts->wanted) * sizeof *ask->entries);
    if (!ask)
        panic("out of memory for a question");
    while (*at && count < room && bytes < BYTES_MAX) {
        struct fact_entry *entry = *at;
        if (entry->about != first->about || entry->id != first->id || entry->key != first->key) {
            at = &entry->next_wanted;
            continue;
        }
        *at = entry->next_wanted;
        ask->entries[count++] = entry;
        bytes += entry->len;
        facts->wanted--;
    }
    ask->count = count;
    return ask;
}

void facts_ask(struct facts *facts)
{
    struct fact_ask *asks = NULL;
    while (facts->first_wanted) {
        struct fact_ask *ask = gather(facts);
        const struct fact_entry *first = ask->entries[0];
        ask->facts = facts;
        ask->ask.context = ask;
        ask->ask.answered = answered;
        ask->ask.fits = fits;
        ask->ask.kind = first->about == ABOUT_ROW ? WIRE_READ : first->about == ABOUT_KEY ? WIRE_EXISTS : WIRE_CHILDREN;
        if (!put_question(ask, &ask->ask.body))
            panic("out of memory for a question");
        ask->next = asks;
        asks = ask;
    }
    facts->last_wanted = NULL;
    facts->asks = asks;
    for (struct fact_ask *ask = asks; ask; ask = ask->next)
        peer_ask(&facts->engine->peers[database_of(facts, ask->entries[0])], &ask->ask);
}
