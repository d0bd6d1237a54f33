/* SPDX-License-Identifier: Apache-2.0 */
#include "listen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define REAL_SIZE 4096 /* PATH_MAX of Linux */
#define NONE                            \
    {                                   \
        .fd = -1, .sockets.lock_fd = -1 \
    }

static char folder[400];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/sheaf-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder); /* fails when anything was left */
}

static mode_t mode_of(const char *path)
{
    struct stat status;

    assert_int_equal(lstat(path, &status), 0);
    return status.st_mode;
}

static bool can_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char real[REAL_SIZE];
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    assert_non_null(realpath(path, real));
    assert_true(strlen(real) < sizeof address.sun_path);
    memcpy(address.sun_path, real, strlen(real));
    bool connected = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return connected;
}

static void a_port_of_0_becomes_the_one_that_it_got(void **state)
{
    (void)state;
    struct listener listener = NONE;
    struct error error;
    bool loopback = false;

    assert_true(listen_tcp("127.0.0.1:0", &listener, &loopback, &error));
    assert_true(loopback);
    assert_int_equal(strncmp(listener.name, "127.0.0.1:", 10), 0);
    assert_true(atoi(listener.name + 10) > 0);
    listen_close(&listener);
    assert_int_equal(listener.fd, -1);
    listen_close(&listener); /* twice is harmless */
}

static void what_others_can_reach_is_no_loopback(void **state)
{
    (void)state;
    const struct {
        const char *address;
        bool loopback;
    } cases[] = {
        {"localhost:0", true}, {"127.0.0.2:0", true}, {"0.0.0.0:0", false}, {"[::1]:0", true}, {"[::]:0", false}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct listener listener = NONE;
        struct error error;
        bool loopback = !cases[i].loopback;

        if (!listen_tcp(cases[i].address, &listener, &loopback, &error)) {
            assert_int_equal(cases[i].address[0], '['); /* no IPv6 here */
            continue;
        }
        assert_int_equal(loopback, cases[i].loopback);
        if (cases[i].address[0] == '[')
            assert_int_equal(listener.name[0], '[');
        listen_close(&listener);
    }
}

static void what_is_no_address_is_refused_and_named(void **state)
{
    (void)state;
    const char *const wrong[] = {"",
                                 "80",
                                 "host",
                                 ":80",
                                 "127.0.0.1:",
                                 "127.0.0.1:x",
                                 "127.0.0.1:65536",
                                 "127.0.0.1:-1",
                                 "::1:80",
                                 "[::1]80",
                                 "[::1]:",
                                 "[::1",
                                 "[]:80",
                                 "127.0.0.1:+1",
                                 "a:b:80",
                                 "256.1.1.1:80",
                                 "127.0.0.1: 80",
                                 "127.0.0.1:000080"};

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct listener listener = NONE;
        struct error error = {0};
        bool loopback;

        if (listen_tcp(wrong[i], &listener, &loopback, &error))
            fail_msg("%s is an address", wrong[i]);
        assert_int_equal(error.code, ERROR_PARSE);
        assert_non_null(strstr(error.text, wrong[i]));
        assert_int_equal(listener.fd, -1);
    }
}

static void a_port_that_is_taken_cannot_be_had(void **state)
{
    (void)state;
    struct listener first = NONE, second = NONE;
    struct error error;
    bool loopback;

    assert_true(listen_tcp("127.0.0.1:0", &first, &loopback, &error));
    assert_true(listen_open(&first, &error));
    assert_false(listen_tcp(first.name, &second, &loopback, &error));
    assert_int_equal(error.code, ERROR_UNAVAILABLE);
    assert_non_null(strstr(error.text, first.name));
    listen_close(&first);
}

/* As a process that is killed does. */
static void leave_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%.107s", path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    close(fd);
}

static void a_unix_socket_is_private_and_closed_until_it_is_opened(void **state)
{
    (void)state;
    struct listener listener = NONE;
    struct error error;
    char path[420];

    snprintf(path, sizeof path, "%s/x.sock", folder);
    leave_socket(path); /* what stands there is left over */
    mode_t before = umask(0);
    assert_true(listen_unix(folder, "x.sock", &listener, &error));
    assert_int_equal(umask(before), 0); /* as it was */
    assert_string_equal(listener.name, path);
    assert_int_equal(mode_of(path), S_IFSOCK | 0600);
    assert_false(can_connect(path));
    assert_true(listen_open(&listener, &error));
    assert_true(can_connect(path));
    listen_close(&listener);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void the_longest_path_is_a_socket_and_a_longer_one_a_link(void **state)
{
    (void)state;
    for (size_t len = LIMIT_SOCKET_PATH_MAX; len <= LIMIT_SOCKET_PATH_MAX + 1; len++) {
        struct listener listener = NONE;
        struct error error;
        char name[LIMIT_SOCKET_PATH_MAX + 2] = {0}, path[600], real[REAL_SIZE], directory[REAL_SIZE];

        memset(name, 'n', len - strlen(folder) - 1);
        snprintf(path, sizeof path, "%s/%s", folder, name);
        assert_int_equal(strlen(path), len);
        if (!listen_unix(folder, name, &listener, &error))
            fail_msg("%s", error.text);
        assert_string_equal(listener.name, path);
        assert_int_equal(S_ISLNK(mode_of(path)), len > LIMIT_SOCKET_PATH_MAX);
        assert_non_null(realpath(path, real));
        assert_int_equal(mode_of(real), S_IFSOCK | 0600);
        strcpy(directory, real);
        *strrchr(directory, '/') = '\0';
        assert_int_equal(mode_of(directory), S_IFDIR | 0700);
        assert_true(listen_open(&listener, &error));
        assert_true(can_connect(path));
        listen_close(&listener);
        assert_int_not_equal(access(real, F_OK), 0);
        assert_int_equal(access(directory, F_OK), len > LIMIT_SOCKET_PATH_MAX ? -1 : 0);
    }
}

static void a_directory_that_is_not_there_is_named(void **state)
{
    (void)state;
    struct listener listener = NONE;
    struct error error;

    assert_false(listen_unix("/nowhere-at-all", "x.sock", &listener, &error));
    assert_int_equal(error.code, ERROR_UNAVAILABLE);
    assert_non_null(strstr(error.text, "/nowhere-at-all/x.sock"));
    assert_int_equal(listener.fd, -1);
}

static void what_is_no_socket_is_left_where_it_stands(void **state)
{
    (void)state;
    struct listener listener = NONE;
    struct error error = {0};
    char path[500];

    snprintf(path, sizeof path, "%s/http.sock", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    assert_false(listen_unix(folder, "http.sock", &listener, &error));
    assert_int_equal(error.code, ERROR_UNAVAILABLE);
    assert_non_null(strstr(error.text, path));
    assert_true(S_ISREG(mode_of(path)));
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_false(listen_unix(folder, "http.sock", &listener, &error));
    assert_true(S_ISDIR(mode_of(path)));
    rmdir(path);
    assert_int_equal(symlink("nowhere", path), 0); /* as one that was killed leaves it */
    assert_true(listen_unix(folder, "http.sock", &listener, &error));
    assert_true(S_ISSOCK(mode_of(path)));
    listen_close(&listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_port_of_0_becomes_the_one_that_it_got),
        cmocka_unit_test(what_others_can_reach_is_no_loopback),
        cmocka_unit_test(what_is_no_address_is_refused_and_named),
        cmocka_unit_test(a_port_that_is_taken_cannot_be_had),
        cmocka_unit_test_setup_teardown(a_unix_socket_is_private_and_closed_until_it_is_opened, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(the_longest_path_is_a_socket_and_a_longer_one_a_link, make_folder,
                                        remove_folder),
        cmocka_unit_test(a_directory_that_is_not_there_is_named),
        cmocka_unit_test_setup_teardown(what_is_no_socket_is_left_where_it_stands, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
