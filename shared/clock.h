/* SPDX-License-Identifier: Apache-2.0 */
/* clock.h - the only place that asks what time it is. */
#ifndef SHEAF_CLOCK_H
#define SHEAF_CLOCK_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

uint64_t clock_monotonic_ns(void); /* for durations and deadlines; never goes back */
int64_t clock_wall_ms(void);       /* since 1970, for people; may be set forward and back */
uint64_t clock_cpu_ns(void);       /* CPU time of this process */
uint64_t clock_thread_cpu_ns(void);

/* A condition whose timed waits are by the monotonic clock, and when such a wait ends. 0, or an errno. */
int clock_cond_init(pthread_cond_t *cond);
struct timespec clock_until_ms(uint64_t from_now_ms);

#endif
