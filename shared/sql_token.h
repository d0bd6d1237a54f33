/* SPDX-License-Identifier: Apache-2.0 */
/* sql_token.h - cuts SQL into tokens, as far as Sheaf must: to compare two statements without their blanks and
 * comments, and to find a clause by its words. What the words mean is SQLite's business. */
#ifndef SHEAF_SQL_TOKEN_H
#define SHEAF_SQL_TOKEN_H

#include <stdbool.h>
#include <stddef.h>

struct sql_token {
    const char *text; /* view */
    size_t len;       /* 0: the end */
    bool word;        /* a keyword or a bare name */
};

/* The next token at *at, blanks and comments skipped; moves *at behind it. An unclosed quote ends with the text. */
struct sql_token sql_token_next(const char **at, const char *end);

/* Whether the token is this word, without case. */
bool sql_token_is(const struct sql_token *token, const char *word);

#endif
