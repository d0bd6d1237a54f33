/* SPDX-License-Identifier: Apache-2.0 */
#include "lookup.h"

#include "peer.h"
#include "task.h"
#include "wire.h"

#include <stdlib.h>

struct lookup {
    struct lock_owner owner; /* first: a lock_owner is its lookup */
    struct ask ask;
    struct engine *engine;
    struct submission *submission;
    struct op *op;
    struct lookup *next, *before;
    uint64_t begun_ns;
    uint64_t asked_ns;
    bool asked;
};

static void lookup_free(struct lookup *lookup)
{
    buffer_release(&lookup->ask.body);
    free(lookup);
}

void lookup_free_all(struct engine *engine)
{
    while (engine->lookups) {
        struct lookup *next = engine->lookups->next;
        lookup_free(engine->lookups);
        engine->lookups = next;
    }
}

static void end(struct lookup *lookup, const struct error *error)
{
    struct engine *engine = lookup->engine;
    if (!lookup->asked)
        engine_locked(engine, lookup->submission);
    locks_release(engine->locks, &lookup->owner);
    if (lookup->before)
        lookup->before->next = lookup->next;
    else
        engine->lookups = lookup->next;
    if (lookup->next)
        lookup->next->before = lookup->before;
    if (error)
        op_refuse(lookup->op, error);
    else
        lookup->op->result = OP_DONE;
    engine_answered(engine, lookup->submission);
    lookup_free(lookup);
}

static void not_found(const struct lookup *lookup, struct error *ret_error)
{
    const struct schema_table *table = &lookup->engine->schema->tables[lookup->op->table];
    error_set(ret_error, ERROR_NOT_FOUND, "%s has no row with this key", table->name);
    error_about(ret_error, table->name, NULL);
}

static bool fits(const struct ask *ask, struct cursor body, const struct error *refusal, struct error *error)
{
    const struct lookup *lookup = ask->context;
    struct wire_rows answer;
    const uint8_t *row;
    size_t len;
    if (refusal)
        return true;
    if (!wire_get_read_answer(&body, &answer, error))
        return false;
    if (answer.count != 1 || !wire_get_row(&answer, &row, &len))
        return error_set(error, ERROR_PARSE, "it is not about one row");
    return !row ||
           row_read(&lookup->engine->schema->tables[lookup->op->table], row, len, lookup->engine->values, error);
}

static void answered(struct ask *ask, struct cursor *body, const struct error *refusal)
{
    struct lookup *lookup = ask->context;
    struct buffer *rows = &lookup->submission->rows;
    struct wire_rows answer;
    struct error error;
    const uint8_t *row = NULL;
    size_t len = 0;
    if (refusal) {
        end(lookup, refusal);
        return;
    }
    if (!wire_get_read_answer(body, &answer, &error) || answer.count != 1 || !wire_get_row(&answer, &row, &len))
        panic("the answer about a row cannot be read");
    if (!row) {
        not_found(lookup, &error);
        end(lookup, &error);
    } else if (rows->len > UINT32_MAX - len || !buffer_put(rows, row, len)) {
        error_set(&error, ERROR_INTERNAL, "out of memory");
        end(lookup, &error);
    } else {
        lookup->op->found = (struct op_bytes){(uint32_t)(rows->len - len), (uint32_t)len};
        end(lookup, NULL);
    }
}

static struct peer *peer_of(const struct lookup *lookup)
{
    return &lookup->engine->peers[lookup->engine->schema->tables[lookup->op->table].database];
}

static void granted(struct lock_owner *owner)
{
    struct lookup *lookup = (struct lookup *)(void *)owner;
    lookup->asked = true;
    lookup->asked_ns = lookup->submission->moved_ns = lookup->engine->now_ns;
    engine_locked(lookup->engine, lookup->submission);
    peer_ask(peer_of(lookup), &lookup->ask);
}

static bool waits_for_shard(const struct lock_owner *owner)
{
    return ((const struct lookup *)(const void *)owner)->asked;
}

static uint64_t moved_ns(const struct lock_owner *owner)
{
    return ((const struct lookup *)(const void *)owner)->asked_ns;
}

/* The key's values, and the question about them. False: no row can have this key. */
static bool read_key(struct lookup *lookup, uint64_t *ret_lock)
{
    struct engine *engine = lookup->engine;
    const struct op *op = lookup->op;
    const struct schema_table *table = &engine->schema->tables[op->table];
    uint32_t columns = schema_key_columns(table), count;
    struct cursor cursor = cursor_over(lookup->submission->rows.bytes + op->key.at, op->key.len);
    struct value *values = engine->values;
    bool ok = cursor_array(&cursor, &count) && count == columns;
    for (uint32_t i = 0; ok && i < count; i++)
        ok = cursor_value(&cursor, &values[i]);
    if (ok && table->primary_key == SCHEMA_NONE) {
        ok = affinity_as_rowid(engine->scratch, &values[0], &values[0].integer);
        values[0].type = VALUE_INTEGER;
    }
    if (!ok || !rowkeys_row(engine->rowkeys, op->table, values, ret_lock))
        return false;
    ok = wire_put_read(&lookup->ask.body, op->table, 1, columns);
    for (uint32_t i = 0; ok && i < count; i++)
        ok = pack_value(&lookup->ask.body, &values[i]);
    return ok;
}

void lookup_begin(struct engine *engine, struct submission *submission, struct op *op)
{
    struct lock_want want = {.exclusive = false};
    size_t count = 1;
    struct error error;
    struct lookup *lookup = calloc(1, sizeof *lookup);
    if (!lookup)
        panic("out of memory for an operation");
    *lookup = (struct lookup){.ask = {.kind = WIRE_READ, .answered = answered, .fits = fits, .context = lookup},
                              .engine = engine,
                              .submission = submission,
                              .op = op,
                              .next = engine->lookups,
                              .begun_ns = engine->now_ns};
    lock_owner_init(&lookup->owner, granted);
    lookup->owner.waits_for_shard = waits_for_shard;
    lookup->owner.moved_ns = moved_ns;
    lookup->owner.age = ++engine->owners_begun;
    if (lookup->next)
        lookup->next->before = lookup;
    engine->lookups = lookup;
    if (!read_key(lookup, &want.key)) {
        not_found(lookup, &error);
        end(lookup, &error);
    } else if (peer_is_away(peer_of(lookup))) {
        peer_error(peer_of(lookup), &error);
        end(lookup, &error);
    } else if (!locks_take(engine->locks, &lookup->owner, &want, &count)) {
        error_set(&error, ERROR_INTERNAL, "out of memory");
        end(lookup, &error);
    } else if (lookup->owner.waiting == 0)
        granted(&lookup->owner);
}

void lookup_tick(struct engine *engine)
{
    struct error error;
    for (struct lookup *lookup = engine->lookups, *next; lookup; lookup = next) {
        next = lookup->next;
        if (lookup->asked)
            continue;
        if (peer_is_away(peer_of(lookup)))
            peer_error(peer_of(lookup), &error);
        else if (engine_waits_too_long(engine, &lookup->owner, lookup->submission, lookup->begun_ns))
            locks_error(&error);
        else
            continue;
        end(lookup, &error);
    }
}

void lookup_stop(struct engine *engine)
{
    struct error error;
    error_set(&error, ERROR_UNAVAILABLE, "the coordinator is stopping");
    while (engine->lookups)
        end(engine->lookups, &error);
}
