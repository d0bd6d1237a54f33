/* SPDX-License-Identifier: Apache-2.0 */
#include "faults.h"

#include "file_objects.h"
#include "shard.h"
#include "trust.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    enum faults_of of;
    unsigned left; /* until it fails */
    unsigned n;
    bool lasting, hit;
    unsigned inside; /* of calls that are wrapped */
} faults;

void faults_begin(enum faults_of of, unsigned n, bool lasting)
{
    faults.of = of;
    faults.left = faults.n = n;
    faults.lasting = lasting;
    faults.hit = false;
}

bool faults_end(void)
{
    faults.of = FAULTS_NONE;
    return faults.hit;
}

static bool fails(enum faults_of of)
{
    if (!faults.inside || faults.of != of || (!faults.left && !faults.lasting))
        return false;
    if (faults.left && --faults.left)
        return false;
    return faults.hit = true;
}

/* ---- where it counts ---- */

#define INSIDE(type, name, parameters, arguments) \
    type __real_##name parameters;                \
    type __wrap_##name parameters;                \
    type __wrap_##name parameters                 \
    {                                             \
        faults.inside++;                          \
        type result = __real_##name arguments;    \
        faults.inside--;                          \
        return result;                            \
    }

INSIDE(struct store *, store_open, (const struct store_options *options, struct error *error), (options, error))
INSIDE(bool, store_claim,
       (struct store * store, uint64_t epoch, uint64_t coordinator, const struct wire_hello *hello,
        struct error *error),
       (store, epoch, coordinator, hello, error))
INSIDE(bool, store_describe, (struct store * store, struct wire_hello_answer *answer, struct error *error),
       (store, answer, error))
INSIDE(struct batch *, batch_new, (struct store * store, struct error *error), (store, error))
INSIDE(struct read *, read_new, (struct store * store, struct error *error), (store, error))
INSIDE(struct children *, children_new, (struct store * store, struct error *error), (store, error))
INSIDE(enum batch_result, batch_apply,
       (struct batch * batch, struct cursor *body, struct buffer *answer, struct error *error),
       (batch, body, answer, error))
INSIDE(enum batch_committed, batch_commit, (struct batch * batch, uint64_t *commit_ns, struct error *error),
       (batch, commit_ns, error))
INSIDE(bool, batch_probe, (struct batch * batch, struct cursor *body, struct buffer *answer, struct error *error),
       (batch, body, answer, error))
INSIDE(bool, answers_find,
       (struct answers * answers, const struct wire_kept_ask *ask, struct buffer *answer, struct error *error),
       (answers, ask, answer, error))
INSIDE(bool, read_exists,
       (struct read * read, const struct wire_exists *ask, struct buffer *answer, struct error *error),
       (read, ask, answer, error))
INSIDE(bool, read_keys, (struct read * read, const struct wire_keys *ask, struct buffer *answer, struct error *error),
       (read, ask, answer, error))
INSIDE(bool, read_scan, (struct read * read, const struct wire_scan *ask, struct buffer *answer, struct error *error),
       (read, ask, answer, error))
INSIDE(bool, read_rows, (struct read * read, const struct wire_read *ask, struct buffer *answer, struct error *error),
       (read, ask, answer, error))
INSIDE(bool, children_find,
       (struct children * children, const struct wire_children_ask *ask, struct buffer *answer, struct error *error),
       (children, ask, answer, error))

/* These build the schema in a database of their own, or look at all of SQLite's functions, in thousands of calls, among
 * which those of the shard would be lost. */
#define OUTSIDE(type, name, parameters, arguments)               \
    type __real_##name parameters;                               \
    type __wrap_##name parameters;                               \
    type __wrap_##name parameters                                \
    {                                                            \
        unsigned before = faults.inside;                         \
        faults.inside = faults.of == FAULTS_MEMORY ? before : 0; \
        type result = __real_##name arguments;                   \
        faults.inside = before;                                  \
        return result;                                           \
    }

OUTSIDE(struct schema *, schema_load,
        (const char *text, size_t len, const char *file, const struct schema_placement *placement, struct error *error),
        (text, len, file, placement, error))
OUTSIDE(bool, trust_functions, (sqlite3 * connection), (connection))
OUTSIDE(enum file_objects_result, file_objects_compare,
        (sqlite3 * connection, const struct schema_database *database, file_objects_tell *each, void *context,
         struct error *error),
        (connection, database, each, context, error))

/* ---- the rooms' memory ---- */

#define MEMORY(type, name, parameters, arguments)                     \
    type __real_##name parameters;                                    \
    type __wrap_##name parameters;                                    \
    type __wrap_##name parameters                                     \
    {                                                                 \
        return fails(FAULTS_MEMORY) ? NULL : __real_##name arguments; \
    }

MEMORY(void *, malloc, (size_t size), (size))
MEMORY(void *, calloc, (size_t count, size_t size), (count, size))
MEMORY(void *, realloc, (void *memory, size_t size), (memory, size))
MEMORY(char *, strdup, (const char *text), (text))
MEMORY(char *, strndup, (const char *text, size_t len), (text, len))

int __wrap_asprintf(char **text, const char *format, ...);
int __wrap_asprintf(char **text, const char *format, ...)
{
    if (fails(FAULTS_MEMORY))
        return -1;
    va_list arguments;
    va_start(arguments, format);
    int len = vasprintf(text, format, arguments);
    va_end(arguments);
    return len;
}

/* ---- SQLite's memory ---- */

static sqlite3_mem_methods real_memory;

static void *memory_new(int size)
{
    return fails(FAULTS_SQLITE_MEMORY) ? NULL : real_memory.xMalloc(size);
}

static void *memory_resized(void *memory, int size)
{
    return fails(FAULTS_SQLITE_MEMORY) ? NULL : real_memory.xRealloc(memory, size);
}

void faults_prepare(void)
{
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory), SQLITE_OK);
    sqlite3_mem_methods memory = real_memory;
    memory.xMalloc = memory_new;
    memory.xRealloc = memory_resized;
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &memory), SQLITE_OK);
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0), SQLITE_OK); /* every allocation is seen */
    assert_int_equal(sqlite3_initialize(), SQLITE_OK);
}

/* ---- SQLite's calls ---- */

static int failure(void)
{
    static const int codes[] = {SQLITE_IOERR_READ, SQLITE_NOMEM, SQLITE_FULL, SQLITE_CORRUPT};
    return codes[faults.n % (sizeof codes / sizeof *codes)];
}

#define CALL(name, parameters, arguments)                                        \
    int __real_##name parameters;                                                \
    int __wrap_##name parameters;                                                \
    int __wrap_##name parameters                                                 \
    {                                                                            \
        return fails(FAULTS_SQLITE_CALLS) ? failure() : __real_##name arguments; \
    }

CALL(sqlite3_step, (sqlite3_stmt * statement), (statement))
CALL(sqlite3_prepare_v2, (sqlite3 * connection, const char *sql, int len, sqlite3_stmt **statement, const char **tail),
     (connection, sql, len, statement, tail))
CALL(sqlite3_prepare_v3,
     (sqlite3 * connection, const char *sql, int len, unsigned flags, sqlite3_stmt **statement, const char **tail),
     (connection, sql, len, flags, statement, tail))
CALL(sqlite3_exec,
     (sqlite3 * connection, const char *sql, int (*each)(void *, int, char **, char **), void *context, char **said),
     (connection, sql, each, context, said))
CALL(sqlite3_bind_text, (sqlite3_stmt * statement, int at, const char *text, int len, void (*end)(void *)),
     (statement, at, text, len, end))
CALL(sqlite3_bind_blob, (sqlite3_stmt * statement, int at, const void *bytes, int len, void (*end)(void *)),
     (statement, at, bytes, len, end))
CALL(sqlite3_bind_blob64,
     (sqlite3_stmt * statement, int at, const void *bytes, sqlite3_uint64 len, void (*end)(void *)),
     (statement, at, bytes, len, end))
CALL(sqlite3_db_cacheflush, (sqlite3 * connection), (connection))
CALL(sqlite3_file_control, (sqlite3 * connection, const char *name, int operation, void *argument),
     (connection, name, operation, argument))
