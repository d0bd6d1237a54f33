/* SPDX-License-Identifier: Apache-2.0 */
#include "parents.h"

#include "clock.h"
#include "insert.h"
#include "inspection.h"
#include "leftovers.h"
#include "limits.h"
#include "rows.h"
#include "sql_name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So often a child is looked at whose file is written to between that look and the one at its parent: it may have gone
 * with its parent and come back with it. That it does so each time is not to be expected. */
#define LOOKS 1000

/* What a row of `children` gives: what finds the row again, what names it to a person, and the reference's columns in
 * the order of the parent's key. */
struct look {
    const struct schema *schema;
    const struct schema_reference *reference;
    const struct rowkeys *rowkeys;
    struct checked *child, *parent;
    struct findings *findings;
    struct reference_figures figures;
    int locator_count, shown_count, column_count;
    sqlite3_stmt *children;   /* child's snapshot */
    sqlite3_stmt *parents;    /* parent's snapshot */
    sqlite3_stmt *parent_now; /* made when first needed */
    sqlite3_stmt *child_now;
    struct value *values; /* of a child's row, for its lock key */
    char *about;
};

enum verdict { VERDICT_FINE, VERDICT_DANGLES, VERDICT_IN_DOUBT, VERDICT_FAILED };

static bool no_memory(struct error *error)
{
    return error_set(error, ERROR_INTERNAL, "out of memory");
}

static const struct schema_table *child_table(const struct look *look)
{
    return &look->schema->tables[look->reference->child];
}

static const struct schema_table *parent_table(const struct look *look)
{
    return &look->schema->tables[look->reference->parent];
}

static uint16_t child_column(const struct look *look, int i)
{
    return look->reference->child_columns[look->reference->key_order[i]];
}

/* ---- statements ---- */

static bool put_children(struct look *look, struct buffer *sql)
{
    const struct schema_table *table = child_table(look);
    bool ok = buffer_put_text(sql, "SELECT ") && rows_put_locator(sql, table, &look->locator_count) &&
              rows_put_shown(sql, table, &look->shown_count);
    for (int i = 0; ok && i < look->column_count; i++)
        ok = buffer_put_text(sql, i ? ", " : "") && sql_put_name(sql, table->columns[child_column(look, i)].name);
    ok = ok && buffer_put_text(sql, " FROM main.") && sql_put_name(sql, table->name);
    for (int i = 0; ok && i < look->column_count; i++)
        ok = buffer_put_text(sql, i ? " AND " : " WHERE ") &&
             sql_put_name(sql, table->columns[child_column(look, i)].name) && buffer_put_text(sql, " IS NOT NULL");
    return ok;
}

/* column = ?: the parent's affinity is applied to the value as the child stores it, and the key's collation compares:
 * SQLite's own rule for foreign keys. */
static bool put_parent(const struct look *look, struct buffer *sql)
{
    const struct schema_table *table = parent_table(look);
    const struct schema_key *key = &table->keys[look->reference->parent_key];
    bool ok = buffer_put_text(sql, "SELECT 1 FROM main.") && sql_put_name(sql, table->name);
    for (uint16_t i = 0; ok && i < key->column_count; i++)
        ok = buffer_put_text(sql, i ? " AND " : " WHERE ") && sql_put_name(sql, table->columns[key->columns[i]].name) &&
             buffer_format(sql, " = ?%d COLLATE %s", i + 1, sql_collation_name(key->collations[i]));
    return ok && buffer_put_text(sql, " LIMIT 1");
}

static bool put_child_again(const struct look *look, struct buffer *sql)
{
    const struct schema_table *table = child_table(look);
    const char *rowid = sql_rowid_name(table);
    int number = 0;
    bool ok = buffer_put_text(sql, "SELECT 1 FROM main.") && sql_put_name(sql, table->name);
    for (; ok && number < look->locator_count; number++) {
        const char *name = rowid ? rowid : table->columns[table->keys[table->primary_key].columns[number]].name;
        ok = buffer_put_text(sql, number ? " AND " : " WHERE ") && sql_put_name(sql, name) &&
             buffer_format(sql, " IS ?%d", number + 1);
    }
    for (int i = 0; ok && i < look->column_count; i++, number++)
        ok = buffer_put_text(sql, number ? " AND " : " WHERE ") &&
             sql_put_name(sql, table->columns[child_column(look, i)].name) &&
             buffer_format(sql, " IS ?%d COLLATE BINARY", number + 1);
    return ok && buffer_put_text(sql, " LIMIT 1");
}

enum made { MADE, MADE_NOT, MADE_NO_MEMORY };

static enum made make(sqlite3 *connection, struct buffer *sql, bool put, sqlite3_stmt **ret_statement)
{
    enum made made = MADE_NO_MEMORY;
    if (put)
        made = sqlite3_prepare_v3(connection, (const char *)sql->bytes, (int)sql->len, SQLITE_PREPARE_PERSISTENT,
                                  ret_statement, NULL) == SQLITE_OK
                   ? MADE
                   : MADE_NOT;
    buffer_release(sql);
    return made;
}

/* What keeps this reference from being looked at is a finding, not a failure. */
static bool give_up(struct look *look, struct checked *at, sqlite3 *connection, struct error *error)
{
    char doing[2 * LIMIT_NAME_BYTES_MAX + 64];
    look->figures.looked = false;
    snprintf(doing, sizeof doing, "%s cannot be looked at", look->about);
    return inspection_failed(look->findings, connection, at->name, doing, error);
}

static bool begin(struct look *look, bool *ret_begun, struct error *error)
{
    struct buffer children = {0}, parent = {0};
    sqlite3 *child_at = file_snapshot(look->child->file), *parent_at = file_snapshot(look->parent->file);
    enum made made = make(child_at, &children, put_children(look, &children), &look->children);
    if (made == MADE_NOT)
        return give_up(look, look->child, child_at, error);
    if (made == MADE)
        made = make(parent_at, &parent, put_parent(look, &parent), &look->parents);
    if (made == MADE_NOT)
        return give_up(look, look->parent, parent_at, error);
    *ret_begun = made == MADE;
    return made == MADE || no_memory(error);
}

/* ---- one child ---- */

/* 1 there, 0 not, -1 failed. Binds the row's columns from `first` on. */
static int look_up(sqlite3_stmt *statement, sqlite3_stmt *row, int locators, int first, int count)
{
    int result = SQLITE_OK, number = 0;
    for (int i = 0; i < locators && result == SQLITE_OK; i++)
        result = sqlite3_bind_value(statement, ++number, sqlite3_column_value(row, i));
    for (int i = 0; i < count && result == SQLITE_OK; i++)
        result = sqlite3_bind_value(statement, ++number, sqlite3_column_value(row, first + i));
    if (result == SQLITE_OK)
        result = sqlite3_step(statement);
    sqlite3_reset(statement);
    return result == SQLITE_ROW ? 1 : result == SQLITE_DONE ? 0 : -1;
}

static int first_column(const struct look *look)
{
    return look->locator_count + look->shown_count;
}

static bool is_promised(struct look *look, struct checked *at, bool *ret_promised, struct error *error)
{
    uint64_t key;
    *ret_promised = false;
    for (int i = 0; i < look->column_count; i++)
        look->values[child_column(look, i)] = insert_stored(look->children, first_column(look) + i);
    return !rowkeys_named(look->rowkeys, look->reference, look->values, &key) ||
           leftovers_hold(at, key, ret_promised, error);
}

/* Looks a row up as the file is now, and in the same moment for a promise that touches its parent. */
static int look_now(struct look *look, struct checked *at, sqlite3_stmt *statement, int locators, bool *promised,
                    struct error *error)
{
    sqlite3 *now = file_now(at->file);
    bool held = false;
    if (sqlite3_exec(now, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
        return -1;
    int there = look_up(statement, look->children, locators, first_column(look), look->column_count);
    if (there >= 0 && !is_promised(look, at, &held, error))
        there = -1;
    if (there >= 0) /* else what went wrong is still to be told */
        sqlite3_exec(now, "COMMIT", NULL, NULL, NULL);
    *promised = *promised || held;
    return there;
}

/* A parent that is there by now, or a child that has gone since, says that only the snapshots' moments differed. Else
 * both looks are of one moment if the child's file was not written to until after the second. */
static enum verdict look_again(struct look *look, struct checked **ret_failed, struct error *error)
{
    bool promised = false, one_moment = false;
    for (int i = 0; i < LOOKS && !one_moment; i++) {
        int64_t version = file_version(look->child->file);
        promised = false; /* only the last looks count: what was promised before is resolved by now */
        int child = look_now(look, look->child, look->child_now, look->locator_count, &promised, error);
        *ret_failed = look->child;
        if (child <= 0)
            return child < 0 ? VERDICT_FAILED : VERDICT_FINE;
        int parent = look_now(look, look->parent, look->parent_now, 0, &promised, error);
        *ret_failed = look->parent;
        if (parent)
            return parent > 0 ? VERDICT_FINE : VERDICT_FAILED;
        one_moment = version != 0 && file_version(look->child->file) == version;
    }
    return promised ? VERDICT_IN_DOUBT : VERDICT_DANGLES;
}

static bool make_again(struct look *look, enum verdict *verdict, struct checked **ret_failed, struct error *error)
{
    struct buffer parent = {0}, child = {0};
    enum made made = MADE;
    if (!look->parent_now) {
        *ret_failed = look->parent;
        made = make(file_now(look->parent->file), &parent, put_parent(look, &parent), &look->parent_now);
    }
    if (made == MADE && !look->child_now) {
        *ret_failed = look->child;
        made = make(file_now(look->child->file), &child, put_child_again(look, &child), &look->child_now);
    }
    if (made == MADE_NOT)
        *verdict = VERDICT_FAILED;
    return made != MADE_NO_MEMORY || no_memory(error);
}

/* ---- what is said ---- */

static bool add_dangling(struct look *look, struct error *error)
{
    struct buffer key = {0}, named = {0};
    bool ok = (rows_describe(look->children, look->locator_count, look->shown_count, &key) &&
               rows_describe(look->children, first_column(look), look->column_count, &named)) ||
              no_memory(error);
    if (ok)
        ok = findings_add(look->findings, error, FINDING_WRONG, look->child->name,
                          "%s: row %s names %s, which is not there", look->about, (const char *)key.bytes,
                          (const char *)named.bytes);
    buffer_release(&key);
    buffer_release(&named);
    return ok;
}

/* *ret_go: whether the next child is worth looking at. */
static bool check_child(struct look *look, bool *ret_go, struct error *error)
{
    struct checked *failed = look->parent;
    enum verdict verdict = VERDICT_FINE;
    look->figures.rows++;
    int there = look_up(look->parents, look->children, 0, first_column(look), look->column_count);
    if (there < 0) {
        *ret_go = false;
        return give_up(look, look->parent, file_snapshot(look->parent->file), error);
    }
    if (there == 0) {
        if (!make_again(look, &verdict, &failed, error))
            return false;
        if (verdict == VERDICT_FINE)
            verdict = look_again(look, &failed, error);
    }
    switch (verdict) {
    case VERDICT_FINE:
        return true;
    case VERDICT_IN_DOUBT:
        look->figures.in_doubt++;
        return true;
    case VERDICT_DANGLES:
        return ++look->figures.dangling > FINDINGS_SHOWN || add_dangling(look, error);
    case VERDICT_FAILED:
        break;
    }
    *ret_go = false;
    bool ok = give_up(look, failed, file_now(failed->file), error);
    sqlite3_exec(file_now(failed->file), "ROLLBACK", NULL, NULL, NULL);
    return ok;
}

static bool check_children(struct look *look, struct error *error)
{
    int result = SQLITE_DONE;
    bool ok = true, go = true;
    look->figures.looked = true;
    while (ok && go && (result = sqlite3_step(look->children)) == SQLITE_ROW)
        ok = check_child(look, &go, error);
    if (ok && go && result != SQLITE_DONE)
        ok = give_up(look, look->child, file_snapshot(look->child->file), error);
    if (ok && look->figures.dangling > FINDINGS_SHOWN)
        ok = findings_add(look->findings, error, FINDING_WRONG, look->child->name, "%s: and %llu more rows",
                          look->about, (unsigned long long)(look->figures.dangling - FINDINGS_SHOWN));
    return ok;
}

static char *name_of(const struct look *look)
{
    const struct schema_table *child = child_table(look), *parent = parent_table(look);
    char columns[512], *text = NULL;
    schema_columns_joined(parent, parent->keys[look->reference->parent_key].columns, look->reference->column_count,
                          columns, sizeof columns);
    if (asprintf(&text, "%s(%s) -> %s(%s)", child->name, look->reference->constraint, parent->name, columns) < 0)
        return NULL;
    return text;
}

bool parents_check(struct checked *all, const struct schema *schema, const struct rowkeys *rowkeys,
                   reference_id reference, struct findings *findings, struct reference_figures *ret_figures,
                   struct error *error)
{
    const struct schema_reference *r = &schema->references[reference];
    struct look look = {.schema = schema,
                        .reference = r,
                        .rowkeys = rowkeys,
                        .child = &all[schema->tables[r->child].database],
                        .parent = &all[schema->tables[r->parent].database],
                        .findings = findings,
                        .column_count = r->column_count};
    uint64_t began_ns = clock_monotonic_ns();
    bool begun = false;
    look.about = name_of(&look);
    look.values = calloc(child_table(&look)->column_count, sizeof *look.values);
    bool ok = (look.about && look.values) || no_memory(error);
    if (ok && look.child->file && look.parent->file)
        ok = begin(&look, &begun, error) && (!begun || check_children(&look, error));
    sqlite3_stmt *const statements[] = {look.children, look.parents, look.parent_now, look.child_now};
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
        sqlite3_finalize(statements[i]);
    free(look.values);
    free(look.about);
    look.figures.time_ns = clock_monotonic_ns() - began_ns;
    *ret_figures = look.figures;
    return ok;
}
