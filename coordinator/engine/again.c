/* SPDX-License-Identifier: Apache-2.0 */
#include "again.h"

#include "peer.h"
#include "references.h"
#include "wire.h"

#include <stdlib.h>
#include <string.h>

#define MEMBERS_START 16u

/* Rows that their shard is asked about as one. */
struct question {
    struct ask ask;
    struct asking *asking;
    struct question *next; /* free */
    uint32_t count, capacity;
    struct again_member **members;
};

/* Of one database. */
struct asking {
    struct again *again;
    struct question *open;
    uint32_t under_way;
};

struct again {
    struct engine *engine;
    struct question *free;
    struct asking *askings; /* per database */
};

struct again *again_new(struct engine *engine)
{
    struct again *again = calloc(1, sizeof *again);
    if (!again || !(again->askings = calloc((size_t)engine->schema->database_count + 1, sizeof *again->askings))) {
        free(again);
        return NULL;
    }
    again->engine = engine;
    for (database_id d = 0; d < engine->schema->database_count; d++)
        again->askings[d].again = again;
    return again;
}

static void question_free(struct question *question)
{
    if (!question)
        return;
    buffer_release(&question->ask.body);
    free(question->members);
    free(question);
}

void again_free(struct again *again)
{
    if (!again)
        return;
    for (database_id d = 0; d < again->engine->schema->database_count; d++)
        question_free(again->askings[d].open);
    while (again->free) {
        struct question *next = again->free->next;
        question_free(again->free);
        again->free = next;
    }
    free(again->askings);
    free(again);
}

/* ---- which rows ---- */

static bool is_given(const struct schema_reference *reference, const struct value *values)
{
    for (uint16_t i = 0; i < reference->column_count; i++)
        if (values[reference->child_columns[i]].filled)
            return false;
    return true;
}

bool again_is_possible(const struct schema *schema, table_id table, const struct value *values,
                       const struct missing *missing, uint32_t count)
{
    const struct schema_table *t = &schema->tables[table];
    for (uint32_t i = 0; i < count; i++)
        if (is_given(&schema->references[t->references[missing[i].reference]], values))
            return false; /* if it were there its parent would be, too */
    return row_key_is_given(t, values);
}

/* ---- asking ---- */

/* They ascend. */
static uint32_t next_there(struct wire_write_answer *answer)
{
    uint32_t there, op;
    if (answer->same_count == 0 || !wire_get_same(&answer->same, &there, &op, NULL))
        return UINT32_MAX;
    answer->same_count--;
    return there;
}

static bool fits(const struct ask *ask, struct cursor body, const struct error *refusal, struct error *error)
{
    const struct question *question = ask->context;
    struct wire_write_answer answer;
    if (refusal)
        return true;
    if (!wire_get_write_answer(&body, &answer, error))
        return false;
    for (uint32_t at = 0, sames = answer.same_count; sames > 0; sames--) {
        uint32_t there, op;
        if (!wire_get_same(&answer.same, &there, &op, error))
            return false;
        if (there < at || there >= question->count)
            return error_set(error, ERROR_PARSE, "it tells of rows that were not asked for");
        at = there + 1;
    }
    return true;
}

static void answered(struct ask *ask, struct cursor *body, const struct error *refusal)
{
    struct question *question = ask->context;
    struct asking *asking = question->asking;
    struct wire_write_answer answer = {0};
    struct error error;
    if (!refusal && !wire_get_write_answer(body, &answer, &error))
        panic("the answer about %u rows cannot be read: %s", question->count, error.text);
    uint32_t there = next_there(&answer);
    for (uint32_t i = 0; i < question->count; i++) {
        bool is_there = there == i;
        if (is_there)
            there = next_there(&answer);
        question->members[i]->told(question->members[i], is_there, refusal);
    }
    asking->under_way--;
    question->next = asking->again->free;
    asking->again->free = question;
}

static void send(struct asking *asking)
{
    struct question *question = asking->open;
    struct engine *engine = asking->again->engine;
    struct buffer *head = &engine->head;
    buffer_clear(head);
    if (!wire_put_probe(head, question->count) || head->len > sizeof question->ask.head)
        panic("the head of a question takes %zu bytes", head->len);
    memcpy(question->ask.head, head->bytes, head->len);
    question->ask.head_len = (uint8_t)head->len;
    question->ask.kind = WIRE_PROBE;
    question->ask.answered = answered;
    question->ask.fits = fits;
    question->ask.context = question;
    asking->open = NULL;
    asking->under_way++;
    peer_ask(&engine->peers[asking - asking->again->askings], &question->ask);
}

static struct question *open_question(struct asking *asking)
{
    struct question *question = asking->again->free;
    if (question)
        asking->again->free = question->next;
    else if (!(question = calloc(1, sizeof *question)))
        panic("out of memory for a question");
    question->asking = asking;
    question->count = 0;
    buffer_clear(&question->ask.body);
    asking->open = question;
    return question;
}

static void add(struct question *question, struct again_member *member)
{
    if (question->count == question->capacity) {
        uint32_t capacity = question->capacity ? question->capacity * 2 : MEMBERS_START;
        struct again_member **larger = realloc(question->members, capacity * sizeof(struct again_member *));
        if (!larger)
            panic("out of memory for a question about %u rows", capacity);
        question->members = larger;
        question->capacity = capacity;
    }
    question->members[question->count++] = member;
}

void again_ask(struct again *again, struct again_member *member, table_id table, const uint8_t *row, size_t len)
{
    struct asking *asking = &again->askings[again->engine->schema->tables[table].database];
    struct question *question = asking->open ? asking->open : open_question(asking);
    if (!wire_put_op(&question->ask.body, table, WIRE_FLAG_SAME_IS_FINE, row, len))
        panic("out of memory for a question about a row");
    add(question, member);
    if (question->count >= LIMIT_BATCH_ROWS_SOFT || question->ask.body.len >= LIMIT_BATCH_BYTES_SOFT)
        send(asking);
}

void again_pump(struct again *again)
{
    for (database_id d = 0; d < again->engine->schema->database_count; d++)
        if (again->askings[d].open && again->askings[d].under_way == 0)
            send(&again->askings[d]);
}
