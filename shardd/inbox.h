/* SPDX-License-Identifier: Apache-2.0 */
/* inbox.h - what has arrived and not been handled: from nng's threads and the signal thread to the main thread.
 *
 * Bounded: when it is full the caller stops receiving, which stops the sender, until inbox_take says to go on. Its
 * mutex is the only lock of shardd: it is held for a few pointer moves, never while anything is called. */
#ifndef SHEAF_INBOX_H
#define SHEAF_INBOX_H

#include "error.h"

#include <nng/nng.h>

#define INBOX_MAX 256u

struct inbox;

struct inbox *inbox_new(struct error *error);
void inbox_free(struct inbox *inbox); /* frees what is left in it */

/* Any thread. Takes the message. False: the inbox is full now, and nothing more may be put until inbox_take has said
 * so. */
bool inbox_put(struct inbox *inbox, nng_msg *message);
/* Wakes the main thread for good. Any thread. */
void inbox_stop(struct inbox *inbox);

/* Main thread. The next message; waits when there is none and `wait`. NULL: none, or stopped and empty. *ret_room is
 * true when an inbox_put was answered with false and there is room again. */
nng_msg *inbox_take(struct inbox *inbox, bool wait, bool *ret_room);

#endif
