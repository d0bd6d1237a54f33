/* SPDX-License-Identifier: Apache-2.0 */
#include "lines.h"

#include <stdlib.h>
#include <string.h>

#define READ_AHEAD 65536 /* a pipe's worth */

struct lines {
    size_t line_max;
    size_t capacity;
    size_t begin; /* of the line that is looked at */
    size_t seen;  /* bytes from `begin` that are known to hold no line end */
    size_t end;
    uint64_t number; /* of the lines that ended */
    bool skipping;   /* inside a line that is too long and was told */
    bool ended;
    char *bytes;
};

struct lines *lines_new(size_t line_max)
{
    struct lines *lines = calloc(1, sizeof *lines);

    if (!lines)
        return NULL;
    lines->line_max = line_max;
    lines->capacity = line_max + READ_AHEAD;
    lines->bytes = malloc(lines->capacity);
    if (!lines->bytes) {
        free(lines);
        return NULL;
    }
    return lines;
}

void lines_free(struct lines *lines)
{
    if (!lines)
        return;
    free(lines->bytes);
    free(lines);
}

void *lines_room(struct lines *lines, size_t *ret_room)
{
    if (lines->begin > 0) {
        memmove(lines->bytes, lines->bytes + lines->begin, lines->end - lines->begin);
        lines->end -= lines->begin;
        lines->begin = 0;
    }
    /* Never full: lines_next takes what is longer than line_max out of the way. */
    *ret_room = lines->capacity - lines->end;
    return lines->bytes + lines->end;
}

void lines_filled(struct lines *lines, size_t len)
{
    lines->end += len;
    lines->ended = len == 0;
}

static bool is_blank(const char *line, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
            return false;
    return true;
}

/* The stream's first line may begin with a byte order mark. */
static void skip_mark(const struct lines *lines, size_t *from, size_t *len)
{
    if (lines->number == 1 && *len >= 3 && memcmp(lines->bytes + *from, "\xef\xbb\xbf", 3) == 0) {
        *from += 3;
        *len -= 3;
    }
}

/* Moves over the next line (its end included) and says where it was. False: it has not ended yet. */
static bool next_end(struct lines *lines, size_t *ret_from, size_t *ret_len)
{
    const char *from = lines->bytes + lines->begin;
    size_t left = lines->end - lines->begin;
    const char *newline = left > lines->seen ? memchr(from + lines->seen, '\n', left - lines->seen) : NULL;

    if (!newline && !(lines->ended && (left > 0 || lines->skipping))) {
        lines->seen = left;
        return false;
    }
    *ret_from = lines->begin;
    *ret_len = newline ? (size_t)(newline - from) : left;
    lines->begin += *ret_len + (newline ? 1 : 0);
    lines->seen = 0;
    lines->number++;
    return true;
}

enum lines_result lines_next(struct lines *lines, const char **ret_line, size_t *ret_len, uint64_t *ret_number)
{
    size_t from, len;

    while (next_end(lines, &from, &len)) {
        bool told = lines->skipping;

        lines->skipping = false;
        if (told)
            continue;
        if (len > lines->line_max) {
            *ret_number = lines->number;
            return LINES_TOO_LONG;
        }
        skip_mark(lines, &from, &len);
        if (is_blank(lines->bytes + from, len))
            continue;
        *ret_line = lines->bytes + from;
        *ret_len = len;
        *ret_number = lines->number;
        return LINES_LINE;
    }
    if (lines->skipping || lines->end - lines->begin > lines->line_max) {
        bool told = lines->skipping;

        lines->begin = lines->end; /* what is skipped is not kept */
        lines->seen = 0;
        lines->skipping = true;
        if (!told) {
            *ret_number = lines->number + 1;
            return LINES_TOO_LONG;
        }
    }
    return lines->ended ? LINES_END : LINES_MORE;
}

size_t lines_waiting(const struct lines *lines)
{
    return lines->end - lines->begin;
}
