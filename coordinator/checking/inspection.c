/* SPDX-License-Identifier: Apache-2.0 */
#include "inspection.h"

#include "file_objects.h"
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

struct differences {
    struct inspection *in;
    size_t count;
};

static bool add_difference(void *context, const char *text, struct error *error)
{
    struct differences *differences = context;
    return ++differences->count > FINDINGS_SHOWN || wrong(differences->in, error, "%s", text);
}

static bool compare_objects(struct inspection *in, struct error *error)
{
    struct differences differences = {.in = in};
    switch (file_objects_compare(file_snapshot(in->file), in->database, add_difference, &differences, error)) {
    case FILE_OBJECTS_COMPARED:
        return differences.count <= FINDINGS_SHOWN ||
               wrong(in, error, "and %zu more differences from the schema", differences.count - FINDINGS_SHOWN);
    case FILE_OBJECTS_UNREADABLE:
        return failed(in, "its schema cannot be read", error);
    case FILE_OBJECTS_FAILED:
        break;
    }
    return false;
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
        const char *text = (const char *)sqlite3_column_text(row, 0);
        if (text && strcmp(text, "ok") && ++count <= FINDINGS_SHOWN)
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
