/* SPDX-License-Identifier: Apache-2.0 */
#include "outputs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool is_read(const struct outputs *outputs, const struct stat *file)
{
    struct stat other;

    for (size_t i = 0; i < outputs->count; i++) {
        const char *path = outputs->files[i];
        if (path && (strcmp(path, "-") == 0 ? fstat(STDIN_FILENO, &other) : stat(path, &other)) == 0 &&
            same_file(file, &other))
            return true;
    }
    return false;
}

static bool is_in_directory(const char *directory, const struct stat *file)
{
    DIR *entries = opendir(directory);
    struct dirent *entry;
    struct stat other;
    bool found = false;

    while (entries && !found && (entry = readdir(entries)) != NULL)
        found = fstatat(dirfd(entries), entry->d_name, &other, 0) == 0 && same_file(file, &other);
    if (entries)
        closedir(entries);
    return found;
}

bool outputs_may_replace(const struct outputs *outputs, const char *option, const char *path, const struct stat *file,
                         struct error *error)
{
    if (!S_ISREG(file->st_mode))
        return true;
    if (is_read(outputs, file))
        return error_set(error, ERROR_PARSE, "%s %s: this is an input or another output, and would be overwritten",
                         option, path);
    if (is_in_directory(outputs->data, file))
        return error_set(error, ERROR_PARSE, "%s %s: this belongs to the data directory %s", option, path,
                         outputs->data);
    return true;
}

#define LINKS_MAX 40 /* as the kernel has it */

/* Where a file would be made that is not there: behind links that lead to nothing, too. False, and errno: nowhere. */
static bool directory_of(const char *path, char at[PATH_MAX])
{
    char target[PATH_MAX];

    errno = ENAMETOOLONG;
    if (snprintf(at, PATH_MAX, "%s", path) >= PATH_MAX)
        return false;
    for (int links = 0; links <= LINKS_MAX; links++) {
        ssize_t len = readlink(at, target, sizeof target - 1);
        char *slash = strrchr(at, '/');
        if (len < 0) {
            if (slash)
                slash[1] = '\0'; /* the root keeps its own */
            else
                strcpy(at, ".");
            return true;
        }
        target[len] = '\0';
        size_t kept = target[0] != '/' && slash ? (size_t)(slash + 1 - at) : 0;
        if (snprintf(at + kept, PATH_MAX - kept, "%s", target) >= (int)(PATH_MAX - kept))
            return false;
    }
    errno = ELOOP;
    return false;
}

static bool may_make(const struct outputs *outputs, const char *option, const char *path, struct error *error)
{
    struct stat data, directory;
    char at[PATH_MAX];

    if (!*path)
        return error_set(error, ERROR_PARSE, "%s: an empty name is no file", option);
    if (!directory_of(path, at) || stat(at, &directory) != 0 || access(at, W_OK | X_OK) != 0)
        return error_set(error, ERROR_PARSE, "%s %s: %s", option, path, strerror(errno));
    if (stat(outputs->data, &data) == 0 && same_file(&data, &directory))
        return error_set(error, ERROR_PARSE, "%s %s: nothing is made in the data directory %s", option, path,
                         outputs->data);
    return true;
}

bool outputs_may_write(const struct outputs *outputs, const char *option, const char *path, struct error *error)
{
    struct stat file;

    if (!path)
        return true;
    return stat(path, &file) == 0 ? outputs_may_replace(outputs, option, path, &file, error)
                                  : may_make(outputs, option, path, error);
}
