/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that are read twice: from a file, and from a pipe, which gives them but once. */
#include "source.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

struct input {
    struct source source;
    int fds[2];
};

static void open_fd(struct input *input, int fd)
{
    struct error error;
    char path[32];
    snprintf(path, sizeof path, "/dev/fd/%d", fd);
    if (!source_open(&input->source, path, NULL, &error))
        fail_msg("%s", error.text);
}

static void open_file(struct input *input, const char *bytes)
{
    *input = (struct input){.fds = {memfd_create("source", MFD_CLOEXEC), -1}};
    assert_true(input->fds[0] >= 0 && write(input->fds[0], bytes, strlen(bytes)) == (ssize_t)strlen(bytes));
    open_fd(input, input->fds[0]);
}

/* Each write is got by itself. */
static void open_pipe(struct input *input)
{
    *input = (struct input){0};
    assert_int_equal(pipe2(input->fds, O_DIRECT | O_CLOEXEC), 0);
    open_fd(input, input->fds[0]);
}

static void put(struct input *input, const char *bytes)
{
    assert_int_equal(write(input->fds[1], bytes, strlen(bytes)), strlen(bytes));
}

static void close_input(struct input *input)
{
    source_close(&input->source);
    close(input->fds[0]);
    if (input->fds[1] >= 0)
        close(input->fds[1]);
}

/* The window, when it holds so much. */
static void has(struct input *input, const char *bytes)
{
    struct error error;
    while (source_waiting(&input->source) < strlen(bytes))
        assert_int_equal(source_more(&input->source, &error), SOURCE_MORE);
    assert_int_equal(source_waiting(&input->source), strlen(bytes));
    assert_memory_equal(source_window(&input->source), bytes, strlen(bytes));
}

static void mark(struct input *input)
{
    struct error error;
    assert_true(source_mark(&input->source, &error));
}

static void rewind_it(struct input *input)
{
    struct error error;
    assert_true(source_rewind(&input->source, &error));
}

static void ends(struct input *input)
{
    struct error error;
    assert_int_equal(source_more(&input->source, &error), SOURCE_END);
}

static void a_file_is_read_again_from_the_mark(void **state)
{
    struct input input;
    (void)state;
    open_file(&input, "abcdef");
    has(&input, "abcdef");
    source_take(&input.source, 2);
    mark(&input);
    source_take(&input.source, 4);
    ends(&input);
    assert_int_equal(input.source.read, 6);
    rewind_it(&input);
    assert_int_equal(input.source.read, 2);
    has(&input, "cdef");
    assert_int_equal(input.source.read, 6);
    ends(&input);
    close_input(&input);
}

static void a_pipe_is_read_again_from_the_mark_and_goes_on_behind(void **state)
{
    struct input input;
    (void)state;
    open_pipe(&input);
    put(&input, "abc");
    has(&input, "abc");
    source_take(&input.source, 1);
    mark(&input);
    put(&input, "def");
    has(&input, "bcdef");
    source_take(&input.source, 5);
    rewind_it(&input);
    assert_int_equal(input.source.read, 1);
    put(&input, "ghi");
    has(&input, "bcdef");
    source_take(&input.source, 5);
    has(&input, "ghi");
    source_take(&input.source, 3);
    assert_int_equal(input.source.read, 9);
    close(input.fds[1]);
    input.fds[1] = -1;
    ends(&input);
    close_input(&input);
}

static void a_mark_in_what_is_read_again_is_a_mark(void **state)
{
    struct input input;
    (void)state;
    open_pipe(&input);
    put(&input, "0123456789");
    has(&input, "0123456789");
    mark(&input);
    source_take(&input.source, 10);
    put(&input, "abc");
    has(&input, "abc");
    rewind_it(&input);
    struct error error;
    assert_int_equal(source_more(&input.source, &error), SOURCE_MORE);
    source_take(&input.source, 4); /* all of it is in the window: it is kept anew */
    mark(&input);
    source_take(&input.source, 9);
    put(&input, "def");
    has(&input, "def");
    rewind_it(&input);
    has(&input, "456789abcdef");
    source_take(&input.source, 12);
    put(&input, "g");
    has(&input, "g");
    close_input(&input);
}

/* So much that it does not come back at once. */
static void a_mark_in_the_middle_of_what_is_read_again_is_one_too(void **state)
{
    struct input input;
    struct error error;
    char *piece = malloc(4097);
    size_t pieces = 3 * SOURCE_BLOCK / 4096;
    (void)state;
    assert_non_null(piece);
    memset(piece, 'x', 4096);
    piece[4096] = '\0';
    open_pipe(&input);
    put(&input, "a");
    has(&input, "a");
    mark(&input);
    for (size_t i = 0; i < pieces; i++) {
        source_take(&input.source, source_waiting(&input.source));
        put(&input, piece);
        has(&input, piece);
    }
    rewind_it(&input);
    assert_int_equal(source_more(&input.source, &error), SOURCE_MORE);
    assert_int_equal(source_waiting(&input.source), SOURCE_BLOCK);
    assert_int_equal(*source_window(&input.source), 'a');
    source_take(&input.source, 100);
    mark(&input);
    uint64_t at = input.source.read - source_waiting(&input.source);
    put(&input, "end");
    while (input.source.read < pieces * 4096 + 4) {
        source_take(&input.source, source_waiting(&input.source));
        assert_int_equal(source_more(&input.source, &error), SOURCE_MORE);
    }
    assert_memory_equal(source_window(&input.source), "end", 3);
    rewind_it(&input);
    assert_int_equal(input.source.read, at);
    assert_int_equal(at, 100);
    while (input.source.read < pieces * 4096 + 4) {
        source_take(&input.source, source_waiting(&input.source));
        assert_int_equal(source_more(&input.source, &error), SOURCE_MORE);
    }
    assert_memory_equal(source_window(&input.source) + source_waiting(&input.source) - 4, "xend", 4);
    free(piece);
    close_input(&input);
}

static void a_place_for_it_that_is_not_there_is_named(void **state)
{
    struct input input;
    struct error error;
    (void)state;
    assert_int_equal(setenv("TMPDIR", "/nowhere/at/all", 1), 0);
    open_pipe(&input);
    put(&input, "abc");
    has(&input, "abc");
    assert_false(source_mark(&input.source, &error));
    assert_int_equal(error.code, ERROR_IO);
    assert_non_null(strstr(error.text, "/nowhere/at/all: "));
    unsetenv("TMPDIR");
    close_input(&input);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_read_again_from_the_mark),
        cmocka_unit_test(a_pipe_is_read_again_from_the_mark_and_goes_on_behind),
        cmocka_unit_test(a_mark_in_what_is_read_again_is_a_mark),
        cmocka_unit_test(a_mark_in_the_middle_of_what_is_read_again_is_one_too),
        cmocka_unit_test(a_place_for_it_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
