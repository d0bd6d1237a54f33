/* SPDX-License-Identifier: Apache-2.0 */
/* load.h - `coordinator load`: files into tables, as one input. */
#ifndef SHEAF_LOAD_H
#define SHEAF_LOAD_H

int load_command(int argc, char **argv);

#endif
