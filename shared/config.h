/* SPDX-License-Identifier: Apache-2.0 */
/* config.h - the configuration file (INI, read with inih): databases, tables, addresses, limits.
 *
 *   [coordinator]  data = DIR, cluster = NAME, schema = FILE
 *   [limits]       any of limits.h's settable ones
 *   [http]         listen, token_file, host     (kept as text here, judged by whom it concerns)
 *   [database NAME] tables = a, b   address = tcp://127.0.0.1:7401
 *
 * A list of tables may go on in lines that begin with a blank; a line has at most 199 bytes, comments may have more.
 * Unknown sections and keys, keys given twice, numbers out of their limits, a database or table named twice, and
 * database names that differ only in case are refused with file and line. Relative paths are relative to the file's
 * folder. */
#ifndef SHEAF_CONFIG_H
#define SHEAF_CONFIG_H

#include "error.h"
#include "limits.h"
#include "schema.h"

struct config_database {
    char *name;
    char *address; /* NULL: local */
    size_t table_count;
    char **tables;
};

struct config {
    char *file; /* NULL: none was read */
    char *data; /* NULL: not given; likewise below */
    char *cluster;
    char *schema;
    char *http_listen;
    char *http_token_file;
    char *http_host; /* a name that the server goes by */
    struct limits limits;
    size_t database_count;
    struct config_database *databases;
};

/* An empty configuration: defaults only. */
void config_init(struct config *config);
bool config_read(struct config *config, const char *path, struct error *error);
void config_release(struct config *config);

/* The placement that the [database …] sections ask for; the caller releases it. */
bool config_placement(const struct config *config, struct schema_placement *ret_placement, struct error *error);

/* The address of a database, NULL when it is local or not mentioned. */
const char *config_address(const struct config *config, const char *database);

#endif
