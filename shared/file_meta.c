/* SPDX-License-Identifier: Apache-2.0 */
#include "file_meta.h"

#include <stdlib.h>
#include <string.h>

void file_meta_release(struct file_meta *meta)
{
    free(meta->cluster);
    free(meta->database);
    free(meta->schema);
    free(meta->placement);
    *meta = (struct file_meta){0};
}

static bool failed(sqlite3 *connection, struct error *error)
{
    return error_set(error, ERROR_IO, "%s", sqlite3_errmsg(connection));
}

/* False: out of memory. */
static bool take(struct file_meta *meta, const char *name, sqlite3_stmt *row)
{
    struct {
        const char *name;
        char **place;
    } const texts[] = {{"cluster", &meta->cluster},
                       {"database", &meta->database},
                       {"schema", &meta->schema},
                       {"placement", &meta->placement}};
    if (!name)
        return sqlite3_column_type(row, 0) == SQLITE_NULL; /* not as Sheaf made it */
    if (!strcmp(name, "epoch"))
        meta->epoch = (uint64_t)sqlite3_column_int64(row, 1);
    if (!strcmp(name, "coordinator"))
        meta->coordinator = (uint64_t)sqlite3_column_int64(row, 1);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!strcmp(name, texts[i].name) && !*texts[i].place && sqlite3_column_type(row, 1) != SQLITE_NULL) {
            const char *text = (const char *)sqlite3_column_text(row, 1);
            return text && (*texts[i].place = strdup(text));
        }
    return true;
}

bool file_meta_read(sqlite3 *connection, struct file_meta *ret_meta, struct error *error)
{
    struct file_meta meta = {0};
    sqlite3_stmt *row = NULL;
    if (sqlite3_prepare_v2(connection, "SELECT name, value FROM _sheaf_meta", -1, &row, NULL) != SQLITE_OK)
        return failed(connection, error);
    int result = SQLITE_DONE;
    bool taken = true;
    while (taken && (result = sqlite3_step(row)) == SQLITE_ROW)
        taken = take(&meta, (const char *)sqlite3_column_text(row, 0), row);
    sqlite3_finalize(row);
    if (!taken) {
        file_meta_release(&meta);
        return error_set(error, ERROR_INTERNAL, "out of memory");
    }
    if (result != SQLITE_DONE || !meta.cluster || !meta.database || !meta.schema || !meta.placement) {
        file_meta_release(&meta);
        return result == SQLITE_DONE ? error_set(error, ERROR_PARSE, "its own tables are incomplete")
                                     : failed(connection, error);
    }
    file_meta_release(ret_meta);
    *ret_meta = meta;
    return true;
}
