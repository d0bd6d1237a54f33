/* SPDX-License-Identifier: Apache-2.0 */
#include "trust.h"

#include <stdio.h>
#include <string.h>

#define UNSAFE_MAX 256 /* forms of functions; SQLite 3.40 with all that Debian builds in has 13 */

static bool is_safe(const char *name, int flags)
{
    return (flags & SQLITE_INNOCUOUS) || !strncmp(name, "json", 4) || !strncmp(name, "->", 2) ||
           !strcmp(name, "load_extension"); /* switched off, here as everywhere by default */
}

/* One that a schema must not use and could; those that can be taken away first. The pragma, unlike its table, does not
 * open the file. 1: there is one, 0: none, -1: failed. */
static int find_unsafe(sqlite3 *connection, char *name, size_t size, int *ret_arguments)
{
    sqlite3_stmt *list = NULL;
    bool found = false, found_builtin = true;
    int code = sqlite3_prepare_v2(connection, "PRAGMA function_list", -1, &list, NULL);
    while (code == SQLITE_OK && (code = sqlite3_step(list)) == SQLITE_ROW && found_builtin) {
        const char *called = (const char *)sqlite3_column_text(list, 0); /* builtin, type, enc, narg, flags */
        code = called ? SQLITE_OK : SQLITE_NOMEM;
        if (!called || is_safe(called, sqlite3_column_int(list, 5)))
            continue;
        found = true;
        found_builtin = sqlite3_column_int(list, 1) != 0;
        snprintf(name, size, "%s", called);
        *ret_arguments = sqlite3_column_int(list, 4);
    }
    sqlite3_finalize(list);
    return code != SQLITE_OK && code != SQLITE_DONE && code != SQLITE_ROW ? -1 : found;
}

bool trust_functions(sqlite3 *connection)
{
    char name[128];
    int arguments = 0, found = 1;
    for (int i = 0; found > 0 && i < UNSAFE_MAX; i++) {
        found = find_unsafe(connection, name, sizeof name, &arguments);
        if (found > 0 && sqlite3_create_function_v2(connection, name, arguments, SQLITE_UTF8, NULL, NULL, NULL, NULL,
                                                    NULL) != SQLITE_OK)
            return false;
    }
    return found >= 0 &&
           sqlite3_db_config(connection, SQLITE_DBCONFIG_TRUSTED_SCHEMA, found == 0, (int *)NULL) == SQLITE_OK;
}
