/* SPDX-License-Identifier: Apache-2.0 */
/* origin.h - whose database files a directory holds, and by which schema they are to be judged.
 *
 * DIR/sheaf.cluster says so where it is there; bare files say it themselves, and where they disagree most of them are
 * believed, so that the one that was mistaken for another is the one that is reported. */
#ifndef SHEAF_ORIGIN_H
#define SHEAF_ORIGIN_H

#include "error.h"
#include "file_meta.h"

/* What DIR/sheaf.cluster says; NULL where it does not. */
struct origin_note {
    const char *cluster;
    const char *schema;
    const char *placement;
};

/* Into `ret_origin` cluster, schema and placement; the caller releases it. ERROR_IO: the directory cannot be read;
 * ERROR_NOT_FOUND: no file in it says anything. */
bool origin_find(const char *data, const struct origin_note *note, struct file_meta *ret_origin, struct error *error);

#endif
