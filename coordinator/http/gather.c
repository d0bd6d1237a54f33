/* SPDX-License-Identifier: Apache-2.0 */
#include "gather.h"

#include "clock.h"
#include "done.h"
#include "metrics_report.h"
#include "request.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct gather {
    struct http *http;
    uint64_t started_ns;
    pthread_t thread;

    /* The mutex guards these; nothing is called under it. */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct request *first, *last; /* waiting, by next_done; `limit` says in which form */
    struct http_counts counts;    /* of the server, when the last of them came */
    bool stop;
};

/* ---- the gatherer's thread ---- */

static bool put_json(const struct metrics *metrics, const struct http_counts *counts, struct buffer *out)
{
    bool fine = buffer_format(
        out,
        "{\"http\":{\"connections\":%" PRIu64 ",\"open\":%u,\"ended_for_room\":%" PRIu64
        ",\"working\":%u,\"waiting_ops\":%" PRIu64 ",\"bodies_bytes\":%" PRIu64 ",\"answers_bytes\":%" PRIu64
        ",\"answers\":{\"2xx\":%" PRIu64 ",\"3xx\":%" PRIu64 ",\"4xx\":%" PRIu64 ",\"5xx\":%" PRIu64 "}},",
        counts->connections, counts->open, counts->evicted, counts->working, counts->waiting_ops, counts->bodies_bytes,
        counts->answers_bytes, counts->answers[2], counts->answers[3], counts->answers[4], counts->answers[5]);
    size_t at = out->len;

    if (!fine || !metrics_json(metrics, out))
        return false;
    memmove(out->bytes + at, out->bytes + at + 1, --out->len - at); /* one object: its brace is there already */
    return true;
}

static bool put_answers(const struct http_counts *counts, struct buffer *out)
{
    char labels[16] = "status=\"0xx\"";
    bool fine = metrics_put_family(out, "sheaf_http_answers_total", "counter", "Answers by the class of their status.");

    for (int i = 2; fine && i <= 5; i++) {
        labels[8] = (char)('0' + i);
        fine = metrics_put_sample(out, "sheaf_http_answers_total", labels, (double)counts->answers[i]);
    }
    return fine;
}

static bool put_gauge(struct buffer *out, const char *name, const char *help, uint64_t value)
{
    return metrics_put_family(out, name, "gauge", help) && metrics_put_sample(out, name, "", (double)value);
}

static bool put_prometheus(const struct metrics *metrics, const struct http_counts *counts, struct buffer *out)
{
    return metrics_prometheus(metrics, out) && put_answers(counts, out) &&
           metrics_put_family(out, "sheaf_http_connections_total", "counter", "Connections taken.") &&
           metrics_put_sample(out, "sheaf_http_connections_total", "", (double)counts->connections) &&
           put_gauge(out, "sheaf_http_connections", "Connections that are open.", counts->open) &&
           put_gauge(out, "sheaf_http_waiting_operations", "Operations that wait for their outcome.",
                     counts->waiting_ops) &&
           put_gauge(out, "sheaf_http_body_bytes", "Bodies of requests that are in memory.", counts->bodies_bytes) &&
           put_gauge(out, "sheaf_http_answer_bytes", "Large answers that are in memory.", counts->answers_bytes);
}

static void answer_all(struct gather *gather, struct request *list, const struct metrics *metrics,
                       const struct http_counts *counts, const struct error *error)
{
    for (struct request *request = list, *next; request; request = next) {
        next = request->next_done;
        if (metrics)
            request->failed = !(request->limit == GATHER_JSON ? put_json(metrics, counts, &request->answer)
                                                              : put_prometheus(metrics, counts, &request->answer));
        request->ask.ok = metrics != NULL;
        if (!metrics)
            request->ask.error = *error;
        done_put(gather->http->done, request);
    }
}

static void gather_for(struct gather *gather, struct request *list, const struct http_counts *counts)
{
    struct metrics metrics;
    struct error error;

    if (metrics_gather(gather->http->engine, gather->http->schema, NULL, gather->started_ns, &metrics, &error)) {
        answer_all(gather, list, &metrics, counts, NULL);
        metrics_release(&metrics);
    } else {
        answer_all(gather, list, NULL, counts, &error);
    }
}

static void *run(void *context)
{
    struct gather *gather = context;
    struct error stopping;
    bool stop = false;

    error_set(&stopping, ERROR_UNAVAILABLE, "the server is stopping");
    while (!stop) {
        pthread_mutex_lock(&gather->mutex);
        while (!gather->first && !gather->stop)
            pthread_cond_wait(&gather->changed, &gather->mutex);
        struct request *list = gather->first;
        struct http_counts counts = gather->counts;
        stop = gather->stop;
        gather->first = gather->last = NULL;
        pthread_mutex_unlock(&gather->mutex);
        if (stop)
            answer_all(gather, list, NULL, &counts, &stopping);
        else
            gather_for(gather, list, &counts);
    }
    return NULL;
}

/* ---- the server's thread ---- */

static void render(struct request *request)
{
    if (request->ask.ok)
        request_reply(request, 200);
    else
        request_refuse(request, &request->ask.error);
}

void gather_put(struct gather *gather, struct request *request, enum gather_form form)
{
    request->limit = form;
    request->next_done = NULL;
    request_leave(request, render);
    pthread_mutex_lock(&gather->mutex);
    if (gather->last)
        gather->last->next_done = request;
    else
        gather->first = request;
    gather->last = request;
    gather->counts = gather->http->counts;
    gather->counts.answers_bytes = atomic_load(&gather->http->room.used);
    pthread_cond_signal(&gather->changed);
    pthread_mutex_unlock(&gather->mutex);
}

struct gather *gather_start(struct http *http, struct error *error)
{
    struct gather *gather = calloc(1, sizeof *gather);

    if (!gather) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    gather->http = http;
    gather->started_ns = clock_monotonic_ns();
    pthread_mutex_init(&gather->mutex, NULL);
    pthread_cond_init(&gather->changed, NULL);
    int result = pthread_create(&gather->thread, NULL, run, gather);
    if (result == 0)
        return gather;
    error_set(error, ERROR_INTERNAL, "cannot start a thread: %s", strerror(result));
    pthread_cond_destroy(&gather->changed);
    pthread_mutex_destroy(&gather->mutex);
    free(gather);
    return NULL;
}

void gather_stop(struct gather *gather)
{
    if (!gather)
        return;
    pthread_mutex_lock(&gather->mutex);
    gather->stop = true;
    pthread_cond_signal(&gather->changed);
    pthread_mutex_unlock(&gather->mutex);
    pthread_join(gather->thread, NULL);
    pthread_cond_destroy(&gather->changed);
    pthread_mutex_destroy(&gather->mutex);
    free(gather);
}
