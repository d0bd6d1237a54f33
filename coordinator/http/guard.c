/* SPDX-License-Identifier: Apache-2.0 */
#include "guard.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

bool guard_token_fits(const char *token, const char *authorization)
{
    if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0)
        return false;
    const char *given = authorization + 7;
    size_t len = strlen(token), given_len = strlen(given);
    volatile unsigned char differs = len != given_len || len == 0;

    for (size_t i = 0; i < given_len && len > 0; i++)
        differs |= (unsigned char)(token[i % len] ^ given[i]);
    return !differs;
}

static bool is_port(const char *text)
{
    return !*text || (*text == ':' && text[1] && strspn(text + 1, "0123456789") == strlen(text + 1));
}

/* The host without brackets and port into `name`. */
static bool split(const char *host, char *name, size_t size, bool *ret_bracketed)
{
    *ret_bracketed = *host == '[';
    const char *begin = host + *ret_bracketed;
    size_t len = strcspn(begin, *ret_bracketed ? "]" : ":");
    const char *rest = begin + len;

    if (*ret_bracketed && *rest++ != ']')
        return false;
    if (len == 0 || len >= size || !is_port(rest))
        return false;
    memcpy(name, begin, len);
    name[len] = '\0';
    return true;
}

bool guard_host_is_known(const char *host, const char *name)
{
    char bare[256];
    bool bracketed;
    struct in6_addr address;

    if (!host || !split(host, bare, sizeof bare, &bracketed))
        return false;
    if (bracketed)
        return inet_pton(AF_INET6, bare, &address) == 1;
    return strcasecmp(bare, "localhost") == 0 || inet_pton(AF_INET, bare, &address) == 1 ||
           (name && strcasecmp(bare, name) == 0);
}

bool guard_origin_is_own(const char *origin, const char *host)
{
    if (!origin)
        return true;
    return host && strncasecmp(origin, "http://", 7) == 0 && strcasecmp(origin + 7, host) == 0;
}
