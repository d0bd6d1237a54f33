/* SPDX-License-Identifier: Apache-2.0 */
/* insert_command.h - `coordinator insert`: rows as JSON lines from stdin, an answer for each line on stdout. */
#ifndef SHEAF_INSERT_COMMAND_H
#define SHEAF_INSERT_COMMAND_H

int insert_command(int argc, char **argv);

#endif
