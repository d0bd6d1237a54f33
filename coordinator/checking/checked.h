/* SPDX-License-Identifier: Apache-2.0 */
/* checked.h - the inside of the room: a database of the schema during a check. */
#ifndef SHEAF_CHECKED_H
#define SHEAF_CHECKED_H

#include "files.h"
#include "findings.h"
#include "schema.h"

/* The lock keys of all promises in one file, sorted; read again when the file has changed. */
struct leftover_keys {
    uint64_t *keys;
    size_t count;
    int64_t version; /* file_version when they were read; 0: never */
};

struct checked {
    const char *name;
    bool elsewhere;    /* its shard has an address, and its file is not here */
    struct file *file; /* NULL: elsewhere, or not to be relied on, which was said */
    struct leftover_keys promised;
};

#endif
