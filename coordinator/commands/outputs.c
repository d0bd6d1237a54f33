/* SPDX-License-Identifier: Apache-2.0 */
#include "outputs.h"

#include <dirent.h>
#include <fcntl.h>
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
        return error_set(error, ERROR_PARSE, "%s %s: this is an input, and would be overwritten", option, path);
    if (is_in_directory(outputs->data, file))
        return error_set(error, ERROR_PARSE, "%s %s: this belongs to the data directory %s", option, path,
                         outputs->data);
    return true;
}

bool outputs_may_write(const struct outputs *outputs, const char *option, const char *path, struct error *error)
{
    struct stat file;

    return !path || stat(path, &file) != 0 || outputs_may_replace(outputs, option, path, &file, error);
}
