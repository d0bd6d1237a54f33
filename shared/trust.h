/* SPDX-License-Identifier: Apache-2.0 */
/* trust.h - which functions the expressions of a schema may use: those that SQLite calls innocuous, and JSON's.
 *
 * https://sqlite.org/c3ref/c_deterministic.html: what is not SQLITE_INNOCUOUS may stand in CHECKs, generated columns,
 * indexes, views and triggers only where the schema is trusted; SQLite 3.40 does not say it of its JSON functions (3.41
 * does). */
#ifndef SHEAF_TRUST_H
#define SHEAF_TRUST_H

#include <sqlite3.h>
#include <stdbool.h>

/* Takes the functions of FTS and R-Tree from the connection, so that the rest can be trusted. A SQLite in which another
 * function would then be left is not trusted: JSON stays out of schemas there. Before the connection is used. False:
 * memory is out, or SQLite fails (sqlite3_errmsg says how). */
bool trust_functions(sqlite3 *connection);

#endif
