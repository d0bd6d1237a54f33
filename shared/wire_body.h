/* SPDX-License-Identifier: Apache-2.0 */
/* wire_body.h - what the parts of wire.h read bodies with; for them alone. */
#ifndef SHEAF_WIRE_BODY_H
#define SHEAF_WIRE_BODY_H

#include "wire.h"

/* Refuses a message as `parse`, naming what of it cannot be read. Returns false. */
bool wire_malformed(struct error *error, const char *what);

/* The next item is an array of so many. */
bool wire_body_array(struct cursor *body, uint32_t wanted, const char *what, struct error *error);

/* A body is the last item of its message: nothing may come behind it. */
bool wire_body_done(const struct cursor *body, const char *what, struct error *error);

#endif
