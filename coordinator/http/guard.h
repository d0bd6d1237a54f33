/* SPDX-License-Identifier: Apache-2.0 */
/* guard.h - who may ask: a request's Authorization, Host and Origin. Pure functions of the headers' text (NULL: the
 * header is not there). Any thread. */
#ifndef SHEAF_GUARD_H
#define SHEAF_GUARD_H

#include <stdbool.h>

/* Whether Authorization is "Bearer TOKEN". The time it takes tells nothing of the token but its length. */
bool guard_token_fits(const char *token, const char *authorization);

/* Whether Host, with or without a port, is known: localhost, an address in digits (no page of a foreign name can be
 * made to send one), or `name`, which the server was told to be called; may be NULL. */
bool guard_host_is_known(const char *host, const char *name);

/* Whether Origin is absent or the page of this very host and port, whichever of http and https it came by: a proxy may
 * have ended its TLS. A port that is not given is the one that the page's scheme stands for. */
bool guard_origin_is_own(const char *origin, const char *host);

#endif
