/* SPDX-License-Identifier: Apache-2.0 */
#include "notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* A service manager that listens at `path`; '@' first: in the abstract name space. */
static int manager(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    size_t len = strlen(path);

    memcpy(address.sun_path, path, len);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    assert_int_equal(
        bind(fd, (const struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)), 0);
    return fd;
}

static void is_heard(int fd, const char *expected)
{
    char said[64] = {0};

    assert_int_equal(recv(fd, said, sizeof said - 1, MSG_DONTWAIT), strlen(expected));
    assert_string_equal(said, expected);
}

static void nobody_asked_nothing_is_said(void **state)
{
    (void)state;
    struct error error = {0};

    unsetenv("NOTIFY_SOCKET");
    assert_true(notify_send("READY=1", &error));
    setenv("NOTIFY_SOCKET", "", 1);
    assert_true(notify_send("READY=1", &error));
    assert_int_equal(error.code, ERROR_NONE);
}

static void a_manager_hears_each_state_as_one_datagram(void **state)
{
    (void)state;
    struct error error = {0};
    char folder[] = "/tmp/sheaf-test-XXXXXX", path[64], abstract[64];

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/notify", folder);
    snprintf(abstract, sizeof abstract, "@sheaf-test-%d", (int)getpid());
    const char *const paths[] = {path, abstract};
    for (size_t i = 0; i < 2; i++) {
        int fd = manager(paths[i]);

        setenv("NOTIFY_SOCKET", paths[i], 1);
        if (!notify_send("READY=1", &error) || !notify_send("STOPPING=1", &error))
            fail_msg("%s", error.text);
        is_heard(fd, "READY=1");
        is_heard(fd, "STOPPING=1");
        close(fd);
    }
    assert_false(notify_send("READY=1", &error)); /* it has gone */
    assert_int_equal(error.code, ERROR_UNAVAILABLE);
    unlink(path);
    rmdir(folder);
}

static void what_is_no_socket_s_path_is_named(void **state)
{
    (void)state;
    char longest[sizeof((struct sockaddr_un){0}).sun_path + 2];

    memset(longest, 'x', sizeof longest);
    longest[0] = '/';
    longest[sizeof longest - 1] = '\0';
    const char *const wrong[] = {"relative", "vsock:1:2", longest, "/nowhere/at/all"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct error error = {0};

        setenv("NOTIFY_SOCKET", wrong[i], 1);
        assert_false(notify_send("READY=1", &error));
        assert_int_equal(error.code, ERROR_UNAVAILABLE);
        assert_non_null(strstr(error.text, "NOTIFY_SOCKET"));
        assert_non_null(strstr(error.text, wrong[i]));
    }
    unsetenv("NOTIFY_SOCKET");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_asked_nothing_is_said),
        cmocka_unit_test(a_manager_hears_each_state_as_one_datagram),
        cmocka_unit_test(what_is_no_socket_s_path_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
