/* SPDX-License-Identifier: Apache-2.0 */
/* supervisor.h - one thread that keeps every shard of a coordinator alive: spawn, watch, reap, throttle.
 *
 * It owns the processes, their connections and the generations; the only thing that other threads touch is a shard's
 * open link and what it is wished to do, under that shard's lock. It is woken by descriptors (a process ended, a shard
 * said it is ready, a link changed, a command came) and by the nearest deadline, and never polls.
 *
 * Order: supervisor_start, supervisor_send, supervisor_restart…, supervisor_stop. */
#ifndef SHEAF_SUPERVISOR_H
#define SHEAF_SUPERVISOR_H

#include "links.h"

struct supervisor;

/* `urls`: per database where to dial it, NULL for a local one. `program`: shardd's path. Copies what it is given. */
struct supervisor *supervisor_start(const struct links_options *options, const char *program, char *const *urls,
                                    struct error *error);

bool supervisor_send(struct supervisor *supervisor, database_id database, uint64_t generation, const void *head,
                     size_t head_len, const void *body, size_t body_len);

void supervisor_restart(struct supervisor *supervisor, database_id database, uint64_t generation);

int64_t supervisor_pid(const struct supervisor *supervisor, database_id database);

/* Ends connections (no event comes from then on), processes and the thread, and frees. NULL is fine. */
void supervisor_stop(struct supervisor *supervisor);

#endif
