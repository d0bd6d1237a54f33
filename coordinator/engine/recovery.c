/* SPDX-License-Identifier: Apache-2.0 */
#include "recovery.h"

#include "batcher.h"
#include "keyed.h"
#include "peer.h"
#include "wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct recovery {
    struct batch_member member; /* first: stands for every entry that is sent here */
    struct engine *engine;
    void (*ended)(struct engine *engine, const struct error *error);
    bool over;
    bool forgetting;
    uint16_t connected, probed, claimed;
    uint32_t under_way;
};

static void settled(struct batch_member *member, uint32_t op, const struct error *error);

static void same(struct batch_member *member, uint32_t op)
{
    (void)member;
    (void)op;
}

static void overdue(struct batch_member *member, const struct error *error)
{
    settled(member, 0, error);
}

static const struct batch_member_kind member_kind = {same, settled, overdue};

struct recovery *recovery_new(struct engine *engine, void (*ended)(struct engine *engine, const struct error *error))
{
    struct recovery *recovery = calloc(1, sizeof *recovery);
    if (recovery) {
        recovery->member.kind = &member_kind;
        recovery->engine = engine;
        recovery->ended = ended;
    }
    return recovery;
}

void recovery_free(struct recovery *recovery)
{
    free(recovery);
}

static void end(struct recovery *recovery, const struct error *error)
{
    if (recovery->over)
        return;
    recovery->over = true;
    recovery->ended(recovery->engine, error);
}

/* ---- what is in doubt ---- */

static void add(struct recovery *recovery, database_id database, bool put)
{
    if (!put || !batcher_added(&recovery->engine->batchers[database], &recovery->member))
        panic("out of memory for recovery");
    recovery->under_way++;
}

static struct buffer *room(struct recovery *recovery, database_id database)
{
    struct buffer *body = batcher_room(&recovery->engine->batchers[database], 64);
    if (!body)
        panic("out of memory for recovery");
    return body;
}

static bool is_decided(struct engine *engine, const struct wire_prepared *prepared, struct error *error,
                       bool *ret_commit)
{
    database_id home = schema_find_database(engine->schema, prepared->home);
    if (home == SCHEMA_NONE)
        return error_set(error, ERROR_UNAVAILABLE,
                         "a transaction is in doubt, and its home database %s is not in the schema", prepared->home);
    const struct wire_hello_answer *said = &engine->peers[home].said;
    *ret_commit = false;
    for (uint32_t i = 0; i < said->decided_count; i++)
        *ret_commit |= said->decided[i] == prepared->txn;
    return true;
}

static void forget(struct recovery *recovery)
{
    struct engine *engine = recovery->engine;
    recovery->forgetting = true;
    for (database_id d = 0; d < engine->schema->database_count; d++)
        for (uint32_t i = 0; i < engine->peers[d].said.decided_count; i++)
            add(recovery, d, wire_put_forget(room(recovery, d), engine->peers[d].said.decided[i]));
    if (recovery->under_way == 0)
        end(recovery, NULL);
}

static void resolve(struct recovery *recovery)
{
    struct engine *engine = recovery->engine;
    struct error error;
    char text[128];
    for (database_id d = 0; d < engine->schema->database_count; d++) {
        const struct wire_hello_answer *said = &engine->peers[d].said;
        for (uint32_t i = 0; i < said->prepared_count; i++) {
            bool commit = false;
            if (!is_decided(engine, &said->prepared[i], &error, &commit)) {
                end(recovery, &error);
                return;
            }
            snprintf(text, sizeof text, "transaction %llu was in doubt: %s", (unsigned long long)said->prepared[i].txn,
                     commit ? "committed" : "aborted");
            engine_say(engine, LOG_LEVEL_INFO, d, text);
            add(recovery, d, wire_put_resolve(room(recovery, d), said->prepared[i].txn, commit));
        }
    }
    if (recovery->under_way == 0)
        forget(recovery);
}

static void settled(struct batch_member *member, uint32_t op, const struct error *error)
{
    struct recovery *recovery = (struct recovery *)(void *)member;
    (void)op;
    recovery->under_way--;
    if (recovery->over) /* it has failed, and the next start needs every decision */
        return;
    if (error)
        end(recovery, error);
    else if (recovery->under_way == 0 && recovery->forgetting)
        end(recovery, NULL);
    else if (recovery->under_way == 0)
        forget(recovery);
}

/* ---- hello ---- */

static void take_state(struct engine *engine, const struct peer *peer)
{
    for (uint32_t i = 0; i < peer->said.table_count; i++) {
        const struct wire_table_state *state = &peer->said.tables[i];
        if (state->table >= engine->schema->table_count)
            continue;
        if (!state->has_rows)
            presence_is_empty(engine->presence, state->table);
        if (state->rowid_max != INT64_MIN)
            assign_stored(engine->assign, state->table, state->rowid_max);
        if (state->has_last)
            assign_stored(engine->assign, state->table, INT64_MAX);
    }
    keyed_heard(engine, peer->said.kept_at_ms);
    batcher_start(&engine->batchers[peer->database], peer->said.last_batch);
}

static void claimed(struct ask *ask, struct cursor *body, const struct error *refusal)
{
    struct peer *peer = ask->context;
    struct recovery *recovery = peer->engine->recovery;
    struct error error;
    if (refusal || !peer_take_hello(peer, body, &error)) {
        end(recovery, refusal ? refusal : &error);
        return;
    }
    take_state(peer->engine, peer);
    peer_is_ready(peer);
    if (++recovery->claimed == peer->engine->schema->database_count)
        resolve(recovery);
}

/* Every shard has said what it holds. */
static void claim(struct recovery *recovery)
{
    struct engine *engine = recovery->engine;
    uint64_t highest = 0;
    for (database_id d = 0; d < engine->schema->database_count; d++) {
        const struct wire_hello_answer *said = &engine->peers[d].said;
        if (said->fresh && !engine->first_use) {
            struct error error;
            char file[LIMIT_NAME_BYTES_MAX * 3 + 4] = "";
            schema_file_name(engine->schema->databases[d].name, file, sizeof file);
            error_set(&error, ERROR_IO, "database %s: %s is missing or empty, but this data directory was in use",
                      engine->schema->databases[d].name, file);
            end(recovery, &error);
            return;
        }
        if (said->epoch > highest)
            highest = said->epoch;
    }
    engine->epoch = highest + 1;
    engine->claimed = true;
    for (database_id d = 0; d < engine->schema->database_count; d++)
        peer_hello(&engine->peers[d], true, claimed);
}

static void probed(struct ask *ask, struct cursor *body, const struct error *refusal)
{
    struct peer *peer = ask->context;
    struct recovery *recovery = peer->engine->recovery;
    struct error error;
    if (refusal || !peer_take_hello(peer, body, &error)) {
        end(recovery, refusal ? refusal : &error);
        return;
    }
    peer->state = PEER_CONNECTED;
    if (++recovery->probed == peer->engine->schema->database_count)
        claim(recovery);
}

void recovery_event(struct recovery *recovery, const struct link_event *event)
{
    struct engine *engine = recovery->engine;
    if (recovery->over)
        return;
    if (event->kind == LINK_FAILED || event->kind == LINK_LOST)
        end(recovery, &event->error);
    else if (event->kind == LINK_CONNECTED && ++recovery->connected == engine->schema->database_count)
        for (database_id d = 0; d < engine->schema->database_count; d++)
            peer_hello(&engine->peers[d], false, probed);
}
