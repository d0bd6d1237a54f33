/* SPDX-License-Identifier: Apache-2.0 */
/* head.h - a request's target and headers, out of the library's memory: there they stay until the request ends.
 *
 * Order: head_begin when the target has come, head_read when all has. Server thread. */
#ifndef SHEAF_HEAD_H
#define SHEAF_HEAD_H

#include "request.h"

struct MHD_Connection;

/* A request for `target`, whose query is the library's no more. NULL: out of memory. */
struct request *head_begin(struct http *http, const char *target);

/* Fills request->headers. ERROR_PARSE: the head is not sound (framing.h). */
bool head_read(struct request *request, struct MHD_Connection *connection, const char *method, const char *version,
               struct error *error);

/* NULL: not there. */
const char *head_value(struct MHD_Connection *connection, const char *name);

#endif
