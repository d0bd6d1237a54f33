/* SPDX-License-Identifier: Apache-2.0 */
#include "signals.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Each test runs in a process of its own, since it is about what signals do to a process. */
static int status_of(void (*program)(void))
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        program();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void expect(bool fine)
{
    if (!fine)
        _exit(99);
}

static bool readable(int timeout_ms)
{
    struct pollfd polled = {.fd = signals_fd(), .events = POLLIN};
    return poll(&polled, 1, timeout_ms) == 1;
}

static void one_signal(void)
{
    struct error error;
    expect(signals_start(&error) && signals_start(&error));
    expect(signals_caught() == 0 && !readable(0));
    kill(getpid(), SIGTERM);
    expect(readable(-1));
    expect(signals_caught() == SIGTERM);
    expect(readable(0)); /* stays so */
}

static void the_first_signal_is_only_noted(void **state)
{
    (void)state;
    assert_int_equal(status_of(one_signal), 0);
}

static void two_signals(void)
{
    struct error error;
    expect(signals_start(&error));
    kill(getpid(), SIGTERM);
    expect(readable(-1));
    kill(getpid(), SIGINT);
    for (;;)
        pause();
}

static void the_second_one_ends_the_process(void **state)
{
    (void)state;
    int status = status_of(two_signals);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 128 + SIGINT);
}

static void *sleep_for_ever(void *context)
{
    for (;;)
        pause();
    return context;
}

static void signal_with_threads(void)
{
    struct error error;
    pthread_t thread;
    expect(signals_start(&error));
    expect(pthread_create(&thread, NULL, sleep_for_ever, NULL) == 0);
    kill(getpid(), SIGINT);
    expect(readable(-1));
    expect(signals_caught() == SIGINT);
}

static void later_threads_do_not_take_it(void **state)
{
    (void)state;
    assert_int_equal(status_of(signal_with_threads), 0);
}

static void ignored_before(void)
{
    struct error error;
    signal(SIGINT, SIG_IGN);
    expect(signals_start(&error));
    kill(getpid(), SIGINT);
    kill(getpid(), SIGTERM);
    expect(readable(-1));
    expect(signals_caught() == SIGTERM);
}

static void what_was_ignored_stays_ignored(void **state)
{
    (void)state;
    assert_int_equal(status_of(ignored_before), 0);
}

static void write_to_nobody(void)
{
    struct error error;
    int ends[2];
    expect(signals_start(&error) && pipe(ends) == 0);
    close(ends[0]);
    expect(write(ends[1], "x", 1) < 0);
}

static void a_closed_pipe_is_an_error_and_not_the_end(void **state)
{
    (void)state;
    assert_int_equal(status_of(write_to_nobody), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_signal_is_only_noted),
        cmocka_unit_test(the_second_one_ends_the_process),
        cmocka_unit_test(later_threads_do_not_take_it),
        cmocka_unit_test(what_was_ignored_stays_ignored),
        cmocka_unit_test(a_closed_pipe_is_an_error_and_not_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
