/* SPDX-License-Identifier: Apache-2.0 */
#include "descriptors.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static void limit(rlim_t soft)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = soft;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static rlim_t soft_limit(void)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    return limit.rlim_cur;
}

/* Opens as many as can be had and closes them; how many. */
static uint64_t opened(void)
{
    int fds[1000];
    uint64_t count = 0;

    while (count < 1000 && (fds[count] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        count++;
    for (uint64_t i = 0; i < count; i++)
        close(fds[i]);
    return count;
}

static void the_soft_limit_is_raised_to_what_is_needed_and_never_lowered(void **state)
{
    (void)state;
    limit(40);
    assert_int_equal(descriptors_make_room(100), 100);
    assert_int_equal(opened(), 100);
    assert_int_equal(descriptors_make_room(10), 10);
    assert_int_equal(opened(), 100);
}

static void beyond_the_hard_limit_it_tells_what_there_is(void **state)
{
    const struct rlimit hard = {60, 200};

    (void)state;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &hard), 0); /* for good */
    uint64_t room = descriptors_make_room(1000);
    assert_int_equal(soft_limit(), 200);
    assert_int_equal(opened(), room);
    int all[200];
    for (uint64_t i = 0; i < room; i++)
        all[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(descriptors_make_room(5), 0);
    for (uint64_t i = 0; i < room; i++)
        close(all[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_soft_limit_is_raised_to_what_is_needed_and_never_lowered),
        cmocka_unit_test(beyond_the_hard_limit_it_tells_what_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
