/* SPDX-License-Identifier: Apache-2.0 */
#include "sql_name.h"

#include <string.h>

bool sql_put_name(struct buffer *sql, const char *name)
{
    bool ok = buffer_put(sql, "\"", 1);
    for (; ok && *name; name++)
        ok = buffer_put(sql, name, 1) && (*name != '"' || buffer_put(sql, "\"", 1));
    return ok && buffer_put(sql, "\"", 1);
}

const char *sql_rowid_name(const struct schema_table *table)
{
    static const char *const names[] = {"_rowid_", "rowid", "oid"};
    if (table->without_rowid)
        return NULL;
    if (table->rowid_column != SCHEMA_NONE)
        return table->columns[table->rowid_column].name;
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (schema_find_column(table, names[i], strlen(names[i])) == SCHEMA_NONE)
            return names[i];
    return NULL;
}

const char *sql_collation_name(enum collation collation)
{
    static const char *const names[] = {"BINARY", "NOCASE", "RTRIM"};
    return names[collation];
}
