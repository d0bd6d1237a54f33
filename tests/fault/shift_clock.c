/* SPDX-License-Identifier: Apache-2.0 */
/* shift_clock.so - preloaded into coordinator and shardd: the clock of the day is as far from this machine's as a file
 * says, at any moment, and the monotonic one is left alone.
 *
 *   CLOCK_SHIFT  a file of eight bytes: how many seconds are added, as an int64_t
 *
 * Who waits until a time of that clock waits until it says so, as under settimeofday: a wait is made in slices, and one
 * that is over ends as if woken for nothing. A deadline before the year 2001 is one of the monotonic clock, which
 * counts from the machine's start. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define YEAR_2001 978307200
#define SLICE_NS 50000000L

static const volatile int64_t *shift;

static int64_t shift_s(void)
{
    return shift ? *shift : 0;
}

static void *next(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("CLOCK_SHIFT");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *mapped = fd >= 0 ? mmap(NULL, sizeof *shift, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (mapped == MAP_FAILED)
        abort();
    shift = mapped;
    close(fd);
}

/* ---- asking what time it is ---- */

static int ask(clockid_t clock, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))next("clock_gettime");
    return real(clock, now);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = ask(clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += shift_s();
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec exact;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    *now = (struct timeval){.tv_sec = exact.tv_sec, .tv_usec = exact.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *ret_now)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (ret_now)
        *ret_now = now.tv_sec;
    return now.tv_sec;
}

/* ---- waiting until then ---- */

static int is_before(const struct timespec *one, const struct timespec *other)
{
    return one->tv_sec < other->tv_sec || (one->tv_sec == other->tv_sec && one->tv_nsec < other->tv_nsec);
}

/* The end of a slice, by this machine's clock; 1: it is that of the wait. */
static int end_of_slice(const struct timespec *until, struct timespec *ret_end)
{
    struct timespec real = *until;
    real.tv_sec -= shift_s();
    ask(CLOCK_REALTIME, ret_end);
    ret_end->tv_nsec += SLICE_NS;
    ret_end->tv_sec += ret_end->tv_nsec / 1000000000L;
    ret_end->tv_nsec %= 1000000000L;
    if (!is_before(&real, ret_end))
        return 0;
    *ret_end = real;
    return 1;
}

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until)
{
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    struct timespec end;
    if (!real)
        real = (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))next("pthread_cond_timedwait");
    if (until->tv_sec < YEAR_2001)
        return real(cond, mutex, until);
    int last = end_of_slice(until, &end);
    int result = real(cond, mutex, &end);
    return result == ETIMEDOUT && !last ? 0 : result;
}

int pthread_timedjoin_np(pthread_t thread, void **ret_value, const struct timespec *until)
{
    static int (*real)(pthread_t, void **, const struct timespec *);
    struct timespec end;
    int last, result;
    if (!real)
        real = (int (*)(pthread_t, void **, const struct timespec *))next("pthread_timedjoin_np");
    do {
        last = end_of_slice(until, &end);
        result = real(thread, ret_value, &end);
    } while (result == ETIMEDOUT && !last);
    return result;
}
