/* SPDX-License-Identifier: Apache-2.0 */
#include "affinity.h"

#include <math.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#define RING 8u

/* One column per affinity, in the order of enum affinity. */
static const char scratch_sql[] = "CREATE TABLE scratch (b BLOB, t TEXT, n NUMERIC, i INTEGER, r REAL)";
/* Not RETURNING: SQLite makes a temporary table for that, each time. */
static const char *const update_sql[] = {
    NULL,
    "UPDATE scratch SET t = ?1",
    "UPDATE scratch SET n = ?1",
    "UPDATE scratch SET i = ?1",
    "UPDATE scratch SET r = ?1",
};
static const char *const select_sql[] = {
    NULL, "SELECT t FROM scratch", "SELECT n FROM scratch", "SELECT i FROM scratch", "SELECT r FROM scratch",
};

/* One transaction for life: opening and ending one for each value is most of what a value would cost. */
struct affinity_scratch {
    sqlite3 *memory;
    sqlite3_stmt *update[5], *select[5];
    unsigned next;
    struct buffer ring[RING]; /* the bytes of the last results */
};

static bool prepare(struct affinity_scratch *scratch, const char *sql, sqlite3_stmt **statement)
{
    return sqlite3_prepare_v3(scratch->memory, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL) == SQLITE_OK;
}

struct affinity_scratch *affinity_open(struct error *error)
{
    struct affinity_scratch *scratch = calloc(1, sizeof *scratch);
    if (!scratch) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    bool ok = sqlite3_open_v2(":memory:", &scratch->memory,
                              SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK &&
              sqlite3_exec(scratch->memory, scratch_sql, NULL, NULL, NULL) == SQLITE_OK &&
              sqlite3_exec(scratch->memory, "INSERT INTO scratch DEFAULT VALUES; BEGIN", NULL, NULL, NULL) == SQLITE_OK;
    for (unsigned i = AFFINITY_TEXT; ok && i <= AFFINITY_REAL; i++)
        ok = prepare(scratch, update_sql[i], &scratch->update[i]) &&
             prepare(scratch, select_sql[i], &scratch->select[i]);
    if (!ok) {
        error_set(error, ERROR_INTERNAL, "an in-memory database: %s", sqlite3_errmsg(scratch->memory));
        affinity_close(scratch);
        return NULL;
    }
    return scratch;
}

void affinity_close(struct affinity_scratch *scratch)
{
    if (!scratch)
        return;
    for (unsigned i = 0; i < sizeof scratch->update / sizeof *scratch->update; i++) {
        sqlite3_finalize(scratch->update[i]);
        sqlite3_finalize(scratch->select[i]);
    }
    sqlite3_close(scratch->memory);
    for (unsigned i = 0; i < RING; i++)
        buffer_release(&scratch->ring[i]);
    free(scratch);
}

/* Text that no numeric affinity would convert: it does not begin like a number. */
static bool is_plainly_text(const struct value *value)
{
    return value->len > 0 && !strchr("0123456789+-. \t\n\v\f\r", value->bytes[0]);
}

/* Whether the column would store just this, known without asking. */
static bool unchanged(enum affinity affinity, const struct value *value)
{
    switch (value->type) {
    case VALUE_NULL:
    case VALUE_ABSENT:
    case VALUE_BLOB:
        return true;
    case VALUE_INTEGER:
        return affinity == AFFINITY_BLOB || affinity == AFFINITY_NUMERIC || affinity == AFFINITY_INTEGER;
    case VALUE_REAL:
        return !isnan(value->real) && (affinity == AFFINITY_BLOB || affinity == AFFINITY_REAL);
    case VALUE_TEXT:
        return affinity == AFFINITY_BLOB || affinity == AFFINITY_TEXT || is_plainly_text(value);
    }
    return false;
}

static int bind(sqlite3_stmt *statement, const struct value *value)
{
    switch (value->type) {
    case VALUE_INTEGER:
        return sqlite3_bind_int64(statement, 1, value->integer);
    case VALUE_REAL:
        return sqlite3_bind_double(statement, 1, value->real);
    default:
        return sqlite3_bind_text(statement, 1, value->bytes, (int)value->len, SQLITE_STATIC);
    }
}

/* The statement's only column; bytes are copied into the ring. */
static bool take(struct affinity_scratch *scratch, sqlite3_stmt *statement, struct value *ret_value)
{
    struct buffer *kept = &scratch->ring[scratch->next++ % RING];
    switch (sqlite3_column_type(statement, 0)) {
    case SQLITE_INTEGER:
        *ret_value = value_integer(sqlite3_column_int64(statement, 0));
        return true;
    case SQLITE_FLOAT:
        *ret_value = value_real(sqlite3_column_double(statement, 0));
        return true;
    case SQLITE_NULL:
        *ret_value = value_null();
        return true;
    default:
        buffer_clear(kept);
        if (!buffer_put(kept, sqlite3_column_text(statement, 0), (size_t)sqlite3_column_bytes(statement, 0)))
            return false;
        *ret_value = value_text((const char *)kept->bytes, kept->len);
        return true;
    }
}

bool affinity_apply(struct affinity_scratch *scratch, enum affinity affinity, const struct value *value,
                    struct value *ret_value, struct error *error)
{
    if (unchanged(affinity, value)) {
        *ret_value = *value;
        return true;
    }
    if (value->type == VALUE_REAL && isnan(value->real)) {
        *ret_value = value_null();
        return true;
    }
    if (value->type == VALUE_INTEGER && affinity == AFFINITY_REAL) {
        *ret_value = value_real((double)value->integer);
        return true;
    }
    sqlite3_stmt *update = scratch->update[affinity], *select = scratch->select[affinity];
    bool ok = bind(update, value) == SQLITE_OK && sqlite3_step(update) == SQLITE_DONE &&
              sqlite3_step(select) == SQLITE_ROW && take(scratch, select, ret_value);
    if (!ok)
        error_set(error, ERROR_INTERNAL, "applying an affinity: %s", sqlite3_errmsg(scratch->memory));
    sqlite3_reset(select);
    sqlite3_reset(update);
    sqlite3_clear_bindings(update);
    return ok;
}

bool affinity_as_rowid(struct affinity_scratch *scratch, const struct value *value, int64_t *ret_rowid)
{
    struct value stored;
    if (!affinity_apply(scratch, AFFINITY_INTEGER, value, &stored, NULL))
        return false;
    if (stored.type == VALUE_INTEGER) {
        *ret_rowid = stored.integer;
        return true;
    }
    return false;
}
