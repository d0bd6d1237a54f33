/* SPDX-License-Identifier: Apache-2.0 */
#include "token.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64], file[96];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/sheaf-test-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(file, sizeof file, "%s/token", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unlink(file);
    return rmdir(folder);
}

static void write_file(const char *content, size_t len, mode_t mode)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, len), len);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void is_read_as(const char *content, const char *expected)
{
    struct error error = {0};
    char *token = NULL;

    write_file(content, strlen(content), 0600);
    if (!token_read(file, &token, &error))
        fail_msg("%s", error.text);
    assert_string_equal(token, expected);
    token_free(token);
}

static void is_refused(const char *path)
{
    struct error error = {0};
    char *token = NULL;

    assert_false(token_read(path, &token, &error));
    assert_null(token);
    assert_int_equal(error.code, ERROR_PARSE);
    assert_non_null(strstr(error.text, path));
    assert_null(strstr(error.text, "secret"));
}

static void one_line_is_a_token_with_or_without_its_end(void **state)
{
    (void)state;
    is_read_as("secret", "secret");
    is_read_as("secret\n", "secret");
    is_read_as("secret\r\n", "secret");
    is_read_as("!~", "!~");
}

static void the_longest_may_have_a_line_end_as_well(void **state)
{
    (void)state;
    char longest[TOKEN_BYTES_MAX + 4] = {0}, expected[TOKEN_BYTES_MAX + 1] = {0};

    memset(longest, 'x', TOKEN_BYTES_MAX);
    memset(expected, 'x', TOKEN_BYTES_MAX);
    is_read_as(longest, expected);
    memcpy(longest + TOKEN_BYTES_MAX, "\r\n", 2);
    is_read_as(longest, expected);
    longest[TOKEN_BYTES_MAX] = 'x';
    write_file(longest, TOKEN_BYTES_MAX + 1, 0600);
    is_refused(file);
    longest[TOKEN_BYTES_MAX + 1] = 'x';
    longest[TOKEN_BYTES_MAX + 2] = '\n';
    write_file(longest, TOKEN_BYTES_MAX + 3, 0600);
    is_refused(file);
}

static void what_is_no_token_is_refused_and_not_repeated(void **state)
{
    (void)state;
    const struct {
        const char *text;
        size_t len;
    } wrong[] = {{"", 0},
                 {"\n", 1},
                 {"secret word", 11},
                 {"secret\nword", 11},
                 {" secret", 7},
                 {"secret\0word", 11},
                 {"secret\t", 7},
                 {"secret\x7f", 7},
                 {"s\xc3\xa9"
                  "cret",
                  7}};

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        write_file(wrong[i].text, wrong[i].len, 0600);
        is_refused(file);
    }
}

static void only_a_private_file_is_read(void **state)
{
    (void)state;
    const mode_t wide[] = {0640, 0604, 0620, 0602, 0610, 0601, 0666};

    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        write_file("secret", 6, wide[i]);
        is_refused(file);
    }
    write_file("secret", 6, 0400);
    struct error error;
    char *token = NULL;
    assert_true(token_read(file, &token, &error));
    token_free(token);
    (void)unlink(file);
    is_refused(file);
    is_refused(folder);
    is_refused("/dev/null");
    assert_int_equal(mkfifo(file, 0600), 0); /* nobody is waited for */
    is_refused(file);
    token_free(NULL);
}

static void a_file_of_somebody_else_is_refused(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    write_file("secret", 6, 0600);
    assert_int_equal(chown(file, 65534, 65534), 0);
    is_refused(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_line_is_a_token_with_or_without_its_end, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(the_longest_may_have_a_line_end_as_well, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(what_is_no_token_is_refused_and_not_repeated, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(only_a_private_file_is_read, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_file_of_somebody_else_is_refused, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
