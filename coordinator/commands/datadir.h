/* SPDX-License-Identifier: Apache-2.0 */
/* datadir.h - the data directory: made, locked, and the note in it that says whose it is.
 *
 * DIR               0700, made when it is missing (its parent must be there); one that others than its owner may write
 *                   is refused: they could put a file of theirs in a database's place
 * DIR/sheaf.lock    flock for as long as a coordinator uses the directory, and a record lock on all of it, for those
 * who only ask (datadir_is_held); holds its pid as text DIR/sheaf.cluster the cluster's id, and after the first start
 * that succeeded the schema and the placement
 *
 * The id is noted before the shards first hear it and the schema only after they all took it: a first start that is
 * killed in between leaves an id that the next start goes on with, and no claim to a schema.
 *
 * Order: datadir_open, cluster_read, cluster_write…, datadir_close. One thread. Errors name the directory or file;
 * ERROR_UNAVAILABLE: another process holds it; ERROR_IO: anything else that is wrong with it. */
#ifndef SHEAF_DATADIR_H
#define SHEAF_DATADIR_H

#include "error.h"

#include <stddef.h>

struct datadir;

struct datadir *datadir_open(const char *path, struct error *error);
/* For reading the note only: makes nothing and locks nothing, whoever has the directory. */
struct datadir *datadir_look(const char *path, struct error *error);
/* Whether another coordinator has the directory; that is asked without standing in its way, or in that of one that is
 * just starting. */
bool datadir_is_held(const struct datadir *datadir);
/* Unlocks. The directory and the lock file stay. NULL is fine. */
void datadir_close(struct datadir *datadir);
/* The same for a command that came to nothing: what datadir_open has made goes, the directory if nothing else is in it.
 */
void datadir_undo(struct datadir *datadir);

/* Whether the whole world may see which files are in it (each of which is 0600), or open those whose names it knows. */
bool datadir_others_may_look_in(const struct datadir *datadir);

/* Whether a file in it is a symbolic link. */
bool datadir_has_link(const struct datadir *datadir, const char *name);

const char *datadir_path(const struct datadir *datadir);

#define CLUSTER_ID_SIZE 64 /* with its NUL, as the wire has it */

struct cluster {
    char id[CLUSTER_ID_SIZE]; /* "": there is no note yet */
    char *schema;             /* NULL: no start has succeeded yet; NUL-terminated, likewise below */
    size_t schema_len;
    char *placement;
    size_t placement_len;
};

/* A random id, 128 bits as hex, behind "NAME." when there is a name (letters, digits, _ and -; at most 30). */
bool cluster_id_new(const char *name, char id[CLUSTER_ID_SIZE], struct error *error);
/* Whether an id was made with that name. */
bool cluster_id_has_name(const char *id, const char *name);

/* Releases nothing of what `ret_cluster` held; the caller releases the result. A missing note is not an error. */
bool cluster_read(const struct datadir *datadir, struct cluster *ret_cluster, struct error *error);

/* Durably, in one step: a crash leaves the old note or the new one. */
bool cluster_write(const struct datadir *datadir, const struct cluster *cluster, struct error *error);
/* Takes the note away: of an id that nobody has heard. */
void cluster_remove(const struct datadir *datadir);

void cluster_release(struct cluster *cluster);

#endif
