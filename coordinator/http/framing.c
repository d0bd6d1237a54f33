/* SPDX-License-Identifier: Apache-2.0 */
#include "framing.h"

#include <string.h>
#include <strings.h>

/* What a second one could contradict. */
static const char *const once[FRAMING_ONCE] = {"Host",   "Content-Length", "Transfer-Encoding", "Authorization",
                                               "Origin", "Content-Type",   "Idempotency-Key"};
enum { ONCE_HOST, ONCE_LENGTH, ONCE_CODING };

static bool is_control(char c)
{
    return (unsigned char)c < ' ' || c == 0x7f;
}

/* Between two lines there is a line break. */
static bool is_break(const char *from, const char *to)
{
    return to == from + 2 || to == from + 1;
}

bool framing_is_target(const char *target)
{
    while (*target && *target != ' ' && !is_control(*target))
        target++;
    return !*target;
}

void framing_begin(struct framing *framing, const char *target_end, const char *version)
{
    *framing = (struct framing){.at = version + strlen(version), .old = strcmp(version, "HTTP/1.0") == 0};
    framing->cut = version != target_end + 1;
}

/* RFC 9110, 5.6.2: no blank before the colon, no bracket, … */
static bool is_token(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (is_control(name[i]) || (name[i] & 0x80) || strchr(" \"(),/:;<=>?@[\\]{}", name[i]))
            return false;
    return len > 0;
}

static bool is_blank(const char *from, const char *to)
{
    if (from > to)
        return false;
    while (from < to && (*from == ' ' || *from == '\t'))
        from++;
    return from == to;
}

void framing_header(struct framing *framing, const char *name, size_t name_len, const char *value, size_t value_len)
{
    framing->cut |= !is_break(framing->at, name) || !is_blank(name + name_len + 1, value);
    framing->at = value + value_len;
    framing->wrong |= !is_token(name, name_len);
    for (size_t i = 0; i < value_len; i++)
        framing->wrong |= is_control(value[i]) && value[i] != '\t';
    for (size_t i = 0; i < FRAMING_ONCE; i++) {
        if (strcasecmp(name, once[i]) != 0)
            continue;
        if (framing->given[i] && !framing->twice)
            framing->twice = once[i];
        framing->given[i] = true;
        framing->coded |= i == ONCE_CODING && strcasecmp(value, "chunked") != 0;
    }
}

static bool ends_well(const struct framing *framing, const char *end)
{
    return is_break(framing->at, end - 1) || is_break(framing->at, end - 2);
}

bool framing_end(const struct framing *framing, const char *end, struct error *error)
{
    const bool *given = framing->given;

    if (framing->cut || framing->wrong || !ends_well(framing, end))
        return error_set(error, ERROR_PARSE,
                         "the request's head is no HTTP: a control character, a folded line, a "
                         "header's name that is none");
    if (framing->twice)
        return error_set(error, ERROR_PARSE, "%s is given twice", framing->twice);
    if (!given[ONCE_HOST] && !framing->old)
        return error_set(error, ERROR_PARSE, "a request of HTTP/1.1 has a Host");
    if (given[ONCE_LENGTH] && given[ONCE_CODING])
        return error_set(error, ERROR_PARSE, "a body has either a Content-Length or a Transfer-Encoding");
    if (framing->coded || (given[ONCE_CODING] && framing->old))
        return error_set(error, ERROR_PARSE, "the only Transfer-Encoding is chunked, in HTTP/1.1");
    return true;
}
