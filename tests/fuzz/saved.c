/* SPDX-License-Identifier: Apache-2.0 */
/* Gives a target what is saved for it, in a build that has no libFuzzer: the files of the folders that are named. */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);

__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return 0;
}

size_t LLVMFuzzerMutate(uint8_t *bytes, size_t len, size_t len_max)
{
    (void)bytes;
    (void)len_max;
    return len;
}

static void give(const char *path)
{
    FILE *file = fopen(path, "re");
    static uint8_t room[1 << 20];
    size_t len = file ? fread(room, 1, sizeof room, file) : 0;
    if (!file || ferror(file)) {
        perror(path);
        exit(2);
    }
    fclose(file);
    uint8_t *bytes = malloc(len ? len : 1); /* its own, so that one byte too many is noticed */
    if (!bytes)
        exit(2);
    for (size_t i = 0; i < len; i++)
        bytes[i] = room[i];
    fprintf(stderr, "%s\n", path);
    LLVMFuzzerTestOneInput(bytes, len);
    free(bytes);
}

static unsigned give_folder(const char *folder)
{
    char path[4096];
    unsigned count = 0;
    DIR *directory = opendir(folder);
    if (!directory) {
        perror(folder);
        exit(2);
    }
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        give(path);
        count++;
    }
    closedir(directory);
    return count;
}

int main(int argc, char **argv)
{
    unsigned count = 0;
    LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++)
        count += give_folder(argv[i]);
    printf("%u saved inputs\n", count);
    return count ? 0 : 2;
}
