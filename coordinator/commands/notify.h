/* SPDX-License-Identifier: Apache-2.0 */
/* notify.h - tells the service manager how it goes, if one asked: a datagram to $NOTIFY_SOCKET, as sd_notify(3)
 * documents it. */
#ifndef SHEAF_NOTIFY_H
#define SHEAF_NOTIFY_H

#include "error.h"

/* "READY=1", "STOPPING=1". True without having done anything when nobody asked. */
bool notify_send(const char *state, struct error *error);

#endif
