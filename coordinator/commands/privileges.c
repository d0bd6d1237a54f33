/* SPDX-License-Identifier: Apache-2.0 */
#include "privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static bool become(const char *user, struct error *error)
{
    errno = 0;
    const struct passwd *entry = getpwnam(user); /* no other thread is there yet */

    if (!entry)
        return error_set(error, ERROR_PARSE, "--user %s: %s", user, errno ? strerror(errno) : "there is no such user");
    if (geteuid() != 0)
        return entry->pw_uid == geteuid() || error_set(error, ERROR_PARSE, "--user %s: only root can become it", user);
    if (initgroups(user, entry->pw_gid) != 0 || setgid(entry->pw_gid) != 0 || setuid(entry->pw_uid) != 0)
        return error_set(error, ERROR_UNAVAILABLE, "--user %s: %s", user, strerror(errno));
    return true;
}

bool privileges_drop(const char *user, struct error *error)
{
    const struct rlimit none = {0};

    if (setrlimit(RLIMIT_CORE, &none) != 0)
        return error_set(error, ERROR_INTERNAL, "core dumps cannot be turned off: %s", strerror(errno));
    return !user || become(user, error);
}
