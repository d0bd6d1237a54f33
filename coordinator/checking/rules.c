/* SPDX-License-Identifier: Apache-2.0 */
#include "rules.h"

#include "file_objects.h"
#include "inspection.h"
#include "rows.h"
#include "sql_name.h"

#include <string.h>

struct rules {
    const struct schema_table *table;
    struct checked *checked;
    struct findings *findings;
    sqlite3 *model;
    sqlite3_stmt *rows, *insert, *empty;
    int shown_count, column_count;
    uint64_t broken;
};

static bool no_memory(struct error *error)
{
    return error_set(error, ERROR_INTERNAL, "out of memory");
}

/* Whether the word stands anywhere in what made it; where it is only a name or a text nothing is lost but time. */
static bool may_have_rules(sqlite3 *model, const char *table)
{
    static const char sql[] = "SELECT sql LIKE '%check%' FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    sqlite3_stmt *row = NULL;
    bool may = true;
    if (sqlite3_prepare_v2(model, sql, -1, &row, NULL) == SQLITE_OK) {
        sqlite3_bind_text(row, 1, table, -1, SQLITE_STATIC);
        may = sqlite3_step(row) != SQLITE_ROW || sqlite3_column_int(row, 0);
    }
    sqlite3_finalize(row);
    return may;
}

static bool put_columns(const struct schema_table *table, struct buffer *sql, int *ret_count)
{
    bool ok = true;
    *ret_count = 0;
    for (uint16_t c = 0; ok && c < table->column_count; c++)
        if (!table->columns[c].generated)
            ok = buffer_put_text(sql, (*ret_count)++ ? ", " : "") && sql_put_name(sql, table->columns[c].name);
    return ok;
}

static bool put_insert(const struct schema_table *table, struct buffer *sql)
{
    int count;
    bool ok = buffer_put_text(sql, "INSERT INTO main.") && sql_put_name(sql, table->name) &&
              buffer_put_text(sql, " (") && put_columns(table, sql, &count) && buffer_put_text(sql, ") VALUES (");
    for (int i = 0; ok && i < count; i++)
        ok = buffer_put_text(sql, i ? ", ?" : "?");
    return ok && buffer_put_text(sql, ")");
}

static bool put_rows(struct rules *rules, struct buffer *sql)
{
    return buffer_put_text(sql, "SELECT ") && rows_put_shown(sql, rules->table, &rules->shown_count) &&
           put_columns(rules->table, sql, &rules->column_count) && buffer_put_text(sql, " FROM main.") &&
           sql_put_name(sql, rules->table->name);
}

static bool prepare(sqlite3 *connection, struct buffer *sql, sqlite3_stmt **ret_statement)
{
    bool ok = sqlite3_prepare_v3(connection, (const char *)sql->bytes, (int)sql->len, SQLITE_PREPARE_PERSISTENT,
                                 ret_statement, NULL) == SQLITE_OK;
    buffer_clear(sql);
    return ok;
}

static bool failed(struct rules *rules, struct error *error)
{
    return inspection_failed(rules->findings, file_snapshot(rules->checked->file), rules->checked->name,
                             "its rows cannot be held against their rules", error);
}

static bool begin(struct rules *rules, bool *ret_begun, struct error *error)
{
    struct buffer sql = {0};
    bool ok = (put_insert(rules->table, &sql) && prepare(rules->model, &sql, &rules->insert) &&
               buffer_put_text(&sql, "DELETE FROM main.") && sql_put_name(&sql, rules->table->name) &&
               prepare(rules->model, &sql, &rules->empty) && put_rows(rules, &sql)) ||
              no_memory(error);
    if (ok) {
        *ret_begun = prepare(file_snapshot(rules->checked->file), &sql, &rules->rows);
        ok = *ret_begun || failed(rules, error);
    }
    buffer_release(&sql);
    return ok;
}

static bool add_broken(struct rules *rules, struct error *error)
{
    struct buffer key = {0};
    bool ok = rows_describe(rules->rows, 0, rules->shown_count, &key) || no_memory(error);
    ok = ok && findings_add(rules->findings, error, FINDING_WRONG, rules->checked->name, "%s: row %s: %s",
                            rules->table->name, (const char *)key.bytes, sqlite3_errmsg(rules->model));
    buffer_release(&key);
    return ok;
}

/* Whatever else is wrong with a row was found by integrity_check. */
static bool judge(struct rules *rules, struct error *error)
{
    int result = SQLITE_OK;
    for (int i = 0; result == SQLITE_OK && i < rules->column_count; i++)
        result = sqlite3_bind_value(rules->insert, i + 1, sqlite3_column_value(rules->rows, rules->shown_count + i));
    if (result == SQLITE_OK)
        result = sqlite3_step(rules->insert);
    bool ok = result != SQLITE_NOMEM || no_memory(error);
    if (ok && result == SQLITE_CONSTRAINT_CHECK && ++rules->broken <= FINDINGS_SHOWN)
        ok = add_broken(rules, error);
    sqlite3_reset(rules->insert);
    if (result == SQLITE_DONE) {
        sqlite3_step(rules->empty);
        sqlite3_reset(rules->empty);
    }
    return ok;
}

static bool judge_all(struct rules *rules, struct error *error)
{
    int result = SQLITE_DONE;
    bool ok = true;
    while (ok && (result = sqlite3_step(rules->rows)) == SQLITE_ROW)
        ok = judge(rules, error);
    if (ok && result != SQLITE_DONE)
        ok = failed(rules, error);
    if (ok && rules->broken > FINDINGS_SHOWN)
        ok = findings_add(rules->findings, error, FINDING_WRONG, rules->checked->name,
                          "%s: and %llu more rows that break a CHECK", rules->table->name,
                          (unsigned long long)(rules->broken - FINDINGS_SHOWN));
    return ok;
}

bool rules_check(struct checked *checked, const struct schema *schema, table_id table, struct findings *findings,
                 struct error *error)
{
    struct rules rules = {.table = &schema->tables[table], .checked = checked, .findings = findings};
    rules.model = file_objects_model(&schema->databases[rules.table->database]);
    bool begun = false, ok = rules.model || no_memory(error);
    if (ok && may_have_rules(rules.model, rules.table->name)) {
        sqlite3_extended_result_codes(rules.model, 1);
        sqlite3_db_config(rules.model, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL); /* they have no part in it */
        sqlite3_exec(rules.model, "BEGIN", NULL, NULL, NULL);
        ok = begin(&rules, &begun, error) && (!begun || judge_all(&rules, error));
    }
    sqlite3_finalize(rules.rows);
    sqlite3_finalize(rules.insert);
    sqlite3_finalize(rules.empty);
    sqlite3_close(rules.model);
    return ok;
}
