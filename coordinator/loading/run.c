/* SPDX-License-Identifier: Apache-2.0 */
#include "run.h"

bool run_goes_on(struct run *run)
{
    if (atomic_load_explicit(&run->stop, memory_order_relaxed) != RUN_GOES_ON)
        return false;
    if (!run->options->interrupted || !run->options->interrupted())
        return true;
    run_stop(run, RUN_INTERRUPTED);
    return false;
}

void run_stop(struct run *run, enum run_stop why)
{
    int now = atomic_load(&run->stop);

    while (now < (int)why && !atomic_compare_exchange_weak(&run->stop, &now, (int)why))
        continue;
}

static bool end_with(struct run *run, enum run_stop why, const struct error *error)
{
    pthread_mutex_lock(&run->lock);
    if (atomic_load(&run->stop) < (int)why)
        run->error = *error;
    run_stop(run, why);
    pthread_mutex_unlock(&run->lock);
    return false;
}

bool run_fail(struct run *run, const struct error *error)
{
    return end_with(run, RUN_FAILED, error);
}

bool run_unreadable(struct run *run, const struct error *error)
{
    return end_with(run, RUN_UNREADABLE, error);
}

bool run_concerns_every_row(enum error_code code)
{
    return code == ERROR_UNAVAILABLE || code == ERROR_UNKNOWN || code == ERROR_IO || code == ERROR_INTERNAL ||
           code == ERROR_BUSY;
}

void run_refuse(struct run *run, size_t input, uint64_t line, const struct error *error, const struct run_raw *raw)
{
    const struct loader_options *options = run->options;
    struct loader_reject reject = {.input = &options->inputs[input], .line = line, .error = error};
    struct error failure = {0};
    bool handed_on = true;

    if (raw) {
        reject.raw = raw->bytes;
        reject.raw_len = raw->len;
        reject.raw_truncated = raw->truncated;
    }
    atomic_fetch_add_explicit(&options->counts[input].refused[error->code], 1, memory_order_relaxed);
    if (options->reject) {
        pthread_mutex_lock(&run->rejecting);
        handed_on = options->reject(options->context, &reject, &failure);
        pthread_mutex_unlock(&run->rejecting);
    }
    if (!handed_on)
        run_fail(run, &failure);
    if (run_concerns_every_row(error->code))
        run_fail(run, error);
    if (options->stop_on_error)
        run_stop(run, RUN_STOPPED);
}

bool gate_init(struct gate *gate, struct error *error)
{
    if (pthread_mutex_init(&gate->lock, NULL) != 0)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    if (pthread_cond_init(&gate->changed, NULL) != 0) {
        pthread_mutex_destroy(&gate->lock);
        return error_set(error, ERROR_INTERNAL, "out of memory");
    }
    return true;
}

void gate_release(struct gate *gate)
{
    pthread_cond_destroy(&gate->changed);
    pthread_mutex_destroy(&gate->lock);
}

void gate_open(struct gate *gate, bool *flag)
{
    pthread_mutex_lock(&gate->lock);
    *flag = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

bool gate_is_open(struct gate *gate, const bool *flag)
{
    pthread_mutex_lock(&gate->lock);
    bool open = *flag;
    pthread_mutex_unlock(&gate->lock);
    return open;
}

void gate_wait(struct gate *gate, const bool *flag)
{
    pthread_mutex_lock(&gate->lock);
    while (!*flag)
        pthread_cond_wait(&gate->changed, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
}
