/* SPDX-License-Identifier: Apache-2.0 */
/* signals.h - SIGINT and SIGTERM as something to ask about and to wait for.
 *
 * The first one is only noted: whoever accepted work finishes it and ends with 128 + the number. The second one ends
 * the process at once (_exit); its shards follow, since they die with their parent, and what was acknowledged is on
 * disk. SIGPIPE is ignored: a closed stdout is an error of write(2). A signal that was ignored when the program was
 * started (nohup, a shell's background job) stays ignored.
 *
 * Order: signals_start before any thread is made (threads inherit the mask); a second call does nothing. The rest from
 * any thread. */
#ifndef SHEAF_SIGNALS_H
#define SHEAF_SIGNALS_H

#include "error.h"

bool signals_start(struct error *error);

/* SIGINT or SIGTERM when one came, else 0. */
int signals_caught(void);

/* A descriptor that becomes readable with the first signal and stays so; not to be read. -1 before signals_start. */
int signals_fd(void);

#endif
