/* SPDX-License-Identifier: Apache-2.0 */
/* serve.h - `coordinator serve`: the databases behind HTTP, until a signal. */
#ifndef SHEAF_SERVE_COMMAND_H
#define SHEAF_SERVE_COMMAND_H

int serve_command(int argc, char **argv);

#endif
