/* SPDX-License-Identifier: Apache-2.0 */
/* check.h - `coordinator check`: verifies the databases of a directory, repairs nothing. */
#ifndef SHEAF_CHECK_H
#define SHEAF_CHECK_H

int check_command(int argc, char **argv);

#endif
