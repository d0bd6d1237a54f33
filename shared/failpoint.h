/* SPDX-License-Identifier: Apache-2.0 */
/* failpoint.h - named places at which a process can be made to die, as by kill -9: for tests/fault.
 *
 * Compiled in with -DSHEAF_FAILPOINTS=ON; else there is nothing of it in the programs but the answer of --failpoints.
 * SHEAF_FAILPOINTS=FOLDER in the environment: a file FOLDER/NAME arms one. The first process that comes by NAME while
 * that file is there removes it and dies, so that exactly one does, and whoever made the file sees when. If its text is
 * a number the thread stands still for so many milliseconds before: what was sent by then gets out of the process. NAME
 * is "PROGRAM.PLACE" or "PROGRAM.PLACE.KIND", KIND being a message of wire.h or an entry of its batches; --failpoints
 * prints them all. */
#ifndef SHEAF_FAILPOINT_H
#define SHEAF_FAILPOINT_H

#include <stdbool.h>
#include <stddef.h>

#ifdef SHEAF_FAILPOINTS
#define FAILPOINT(place, kind) failpoint_pass(place, kind)
#define FAILPOINT_MESSAGE(place, bytes, len) failpoint_pass_message(place, bytes, len)
#else
#define FAILPOINT(place, kind) ((void)0)
#define FAILPOINT_MESSAGE(place, bytes, len) ((void)0)
#endif

/* Which program this is: "coordinator" or "shardd". Main thread, before any other. */
void failpoint_open(const char *program);

/* All names of this program, a line each, to stdout. False: this build has none, which it says on stderr. */
bool failpoint_list(void);

/* Any thread; dies, or returns. `kind` may be NULL. A place that failpoint_list does not know is a panic. Not called
 * but through the macros. */
void failpoint_pass(const char *place, const char *kind);
void failpoint_pass_message(const char *place, const void *bytes, size_t len); /* of a request or an answer */

#endif
