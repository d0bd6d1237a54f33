/* SPDX-License-Identifier: Apache-2.0 */
/* keyreader.h - reads a table's rowids from its shard, chunk by chunk, into its presence set. */
#ifndef SHEAF_KEYREADER_H
#define SHEAF_KEYREADER_H

#include "core.h"

/* Goes on by itself until all is read; when the shard refuses or memory is out, the set is given up. */
void keyreader_start(struct engine *engine, table_id table);

#endif
