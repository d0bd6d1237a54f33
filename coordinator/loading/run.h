/* SPDX-License-Identifier: Apache-2.0 */
/* run.h - what the parts of one load share: whether it goes on, its opened inputs, where refusals go.
 *
 * Inside the room only. Any thread; the callback `reject` is called by one at a time. */
#ifndef SHEAF_RUN_H
#define SHEAF_RUN_H

#include "loader.h"

#include <pthread.h>

/* In ascending weight: a later one wins over an earlier. */
enum run_stop { RUN_GOES_ON, RUN_STOPPED, RUN_INTERRUPTED, RUN_UNREADABLE, RUN_FAILED };

struct run {
    const struct loader_options *options;
    struct input **opened; /* beside options->inputs; NULL once finished */
    _Atomic int stop;
    pthread_mutex_t lock;
    struct error error; /* why it is unreadable or failed; under `lock` */
    pthread_mutex_t rejecting;
};

/* Whether a new row may be begun. Asks `interrupted`. */
bool run_goes_on(struct run *run);

/* Stops the load. The last two keep the first error and always return false. */
void run_stop(struct run *run, enum run_stop why);
bool run_fail(struct run *run, const struct error *error);
bool run_unreadable(struct run *run, const struct error *error);

/* Whether a refusal says nothing about its row: a shard that is away or a disk that is full will refuse the next
 * million as well. */
bool run_concerns_every_row(enum error_code code);

/* A record's text as it was, for its reject. */
struct run_raw {
    const uint8_t *bytes;
    size_t len;
    bool truncated;
};

/* A record is refused: counted, handed on, and the load stopped where that is asked for or nothing better can be
 * expected of going on. */
void run_refuse(struct run *run, size_t input, uint64_t line, const struct error *error, const struct run_raw *raw);

/* A wait for answers: whoever brings one signals. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
};
bool gate_init(struct gate *gate, struct error *error);
void gate_release(struct gate *gate);
/* Sets *flag under the lock and wakes the waiter. */
void gate_open(struct gate *gate, bool *flag);
bool gate_is_open(struct gate *gate, const bool *flag);
void gate_wait(struct gate *gate, const bool *flag);

#endif
