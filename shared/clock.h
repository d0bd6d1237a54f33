/* SPDX-License-Identifier: Apache-2.0 */
/* clock.h - the only place that asks what time it is. */
#ifndef SHEAF_CLOCK_H
#define SHEAF_CLOCK_H

#include <stdint.h>

uint64_t clock_monotonic_ns(void); /* for durations and deadlines; never goes back */
int64_t clock_wall_ms(void);       /* since 1970, for people */
uint64_t clock_cpu_ns(void);       /* CPU time of this process */
uint64_t clock_thread_cpu_ns(void);

#endif
