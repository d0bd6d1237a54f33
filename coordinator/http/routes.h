/* SPDX-License-Identifier: Apache-2.0 */
/* routes.h - which call a request is, and whether it may be made at all.
 *
 * routes_begin is called when the headers are there and the body is not: it sets request->handle, or refuses (unknown
 * path, method, Host, Origin, token, media type). Server thread. */
#ifndef SHEAF_ROUTES_H
#define SHEAF_ROUTES_H

#include "request.h"

#define ROUTES_ROWS "/v1/rows/"

enum method routes_method(const char *name);

/* `version`: "HTTP/1.1". */
void routes_begin(struct request *request, const char *version);

#endif
