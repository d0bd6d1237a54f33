/* SPDX-License-Identifier: Apache-2.0 */
#include "file_objects.h"

#include <string.h>

enum { PLACE, TYPE, NAME, TABLE, SQL };

/* Tables first: with one of them its indexes and triggers are gone, too. */
static const char objects[] = "SELECT (type <> 'table') || type AS place, type, name, tbl_name, sql FROM sqlite_schema"
                              " WHERE NOT (type IN ('table', 'index') AND name LIKE '\\_sheaf\\_%' ESCAPE '\\')"
                              " AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY place, name";

struct comparison {
    sqlite3_stmt *model, *own;
    file_objects_tell *tell;
    void *context;
};

sqlite3 *file_objects_model(const struct schema_database *database)
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

static int order_by(sqlite3_stmt *a, sqlite3_stmt *b, int column)
{
    return strcmp(text_of(a, column), text_of(b, column));
}

/* Below 0: the model's row comes before the file's; a row that is not there comes after all. */
static int order_of(const struct comparison *c, bool model_there, bool own_there)
{
    if (!model_there || !own_there)
        return model_there ? -1 : 1;
    int order = order_by(c->model, c->own, PLACE);
    return order ? order : order_by(c->model, c->own, NAME);
}

static bool no_memory(struct error *error)
{
    return error_set(error, ERROR_INTERNAL, "out of memory");
}

static bool tell_difference(const struct comparison *c, int order, struct error *error)
{
    sqlite3_stmt *row = order <= 0 ? c->model : c->own;
    const char *type = text_of(row, TYPE), *name = text_of(row, NAME);
    char *text = order < 0 ? sqlite3_mprintf("the %s %s is not in it", type, name)
                 : order > 0
                     ? sqlite3_mprintf("the %s %s is in it and not in the schema", type, name)
                     : sqlite3_mprintf("the %s %s differs from the schema: it is %s", type, name, text_of(c->own, SQL));
    bool ok = text ? c->tell(c->context, text, error) : no_memory(error);
    sqlite3_free(text);
    return ok;
}

/* SQLITE_DONE, or how reading the file's rows failed, unless telling did. */
static int compare_rows(const struct comparison *c, bool *ret_told, struct error *error)
{
    int model = sqlite3_step(c->model), own = sqlite3_step(c->own);
    bool ok = true;
    while (ok && (model == SQLITE_ROW || own == SQLITE_ROW)) {
        if (own != SQLITE_ROW && own != SQLITE_DONE)
            break; /* what is not read is not missing */
        int order = order_of(c, model == SQLITE_ROW, own == SQLITE_ROW);
        if (order || order_by(c->model, c->own, TABLE) || order_by(c->model, c->own, SQL))
            ok = tell_difference(c, order, error);
        if (order <= 0)
            model = sqlite3_step(c->model);
        if (order >= 0)
            own = sqlite3_step(c->own);
    }
    *ret_told = ok;
    return own;
}

enum file_objects_result file_objects_compare(sqlite3 *connection, const struct schema_database *database,
                                              file_objects_tell *tell, void *context, struct error *error)
{
    enum file_objects_result result = FILE_OBJECTS_FAILED;
    struct comparison c = {.tell = tell, .context = context};
    sqlite3 *model = file_objects_model(database);
    bool told = false;
    if (!model || sqlite3_prepare_v2(model, objects, -1, &c.model, NULL) != SQLITE_OK)
        error_set(error, ERROR_INTERNAL, "the schema cannot be put into an empty database");
    else if (sqlite3_prepare_v2(connection, objects, -1, &c.own, NULL) != SQLITE_OK ||
             (compare_rows(&c, &told, error) != SQLITE_DONE && told))
        result = FILE_OBJECTS_UNREADABLE;
    else if (told)
        result = FILE_OBJECTS_COMPARED;
    sqlite3_finalize(c.model);
    sqlite3_finalize(c.own);
    sqlite3_close(model);
    return result;
}
