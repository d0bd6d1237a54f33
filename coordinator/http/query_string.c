/* SPDX-License-Identifier: Apache-2.0 */
#include "query_string.h"

#include "uri.h"

#include <string.h>

static bool decode(const char *text, size_t len, struct buffer *decoded, char **ret_text, size_t *ret_len,
                   struct error *error)
{
    size_t begun = decoded->len;

    if (!uri_decode(text, len, true, decoded, error))
        return false;
    *ret_text = (char *)decoded->bytes + begun;
    *ret_len = decoded->len - begun;
    return buffer_put(decoded, "", 1) || error_set(error, ERROR_INTERNAL, "out of memory");
}

bool query_string_next(struct query_string *query, struct buffer *decoded, struct query_part *ret_part,
                       struct error *error)
{
    struct query_part part;
    char *name;

    while (query->at && *query->at == '&')
        query->at++;
    if (!query->at || !*query->at)
        return false;
    size_t len = strcspn(query->at, "&");
    const char *equals = memchr(query->at + 1, '=', len - 1);
    if (!equals)
        return error_set(error, ERROR_PARSE, "a parameter is NAME=VALUE, not %.*s", (int)len, query->at);
    size_t name_len = (size_t)(equals - query->at);
    if (!decode(query->at, name_len, decoded, &name, &part.name_len, error) ||
        !decode(equals + 1, len - name_len - 1, decoded, &part.value, &part.value_len, error))
        return false;
    part.name = name;
    query->at += len;
    *ret_part = part;
    return true;
}
