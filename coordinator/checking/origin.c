/* SPDX-License-Identifier: Apache-2.0 */
#include "origin.h"

#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CANDIDATES_MAX 8 /* different ones; what differs from all of these is in the minority anyway */
#define CACHE_BYTES 262144

struct candidate {
    struct file_meta meta;
    unsigned votes;
};

struct election {
    struct candidate candidates[CANDIDATES_MAX];
    size_t count;
};

static bool same(const struct file_meta *a, const struct file_meta *b)
{
    return !strcmp(a->cluster, b->cluster) && !strcmp(a->schema, b->schema) && !strcmp(a->placement, b->placement);
}

/* Takes `meta` over. */
static void vote(struct election *election, struct file_meta *meta)
{
    for (size_t i = 0; i < election->count; i++)
        if (same(&election->candidates[i].meta, meta)) {
            election->candidates[i].votes++;
            file_meta_release(meta);
            return;
        }
    if (election->count == CANDIDATES_MAX) {
        file_meta_release(meta);
        return;
    }
    election->candidates[election->count++] = (struct candidate){.meta = *meta, .votes = 1};
}

/* A file that says nothing, or cannot be read, is judged later. */
static bool ask(struct election *election, const char *data, const char *name)
{
    struct file *file = NULL;
    struct file_meta meta = {0};
    struct error ignored;
    char *path = NULL;
    if (asprintf(&path, "%s/%s", data, name) < 0)
        return false;
    bool says = file_open(path, CACHE_BYTES, &file, &ignored) == FILE_OPENED &&
                file_meta_read(file_snapshot(file), &meta, &ignored);
    file_close(file);
    free(path);
    if (says)
        vote(election, &meta);
    return true;
}

static int is_database(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return len > 3 && !strcmp(entry->d_name + len - 3, ".db");
}

static const struct candidate *elected(const struct election *election)
{
    const struct candidate *best = NULL;
    for (size_t i = 0; i < election->count; i++)
        if (!best || election->candidates[i].votes > best->votes)
            best = &election->candidates[i];
    return best;
}

static bool copy(struct file_meta *to, const char *cluster, const char *schema, const char *placement,
                 struct error *error)
{
    *to = (struct file_meta){
        .cluster = strdup(cluster), .schema = strdup(schema), .placement = strdup(placement), .database = strdup("")};
    if (to->cluster && to->schema && to->placement && to->database)
        return true;
    file_meta_release(to);
    return error_set(error, ERROR_INTERNAL, "out of memory");
}

/* The files are asked in the order of their names, so that a tie ends the same way each time. */
static bool elect(const char *data, struct election *election, struct error *error)
{
    struct dirent **names = NULL;
    int count = scandir(data, &names, is_database, alphasort);
    if (count < 0)
        return error_set(error, ERROR_IO, "%s: %s", data, strerror(errno));
    bool ok = true;
    for (int i = 0; i < count; i++) {
        ok = ok && ask(election, data, names[i]->d_name);
        free(names[i]);
    }
    free(names);
    return ok || error_set(error, ERROR_INTERNAL, "out of memory");
}

bool origin_find(const char *data, const struct origin_note *note, struct file_meta *ret_origin, struct error *error)
{
    struct election election = {0};
    bool ok = elect(data, &election, error);
    const struct candidate *best = elected(&election);
    if (ok && note->cluster && note->schema)
        ok = copy(ret_origin, note->cluster, note->schema, note->placement, error);
    else if (ok && !best)
        ok = error_set(error, ERROR_NOT_FOUND, "%s: there is no database of Sheaf's in it", data);
    else if (ok)
        ok = copy(ret_origin, note->cluster ? note->cluster : best->meta.cluster, best->meta.schema,
                  best->meta.placement, error);
    for (size_t i = 0; i < election.count; i++)
        file_meta_release(&election.candidates[i].meta);
    return ok;
}
