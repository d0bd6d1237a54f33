/* SPDX-License-Identifier: Apache-2.0 */
/* relay_client.h - the engine of a running server, as one of this process (engine_elsewhere).
 *
 * What is submitted and asked goes to the server in the caller's thread, which may block while the server takes no
 * more; outcomes are told from a thread of the relay's own, as they would be from the engine's. When the server goes
 * away, what it had not answered ends as ERROR_UNKNOWN, and everything after that as ERROR_UNAVAILABLE. */
#ifndef SHEAF_RELAY_CLIENT_H
#define SHEAF_RELAY_CLIENT_H

#include "engine.h"

#define RELAY_SOCKET_NAME "relay.sock"

/* Reaches the server that has the data directory. NULL: ERROR_NOT_FOUND when none listens there; else the server
 * refuses, and why. Ended by engine_stop. */
struct engine *relay_connect(const char *directory, const struct schema *schema, struct error *error);

#endif
