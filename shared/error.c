/* SPDX-License-Identifier: Apache-2.0 */
#include "error.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of the well-formed UTF-8 sequence at `text`, 0 when there is none (Unicode 15, table 3-7). */
static size_t utf8_sequence(const unsigned char *text, size_t left)
{
    static const struct {
        unsigned char first_min, first_max, second_min, second_max, len;
    } forms[] = {{0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
                 {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
                 {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (text[0] < forms[i].first_min || text[0] > forms[i].first_max || forms[i].len > left)
            continue;
        if (text[1] < forms[i].second_min || text[1] > forms[i].second_max)
            continue;
        for (size_t j = 2; j < forms[i].len; j++)
            if ((text[j] & 0xc0) != 0x80)
                return 0;
        return forms[i].len;
    }
    return 0;
}

/* Copies `from` into `to` as one clean line: what is no printable UTF-8 becomes \xNN. C1 controls (U+0080-U+009F) are
 * controls too. Cuts at a whole character. */
static void copy_clean(char *to, size_t size, const char *from)
{
    size_t len = strlen(from), at = 0, used = 0;
    const unsigned char *bytes = (const unsigned char *)from;
    while (at < len) {
        size_t whole = bytes[at] >= 0x20 && bytes[at] < 0x7f ? 1 : 0;
        if (bytes[at] >= 0x80) {
            whole = utf8_sequence(bytes + at, len - at);
            if (whole == 2 && bytes[at] == 0xc2 && bytes[at + 1] < 0xa0)
                whole = 0;
        }
        size_t needed = whole ? whole : 4;
        if (used + needed >= size)
            break;
        if (whole)
            memcpy(to + used, from + at, whole);
        else
            snprintf(to + used, 5, "\\x%02x", bytes[at]);
        used += needed;
        at += whole ? whole : 1;
    }
    to[used] = '\0';
}

bool error_set_v(struct error *error, enum error_code code, const char *format, va_list arguments)
{
    if (!error)
        return false;
    char raw[sizeof error->text];
    vsnprintf(raw, sizeof raw, format, arguments);
    error->code = code;
    error->table[0] = '\0';
    error->constraint[0] = '\0';
    copy_clean(error->text, sizeof error->text, raw);
    return false;
}

bool error_set(struct error *error, enum error_code code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_set_v(error, code, format, arguments);
    va_end(arguments);
    return false;
}

bool error_about(struct error *error, const char *table, const char *constraint)
{
    if (error && table)
        snprintf(error->table, sizeof error->table, "%s", table);
    if (error && constraint)
        snprintf(error->constraint, sizeof error->constraint, "%s", constraint);
    return false;
}

bool error_prefix(struct error *error, const char *format, ...)
{
    if (!error)
        return false;
    char raw[2 * sizeof error->text];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(raw, sizeof error->text, format, arguments);
    va_end(arguments);
    size_t used = len < 0 ? 0 : (size_t)len < sizeof error->text ? (size_t)len : sizeof error->text - 1;
    snprintf(raw + used, sizeof raw - used, "%s", error->text);
    copy_clean(error->text, sizeof error->text, raw);
    return false;
}

const char *error_code_name(enum error_code code)
{
    switch (code) {
#define X(number, name, text) \
    case ERROR_##name:        \
        return text;
        ERROR_CODES(X)
#undef X
    case ERROR_NONE:
    case ERROR_CODE_COUNT:
        break;
    }
    return "none";
}

enum error_code error_code_of(const char *name)
{
#define X(number, code_name, text) \
    if (!strcmp(name, text))       \
        return ERROR_##code_name;
    ERROR_CODES(X)
#undef X
    return ERROR_NONE;
}

bool error_code_valid(unsigned number)
{
    return number > ERROR_NONE && number < ERROR_CODE_COUNT;
}

_Noreturn void error_panic(const char *file, int line, const char *format, ...)
{
    fprintf(stderr, "panic at %s:%d: ", file, line);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    abort();
}
