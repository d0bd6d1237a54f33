/* SPDX-License-Identifier: Apache-2.0 */
/* done.h - requests whose work is over, on their way from the engine's or the gatherer's thread to the server's.
 *
 * done_put from any thread: it only hangs the request into a list and wakes the server when the list was empty. The
 * number of requests is bounded by the connections. The mutex guards the two ends of the list and nothing else, and no
 * call is made under it. */
#ifndef SHEAF_DONE_H
#define SHEAF_DONE_H

#include "error.h"

struct request;
struct done;

struct done *done_new(struct error *error);
void done_free(struct done *done);

void done_put(struct done *done, struct request *request);

/* Readable while something is in the list. Server thread; likewise below. */
int done_fd(const struct done *done);
/* All that are in it, in order, linked by `next_done`; NULL: none. */
struct request *done_take(struct done *done);

#endif
