/* SPDX-License-Identifier: Apache-2.0 */
/* demo.h - `coordinator demo`: the built-in shop's rows, valid and invalid, each an operation of its own and all in
 * flight at once; then what became of each and why, the databases' final rows read back through the shards, and the
 * times. */
#ifndef SHEAF_DEMO_H
#define SHEAF_DEMO_H

int demo_command(int argc, char **argv);

#endif
