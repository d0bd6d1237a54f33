/* SPDX-License-Identifier: Apache-2.0 */
/* error.h - what can go wrong, as a value: a code from one closed list and a text with context.
 *
 * Every function that can fail for a reason a user may meet takes a `struct error *` as its last
 * parameter, returns `bool` or a pointer, and on failure has filled it. The struct is plain data:
 * it owns nothing, is copied by assignment and lives on the caller's stack.
 *
 * The names of the codes are what every front end prints (docs/formats.md): the list is closed. */
#ifndef SHEAF_ERROR_H
#define SHEAF_ERROR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* Numbers go over the wire and into files: never renumber, never reuse. */
#define ERROR_CODES(X)                           \
    X(1, PARSE, "parse")                         \
    X(2, UNKNOWN_TABLE, "unknown_table")         \
    X(3, UNKNOWN_COLUMN, "unknown_column")       \
    X(4, TYPE, "type")                           \
    X(5, NOT_NULL, "not_null")                   \
    X(6, CHECK, "check")                         \
    X(7, UNIQUE, "unique")                       \
    X(8, REFERENCE_MISSING, "reference_missing") \
    X(9, REFERENCED, "referenced")               \
    X(10, NOT_FOUND, "not_found")                \
    X(11, TOO_LARGE, "too_large")                \
    X(12, CONFLICT, "conflict")                  \
    X(13, KEY_REUSED, "key_reused")              \
    X(14, PRECONDITION, "precondition")          \
    X(15, UNAUTHORIZED, "unauthorized")          \
    X(16, FORBIDDEN, "forbidden")                \
    X(17, METHOD, "method")                      \
    X(18, MEDIA_TYPE, "media_type")              \
    X(19, BUSY, "busy")                          \
    X(20, UNAVAILABLE, "unavailable")            \
    X(21, UNKNOWN, "unknown")                    \
    X(22, IO, "io")                              \
    X(23, INTERNAL, "internal")

enum error_code {
    ERROR_NONE = 0,
#define X(number, name, text) ERROR_##name = number,
    ERROR_CODES(X)
#undef X
        ERROR_CODE_COUNT
};

struct error {
    enum error_code code;
    char table[256];      /* the table concerned; "" when there is none */
    char constraint[512]; /* name, text or columns of the rule (docs/formats.md); "" when there is none */
    char text[1024];      /* one line for a person, values of users escaped by error_set; cut, never overrun */
};

/* Clears `error`, then fills it: control characters (and invalid UTF-8) that came in through
 * arguments are written as \xNN so that the text is always one clean line. Accepts NULL.
 * Returns false, so that `return error_set(error, …)` reads well. */
bool error_set(struct error *error, enum error_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool error_set_v(struct error *error, enum error_code code, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

/* Says which table and rule the error is about; either may be NULL (kept as it is). Returns false. */
bool error_about(struct error *error, const char *table, const char *constraint);

/* Puts "context: " before the text ("orders.csv:17: "). Returns false. */
bool error_prefix(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "parse", …; "none" for ERROR_NONE. Never NULL. */
const char *error_code_name(enum error_code code);

/* The code of a name; ERROR_NONE when there is no such name. */
enum error_code error_code_of(const char *name);

/* Whether `number` is a code of the list (for what comes over the wire). */
bool error_code_valid(unsigned number);

/* A broken invariant of our own: writes the facts and the place to stderr, aborts. */
_Noreturn void error_panic(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));
#define panic(...) error_panic(__FILE__, __LINE__, __VA_ARGS__)

#endif
