/* SPDX-License-Identifier: Apache-2.0 */
#include "loader.h"

#include "clock.h"
#include "cycle.h"
#include "plan.h"
#include "run.h"
#include "streaming.h"

#include <stdlib.h>
#include <string.h>

#define COMPONENTS_AT_ONCE 4 /* each has LOADER_BLOCKS_IN_FLIGHT blocks in memory */

enum component_state { COMPONENT_WAITS, COMPONENT_RUNS, COMPONENT_ENDED };

struct loader;

struct component {
    struct loader *loader;
    uint16_t number;
    _Atomic int state; /* enum component_state */
    pthread_t thread;
    size_t *inputs; /* of its tables, in the order of the command line */
    size_t input_count;
};

struct loader {
    struct run run;
    struct plan *plan;
    struct component *components;
    bool *finished; /* beside them: nothing more will come from it; main thread */
    size_t *inputs; /* storage */
    struct gate gate;
    bool something_ended; /* under the gate */
};

static bool open_inputs(struct loader *loader, struct error *error)
{
    const struct loader_options *options = loader->run.options;
    uint64_t bytes_read, bytes_total;

    loader->run.opened = calloc(options->input_count + 1, sizeof(struct input *));
    if (!loader->run.opened)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < options->input_count; i++) {
        const struct loader_input *input = &options->inputs[i];
        loader->run.opened[i] =
            input_open(input->path, input->format, options->schema, input->table, options->interrupted, error);
        if (!loader->run.opened[i])
            return false;
        input_progress(loader->run.opened[i], &bytes_read, &bytes_total);
        atomic_store(&options->counts[i].bytes_total, bytes_total);
    }
    return true;
}

static bool share_out_inputs(struct loader *loader, struct error *error)
{
    const struct loader_options *options = loader->run.options;
    const struct plan *plan = loader->plan;
    size_t at = 0;

    loader->components = calloc((size_t)plan->count + 1, sizeof(*loader->components));
    loader->finished = calloc((size_t)plan->count + 1, sizeof(*loader->finished));
    loader->inputs = calloc(options->input_count + 1, sizeof(*loader->inputs));
    if (!loader->components || !loader->finished || !loader->inputs)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    for (uint16_t c = 0; c < plan->count; c++) {
        struct component *component = &loader->components[c];
        component->loader = loader;
        component->number = c;
        component->inputs = loader->inputs + at;
        for (size_t i = 0; i < options->input_count; i++)
            if (plan->component_of[options->inputs[i].table] == c)
                component->inputs[component->input_count++] = i;
        at += component->input_count;
        loader->finished[c] = component->input_count == 0;
        component->state = loader->finished[c] ? COMPONENT_ENDED : COMPONENT_WAITS;
    }
    return true;
}

static void *component_main(void *context)
{
    struct component *component = context;
    struct loader *loader = component->loader;
    const struct plan_component *planned = &loader->plan->components[component->number];

    if (planned->cyclic)
        cycle_run(&loader->run, planned, component->inputs, component->input_count);
    else
        streaming_run(&loader->run, component->inputs, component->input_count);
    for (size_t i = 0; i < component->input_count; i++) {
        atomic_store(&loader->run.options->counts[component->inputs[i]].ended_ns, clock_monotonic_ns());
        input_close(loader->run.opened[component->inputs[i]]);
        loader->run.opened[component->inputs[i]] = NULL;
    }
    pthread_mutex_lock(&loader->gate.lock);
    component->state = COMPONENT_ENDED;
    loader->something_ended = true;
    pthread_cond_broadcast(&loader->gate.changed);
    pthread_mutex_unlock(&loader->gate.lock);
    return NULL;
}

static unsigned start_what_may(struct loader *loader, unsigned running)
{
    struct error error = {0};

    for (uint16_t c = 0; c < loader->plan->count && running < COMPONENTS_AT_ONCE && run_goes_on(&loader->run); c++) {
        struct component *component = &loader->components[c];
        if (component->state != COMPONENT_WAITS || !plan_may_start(loader->plan, c, loader->finished))
            continue;
        component->state = COMPONENT_RUNS;
        if (pthread_create(&component->thread, NULL, component_main, component) == 0) {
            running++;
            continue;
        }
        component->state = COMPONENT_WAITS;
        error_set(&error, ERROR_INTERNAL, "a thread could not be started");
        run_fail(&loader->run, &error);
    }
    return running;
}

/* Joins what has ended. */
static unsigned reap(struct loader *loader)
{
    unsigned running = 0;

    gate_wait(&loader->gate, &loader->something_ended);
    pthread_mutex_lock(&loader->gate.lock);
    loader->something_ended = false;
    pthread_mutex_unlock(&loader->gate.lock);
    for (uint16_t c = 0; c < loader->plan->count; c++) {
        struct component *component = &loader->components[c];
        if (loader->finished[c])
            continue;
        int state = atomic_load(&component->state);
        if (state == COMPONENT_ENDED) {
            pthread_join(component->thread, NULL);
            loader->finished[c] = true;
        } else if (state == COMPONENT_RUNS) {
            running++;
        }
    }
    return running;
}

static void run_components(struct loader *loader)
{
    unsigned running = start_what_may(loader, 0);

    while (running > 0) {
        running = reap(loader);
        running = start_what_may(loader, running);
    }
}

static void loader_release(struct loader *loader)
{
    for (size_t i = 0; loader->run.opened && i < loader->run.options->input_count; i++)
        input_close(loader->run.opened[i]);
    free(loader->run.opened);
    free(loader->components);
    free(loader->finished);
    free(loader->inputs);
    plan_free(loader->plan);
    gate_release(&loader->gate);
    pthread_mutex_destroy(&loader->run.lock);
    pthread_mutex_destroy(&loader->run.rejecting);
}

enum loader_result loader_run(const struct loader_options *options, struct error *error)
{
    static const enum loader_result results[] = {
        [RUN_GOES_ON] = LOADER_DONE,          [RUN_STOPPED] = LOADER_STOPPED, [RUN_INTERRUPTED] = LOADER_INTERRUPTED,
        [RUN_UNREADABLE] = LOADER_UNREADABLE, [RUN_FAILED] = LOADER_FAILED,
    };
    struct loader loader = {
        .run = {.options = options, .lock = PTHREAD_MUTEX_INITIALIZER, .rejecting = PTHREAD_MUTEX_INITIALIZER}};

    if (!gate_init(&loader.gate, error))
        return LOADER_FAILED;
    loader.plan = plan_new(options->schema, error);
    if (!loader.plan || !share_out_inputs(&loader, error)) {
        loader_release(&loader);
        return LOADER_FAILED;
    }
    if (!open_inputs(&loader, error)) {
        loader_release(&loader);
        return error->code == ERROR_INTERNAL ? LOADER_FAILED : LOADER_UNREADABLE;
    }
    if (options->begin && !options->begin(options->context, error)) {
        loader_release(&loader);
        return LOADER_FAILED;
    }
    run_components(&loader);
    enum loader_result result = results[atomic_load(&loader.run.stop)];
    if (result == LOADER_FAILED || result == LOADER_UNREADABLE)
        *error = loader.run.error;
    loader_release(&loader);
    return result;
}
