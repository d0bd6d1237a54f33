/* SPDX-License-Identifier: Apache-2.0 */
/* Several clients at once on the same few keys of an engine on real shards. At the end all files put together pass
 * PRAGMA foreign_key_check, every acknowledged effect is there once and nothing else is, and nobody was kept waiting.
 *
 *   engine_race [--seed N] [--operations N] [--clients N]
 *
 * The tables are those of a random schema (few_keys.h) and two beside them. Each transaction brings a row of `log` with
 * a name of its own; `tally` is only written by this test, so that what is in it can be counted: for each key the
 * inserts less the deletes. */
#include "few_keys.h"
#include "twin.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OPERATIONS 4000u
#define CLIENTS 8u
#define CLIENTS_MAX 64u
#define EACH 500u /* operations of one schema */
#define KEYS 3u
#define WATCHDOG_S 100u

struct client {
    pthread_t thread;
    struct twin *twin;
    struct few_keys keys;
    unsigned number;
    uint64_t operations;
    uint64_t done, refused;
    int64_t tally[KEYS]; /* inserts less deletes */
    struct buffer log;   /* names of what was acknowledged, a line each */
    bool wrong;
};

static void written(bool ok)
{
    if (!ok)
        panic("out of memory");
}

/* ---- clients ---- */

/* Nothing dies here: every operation is done, or refused by what stands in the tables. Only a transaction may be told
 * to try again. */
static bool is_fine(const struct op *op, bool atomic)
{
    if (op->result == OP_DONE)
        return true;
    if (!op->error)
        return atomic && op->result == OP_REFUSED;
    switch (op->error->code) {
    case ERROR_TYPE:
    case ERROR_NOT_NULL:
    case ERROR_CHECK:
    case ERROR_UNIQUE:
    case ERROR_REFERENCE_MISSING:
    case ERROR_REFERENCED:
    case ERROR_NOT_FOUND:
        return true;
    case ERROR_CONFLICT:
        return atomic;
    default:
        return false;
    }
}

/* Whether all of it was done. */
static bool submit(struct client *client, const char *text)
{
    struct script_line line;
    script_read(client->twin->schema, text, &line);
    struct submission *submission = script_submission(client->twin->schema, &line);
    engine_submit_and_wait(client->twin->engine, submission);
    bool all = true;
    for (uint32_t i = 0; i < submission->count; i++) {
        const struct op *op = &submission->ops[i];
        all = all && op->result == OP_DONE;
        client->done += op->result == OP_DONE;
        client->refused += op->result != OP_DONE;
        if (!is_fine(op, submission->atomic)) {
            printf("%s\noperation %u: %s\n", text, i, op->error ? op->error->text : "no answer");
            client->wrong = true;
        }
    }
    submission_free(submission);
    return all;
}

/* A transaction as it was made up, or an operation made one, with its row of the log. */
static void log_line(struct client *client, const char *line, uint64_t number)
{
    struct buffer text = {0};
    char name[32];
    size_t len = strlen(line);
    bool atomic = line[0] == '{';
    snprintf(name, sizeof name, "%u-%" PRIu64, client->number, number);
    written(buffer_format(&text, "%s%.*s; insert log('%s') }%c", atomic ? "" : "{ ", (int)(atomic ? len - 2 : len),
                          line, name, '\0'));
    if (submit(client, (const char *)text.bytes))
        written(buffer_format(&client->log, "log('%s')\n", name));
    buffer_release(&text);
}

static void count(struct client *client)
{
    uint32_t key = few_keys_number(&client->keys, KEYS);
    bool insert = few_keys_number(&client->keys, 2) == 0;
    char line[64];
    snprintf(line, sizeof line, insert ? "insert tally(%u)" : "delete tally[%u]", key);
    if (submit(client, line))
        client->tally[key] += insert ? 1 : -1;
}

static void *run(void *context)
{
    struct client *client = context;
    struct schema random = *client->twin->schema;
    struct buffer line = {0};
    random.table_count = (table_id)(random.table_count - 2); /* without `log` and `tally` */
    for (uint64_t i = 0; client->done + client->refused < client->operations && !client->wrong; i++) {
        buffer_clear(&line);
        few_keys_line(&client->keys, &random, NULL, &line);
        const char *text = (const char *)line.bytes;
        bool alone = text[0] != '<' && (text[0] != '{') && strncmp(text, "read", 4) != 0;
        if (text[0] == '{' || (alone && few_keys_number(&client->keys, 3) == 0))
            log_line(client, text, i);
        else
            submit(client, text);
        count(client);
    }
    buffer_release(&line);
    return NULL;
}

/* ---- what is left ---- */

/* All files in one. */
static sqlite3 *put_together(const struct twin *twin)
{
    sqlite3 *one;
    struct buffer sql = {0};
    char name[256];
    written(sqlite3_open(":memory:", &one) == SQLITE_OK &&
            sqlite3_exec(one, twin->schema->text, NULL, NULL, NULL) == SQLITE_OK);
    for (table_id t = 0; t < twin->schema->table_count; t++) {
        const struct schema_table *table = &twin->schema->tables[t];
        written(schema_file_name(twin->schema->databases[table->database].name, name, sizeof name));
        buffer_clear(&sql);
        written(buffer_format(&sql, "ATTACH '%s/%s' AS file; INSERT INTO main.%s SELECT * FROM file.%s; DETACH file%c",
                              twin->data, name, table->name, table->name, '\0'));
        if (sqlite3_exec(one, (const char *)sql.bytes, NULL, NULL, NULL) != SQLITE_OK)
            panic("%s: %s", (const char *)sql.bytes, sqlite3_errmsg(one));
    }
    buffer_release(&sql);
    return one;
}

static int64_t number_of(sqlite3 *one, const char *sql)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(one, sql, -1, &statement, NULL) != SQLITE_OK || sqlite3_step(statement) != SQLITE_ROW)
        panic("%s: %s", sql, sqlite3_errmsg(one));
    int64_t number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return number;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Whether the lines of both are the same, in any order. */
static bool has_same_lines(struct buffer *a, struct buffer *b)
{
    struct buffer *texts[] = {a, b};
    char **lines[2];
    size_t counts[2] = {0};
    for (int i = 0; i < 2; i++) {
        written(buffer_put(texts[i], "", 1));
        char *at = (char *)texts[i]->bytes, *rest;
        lines[i] = calloc(texts[i]->len + 1, sizeof *lines[i]);
        written(lines[i] != NULL);
        for (char *line; (line = strtok_r(at, "\n", &rest)); at = NULL)
            lines[i][counts[i]++] = line;
        qsort(lines[i], counts[i], sizeof *lines[i], by_text);
    }
    bool same = counts[0] == counts[1];
    for (size_t i = 0; same && i < counts[0]; i++)
        same = !strcmp(lines[0][i], lines[1][i]);
    free(lines[0]);
    free(lines[1]);
    return same;
}

static bool is_accounted_for(struct client *clients, unsigned client_count, const struct twin *twin, sqlite3 *one)
{
    struct buffer acknowledged = {0}, stored = {0};
    char sql[96];
    bool fine = true;
    for (unsigned k = 0; k < KEYS; k++) {
        int64_t sum = 0;
        for (unsigned c = 0; c < client_count; c++)
            sum += clients[c].tally[k];
        snprintf(sql, sizeof sql, "SELECT count(*) FROM tally WHERE id = %u", k);
        int64_t there = number_of(one, sql);
        if (there != sum) {
            printf("tally %u: inserted less deleted %" PRId64 ", there %" PRId64 "\n", k, sum, there);
            fine = false;
        }
    }
    for (unsigned c = 0; c < client_count; c++)
        written(buffer_put(&acknowledged, clients[c].log.bytes, clients[c].log.len));
    one_file_dump(one, &twin->schema->tables[schema_find_table(twin->schema, "log", 3)], &stored);
    if (!has_same_lines(&acknowledged, &stored)) {
        printf("the log holds other transactions than were acknowledged\n");
        fine = false;
    }
    buffer_release(&acknowledged);
    buffer_release(&stored);
    return fine;
}

static bool has_all_parents(sqlite3 *one)
{
    int64_t alone = number_of(one, "SELECT count(*) FROM pragma_foreign_key_check");
    if (alone)
        printf("%" PRId64 " rows without their parents\n", alone);
    return alone == 0;
}

/* ---- one schema ---- */

static bool race(uint64_t seed, unsigned client_count, uint64_t operations, struct client *totals)
{
    static struct client clients[CLIENTS_MAX];
    struct few_keys keys = {seed};
    struct buffer ddl = {0};
    struct twin twin;
    struct error error;
    bool fine = true;
    few_keys_schema(&keys, &ddl);
    ddl.len--;
    written(buffer_format(
        &ddl, "CREATE TABLE log (id TEXT PRIMARY KEY);\nCREATE TABLE tally (id INTEGER PRIMARY KEY);\n%c", '\0'));
    if (!twin_open(&twin, (const char *)ddl.bytes, false, &error))
        panic("%s", error.text);
    for (unsigned c = 0; c < client_count; c++) {
        clients[c] = (struct client){
            .twin = &twin, .keys = {seed + (c + 1) * 1000003u}, .number = c, .operations = operations / client_count};
        if (pthread_create(&clients[c].thread, NULL, run, &clients[c]) != 0)
            panic("no thread");
    }
    for (unsigned c = 0; c < client_count; c++) {
        pthread_join(clients[c].thread, NULL);
        fine = fine && !clients[c].wrong;
        totals->done += clients[c].done;
        totals->refused += clients[c].refused;
    }
    engine_stop(twin.engine);
    twin.engine = NULL;
    sqlite3 *one = put_together(&twin);
    fine = has_all_parents(one) && is_accounted_for(clients, client_count, &twin, one) && fine;
    if (!fine)
        printf("seed %" PRIu64 "\n%s", seed, (const char *)ddl.bytes);
    sqlite3_close(one);
    for (unsigned c = 0; c < client_count; c++)
        buffer_release(&clients[c].log);
    twin_close(&twin);
    buffer_release(&ddl);
    return fine;
}

int main(int argc, char **argv)
{
    uint64_t seed = 500, operations = OPERATIONS;
    unsigned client_count = CLIENTS;
    struct client totals = {0};
    bool fine = true;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--seed"))
            seed = strtoull(argv[i + 1], NULL, 10);
        else if (!strcmp(argv[i], "--operations"))
            operations = strtoull(argv[i + 1], NULL, 10);
        else if (!strcmp(argv[i], "--clients"))
            client_count = (unsigned)strtoul(argv[i + 1], NULL, 10) % CLIENTS_MAX;
    }
    printf("seed %" PRIu64 "\n", seed);
    for (uint64_t i = 0; fine && totals.done + totals.refused < operations; i++) {
        alarm(WATCHDOG_S); /* of one schema: who waits so long waits for ever */
        fine = race(seed + i, client_count, EACH, &totals);
    }
    uint64_t all = totals.done + totals.refused;
    printf("%" PRIu64 " operations of %u clients, %" PRIu64 "%% done\n", all, client_count,
           totals.done * 100 / (all ? all : 1));
    return fine && totals.done * 4 >= all ? 0 : 1;
}
