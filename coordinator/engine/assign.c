/* SPDX-License-Identifier: Apache-2.0 */
#include "assign.h"

#include "generate.h"

#include <sqlite3.h>
#include <stdlib.h>

#define RANDOM_TRIES 100u /* as SQLite */

struct assign_claim {
    struct assign_claim *next, *before; /* of the table; free ones use `next` */
    struct assign_claim *next_of_owner;
    table_id table;
    int64_t rowid;
};

/* 2^63-1 is counted by itself: nothing comes after it. */
struct counter {
    bool any, any_claimed;
    bool has_last;           /* it is stored; with AUTOINCREMENT: or was */
    bool stale;              /* highest_claimed may be that of a claim which is over */
    int64_t highest;         /* stored */
    int64_t highest_claimed; /* when any_claimed */
    uint32_t last_claims;
    struct assign_claim *claims;
};

struct assign {
    const struct schema *schema;
    struct generate *generate;
    struct affinity_scratch *scratch;
    struct counter *counters; /* per table */
    struct assign_claim *free_claims;
    uint8_t **wanted;   /* per table and column: its DEFAULT is needed here; NULL when there is no such column */
    sqlite3 *memory;    /* computes DEFAULTs */
    struct buffer kept; /* bytes of the defaults of the last row */
};

static bool is_key_column(const struct schema *schema, const struct schema_table *table, uint16_t column)
{
    for (uint16_t k = 0; k < table->key_count; k++)
        for (uint16_t i = 0; i < table->keys[k].column_count; i++)
            if (table->keys[k].columns[i] == column)
                return true;
    for (uint16_t r = 0; r < table->reference_count; r++) {
        const struct schema_reference *reference = &schema->references[table->references[r]];
        for (uint16_t i = 0; i < reference->column_count; i++)
            if (reference->child_columns[i] == column)
                return true;
    }
    return false;
}

static bool find_defaults(struct assign *assign, table_id id)
{
    const struct schema_table *table = &assign->schema->tables[id];
    for (uint16_t c = 0; c < table->column_count; c++) {
        if (!table->columns[c].default_text || c == table->rowid_column ||
            !(is_key_column(assign->schema, table, c) || generate_wanted(assign->generate, id)))
            continue;
        if (!assign->wanted[id] && !(assign->wanted[id] = calloc(table->column_count, 1)))
            return false;
        assign->wanted[id][c] = 1;
    }
    return true;
}

struct assign *assign_new(const struct schema *schema, struct affinity_scratch *scratch, struct error *error)
{
    struct assign *assign = calloc(1, sizeof *assign);
    bool ok = assign && (assign->counters = calloc((size_t)schema->table_count + 1, sizeof *assign->counters)) &&
              (assign->wanted = calloc((size_t)schema->table_count + 1, sizeof *assign->wanted));
    if (assign) {
        assign->schema = schema;
        assign->scratch = scratch;
    }
    if (ok && !(assign->generate = generate_new(schema, error))) {
        assign_free(assign);
        return NULL;
    }
    for (table_id t = 0; ok && t < schema->table_count; t++)
        ok = find_defaults(assign, t);
    if (ok && sqlite3_open_v2(":memory:", &assign->memory,
                              SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK)
        return assign;
    error_set(error, ERROR_INTERNAL, "out of memory");
    assign_free(assign);
    return NULL;
}

static void free_claims(struct assign_claim *claim)
{
    while (claim) {
        struct assign_claim *next = claim->next;
        free(claim);
        claim = next;
    }
}

void assign_free(struct assign *assign)
{
    if (!assign)
        return;
    for (table_id t = 0; assign->wanted && t < assign->schema->table_count; t++)
        free(assign->wanted[t]);
    for (table_id t = 0; assign->counters && t < assign->schema->table_count; t++)
        free_claims(assign->counters[t].claims);
    free_claims(assign->free_claims);
    free(assign->wanted);
    free(assign->counters);
    generate_free(assign->generate);
    sqlite3_close(assign->memory);
    buffer_release(&assign->kept);
    free(assign);
}

/* ---- integer keys ---- */

void assign_stored(struct assign *assign, table_id table, int64_t rowid)
{
    struct counter *counter = &assign->counters[table];
    if (rowid == INT64_MAX) {
        counter->has_last = true;
        return;
    }
    if (!counter->any || rowid > counter->highest)
        counter->highest = rowid;
    counter->any = true;
}

void assign_removed(struct assign *assign, table_id table, int64_t rowid)
{
    if (rowid == INT64_MAX && !assign->schema->tables[table].autoincrement)
        assign->counters[table].has_last = false;
}

static void note_claim(struct counter *counter, int64_t rowid)
{
    if (rowid == INT64_MAX)
        counter->last_claims++;
    else if (!counter->any_claimed || rowid >= counter->highest_claimed) {
        counter->any_claimed = true;
        counter->stale = false;
        counter->highest_claimed = rowid;
    }
}

void assign_claim(struct assign *assign, struct assign_claims *claims, table_id table, int64_t rowid)
{
    struct counter *counter = &assign->counters[table];
    struct assign_claim *claim = assign->free_claims;
    if (claim)
        assign->free_claims = claim->next;
    else if (!(claim = malloc(sizeof *claim)))
        panic("out of memory for a claim on a rowid");
    *claim =
        (struct assign_claim){.next = counter->claims, .next_of_owner = claims->first, .table = table, .rowid = rowid};
    if (claim->next)
        claim->next->before = claim;
    counter->claims = claim;
    claims->first = claim;
    note_claim(counter, rowid);
}

static void end_claim(struct assign *assign, struct assign_claim *claim)
{
    struct counter *counter = &assign->counters[claim->table];
    if (claim->before)
        claim->before->next = claim->next;
    else
        counter->claims = claim->next;
    if (claim->next)
        claim->next->before = claim->before;
    if (claim->rowid == INT64_MAX)
        counter->last_claims--;
    else
        counter->stale |= claim->rowid == counter->highest_claimed;
    claim->next = assign->free_claims;
    assign->free_claims = claim;
}

void assign_settle(struct assign *assign, struct assign_claims *claims, bool stored)
{
    while (claims->first) {
        struct assign_claim *claim = claims->first;
        claims->first = claim->next_of_owner;
        if (stored)
            assign_stored(assign, claim->table, claim->rowid);
        end_claim(assign, claim);
    }
}

/* Looks at all claims only when the highest has ended since. */
static void freshen(struct counter *counter)
{
    if (!counter->stale)
        return;
    counter->any_claimed = counter->stale = false;
    for (const struct assign_claim *claim = counter->claims; claim; claim = claim->next)
        if (claim->rowid != INT64_MAX && (!counter->any_claimed || claim->rowid > counter->highest_claimed)) {
            counter->any_claimed = true;
            counter->highest_claimed = claim->rowid;
        }
}

static bool is_claimed(const struct counter *counter, int64_t rowid)
{
    for (const struct assign_claim *claim = counter->claims; claim; claim = claim->next)
        if (claim->rowid == rowid)
            return true;
    return false;
}

/* From 1 to 2^62, as SQLite's. */
static bool random_key(const struct counter *counter, int64_t *ret_key)
{
    for (unsigned i = 0; i < RANDOM_TRIES; i++) {
        uint64_t bits;
        sqlite3_randomness(sizeof bits, &bits);
        *ret_key = (int64_t)(bits >> 2) + 1;
        if (!is_claimed(counter, *ret_key))
            return true;
    }
    return false;
}

static bool next_key(struct assign *assign, table_id id, int64_t *ret_key, struct error *error)
{
    struct counter *counter = &assign->counters[id];
    const struct schema_table *table = &assign->schema->tables[id];
    int64_t key = 1;
    freshen(counter);
    if (counter->any)
        key = counter->highest + 1;
    if (counter->any_claimed && (!counter->any || counter->highest_claimed > counter->highest))
        key = counter->highest_claimed + 1;
    if (table->autoincrement && key < 1)
        key = 1;
    bool last_is_taken = counter->has_last || counter->last_claims;
    bool ok = table->autoincrement ? !counter->has_last && !(key == INT64_MAX && last_is_taken)
                                   : !(key == INT64_MAX && last_is_taken) || random_key(counter, &key);
    if (!ok) {
        error_set(error, ERROR_TOO_LARGE, "%s: no %s is left above %lld", table->name,
                  table->columns[table->rowid_column].name, (long long)INT64_MAX);
        return error_about(error, table->name, table->columns[table->rowid_column].name);
    }
    *ret_key = key;
    return true;
}

/* ---- DEFAULTs ---- */

/* Copies text and blobs, whose bytes end with their statement. */
static bool take_result(struct assign *assign, sqlite3_stmt *statement, struct value *ret_value)
{
    size_t len = (size_t)sqlite3_column_bytes(statement, 0);
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
    case SQLITE_TEXT:
        *ret_value = value_text(NULL, len);
        return buffer_put(&assign->kept, sqlite3_column_text(statement, 0), len);
    default:
        *ret_value = value_blob(NULL, len);
        return buffer_put(&assign->kept, sqlite3_column_blob(statement, 0), len);
    }
}

/* `DEFAULT word` is a text, but only where it stands as a DEFAULT: as an expression it would name a column. */
static bool prepare_word(sqlite3 *memory, const char *text, sqlite3_stmt **ret_statement)
{
    struct buffer sql = {0};
    bool ok = buffer_format(&sql, "DROP TABLE IF EXISTS word; CREATE TABLE word (word DEFAULT %s)", text) &&
              buffer_put(&sql, "", 1) && sqlite3_exec(memory, (const char *)sql.bytes, NULL, NULL, NULL) == SQLITE_OK &&
              sqlite3_prepare_v2(memory, "INSERT INTO word DEFAULT VALUES RETURNING word", -1, ret_statement, NULL) ==
                  SQLITE_OK;
    buffer_release(&sql);
    return ok;
}

static bool compute(struct assign *assign, const struct schema_table *table, const struct schema_column *column,
                    struct value *ret_value, struct error *error)
{
    struct buffer sql = {0};
    sqlite3_stmt *statement = NULL;
    bool ok =
        buffer_put_text(&sql, "SELECT (") && buffer_put_text(&sql, column->default_text) &&
        buffer_put_text(&sql, ")") &&
        (sqlite3_prepare_v2(assign->memory, (const char *)sql.bytes, (int)sql.len, &statement, NULL) == SQLITE_OK ||
         prepare_word(assign->memory, column->default_text, &statement)) &&
        sqlite3_step(statement) == SQLITE_ROW && take_result(assign, statement, ret_value);
    if (!ok) {
        error_set(error, ERROR_INTERNAL, "%s.%s: its DEFAULT cannot be computed: %s", table->name, column->name,
                  sqlite3_errmsg(assign->memory));
        error_about(error, table->name, column->name);
    }
    sqlite3_finalize(statement);
    buffer_release(&sql);
    return ok;
}

static bool add_defaults(struct assign *assign, table_id id, struct value *values, struct assigned *assigned,
                         struct error *error)
{
    const struct schema_table *table = &assign->schema->tables[id];
    const uint8_t *wanted = assign->wanted[id];
    buffer_clear(&assign->kept);
    bool filled[LIMIT_COLUMNS_MAX] = {0};
    for (uint16_t c = 0; c < table->column_count; c++) {
        if (!wanted[c] || values[c].type != VALUE_ABSENT)
            continue;
        if (!compute(assign, table, &table->columns[c], &values[c], error))
            return false;
        filled[c] = assigned->rewritten = true;
    }
    const char *bytes = (const char *)assign->kept.bytes; /* which moves no more */
    for (uint16_t c = 0; c < table->column_count; c++) {
        values[c].filled |= filled[c];
        if (filled[c] && (values[c].type == VALUE_TEXT || values[c].type == VALUE_BLOB)) {
            values[c].bytes = bytes;
            bytes += values[c].len;
        }
    }
    return true;
}

static bool add_key(struct assign *assign, table_id table, struct value *values, struct assign_claims *claims,
                    struct assigned *assigned, struct error *error)
{
    const struct schema_table *t = &assign->schema->tables[table];
    if (t->rowid_column == SCHEMA_NONE)
        return true;
    struct value *key = &values[t->rowid_column];
    if (key->type == VALUE_NULL || key->type == VALUE_ABSENT) {
        if (!next_key(assign, table, &assigned->rowid, error))
            return false;
        *key = value_integer(assigned->rowid);
        key->filled = true;
        assigned->has_rowid = assigned->rewritten = assigned->key_assigned = true;
    } else {
        assigned->has_rowid = affinity_as_rowid(assign->scratch, key, &assigned->rowid);
    }
    if (assigned->has_rowid)
        assign_claim(assign, claims, table, assigned->rowid);
    return true;
}

bool assign_default(struct assign *assign, table_id table, uint16_t column, struct value *ret_value,
                    struct error *error)
{
    const struct schema_table *t = &assign->schema->tables[table];
    *ret_value = value_null();
    if (!t->columns[column].has_default || !t->columns[column].default_text)
        return true;
    buffer_clear(&assign->kept);
    if (!compute(assign, t, &t->columns[column], ret_value, error))
        return false;
    ret_value->bytes = ret_value->type == VALUE_TEXT || ret_value->type == VALUE_BLOB ? (const char *)assign->kept.bytes
                                                                                      : ret_value->bytes;
    return true;
}

bool assign_generated(struct assign *assign, table_id table, struct value *values, struct error *error)
{
    return !generate_wanted(assign->generate, table) || generate_row(assign->generate, table, values, error);
}

bool assign_row(struct assign *assign, table_id table, struct value *values, struct assign_claims *claims,
                struct assigned *ret_assigned, struct error *error)
{
    *ret_assigned = (struct assigned){0};
    if ((assign->wanted[table] && !add_defaults(assign, table, values, ret_assigned, error)) ||
        !add_key(assign, table, values, claims, ret_assigned, error))
        return false;
    if (!generate_wanted(assign->generate, table))
        return true;
    ret_assigned->rewritten = true;
    return generate_row(assign->generate, table, values, error);
}
