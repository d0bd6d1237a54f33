/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"
#include "style.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void a_line_says_rows_rate_and_time_left(void **state)
{
    struct progress_state now = {.rows = 500000, .refused = 3, .bytes_done = 50, .bytes_total = 200};
    char text[PROGRESS_LINE_MAX];

    (void)state;
    assert_string_equal(progress_line(&now, 311000, 12400000000, false, 80, text),
                        " 25%  500000 rows, 311k/s, 3 refused, 13 s left");
    assert_string_equal(progress_line(&now, 311000, 200000000000, false, 80, text),
                        " 25%  500000 rows, 311k/s, 3 refused, 3 min 20 s left");
}

static void without_a_size_there_is_no_bar_and_no_time_left(void **state)
{
    struct progress_state now = {.rows = 12, .bytes_done = 50};
    char text[PROGRESS_LINE_MAX];

    (void)state;
    assert_string_equal(progress_line(&now, 4.25, 1000000000, true, 80, text), "12 rows, 4.2/s");
}

static void the_bar_fills_and_never_overruns(void **state)
{
    struct progress_state now = {.rows = 1, .bytes_total = 100};
    char text[PROGRESS_LINE_MAX];

    (void)state;
    now.bytes_done = 50;
    progress_line(&now, 1, 0, true, 80, text);
    assert_non_null(strstr(text, "█████░░░░░"));
    assert_non_null(strstr(text, " 50%"));
    now.bytes_done = 1000; /* the file grew while it was read */
    progress_line(&now, 1, 0, true, 80, text);
    assert_null(strstr(text, "░"));
    assert_non_null(strstr(text, "100%"));
}

static void a_line_fits_its_columns(void **state)
{
    struct progress_state now = {
        .rows = UINT64_MAX, .refused = UINT64_MAX, .bytes_done = UINT64_MAX / 2, .bytes_total = UINT64_MAX};
    char text[PROGRESS_LINE_MAX];

    (void)state;
    for (unsigned columns = 40; columns <= 120; columns++)
        for (unsigned rows = 0; rows < 2; rows++) {
            if (rows)
                now.rows = now.refused = 12;
            progress_line(&now, 1e18, UINT64_MAX / 4, true, columns, text);
            assert_true(style_columns(text, strlen(text)) <= columns);
        }
}

static void look_nowhere(void *context, struct progress_state *ret_state)
{
    (void)context;
    ret_state->rows = 1;
}

static void stopping_does_not_wait_for_the_next_line(void **state)
{
    struct error error;
    struct progress *progress;
    char byte;
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    for (int round = 0; round < 100; round++) { /* some find the thread waiting already, some before that */
        alarm(4);                               /* less than the pause between two lines */
        progress = progress_start(fds[1], look_nowhere, NULL, &error);
        assert_non_null(progress);
        for (int i = 0; i < round * 50; i++)
            sched_yield();
        progress_stop(progress);
    }
    alarm(0);
    close(fds[1]);
    assert_int_equal(read(fds[0], &byte, 1), 0); /* nothing was written to what is no terminal */
    close(fds[0]);
    progress_stop(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_says_rows_rate_and_time_left),
        cmocka_unit_test(without_a_size_there_is_no_bar_and_no_time_left),
        cmocka_unit_test(the_bar_fills_and_never_overruns),
        cmocka_unit_test(a_line_fits_its_columns),
        cmocka_unit_test(stopping_does_not_wait_for_the_next_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
