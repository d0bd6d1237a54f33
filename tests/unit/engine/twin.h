/* SPDX-License-Identifier: Apache-2.0 */
/* twin.h - an engine on real shards, and one SQLite file beside it to which the same is done (one_file.h).
 *
 * The shards' files lie in a temporary directory; shardd is the one of this build. */
#ifndef SHEAF_TEST_TWIN_H
#define SHEAF_TEST_TWIN_H

#include "one_file.h"

struct twin {
    struct schema *schema;
    struct engine *engine; /* NULL after twin_stop */
    struct one_file one;
    char data[64];
};

/* `together`: all tables in one database, else each in its own. False, with nothing left behind: the schema is not
 * taken (`error`); a schema that is taken and does not start is a panic. */
bool twin_open(struct twin *twin, const char *ddl, bool together, struct error *error);
void twin_close(struct twin *twin);

/* Does the line to both. False: they do not agree, and `text` says how. */
bool twin_do(struct twin *twin, const char *line, struct buffer *text);

/* Stops the engine and compares every table. */
bool twin_same_at_the_end(struct twin *twin, struct buffer *text);

/* What all files hold, one line a row. The engine is stopped. */
void twin_dump(const struct twin *twin, struct buffer *text);

#endif
