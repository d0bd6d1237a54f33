/* SPDX-License-Identifier: Apache-2.0 */
#include "sql_token.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static const char *skip_comment(const char *at, const char *end)
{
    if (end - at < 2)
        return at;
    if (at[0] == '-' && at[1] == '-') {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        return line_end ? line_end + 1 : end;
    }
    if (at[0] != '/' || at[1] != '*')
        return at;
    const char *close = memmem(at + 2, (size_t)(end - at) - 2, "*/", 2);
    return close ? close + 2 : end;
}

static const char *skip_blanks(const char *at, const char *end)
{
    for (;;) {
        while (at < end && isspace((unsigned char)*at))
            at++;
        const char *behind = skip_comment(at, end);
        if (behind == at)
            return at;
        at = behind;
    }
}

static bool is_word_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

/* Behind a quoted text; a doubled quote is part of it. */
static const char *skip_quoted(const char *at, const char *end)
{
    char close = *at;
    if (close == '[')
        close = ']';
    for (at++; at < end; at++) {
        if (*at != close)
            continue;
        if (close == ']' || at + 1 == end || at[1] != close)
            return at + 1;
        at++;
    }
    return end;
}

struct sql_token sql_token_next(const char **at, const char *end)
{
    const char *start = skip_blanks(*at, end), *stop = start;
    struct sql_token token = {.text = start};
    if (start < end && strchr("'\"`[", *start)) {
        stop = skip_quoted(start, end);
    } else if (start < end && is_word_byte(*start)) {
        while (stop < end && is_word_byte(*stop))
            stop++;
        token.word = true;
    } else if (start < end) {
        stop = start + 1;
    }
    token.len = (size_t)(stop - start);
    *at = stop;
    return token;
}

bool sql_token_is(const struct sql_token *token, const char *word)
{
    return token->word && token->len == strlen(word) && !strncasecmp(token->text, word, token->len);
}
