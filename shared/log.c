/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include "clock.h"
#include "value.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES_MAX 4096u

static struct {
    const char *process;
    const char *shard;
    enum log_level level;
    enum log_format format;
} log_state = {.process = "sheaf", .level = LOG_LEVEL_INFO};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

struct line {
    size_t len;
    char bytes[LINE_BYTES_MAX];
};

void log_open(const char *process, const char *shard, enum log_level level, enum log_format format)
{
    log_state.process = process;
    log_state.shard = shard;
    log_state.level = level;
    log_state.format = format;
}

bool log_wants(enum log_level level)
{
    return level <= log_state.level;
}

/* Keeps one byte back for the line's end. */
static void put(struct line *line, const char *bytes, size_t len)
{
    size_t room = sizeof line->bytes - 2 - line->len;
    if (len > room)
        len = room;
    memcpy(line->bytes + line->len, bytes, len);
    line->len += len;
}

static void put_escaped(struct line *line, const char *text)
{
    size_t len = strlen(text);
    bool clean = value_text_is_valid(text, len);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        char escape[8];
        if (c == '"' || c == '\\')
            snprintf(escape, sizeof escape, "\\%c", c);
        else if (c < 0x20 || c == 0x7f || (!clean && c >= 0x80))
            snprintf(escape, sizeof escape, "\\u%04x", c);
        else
            snprintf(escape, sizeof escape, "%c", c);
        if (line->len + strlen(escape) > sizeof line->bytes - 8)
            return; /* room for what closes the line; an escape is never cut in half */
        put(line, escape, strlen(escape));
    }
}

static bool is_plain(const char *text)
{
    if (!*text)
        return false;
    for (; *text; text++)
        if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 0x7f || strchr("\"\\=", *text))
            return false;
    return true;
}

static void put_name(struct line *line, const char *name)
{
    bool json = log_state.format == LOG_JSON;
    if (line->len > 1)
        put(line, json ? "," : " ", 1);
    if (json)
        put(line, "\"", 1);
    put(line, name, strlen(name));
    put(line, json ? "\":" : "=", json ? 2 : 1);
}

static void put_text(struct line *line, const char *name, const char *text)
{
    put_name(line, name);
    if (log_state.format == LOG_LOGFMT && is_plain(text)) {
        put(line, text, strlen(text));
        return;
    }
    put(line, "\"", 1);
    put_escaped(line, text);
    put(line, "\"", 1);
}

static void put_number(struct line *line, const char *name, int64_t number)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRId64, number);
    put_name(line, name);
    put(line, digits, strlen(digits));
}

static void put_time(struct line *line)
{
    int64_t now_ms = clock_wall_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    char text[64];
    size_t used = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + used, sizeof text - used, ".%03dZ", (int)(now_ms % 1000));
    put_text(line, "ts", text);
}

void log_write(enum log_level level, const char *message, const struct log_field *fields, size_t count)
{
    if (!log_wants(level))
        return;
    int saved = errno;
    struct line line = {0};
    bool json = log_state.format == LOG_JSON;
    if (json)
        put(&line, "{", 1);
    put_time(&line);
    put_text(&line, "level", level_names[level]);
    put_text(&line, "process", log_state.process);
    if (log_state.shard)
        put_text(&line, "shard", log_state.shard);
    put_text(&line, "msg", message);
    for (size_t i = 0; i < count; i++) {
        if (line.len > sizeof line.bytes - 512)
            break; /* a line has its limit; what does not fit is left out whole */
        if (fields[i].text)
            put_text(&line, fields[i].name, fields[i].text);
        else
            put_number(&line, fields[i].name, fields[i].number);
    }
    if (json)
        put(&line, "}", 1);
    line.bytes[line.len++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line.bytes, line.len); /* nobody is left to tell when this fails */
    (void)ignored;
    errno = saved;
}

bool log_level_of(const char *name, enum log_level *ret_level)
{
    for (unsigned i = 0; i < sizeof level_names / sizeof *level_names; i++)
        if (!strcmp(name, level_names[i])) {
            *ret_level = (enum log_level)i;
            return true;
        }
    return false;
}

bool log_format_of(const char *name, enum log_format *ret_format)
{
    bool json = !strcmp(name, "json");
    if (!json && strcmp(name, "logfmt"))
        return false;
    *ret_format = json ? LOG_JSON : LOG_LOGFMT;
    return true;
}
