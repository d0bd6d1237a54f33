/* SPDX-License-Identifier: Apache-2.0 */
#include "inspection.h"

#include "limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct inspection {
    const struct schema *schema;
    const struct schema_database *database;
    const struct file_meta *origin;
    struct findings *findings;
    struct file *file;
    char file_name[3 * LIMIT_NAME_BYTES_MAX + 8];
    bool missing;
    bool foreign; /* what is in it is not this cluster's */
};

#define wrong(in, error, ...) findings_add((in)->findings, error, FINDING_WRONG, (in)->file_name, __VA_ARGS__)

bool inspection_failed(struct findings *findings, sqlite3 *connection, const char *about, const char *doing,
                       struct error *error)
{
    int result = sqlite3_errcode(connection);
    bool unreadable = file_result_of(result) == FILE_UNREADABLE && (result & 0xff) != SQLITE_ERROR;
    return findings_add(findings, error, unreadable ? FINDING_UNREADABLE : FINDING_WRONG, about, "%s: %s", doing,
                        sqlite3_errmsg(connection));
}

static bool failed(struct inspection *in, const char *doing, struct error *error)
{
    return inspection_failed(in->findings, file_snapshot(in->file), in->file_name, doing, error);
}

/* ---- whose it is ---- */

static bool number_of(struct inspection *in, const char *sql, int64_t *ret_number)
{
    sqlite3_stmt *row = NULL;
    bool ok = sqlite3_prepare_v2(file_snapshot(in->file), sql, -1, &row, NULL) == SQLITE_OK &&
              sqlite3_step(row) == SQLITE_ROW;
    if (ok)
        *ret_number = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    return ok;
}

static struct schema *stored_schema(const struct file_meta *meta, struct error *error)
{
    struct schema_placement placement = {0};
    if (!schema_placement_read(meta->placement, strlen(meta->placement), &placement, error))
        return NULL;
    struct schema *schema = schema_load(meta->schema, strlen(meta->schema), "the schema in it", &placement, error);
    schema_placement_release(&placement);
    return schema;
}

static bool compare_stored_schema(struct inspection *in, const struct file_meta *meta, struct error *error)
{
    struct error why;
    struct buffer text = {0};
    struct schema *stored = stored_schema(meta, &why);
    if (!stored)
        return wrong(in, error, "the schema that it keeps cannot be used: %s", why.text);
    bool ok = schema_difference(in->schema, stored, &text) || error_set(error, ERROR_INTERNAL, "out of memory");
    if (ok && text.len)
        ok = wrong(in, error, "it was made with another schema than the other files: %s", (const char *)text.bytes);
    buffer_release(&text);
    schema_free(stored);
    return ok;
}

static bool compare_meta(struct inspection *in, const struct file_meta *meta, struct error *error)
{
    if (strcmp(meta->cluster, in->origin->cluster)) {
        in->foreign = true;
        return wrong(in, error, "it belongs to cluster %s, not to %s", meta->cluster, in->origin->cluster);
    }
    if (strcmp(meta->database, in->database->name)) {
        in->foreign = true;
        return wrong(in, error, "it is database %s's file", meta->database);
    }
    return compare_stored_schema(in, meta, error);
}

static bool judge_origin(struct inspection *in, struct error *error)
{
    int64_t application, format;
    struct file_meta meta = {0};
    struct error why;
    in->foreign = true;
    if (!number_of(in, "PRAGMA application_id", &application) || !number_of(in, "PRAGMA user_version", &format))
        return failed(in, "it cannot be read", error);
    if (application != FILE_APPLICATION_ID)
        return wrong(in, error, "it is not one of Sheaf's: its application_id is %lld", (long long)application);
    if (format > FILE_FORMAT)
        return findings_add(in->findings, error, FINDING_UNREADABLE, in->file_name,
                            "it has format %lld, and this Sheaf knows up to %d", (long long)format, FILE_FORMAT);
    in->foreign = false;
    if (!file_meta_read(file_snapshot(in->file), &meta, &why))
        return wrong(in, error, "what Sheaf keeps in it cannot be read: %s", why.text);
    bool ok = compare_meta(in, &meta, error);
    file_meta_release(&meta);
    return ok;
}

/* ---- its tables, indexes, views and triggers ---- */

static const char objects[] = "SELECT type, name, sql FROM sqlite_schema"
                              " WHERE name NOT LIKE '\\_sheaf\\_%' ESCAPE '\\'"
                              " AND name NOT LIKE 'sqlite\\_autoindex\\_\\_sheaf\\_%' ESCAPE '\\'"
                              " AND name NOT LIKE 'sqlite\\_stat%' ESCAPE '\\' AND name <> 'sqlite_sequence'"
                              " ORDER BY type, name";

sqlite3 *inspection_model(const struct schema_database *database)
{
    sqlite3 *model = NULL;
    bool ok = sqlite3_open(":memory:", &model) == SQLITE_OK;
    for (uint16_t i = 0; ok && i < database->statement_count; i++)
        ok = sqlite3_exec(model, database->statements[i], NULL, NULL, NULL) == SQLITE_OK;
    if (ok)
        return model;
    sqlite3_close(model);
    return NULL;
}

static const char *text_of(sqlite3_stmt *row, int column)
{
    const char *text = (const char *)sqlite3_column_text(row, column);
    return text ? text : "";
}

/* -1: the first row comes before the second; a row that is not there comes after all. */
static int order_of(sqlite3_stmt *a, bool a_there, sqlite3_stmt *b, bool b_there)
{
    if (!a_there || !b_there)
        return a_there ? -1 : 1;
    int order = strcmp(text_of(a, 0), text_of(b, 0));
    return order ? order : strcmp(text_of(a, 1), text_of(b, 1));
}

static bool add_difference(struct inspection *in, int order, sqlite3_stmt *model, sqlite3_stmt *own,
                           struct error *error)
{
    sqlite3_stmt *row = order <= 0 ? model : own;
    const char *type = text_of(row, 0), *name = text_of(row, 1);
    if (order < 0)
        return wrong(in, error, "the %s %s is not in it", type, name);
    if (order > 0)
        return wrong(in, error, "the %s %s is in it and not in the schema", type, name);
    return wrong(in, error, "the %s %s differs from the schema: it is %s", type, name, text_of(own, 2));
}

static bool compare_rows(struct inspection *in, sqlite3_stmt *model, sqlite3_stmt *own, struct error *error)
{
    int left = sqlite3_step(model), right = sqlite3_step(own);
    size_t differ = 0;
    bool ok = true;
    while (ok && (left == SQLITE_ROW || right == SQLITE_ROW)) {
        int order = order_of(model, left == SQLITE_ROW, own, right == SQLITE_ROW);
        bool same = order == 0 && !strcmp(text_of(model, 2), text_of(own, 2));
        if (!same && ++differ <= FINDINGS_SHOWN)
            ok = add_difference(in, order, model, own, error);
        if (order <= 0)
            left = sqlite3_step(model);
        if (order >= 0)
            right = sqlite3_step(own);
    }
    if (ok && differ > FINDINGS_SHOWN)
        ok = wrong(in, error, "and %zu more differences from the schema", differ - FINDINGS_SHOWN);
    return ok && (right == SQLITE_DONE || failed(in, "its schema cannot be read", error));
}

static bool compare_objects(struct inspection *in, struct error *error)
{
    sqlite3 *model = inspection_model(in->database);
    sqlite3_stmt *expected = NULL, *own = NULL;
    bool ok = model && sqlite3_prepare_v2(model, objects, -1, &expected, NULL) == SQLITE_OK;
    if (!ok)
        error_set(error, ERROR_INTERNAL, "the schema cannot be put into an empty database");
    else if (sqlite3_prepare_v2(file_snapshot(in->file), objects, -1, &own, NULL) != SQLITE_OK)
        ok = failed(in, "its schema cannot be read", error);
    else
        ok = compare_rows(in, expected, own, error);
    sqlite3_finalize(expected);
    sqlite3_finalize(own);
    sqlite3_close(model);
    return ok;
}

/* ---- integrity ---- */

/* One more is asked for than is shown: then there are more. */
static bool check_integrity(struct inspection *in, struct error *error)
{
    char sql[64];
    sqlite3_stmt *row = NULL;
    size_t count = 0;
    bool ok = true;
    snprintf(sql, sizeof sql, "PRAGMA integrity_check(%d)", FINDINGS_SHOWN + 1);
    int result = sqlite3_prepare_v2(file_snapshot(in->file), sql, -1, &row, NULL);
    while (ok && result == SQLITE_OK && (result = sqlite3_step(row)) == SQLITE_ROW) {
        const char *text = text_of(row, 0);
        if (strcmp(text, "ok") && ++count <= FINDINGS_SHOWN)
            ok = wrong(in, error, "integrity: %s", text);
        result = SQLITE_OK;
    }
    if (ok && count > FINDINGS_SHOWN)
        ok = wrong(in, error, "integrity: and more");
    if (ok && result != SQLITE_DONE)
        ok = failed(in, "integrity", error);
    sqlite3_finalize(row);
    return ok;
}

/* ---- all of it ---- */

static bool open_it(struct inspection *in, const char *data, bool may_be_elsewhere, int64_t cache_bytes,
                    struct error *error)
{
    struct error why;
    char *path = NULL;
    if (asprintf(&path, "%s/%s", data, in->file_name) < 0)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    enum file_result result = file_open(path, cache_bytes, &in->file, &why);
    free(path);
    switch (result) {
    case FILE_OPENED:
        return true;
    case FILE_MISSING:
        in->missing = true;
        return may_be_elsewhere ? findings_add(in->findings, error, FINDING_REMARK, in->file_name,
                                               "it is kept elsewhere and was not looked at")
                                : wrong(in, error, "the file is missing");
    case FILE_DAMAGED:
        return wrong(in, error, "it is damaged: %s", why.text);
    case FILE_UNREADABLE:
        break;
    }
    return findings_add(in->findings, error, FINDING_UNREADABLE, in->file_name, "it cannot be read: %s", why.text);
}

bool inspection_run(const char *data, const struct schema *schema, database_id database, const struct file_meta *origin,
                    int64_t cache_bytes, struct findings *findings, struct checked *checked, struct error *error)
{
    struct inspection in = {
        .schema = schema, .database = &schema->databases[database], .origin = origin, .findings = findings};
    if (!schema_file_name(in.database->name, in.file_name, sizeof in.file_name))
        return error_set(error, ERROR_TOO_LARGE, "database %s: its name is too long for a file", in.database->name);
    bool ok = open_it(&in, data, checked->elsewhere, cache_bytes, error);
    if (ok && in.file)
        ok = judge_origin(&in, error);
    if (ok && in.file && !in.foreign)
        ok = compare_objects(&in, error) && check_integrity(&in, error);
    if (!ok || in.foreign) {
        file_close(in.file);
        in.file = NULL;
    }
    checked->file = in.file;
    checked->elsewhere = checked->elsewhere && in.missing;
    return ok;
}
