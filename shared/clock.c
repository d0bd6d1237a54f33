/* SPDX-License-Identifier: Apache-2.0 */
#include "clock.h"

static uint64_t nanoseconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t clock_monotonic_ns(void)
{
    return nanoseconds(CLOCK_MONOTONIC);
}

int64_t clock_wall_ms(void)
{
    return (int64_t)(nanoseconds(CLOCK_REALTIME) / 1000000u);
}

uint64_t clock_cpu_ns(void)
{
    return nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t clock_thread_cpu_ns(void)
{
    return nanoseconds(CLOCK_THREAD_CPUTIME_ID);
}

int clock_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t monotonic;
    int result = pthread_condattr_init(&monotonic);
    if (result)
        return result;
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    result = pthread_cond_init(cond, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return result;
}

struct timespec clock_until_ms(uint64_t from_now_ms)
{
    uint64_t until_ns = clock_monotonic_ns() + from_now_ms * 1000000u;
    return (struct timespec){.tv_sec = (time_t)(until_ns / 1000000000u), .tv_nsec = (long)(until_ns % 1000000000u)};
}
