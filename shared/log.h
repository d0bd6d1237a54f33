/* SPDX-License-Identifier: Apache-2.0 */
/* log.h - lines for operators on stderr: logfmt or JSON, one write(2) a line, so lines of several processes do not mix.
 *
 * Fields: ts (UTC, ms), level, process, shard (when set), msg, then the caller's fields. Values are escaped: no user's
 * value can break a line. log_open once, before threads start; log_write from any thread after that (what log_open set
 * is then only read). */
#ifndef SHEAF_LOG_H
#define SHEAF_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_LOGFMT, LOG_JSON };

struct log_field {
    const char *name;
    const char *text; /* NULL: `number` is the value */
    int64_t number;
};
#define LOG_TEXT(name_, text_) ((struct log_field){.name = (name_), .text = (text_)})
#define LOG_NUMBER(name_, number_) ((struct log_field){.name = (name_), .number = (int64_t)(number_)})

/* `process`: "coordinator" or "shardd"; `shard`: its database, or NULL. Strings must outlive the process's logging. */
void log_open(const char *process, const char *shard, enum log_level level, enum log_format format);
bool log_wants(enum log_level level);
void log_write(enum log_level level, const char *message, const struct log_field *fields, size_t count);

/* log_info("shard ready", LOG_TEXT("database", name), LOG_NUMBER("pid", pid)); */
#define LOG_FIELDS_(...) \
    (struct log_field[]) \
    {                    \
        __VA_ARGS__      \
    }
#define log_at(level, message, ...) \
    log_write(level, message, LOG_FIELDS_(__VA_ARGS__), sizeof(LOG_FIELDS_(__VA_ARGS__)) / sizeof(struct log_field))
#define log_error(message, ...) log_at(LOG_LEVEL_ERROR, message, __VA_ARGS__)
#define log_warn(message, ...) log_at(LOG_LEVEL_WARN, message, __VA_ARGS__)
#define log_info(message, ...) log_at(LOG_LEVEL_INFO, message, __VA_ARGS__)
#define log_debug(message, ...) log_at(LOG_LEVEL_DEBUG, message, __VA_ARGS__)

/* "error", "warn", "info", "debug"; "logfmt", "json". */
bool log_level_of(const char *name, enum log_level *ret_level);
bool log_format_of(const char *name, enum log_format *ret_format);

#endif
