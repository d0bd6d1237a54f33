/* SPDX-License-Identifier: Apache-2.0 */
/* privileges.h - what a server gives up before it opens anything: core dumps, and root. Once, before any thread is
 * made; processes started later inherit it. */
#ifndef SHEAF_PRIVILEGES_H
#define SHEAF_PRIVILEGES_H

#include "error.h"

/* No core dumps, here and in what is started: they hold users' data. With a `user` (NULL: none) becomes that user, for
 * good; ERROR_PARSE when there is no such user, or this process is not root and somebody else. */
bool privileges_drop(const char *user, struct error *error);

#endif
