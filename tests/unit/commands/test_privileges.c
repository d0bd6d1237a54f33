/* SPDX-License-Identifier: Apache-2.0 */
#include "privileges.h"

#include <grp.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* What is given up is gone for good: each case is a process of its own, which ends with 0 when all is as it should be.
 */
static void in_a_child(bool (*is_right)(void))
{
    pid_t child = fork();
    int status = -1;

    assert_true(child >= 0);
    if (child == 0)
        _exit(is_right() ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static bool dumps_no_core(void)
{
    struct rlimit limit = {1, 1};
    struct error error;
    uid_t before = geteuid();

    return privileges_drop(NULL, &error) && getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 0 &&
           limit.rlim_max == 0 && geteuid() == before;
}

static bool becomes_nobody(void)
{
    const struct passwd *nobody = getpwnam("nobody");
    struct error error;
    gid_t groups[64] = {0, 4711}; /* that root has */

    if (setgroups(2, groups) != 0 || !privileges_drop("nobody", &error) || getuid() != nobody->pw_uid ||
        geteuid() != nobody->pw_uid || getgid() != nobody->pw_gid || getegid() != nobody->pw_gid)
        return false;
    int count = getgroups(64, groups);
    for (int i = 0; i < count; i++)
        if (groups[i] == 0 || groups[i] == 4711)
            return false;
    return setuid(0) != 0 && seteuid(0) != 0 && setgid(0) != 0; /* and cannot go back */
}

static bool stays_who_it_is(void)
{
    struct error error;

    return setuid(getpwnam("nobody")->pw_uid) == 0 && privileges_drop("nobody", &error) &&
           geteuid() == getpwnam("nobody")->pw_uid;
}

static bool refuses_to_be_somebody_else(void)
{
    struct error error = {0};

    return setuid(getpwnam("nobody")->pw_uid) == 0 && !privileges_drop("root", &error) && error.code == ERROR_PARSE &&
           strstr(error.text, "--user root");
}

static bool knows_no_such_user(void)
{
    struct error error = {0};

    return !privileges_drop("nobody-of-that-name", &error) && error.code == ERROR_PARSE &&
           strstr(error.text, "nobody-of-that-name");
}

static void no_core_is_dumped(void **state)
{
    (void)state;
    in_a_child(dumps_no_core);
}

static void an_absent_user_is_named(void **state)
{
    (void)state;
    in_a_child(knows_no_such_user);
}

static void root_becomes_whom_it_is_told_for_good(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    in_a_child(becomes_nobody);
}

static void who_is_not_root_can_only_stay(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    in_a_child(stays_who_it_is);
    in_a_child(refuses_to_be_somebody_else);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_core_is_dumped),
        cmocka_unit_test(an_absent_user_is_named),
        cmocka_unit_test(root_becomes_whom_it_is_told_for_good),
        cmocka_unit_test(who_is_not_root_can_only_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
