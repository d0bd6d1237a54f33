/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include "clock.h"
#include "output.h"
#include "style.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REDRAW_MS 100u
#define LINE_MS 5000u
#define RATE_NS 2000000000ull    /* the rate is that of the last two seconds */
#define SAMPLES 32               /* of them are kept, one each REDRAW_MS */
#define ESTIMATE_NS 500000000ull /* no time left is told before */

struct sample {
    uint64_t at_ns;
    uint64_t rows;
};

struct progress {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t over_changed;
    bool over;
    int fd;
    bool terminal;
    progress_look *look;
    void *context;
    uint64_t started_ns;
    struct sample samples[SAMPLES]; /* a ring; the thread's own */
    size_t sample_count;
};

static void put_bar(const struct progress_state *state, unsigned cells, char *text, size_t size)
{
    double part = (double)state->bytes_done / (double)state->bytes_total;
    unsigned full = part >= 1 ? cells : (unsigned)(part * cells);
    size_t at = 0;

    for (unsigned i = 0; i < cells && at + 4 < size; i++) {
        const char *piece = i < full ? "█" : "░";

        memcpy(text + at, piece, 3);
        at += 3;
    }
    text[at] = '\0';
}

const char *progress_line(const struct progress_state *state, double per_second, uint64_t left_ns, bool bar,
                          unsigned columns, char *text)
{
    char rate[STYLE_SHORT], left[STYLE_SHORT], facts[256], front[160] = "";
    int len = snprintf(facts, sizeof facts, "%" PRIu64 " rows, %s/s", state->rows, style_rate(per_second, rate));
    size_t fits;

    if (state->refused > 0)
        len += snprintf(facts + len, sizeof facts - (size_t)len, ", %" PRIu64 " refused", state->refused);
    if (left_ns > 0 && state->bytes_total > 0) {
        uint64_t whole = (left_ns + 999999999) / 1000000000 * 1000000000; /* a countdown in milliseconds is noise */

        if (whole < 60000000000)
            snprintf(facts + len, sizeof facts - (size_t)len, ", %" PRIu64 " s left", whole / 1000000000);
        else
            snprintf(facts + len, sizeof facts - (size_t)len, ", %s left", style_duration(whole, left));
    }
    if (state->bytes_total > 0) {
        uint64_t done = state->bytes_done < state->bytes_total ? state->bytes_done : state->bytes_total;
        unsigned percent = (unsigned)((double)done * 100 / (double)state->bytes_total);
        size_t taken = strlen(facts) + sizeof "100%   " - 1; /* the facts are ASCII but for µ, which rounds up */
        char cells[3 * 32 + 4] = "";

        if (bar && taken + 5 < columns)
            put_bar(state, columns - taken < 30 ? (unsigned)(columns - taken) : 30, cells, sizeof cells);
        snprintf(front, sizeof front, "%s%s%3u%%  ", cells, *cells ? " " : "", percent);
    }
    snprintf(text, PROGRESS_LINE_MAX, "%s%s", front, facts);
    fits = style_fit(text, strlen(text), columns);
    text[fits] = '\0';
    return text;
}

/* Rows per second over the last RATE_NS. */
static double present_rate(struct progress *progress, uint64_t now_ns, uint64_t rows)
{
    struct sample *oldest;
    struct sample first = {.at_ns = progress->started_ns, .rows = 0};

    oldest = &first;
    for (size_t back = 1; back <= SAMPLES && back <= progress->sample_count; back++) {
        oldest = &progress->samples[(progress->sample_count - back) % SAMPLES];
        if (now_ns - oldest->at_ns >= RATE_NS)
            break;
    }
    if (progress->sample_count <= SAMPLES && now_ns - oldest->at_ns < RATE_NS)
        oldest = &first; /* the run is young: everything counts */
    progress->samples[progress->sample_count++ % SAMPLES] = (struct sample){.at_ns = now_ns, .rows = rows};
    if (now_ns <= oldest->at_ns || rows < oldest->rows)
        return 0;
    return (double)(rows - oldest->rows) * 1e9 / (double)(now_ns - oldest->at_ns);
}

static void draw(struct progress *progress)
{
    struct progress_state state = {0};
    uint64_t now_ns = clock_monotonic_ns();
    uint64_t elapsed_ns = now_ns - progress->started_ns;
    uint64_t left_ns = 0;
    unsigned columns = progress->terminal ? style_width(progress->fd) - 1 : 80;
    char text[PROGRESS_LINE_MAX];
    char line[PROGRESS_LINE_MAX + 16];
    double rate;
    int len;

    progress->look(progress->context, &state);
    rate = present_rate(progress, now_ns, state.rows);
    if (state.bytes_done > 0 && state.bytes_done < state.bytes_total && elapsed_ns > ESTIMATE_NS)
        left_ns =
            (uint64_t)((double)elapsed_ns * (double)(state.bytes_total - state.bytes_done) / (double)state.bytes_done);
    progress_line(&state, rate, left_ns, progress->terminal, columns, text);
    len = snprintf(line, sizeof line, progress->terminal ? "\r%s\033[K\r" : "%s\n", text);
    (void)output_write(progress->fd, "progress", line, (size_t)len, NULL, NULL); /* work goes on without it */
}

static void *run(void *context)
{
    struct progress *progress = context;
    uint64_t pause_ms = progress->terminal ? REDRAW_MS : LINE_MS;

    pthread_mutex_lock(&progress->mutex);
    while (!progress->over) {
        struct timespec until = clock_until_ms(pause_ms);
        int result = 0;

        while (!progress->over && result == 0)
            result = pthread_cond_timedwait(&progress->over_changed, &progress->mutex, &until);
        if (progress->over)
            break;
        pthread_mutex_unlock(&progress->mutex);
        draw(progress);
        pthread_mutex_lock(&progress->mutex);
    }
    pthread_mutex_unlock(&progress->mutex);
    return NULL;
}

struct progress *progress_start(int fd, progress_look *look, void *context, struct error *error)
{
    struct progress *progress = calloc(1, sizeof *progress);
    int result;

    if (!progress) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    progress->fd = fd;
    progress->terminal = isatty(fd) == 1;
    progress->look = look;
    progress->context = context;
    progress->started_ns = clock_monotonic_ns();
    pthread_mutex_init(&progress->mutex, NULL);
    clock_cond_init(&progress->over_changed);
    result = pthread_create(&progress->thread, NULL, run, progress);
    if (result != 0) {
        error_set(error, ERROR_INTERNAL, "cannot start a thread for the progress: %s", strerror(result));
        pthread_cond_destroy(&progress->over_changed);
        pthread_mutex_destroy(&progress->mutex);
        free(progress);
        return NULL;
    }
    return progress;
}

void progress_stop(struct progress *progress)
{
    if (!progress)
        return;
    pthread_mutex_lock(&progress->mutex);
    progress->over = true;
    pthread_cond_signal(&progress->over_changed);
    pthread_mutex_unlock(&progress->mutex);
    pthread_join(progress->thread, NULL);
    if (progress->terminal)
        (void)output_write(progress->fd, "progress", "\r\033[K", 4, NULL, NULL);
    pthread_cond_destroy(&progress->over_changed);
    pthread_mutex_destroy(&progress->mutex);
    free(progress);
}
