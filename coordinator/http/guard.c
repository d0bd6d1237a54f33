/* SPDX-License-Identifier: Apache-2.0 */
#include "guard.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#define GUARD_NAME_SIZE 256

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
    char bare[GUARD_NAME_SIZE];
    bool bracketed;
    struct in6_addr address;

    if (!host || !split(host, bare, sizeof bare, &bracketed))
        return false;
    if (bracketed)
        return inet_pton(AF_INET6, bare, &address) == 1;
    return strcasecmp(bare, "localhost") == 0 || inet_pton(AF_INET, bare, &address) == 1 ||
           (name && strcasecmp(bare, name) == 0);
}

/* The port's text; `standard`: when it names none. */
static const char *port_of(const char *authority, const char *standard)
{
    size_t bracket = *authority == '[' ? strcspn(authority, "]") : 0;
    const char *colon = strchr(authority + bracket, ':');

    return colon ? colon + 1 : standard;
}

bool guard_origin_is_own(const char *origin, const char *host)
{
    char origin_name[GUARD_NAME_SIZE], host_name[GUARD_NAME_SIZE];
    bool origin_bracketed, host_bracketed;

    if (!origin)
        return true;
    bool plain = strncasecmp(origin, "http://", 7) == 0;
    if (!host || (!plain && strncasecmp(origin, "https://", 8) != 0))
        return false;
    const char *authority = origin + (plain ? 7 : 8), *standard = plain ? "80" : "443";
    return split(authority, origin_name, sizeof origin_name, &origin_bracketed) &&
           split(host, host_name, sizeof host_name, &host_bracketed) && origin_bracketed == host_bracketed &&
           strcasecmp(origin_name, host_name) == 0 &&
           strcmp(port_of(authority, standard), port_of(host, standard)) == 0;
}
