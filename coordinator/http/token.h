/* SPDX-License-Identifier: Apache-2.0 */
/* token.h - the secret that clients must show, from a file that nobody else can read. */
#ifndef SHEAF_TOKEN_H
#define SHEAF_TOKEN_H

#include "error.h"

#define TOKEN_BYTES_MAX 1024u

/* A regular file that only its owner may read or write (0600), who is this user or root, with one line of printable
 * characters without blanks. The caller ends the token with token_free. ERROR_PARSE: anything that is wrong with it;
 * no message holds any of its content. */
bool token_read(const char *path, char **ret_token, struct error *error);
void token_free(char *token); /* wipes it. NULL is fine */

#endif
