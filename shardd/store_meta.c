/* SPDX-License-Identifier: Apache-2.0 */
#include "store_meta.h"

#include "failpoint.h"
#include "file_objects.h"
#include "prepared.h"
#include "sql_name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char own_tables[] =
    "CREATE TABLE _sheaf_meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE _sheaf_applied (batch INTEGER PRIMARY KEY, result BLOB NOT NULL);"
    "CREATE TABLE _sheaf_prepared (txn INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, home TEXT NOT NULL,"
    " ops BLOB NOT NULL, locks BLOB NOT NULL);"
    "CREATE TABLE _sheaf_decision (txn INTEGER PRIMARY KEY, participants TEXT NOT NULL);";

/* Files that were made before there were idempotency keys lack them. */
static const char later_tables[] =
    "CREATE TABLE IF NOT EXISTS _sheaf_answers (key BLOB, idx INTEGER, digest BLOB NOT NULL, at INTEGER NOT NULL,"
    " outcome BLOB NOT NULL, PRIMARY KEY (key, idx)) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS _sheaf_answers_at ON _sheaf_answers (at);";

static bool failed(sqlite3 *connection, struct error *error)
{
    return error_set(error, ERROR_IO, "%s", sqlite3_errmsg(connection));
}

static bool put(sqlite3 *connection, const char *name, const char *text, uint64_t number, struct error *error)
{
    sqlite3_stmt *statement = NULL;
    bool ok = sqlite3_prepare_v2(connection, "INSERT OR REPLACE INTO _sheaf_meta VALUES (?1, ?2)", -1, &statement,
                                 NULL) == SQLITE_OK;
    if (ok) {
        ok = sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC) == SQLITE_OK &&
             (text ? sqlite3_bind_text(statement, 2, text, -1, SQLITE_STATIC)
                   : sqlite3_bind_int64(statement, 2, (sqlite3_int64)number)) == SQLITE_OK &&
             sqlite3_step(statement) == SQLITE_DONE;
    }
    if (!ok)
        failed(connection, error);
    sqlite3_finalize(statement);
    return ok;
}

bool store_meta_create(sqlite3 *connection, const struct file_meta *meta, struct error *error)
{
    if (sqlite3_exec(connection, own_tables, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_exec(connection, later_tables, NULL, NULL, NULL) != SQLITE_OK)
        return failed(connection, error);
    return put(connection, "epoch", NULL, meta->epoch, error) &&
           put(connection, "coordinator", NULL, meta->coordinator, error) &&
           put(connection, "cluster", meta->cluster, 0, error) &&
           put(connection, "database", meta->database, 0, error) && put(connection, "schema", meta->schema, 0, error) &&
           put(connection, "placement", meta->placement, 0, error);
}

bool store_meta_claim(sqlite3 *connection, uint64_t epoch, uint64_t coordinator, struct error *error)
{
    if (sqlite3_exec(connection, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
        return failed(connection, error);
    bool ok = put(connection, "epoch", NULL, epoch, error) && put(connection, "coordinator", NULL, coordinator, error);
    if (ok && sqlite3_exec(connection, later_tables, NULL, NULL, NULL) != SQLITE_OK)
        ok = failed(connection, error);
    FAILPOINT("claim.before", NULL);
    if (ok && sqlite3_exec(connection, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        ok = failed(connection, error);
    FAILPOINT("claim.after", NULL);
    if (!ok)
        sqlite3_exec(connection, "ROLLBACK", NULL, NULL, NULL);
    return ok;
}

/* ---- what the user's statements made ---- */

struct differences {
    char first[sizeof((struct error *)NULL)->text];
    size_t count;
};

static bool note_difference(void *context, const char *text, struct error *error)
{
    struct differences *differences = context;
    (void)error;
    if (!differences->count++)
        snprintf(differences->first, sizeof differences->first, "%s", text);
    return true;
}

bool store_check_objects(sqlite3 *connection, const struct schema *schema, const char *database, const char *path,
                         struct error *error)
{
    struct differences differences = {.count = 0};
    char places[40] = "";
    switch (file_objects_compare(connection, &schema->databases[schema_find_database(schema, database)],
                                 note_difference, &differences, error)) {
    case FILE_OBJECTS_FAILED:
        return error_prefix(error, "database %s: %s: ", database, path);
    case FILE_OBJECTS_UNREADABLE:
        return error_set(error, ERROR_IO, "database %s: %s: %s", database, path, sqlite3_errmsg(connection));
    case FILE_OBJECTS_COMPARED:
        break;
    }
    if (!differences.count)
        return true;
    if (differences.count > 1)
        snprintf(places, sizeof places, " in %zu places", differences.count);
    return error_set(error, ERROR_PARSE, "database %s: %s was changed past Sheaf%s: %s", database, path, places,
                     differences.first);
}

/* ---- hello's answer ---- */

static bool number(sqlite3 *connection, const char *sql, int64_t *ret_number, bool *ret_null, struct error *error)
{
    sqlite3_stmt *row = NULL;
    bool ok = sqlite3_prepare_v2(connection, sql, -1, &row, NULL) == SQLITE_OK;
    int result = ok ? sqlite3_step(row) : SQLITE_ERROR;
    if (result == SQLITE_ROW) {
        *ret_null = sqlite3_column_type(row, 0) == SQLITE_NULL;
        *ret_number = sqlite3_column_int64(row, 0);
    } else if (result == SQLITE_DONE) {
        *ret_null = true;
    } else {
        ok = failed(connection, error);
    }
    sqlite3_finalize(row);
    return ok;
}

static bool ask(sqlite3 *connection, const char *format, const char *first, const char *second, int64_t *ret_number,
                bool *ret_null, struct error *error)
{
    char *sql = sqlite3_mprintf(format, first, second, first); /* a format may use less */
    bool ok =
        sql ? number(connection, sql, ret_number, ret_null, error) : error_set(error, ERROR_INTERNAL, "out of memory");
    sqlite3_free(sql);
    return ok;
}

static bool describe_table(sqlite3 *connection, const struct schema_table *table, struct wire_table_state *state,
                           struct error *error)
{
    int64_t found = 0;
    bool none = true;
    state->rowid_max = INT64_MIN;
    if (!ask(connection, "SELECT 1 FROM main.\"%w\" LIMIT 1", table->name, NULL, &found, &none, error))
        return false;
    state->has_rows = !none;
    const char *rowid = sql_rowid_name(table);
    if (!rowid)
        return true;
    if (!ask(connection, "SELECT max(\"%w\") FROM main.\"%w\"", rowid, table->name, &found, &none, error))
        return false;
    if (!none && found == INT64_MAX) {
        state->has_last = true;
        if (!ask(connection, "SELECT max(\"%w\") FROM main.\"%w\" WHERE \"%w\" < 9223372036854775807", rowid,
                 table->name, &found, &none, error))
            return false;
    }
    if (!none)
        state->rowid_max = found;
    if (!table->autoincrement)
        return true;
    if (!ask(connection, "SELECT seq FROM main.sqlite_sequence WHERE name = %Q", table->name, NULL, &found, &none,
             error))
        return false;
    if (!none && found == INT64_MAX)
        state->has_last = true;
    else if (!none && found > state->rowid_max)
        state->rowid_max = found;
    return true;
}

/* Before it is claimed an older file may lack the table (later_tables). */
static bool describe_kept(sqlite3 *connection, struct wire_hello_answer *answer, struct error *error)
{
    int64_t found = 0;
    bool none = true;
    if (!number(connection, "SELECT 1 FROM main.sqlite_schema WHERE name = '_sheaf_answers'", &found, &none, error))
        return false;
    found = 0;
    if (!none && !number(connection, "SELECT max(at) FROM main._sheaf_answers", &found, &none, error))
        return false;
    answer->kept_at_ms = found;
    return true;
}

bool store_describe_tables(sqlite3 *connection, const struct schema *schema, const char *database,
                           struct wire_hello_answer *answer, struct error *error)
{
    const struct schema_database *own = &schema->databases[schema_find_database(schema, database)];
    answer->tables = calloc(own->table_count, sizeof *answer->tables);
    if (!answer->tables)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    for (uint16_t i = 0; i < own->table_count; i++) {
        answer->tables[i].table = own->tables[i];
        if (!describe_table(connection, &schema->tables[own->tables[i]], &answer->tables[i], error))
            return false;
        answer->table_count++;
    }
    return describe_kept(connection, answer, error) && prepared_describe(connection, schema, answer, error);
}
