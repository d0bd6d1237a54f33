/* SPDX-License-Identifier: Apache-2.0 */
/* serve.h - message in, one call, answer out.
 *
 * Listens on one nng PAIR0 socket. nng's threads answer pings at once, with a counter that the main thread moves and
 * that moves while a file is read, written or synced for it, and put everything else into the inbox; the main thread
 * does the rest, one message after the other. Write batches that have arrived together are committed together. What a
 * vanished peer will not read is dropped. */
#ifndef SHEAF_SERVE_H
#define SHEAF_SERVE_H

#include "error.h"
#include "store.h"

struct serve;

/* Opens the socket and listens on `url` (ipc://…, or tcp:// on loopback). One read, write or sync of a file that takes
 * longer than io_ms counts as no progress. */
struct serve *serve_open(struct store *store, const char *url, int64_t io_ms, struct error *error);

/* Main thread: handles messages until serve_stop. 0, or the exit status after a failure that must end the process
 * (logged). */
int serve_run(struct serve *serve);

/* Any thread: what has arrived is finished, then serve_run returns. */
void serve_stop(struct serve *serve);

/* For store_options.progress; `context` is the serve. */
void serve_progress(void *context);

void serve_close(struct serve *serve);

#endif
