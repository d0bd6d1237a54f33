/* SPDX-License-Identifier: Apache-2.0 */
#include "json_cut.h"

#include "limits.h"

#include <string.h>

static const char *over_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    return at;
}

char json_cut_kind(const char *text, size_t len)
{
    if (len == 0)
        return 0;
    const char *at = over_blanks(text, text + len);

    return at < text + len && (*at == '[' || *at == '{') ? *at : 0;
}

struct json_cut json_cut_open(const char *text, size_t len)
{
    const char *at = over_blanks(text, text + len);

    return (struct json_cut){.at = at + 1, .end = text + len, .close = *at == '[' ? ']' : '}'};
}

/* Behind the string that begins at `at`; NULL: it has no end. */
static const char *over_string(const char *at, const char *end)
{
    for (at++; at < end; at++) {
        if (*at == '"')
            return at + 1;
        at += *at == '\\';
    }
    return NULL;
}

/* Behind the value that begins at `at`: up to a comma or a bracket that is not its own. NULL: too deep, or cut. */
static const char *over_value(const char *at, const char *end)
{
    int depth = 0;

    while (at < end) {
        bool closes = *at == ']' || *at == '}';

        if (depth == 0 && (closes || *at == ','))
            return at;
        if (*at == '"') {
            at = over_string(at, end);
            if (!at)
                return NULL;
            continue;
        }
        depth += (*at == '[' || *at == '{') - closes;
        if (depth > LIMIT_JSON_DEPTH_MAX)
            return NULL;
        at++;
    }
    return NULL;
}

static enum json_cut_result wrong(struct error *error)
{
    error_set(error, ERROR_PARSE, "the body is no JSON, or nests more than %d levels deep", LIMIT_JSON_DEPTH_MAX);
    return JSON_CUT_WRONG;
}

/* The name and its colon. */
static bool read_name(struct json_cut *cut, struct json_member *member)
{
    const char *after = cut->at < cut->end && *cut->at == '"' ? over_string(cut->at, cut->end) : NULL;
    const char *colon = after ? over_blanks(after, cut->end) : NULL;

    if (!colon || colon == cut->end || *colon != ':')
        return false;
    member->name = cut->at;
    member->name_len = (size_t)(after - cut->at);
    cut->at = over_blanks(colon + 1, cut->end);
    return true;
}

enum json_cut_result json_cut_next(struct json_cut *cut, struct json_member *ret_member, struct error *error)
{
    struct json_member member = {0};
    const char *after;

    cut->at = over_blanks(cut->at, cut->end);
    if (cut->at == cut->end)
        return wrong(error);
    if (*cut->at == cut->close)
        return over_blanks(cut->at + 1, cut->end) == cut->end ? JSON_CUT_END : wrong(error);
    if (cut->begun) {
        if (*cut->at != ',')
            return wrong(error);
        cut->at = over_blanks(cut->at + 1, cut->end);
    }
    if (cut->close == '}' && !read_name(cut, &member))
        return wrong(error);
    after = over_value(cut->at, cut->end);
    if (!after || after == cut->at)
        return wrong(error);
    member.value = cut->at;
    member.len = (size_t)(after - cut->at);
    cut->at = after;
    cut->begun = true;
    *ret_member = member;
    return JSON_CUT_MEMBER;
}

bool json_cut_count(const char *text, size_t len, uint32_t most, uint32_t *ret_count, struct error *error)
{
    struct json_cut cut = json_cut_open(text, len);
    struct json_member member;
    enum json_cut_result result;
    uint32_t count = 0;

    while ((result = json_cut_next(&cut, &member, error)) == JSON_CUT_MEMBER)
        if (++count > most)
            return error_set(error, ERROR_TOO_LARGE, "a request has at most %u operations", most);
    *ret_count = count;
    return result == JSON_CUT_END;
}
