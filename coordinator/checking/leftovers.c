/* SPDX-License-Identifier: Apache-2.0 */
#include "leftovers.h"

#include "inspection.h"
#include "wire.h"

#include <stdlib.h>
#include <string.h>

#define LOCK_BYTES 9 /* as lockset.h writes them: the key, then whether it is exclusive */

void leftovers_release(struct leftover_keys *keys)
{
    free(keys->keys);
    *keys = (struct leftover_keys){0};
}

/* ---- lock keys ---- */

static uint64_t key_at(const uint8_t *bytes)
{
    uint64_t key = 0;
    for (unsigned b = 0; b < 8; b++)
        key |= (uint64_t)bytes[b] << (8 * b);
    return key;
}

static bool add_keys(struct leftover_keys *keys, const uint8_t *bytes, size_t len)
{
    size_t count = len / LOCK_BYTES;
    uint64_t *larger = realloc(keys->keys, (keys->count + count + 1) * sizeof *larger);
    if (!larger)
        return false;
    keys->keys = larger;
    for (size_t i = 0; i < count; i++)
        larger[keys->count++] = key_at(bytes + i * LOCK_BYTES);
    return true;
}

static int by_key(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static bool read_keys(struct checked *checked, int64_t version, struct error *error)
{
    sqlite3 *now = file_now(checked->file);
    struct leftover_keys keys = {.version = version};
    sqlite3_stmt *row = NULL;
    int result = sqlite3_prepare_v2(now, "SELECT locks FROM _sheaf_prepared", -1, &row, NULL);
    bool ok = true;
    while (ok && result == SQLITE_OK && (result = sqlite3_step(row)) == SQLITE_ROW) {
        const void *bytes = sqlite3_column_blob(row, 0);
        ok = add_keys(&keys, bytes, (size_t)sqlite3_column_bytes(row, 0)) ||
             error_set(error, ERROR_INTERNAL, "out of memory");
        result = SQLITE_OK;
    }
    if (ok && result != SQLITE_DONE)
        ok = error_set(error, ERROR_IO, "%s", sqlite3_errmsg(now));
    sqlite3_finalize(row);
    if (!ok) {
        leftovers_release(&keys);
        return false;
    }
    if (keys.count)
        qsort(keys.keys, keys.count, sizeof *keys.keys, by_key);
    leftovers_release(&checked->promised);
    checked->promised = keys;
    return true;
}

bool leftovers_hold(struct checked *checked, uint64_t key, bool *ret_held, struct error *error)
{
    struct leftover_keys *keys = &checked->promised;
    int64_t version = file_version(checked->file);
    if ((version == 0 || version != keys->version) && !read_keys(checked, version, error))
        return false;
    *ret_held = keys->count && bsearch(&key, keys->keys, keys->count, sizeof key, by_key);
    return true;
}

/* ---- the report ---- */

enum { TXN, HOME, OPS, LOCKS };     /* columns of a promise */
enum { DECIDED_TXN, PARTICIPANTS }; /* and of a decision */

struct report {
    struct checked *all;
    const struct schema *schema;
    struct findings *findings;
    uint64_t running; /* the epoch of the coordinator that is at work; 0: none is */
    struct checked *at;
    size_t shown;
};

static bool add(struct report *report, enum finding_kind kind, const char *text, sqlite3_int64 txn, const char *name,
                struct error *error)
{
    return ++report->shown > FINDINGS_SHOWN ||
           findings_add(report->findings, error, kind, report->at->name, text, (unsigned long long)txn, name);
}

static bool is_there(sqlite3 *connection, const char *sql, sqlite3_int64 txn)
{
    sqlite3_stmt *row = NULL;
    bool there = false;
    if (sqlite3_prepare_v2(connection, sql, -1, &row, NULL) == SQLITE_OK) {
        sqlite3_bind_int64(row, 1, txn);
        there = sqlite3_step(row) == SQLITE_ROW;
    }
    sqlite3_finalize(row);
    return there;
}

static bool is_under_way(const struct report *report, sqlite3_int64 txn)
{
    return report->running && (uint64_t)txn >> 32 == report->running;
}

static bool ops_are_whole(const struct schema *schema, sqlite3_stmt *row)
{
    struct cursor ops = cursor_over(sqlite3_column_blob(row, OPS), (size_t)sqlite3_column_bytes(row, OPS));
    uint32_t count;
    struct wire_op op;
    struct error ignored;
    if (!cursor_array(&ops, &count) || sqlite3_column_bytes(row, LOCKS) % LOCK_BYTES)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (!wire_get_op(&ops, &op, &ignored) || op.table >= schema->table_count)
            return false;
    return cursor_at_end(&ops);
}

static bool is_missing(const struct checked *database)
{
    return !database->file && !database->elsewhere;
}

static bool add_promise(struct report *report, sqlite3_stmt *row, struct error *error)
{
    sqlite3_int64 txn = sqlite3_column_int64(row, TXN);
    const char *name = (const char *)sqlite3_column_text(row, HOME);
    database_id home = name ? schema_find_database(report->schema, name) : SCHEMA_NONE;
    if (home == SCHEMA_NONE)
        return add(report, FINDING_WRONG, "transaction %llu was promised here, and its home %s is no database", txn,
                   name ? name : "(none)", error);
    struct checked *at_home = &report->all[home];
    if (is_missing(at_home))
        return add(
            report, FINDING_WRONG,
            "transaction %llu was promised here, and the file of its home %s, which would decide it, is not there", txn,
            name, error);
    if (!ops_are_whole(report->schema, row))
        return add(report, FINDING_WRONG, "transaction %llu was promised here (home %s), and its rows cannot be read",
                   txn, name, error);
    if (is_under_way(report, txn))
        return true;
    if (at_home->elsewhere)
        return add(report, FINDING_IN_DOUBT,
                   "transaction %llu was promised here; its home %s is elsewhere: the next start asks it", txn, name,
                   error);
    bool decided = is_there(file_now(at_home->file), "SELECT 1 FROM _sheaf_decision WHERE txn = ?1", txn);
    return add(report, FINDING_IN_DOUBT,
               decided
                   ? "transaction %llu was promised here and committed by its home %s: the next start applies it"
                   : "transaction %llu was promised here and not committed by its home %s: the next start undoes it",
               txn, name, error);
}

/* The first participant that is no database, or whose file is not there; NULL when all are. */
static const char *lost_participant(struct report *report, const char *participants, char *name, size_t size)
{
    while (*participants) {
        size_t len = strcspn(participants, "\n");
        size_t kept = len < size ? len : size - 1;
        memcpy(name, participants, kept);
        name[kept] = '\0';
        database_id database = schema_find_database(report->schema, name);
        if (database == SCHEMA_NONE || is_missing(&report->all[database]))
            return name;
        participants += len + (participants[len] == '\n');
    }
    return NULL;
}

static bool add_decision(struct report *report, sqlite3_stmt *row, struct error *error)
{
    char name[LIMIT_NAME_BYTES_MAX + 1];
    sqlite3_int64 txn = sqlite3_column_int64(row, DECIDED_TXN);
    const char *participants = (const char *)sqlite3_column_text(row, PARTICIPANTS);
    const char *lost = lost_participant(report, participants ? participants : "", name, sizeof name);
    if (lost)
        return add(report, FINDING_WRONG,
                   "transaction %llu was committed here, and the file of %s, which takes part in it, is not there", txn,
                   lost, error);
    if (is_under_way(report, txn))
        return true;
    return add(report, FINDING_IN_DOUBT,
               "transaction %llu was committed here and is not finished: the next start does so", txn, "", error);
}

/* What was there in the snapshot and is there now. */
static bool report_rows(struct report *report, const char *all, const char *one, const char *more,
                        bool (*add_row)(struct report *, sqlite3_stmt *, struct error *), struct error *error)
{
    sqlite3 *snapshot = file_snapshot(report->at->file);
    sqlite3_stmt *row = NULL;
    int result = sqlite3_prepare_v2(snapshot, all, -1, &row, NULL);
    bool ok = true;
    report->shown = 0;
    while (ok && result == SQLITE_OK && (result = sqlite3_step(row)) == SQLITE_ROW) {
        if (is_there(file_now(report->at->file), one, sqlite3_column_int64(row, TXN)))
            ok = add_row(report, row, error);
        result = SQLITE_OK;
    }
    if (ok && result != SQLITE_DONE)
        ok = inspection_failed(report->findings, snapshot, report->at->name, "old transactions cannot be read", error);
    sqlite3_finalize(row);
    if (ok && report->shown > FINDINGS_SHOWN)
        ok = findings_add(report->findings, error, FINDING_IN_DOUBT, report->at->name, more,
                          report->shown - FINDINGS_SHOWN);
    return ok;
}

/* The newest epoch that any file has been claimed in: only that coordinator may still write. */
static uint64_t newest_epoch(struct checked *all, const struct schema *schema)
{
    uint64_t newest = 0;
    for (database_id d = 0; d < schema->database_count; d++) {
        sqlite3_stmt *row = NULL;
        if (all[d].file &&
            sqlite3_prepare_v2(file_now(all[d].file), "SELECT value FROM _sheaf_meta WHERE name = 'epoch'", -1, &row,
                               NULL) == SQLITE_OK &&
            sqlite3_step(row) == SQLITE_ROW && (uint64_t)sqlite3_column_int64(row, 0) > newest)
            newest = (uint64_t)sqlite3_column_int64(row, 0);
        sqlite3_finalize(row);
    }
    return newest;
}

bool leftovers_report(struct checked *all, const struct schema *schema, bool held, struct findings *findings,
                      struct error *error)
{
    struct report report = {
        .all = all, .schema = schema, .findings = findings, .running = held ? newest_epoch(all, schema) : 0};
    bool ok = true;
    for (database_id d = 0; ok && d < schema->database_count; d++) {
        report.at = &all[d];
        if (!all[d].file)
            continue;
        ok = report_rows(&report, "SELECT txn, home, ops, locks FROM _sheaf_prepared ORDER BY txn",
                         "SELECT 1 FROM _sheaf_prepared WHERE txn = ?1", "and %zu more transactions promised here",
                         add_promise, error) &&
             report_rows(&report, "SELECT txn, participants FROM _sheaf_decision ORDER BY txn",
                         "SELECT 1 FROM _sheaf_decision WHERE txn = ?1", "and %zu more transactions committed here",
                         add_decision, error);
    }
    return ok;
}
