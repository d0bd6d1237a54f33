/* SPDX-License-Identifier: Apache-2.0 */
#include "keyreader.h"

#include "peer.h"
#include "wire.h"

#include <stdlib.h>

struct keyreader {
    struct ask ask;
    struct engine *engine;
    table_id table;
    bool has_after; /* what was asked for last */
    int64_t after;
    int64_t *chunk;
};

static void reader_free(struct keyreader *reader)
{
    buffer_release(&reader->ask.body);
    free(reader->chunk);
    free(reader);
}

static void ask_next(struct keyreader *reader, bool has_after, int64_t after);

/* Each is above the one before it, and the first above those that were told already. */
static bool fits(const struct ask *ask, struct cursor body, const struct error *refusal, struct error *error)
{
    const struct keyreader *reader = ask->context;
    struct wire_keys_answer answer;
    if (refusal)
        return true;
    if (!wire_get_keys_answer(&body, &answer, error))
        return false;
    for (uint32_t i = 0; i < answer.count; i++) {
        int64_t before = i ? wire_key_at(&answer, i - 1) : reader->after;
        if ((i || reader->has_after) && wire_key_at(&answer, i) <= before)
            return error_set(error, ERROR_PARSE, "its keys do not ascend");
    }
    return true;
}

static void answered(struct ask *ask, struct cursor *body, const struct error *refusal)
{
    struct keyreader *reader = ask->context;
    struct wire_keys_answer answer;
    if (refusal && refusal->code == ERROR_UNAVAILABLE) {
        presence_put_off(reader->engine->presence, reader->table);
        reader_free(reader);
        return;
    }
    if (refusal || !wire_get_keys_answer(body, &answer, NULL) || answer.count > WIRE_KEYS_MAX ||
        (!answer.complete && answer.count == 0)) {
        presence_give_up(reader->engine->presence, reader->table);
        reader_free(reader);
        return;
    }
    for (uint32_t i = 0; i < answer.count; i++)
        reader->chunk[i] = wire_key_at(&answer, i);
    presence_chunk(reader->engine->presence, reader->table, reader->chunk, answer.count, answer.complete);
    if (answer.complete)
        reader_free(reader);
    else
        ask_next(reader, true, reader->chunk[answer.count - 1]);
}

static void ask_next(struct keyreader *reader, bool has_after, int64_t after)
{
    const struct wire_keys keys = {
        .table = reader->table, .has_after = has_after, .after = after, .limit = WIRE_KEYS_MAX};
    buffer_clear(&reader->ask.body);
    reader->ask.kind = WIRE_KEYS;
    reader->ask.answered = answered;
    reader->ask.fits = fits;
    reader->has_after = has_after;
    reader->after = after;
    reader->ask.context = reader;
    if (!wire_put_keys(&reader->ask.body, &keys)) {
        presence_give_up(reader->engine->presence, reader->table);
        reader_free(reader);
        return;
    }
    peer_ask(&reader->engine->peers[reader->engine->schema->tables[reader->table].database], &reader->ask);
}

void keyreader_start(struct engine *engine, table_id table)
{
    struct keyreader *reader = calloc(1, sizeof *reader);
    if (!reader || !(reader->chunk = malloc(WIRE_KEYS_MAX * sizeof *reader->chunk))) {
        free(reader);
        presence_give_up(engine->presence, table);
        return;
    }
    reader->engine = engine;
    reader->table = table;
    ask_next(reader, false, 0);
}
