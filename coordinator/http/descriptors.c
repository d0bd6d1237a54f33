/* SPDX-License-Identifier: Apache-2.0 */
#include "descriptors.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>

#define LOOKED_AT_MAX 65536u /* the lowest that is free is taken: few are above */

/* Tens of thousands of calls: a tenth of a second of a start. */
static uint64_t try_each(rlim_t limit)
{
    uint64_t open = 0;

    for (rlim_t fd = 0; fd < limit && fd < LOOKED_AT_MAX; fd++)
        open += fcntl((int)fd, F_GETFD) >= 0;
    return open;
}

static uint64_t count_open(rlim_t limit)
{
    DIR *listed = opendir("/proc/self/fd");
    uint64_t open = 0;

    if (!listed)
        return try_each(limit);
    for (const struct dirent *entry; (entry = readdir(listed));) {
        rlim_t fd = strtoul(entry->d_name, NULL, 10);
        open += entry->d_name[0] != '.' && fd < limit && fd != (rlim_t)dirfd(listed);
    }
    closedir(listed);
    return open;
}

uint64_t descriptors_make_room(uint64_t wanted)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return wanted;
    uint64_t open = count_open(limit.rlim_cur), needed = open + wanted;
    if (limit.rlim_cur < needed) {
        const struct rlimit raised = {limit.rlim_max < needed ? limit.rlim_max : needed, limit.rlim_max};

        if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
            limit = raised;
    }
    if (limit.rlim_cur >= needed)
        return wanted;
    return limit.rlim_cur > open ? limit.rlim_cur - open : 0;
}
