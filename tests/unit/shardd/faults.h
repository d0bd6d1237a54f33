/* SPDX-License-Identifier: Apache-2.0 */
/* faults.h - the n-th thing that a shard asks for fails: memory of the rooms' own, memory of SQLite's, or a call of
 * SQLite's. Counted, and failing, only inside of the calls that faults.c wraps (store_open, batch_apply, …): what a
 * test does around them is left alone. The program is linked with faults_wrap (CMakeLists.txt). */
#ifndef SHEAF_TEST_FAULTS_H
#define SHEAF_TEST_FAULTS_H

#include <stdbool.h>

enum faults_of { FAULTS_NONE, FAULTS_MEMORY, FAULTS_SQLITE_MEMORY, FAULTS_SQLITE_CALLS };

/* Before SQLite is used at all. */
void faults_prepare(void);

/* From now on the n-th (from 1) of a kind fails, and `lasting`: all behind it until faults_end. */
void faults_begin(enum faults_of of, unsigned n, bool lasting);
/* Whether it has come to that. */
bool faults_end(void);

#endif
