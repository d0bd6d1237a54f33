/* SPDX-License-Identifier: Apache-2.0 */
/* framing.h - whether a request's head leaves no doubt where the request ends and whom it is for (RFC 9112): what two
 * programs on its way could read in two ways is refused, and the connection ended.
 *
 * Looks at the head where it lies. The library has cut it into texts in place, each at its end: a line break is NULs
 * there, and so is a colon. So a NUL that was sent shows in that the next line is not where the text before it ends,
 * and a line that was folded in that its name was moved away from its value.
 *
 * Order: framing_is_target before the target is cut, framing_begin, framing_header for each in the order in which they
 * came, framing_end. Any thread. */
#ifndef SHEAF_FRAMING_H
#define SHEAF_FRAMING_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>

#define FRAMING_ONCE 7

struct framing {
    const char *at;           /* the end of the last text */
    bool old;                 /* HTTP/1.0 */
    bool cut;                 /* there was more between two texts than the library puts there */
    bool wrong;               /* a name that is none, a control character */
    bool coded;               /* a Transfer-Encoding that is not "chunked" */
    bool given[FRAMING_ONCE]; /* of those that may come once; */
    const char *twice;        /* the first that came more often. NULL: none */
};

/* Whether a target is without blanks and control characters. */
bool framing_is_target(const char *target);

/* `target_end`: the end of the target, where it was sent; `version`: what follows it. */
void framing_begin(struct framing *framing, const char *target_end, const char *version);

void framing_header(struct framing *framing, const char *name, size_t name_len, const char *value, size_t value_len);

/* `end`: behind the head's last byte. False: ERROR_PARSE says what is wrong. */
bool framing_end(const struct framing *framing, const char *end, struct error *error);

#endif
