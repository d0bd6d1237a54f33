/* SPDX-License-Identifier: Apache-2.0 */
#include "signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static atomic_int pending;
static int event_fd = -1;
static sigset_t awaited;

static void *await(void *context)
{
    (void)context;
    for (;;) {
        int number = 0;
        if (sigwait(&awaited, &number))
            continue;
        if (atomic_load(&pending))
            _exit(128 + number);
        atomic_store(&pending, number);
        uint64_t one = 1;
        if (write(event_fd, &one, sizeof one) < 0)
            _exit(128 + number); /* nobody would learn of it */
    }
    return NULL;
}

/* The signals that are not ignored already. */
static void choose(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction before;
    sigemptyset(&awaited);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!sigaction(numbers[i], NULL, &before) && before.sa_handler != SIG_IGN)
            sigaddset(&awaited, numbers[i]);
}

bool signals_start(struct error *error)
{
    pthread_t thread;
    sigset_t all, before;
    if (event_fd >= 0)
        return true;
    signal(SIGPIPE, SIG_IGN);
    choose();
    event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event_fd < 0)
        return error_set(error, ERROR_INTERNAL, "signals cannot be waited for: %s", strerror(errno));
    pthread_sigmask(SIG_BLOCK, &awaited, NULL);
    sigfillset(&all); /* that thread takes its signals by sigwait and no others */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&thread, NULL, await, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result)
        return error_set(error, ERROR_INTERNAL, "signals cannot be waited for: %s", strerror(result));
    pthread_detach(thread);
    return true;
}

int signals_caught(void)
{
    return atomic_load(&pending);
}

int signals_fd(void)
{
    return event_fd;
}
