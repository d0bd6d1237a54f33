/* SPDX-License-Identifier: Apache-2.0 */
#include "insert_stream.h"

#include "clock.h"
#include "input.h"
#include "json.h"
#include "lines.h"
#include "log.h"
#include "output.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define OUTPUT_BYTES 262144 /* answers are written when they are as many, or when nothing more is ready */

struct run;

struct line {
    uint64_t number;
    struct error *refused; /* not submitted; NULL: the next operation of the submission */
};

/* Lines that went to the engine together. `done`, `next` are guarded by the run's mutex once the block is queued. */
struct block {
    struct run *run;
    struct submission *submission;
    bool done;
    struct block *next;
    uint32_t capacity;
    uint32_t count;
    struct line lines[];
};

struct run {
    const struct insert_stream *stream;
    struct lines *lines;
    struct histogram *parse;
    uint32_t block_lines;
    int stop_fd; /* an eventfd: the writer tells the reader to stop */

    pthread_mutex_t mutex;
    pthread_cond_t changed; /* the head is done, there is room, the reader is over */
    struct block *head;
    struct block **tail;
    uint32_t queued;
    bool stop;
    bool reader_over;
    struct error reader_error; /* read after reader_over */

    struct insert_outcome outcome; /* the writer's */
    struct buffer out;
};

static void block_free(struct block *block)
{
    if (!block)
        return;
    for (uint32_t i = 0; i < block->count; i++)
        free(block->lines[i].refused);
    submission_free(block->submission);
    free(block);
}

static struct block *block_new(struct run *run, uint32_t capacity, struct error *error)
{
    struct block *block = malloc(sizeof *block + capacity * sizeof *block->lines);

    if (block) {
        *block = (struct block){.run = run, .capacity = capacity};
        block->submission = submission_new(capacity);
    }
    if (!block || !block->submission) {
        free(block);
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    return block;
}

/* Engine thread. */
static void submission_finished(struct submission *submission)
{
    struct block *block = submission->context;
    struct run *run = block->run;

    pthread_mutex_lock(&run->mutex);
    block->done = true;
    if (run->head == block)
        pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->mutex);
}

/* ---- reader thread ---- */

static bool add_refused(struct block *block, uint64_t number, const struct error *why)
{
    struct error *copy = malloc(sizeof *copy);

    if (!copy)
        return false;
    *copy = *why;
    block->lines[block->count++] = (struct line){.number = number, .refused = copy};
    return true;
}

/* One line into the block: an operation, or the reason why it is none. False: out of memory. */
static bool add_line(struct run *run, struct block *block, const char *text, size_t len, uint64_t number)
{
    struct submission *submission = block->submission;
    size_t before = submission->rows.len;
    struct error why;
    table_id table;

    if (!input_json_line(run->stream->schema, text, len, &table, &submission->rows, &why)) {
        submission->rows.len = before;
        return why.code != ERROR_INTERNAL && add_refused(block, number, &why);
    }
    submission->ops[submission->count++] = (struct op){
        .table = table,
        .same_is_fine = true,
        .row_at = (uint32_t)before,
        .row_len = (uint32_t)(submission->rows.len - before),
        .position = number,
    };
    block->lines[block->count++] = (struct line){.number = number};
    return true;
}

/* A block's time of parsing, shared out over its lines, to the databases that they go to. */
static void count_parsing(struct run *run, const struct submission *submission, uint32_t lines)
{
    uint64_t each = submission->parse_took_ns / lines;

    if (!run->parse)
        return;
    for (uint32_t i = 0; i < submission->count; i++)
        histogram_add(&run->parse[run->stream->schema->tables[submission->ops[i].table].database], each, 1);
}

/* The next block out of the lines that are there; NULL without error: none is. */
static struct block *next_block(struct run *run, struct error *error)
{
    size_t waiting =
        lines_waiting(run->lines) / 2 + 1; /* no line that is not blank is shorter than a byte and its end */
    uint64_t began_ns = clock_monotonic_ns();
    struct block *block = NULL;
    const char *text;
    size_t len;
    uint64_t number;
    enum lines_result result;

    while ((!block || (block->count < block->capacity && block->submission->rows.len < INSERT_BLOCK_BYTES)) &&
           ((result = lines_next(run->lines, &text, &len, &number)) == LINES_LINE || result == LINES_TOO_LONG)) {
        bool added;

        if (!block)
            block = block_new(run, waiting < run->block_lines ? (uint32_t)waiting : run->block_lines, error);
        if (!block)
            return NULL;
        if (result == LINES_TOO_LONG) {
            struct error why;

            error_set(&why, ERROR_TOO_LARGE, "the line is longer than %u bytes", (unsigned)LIMIT_ROW_BYTES_MAX);
            added = add_refused(block, number, &why);
        } else {
            added = add_line(run, block, text, len, number);
        }
        if (!added) {
            block_free(block);
            error_set(error, ERROR_INTERNAL, "out of memory");
            return NULL;
        }
    }
    if (block) {
        block->submission->parsed_ns = began_ns;
        block->submission->parse_took_ns = clock_monotonic_ns() - began_ns;
        count_parsing(run, block->submission, block->count);
    }
    return block;
}

/* Queues the block for the writer, then gives it to the engine. False: the writer wants no more. */
static bool submit_block(struct run *run, struct block *block)
{
    struct submission *submission = block->submission;
    bool has_ops = submission->count > 0;
    bool stop;

    submission->finished = submission_finished;
    submission->context = block;
    block->done = !has_ops;
    pthread_mutex_lock(&run->mutex);
    while (run->queued >= INSERT_BLOCKS_MAX && !run->stop)
        pthread_cond_wait(&run->changed, &run->mutex);
    stop = run->stop;
    if (!stop) {
        *run->tail = block;
        run->tail = &block->next;
        run->queued++;
        if (run->head == block)
            pthread_cond_broadcast(&run->changed);
    }
    pthread_mutex_unlock(&run->mutex);
    if (stop) {
        block_free(block);
        return false;
    }
    if (has_ops)
        engine_submit(run->stream->engine, submission);
    return true;
}

/* Waits for bytes, or for the end of the wish for them. */
static bool wait_for_input(struct run *run, struct error *error)
{
    struct pollfd fds[3] = {{.fd = run->stop_fd, .events = POLLIN},
                            {.fd = run->stream->interrupt_fd, .events = POLLIN},
                            {.fd = run->stream->in_fd, .events = POLLIN}};

    while (poll(fds, 3, -1) < 0)
        if (errno != EINTR)
            return error_set(error, ERROR_IO, "stdin: %s", strerror(errno));
    return fds[0].revents == 0 && fds[1].revents == 0;
}

/* Fills the lines once; *ret_ended at the end of the stream. */
static bool read_once(struct run *run, bool *ret_ended, struct error *error)
{
    size_t room;
    void *bytes = lines_room(run->lines, &room);
    ssize_t got = read(run->stream->in_fd, bytes, room);

    if (got < 0) {
        if (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK)
            return true;
        return error_set(error, ERROR_IO, "stdin: %s", strerror(errno));
    }
    lines_filled(run->lines, (size_t)got);
    *ret_ended = got == 0;
    return true;
}

static void *read_all(void *context)
{
    struct run *run = context;
    struct error error = {0};
    bool ended = false;

    while (!ended && wait_for_input(run, &error) && read_once(run, &ended, &error)) {
        struct block *block;
        bool taken = true;

        while (taken && (block = next_block(run, &error)))
            taken = submit_block(run, block);
        if (!taken || error.code != ERROR_NONE)
            break;
    }
    pthread_mutex_lock(&run->mutex);
    run->reader_error = error;
    run->reader_over = true;
    pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->mutex);
    return NULL;
}

/* ---- writer: the calling thread ---- */

static void count_refusal(struct run *run, const struct error *why)
{
    run->outcome.refused++;
    if (why->code == ERROR_INTERNAL)
        run->outcome.internal = true;
    if (why->code == ERROR_UNKNOWN || why->code == ERROR_UNAVAILABLE || why->code == ERROR_BUSY ||
        why->code == ERROR_IO)
        run->outcome.unavailable = true;
}

static bool put_refusal(struct run *run, uint64_t number, const struct error *why)
{
    count_refusal(run, why);
    log_debug("refused", LOG_NUMBER("line", number), LOG_TEXT("code", error_code_name(why->code)),
              LOG_TEXT("reason", why->text));
    return buffer_put_text(&run->out, "{\"line\":") && json_put_unsigned(&run->out, number) &&
           buffer_put_text(&run->out, ",\"ok\":false,\"error\":") && json_put_error(&run->out, why) &&
           buffer_put(&run->out, "}\n", 2);
}

static bool put_accepted(struct run *run, uint64_t number, const struct op *op)
{
    run->outcome.accepted++;
    if (log_wants(LOG_LEVEL_DEBUG))
        log_debug(op->result == OP_SAME ? "there already" : "accepted", LOG_NUMBER("line", number));
    return buffer_put(&run->out, "{\"line\":", 8) && json_put_unsigned(&run->out, number) &&
           buffer_put(&run->out, ",\"ok\":true", 10) &&
           (op->result != OP_SAME || buffer_put_text(&run->out, ",\"already_there\":true")) &&
           (!op->key_assigned || (buffer_put_text(&run->out, ",\"id\":") && json_put_integer(&run->out, op->rowid))) &&
           buffer_put(&run->out, "}\n", 2);
}

static bool put_answers(struct run *run, const struct block *block)
{
    static const struct error no_reason = {.code = ERROR_INTERNAL, .text = "refused without a reason"};
    uint32_t next = 0;

    for (uint32_t i = 0; i < block->count; i++) {
        const struct line *line = &block->lines[i];
        const struct op *op;
        bool put;

        if (line->refused) {
            run->outcome.unparsed++;
            put = put_refusal(run, line->number, line->refused);
        } else {
            op = &block->submission->ops[next++];
            if (op->result == OP_DONE || op->result == OP_SAME)
                put = put_accepted(run, line->number, op);
            else
                put = put_refusal(run, line->number, op->error ? op->error : &no_reason);
        }
        if (!put)
            return false;
    }
    return true;
}

/* The oldest block when it is done; waits for that. NULL: there will be none. */
static struct block *take_done(struct run *run, bool *ret_more)
{
    struct block *block;

    pthread_mutex_lock(&run->mutex);
    while (!(run->head && run->head->done) && !(run->reader_over && !run->head))
        pthread_cond_wait(&run->changed, &run->mutex);
    block = run->head;
    if (block) {
        run->head = block->next;
        if (!run->head)
            run->tail = &run->head;
        run->queued--;
        pthread_cond_broadcast(&run->changed);
    }
    *ret_more = run->head && run->head->done;
    pthread_mutex_unlock(&run->mutex);
    return block;
}

/* No more input: what is queued is finished. */
static void stop_reader(struct run *run)
{
    pthread_mutex_lock(&run->mutex);
    run->stop = true;
    pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->mutex);
    (void)eventfd_write(run->stop_fd, 1);
}

static bool write_all(struct run *run, struct error *error)
{
    struct block *block;
    bool more;
    bool fine = true;

    while ((block = take_done(run, &more))) {
        if (fine && !put_answers(run, block))
            fine = error_set(error, ERROR_INTERNAL, "out of memory");
        block_free(block);
        if (fine && run->out.len > 0 && (!more || run->out.len >= OUTPUT_BYTES)) {
            fine = output_write(run->stream->out_fd, "stdout", run->out.bytes, run->out.len, &run->outcome.broken_pipe,
                                error);
            buffer_clear(&run->out);
        }
        if (!fine)
            stop_reader(run);
    }
    return fine || run->outcome.broken_pipe;
}

static bool run_threads(struct run *run, struct error *error)
{
    pthread_t reader;
    int result = pthread_create(&reader, NULL, read_all, run);
    bool fine;

    if (result != 0)
        return error_set(error, ERROR_INTERNAL, "cannot start a thread: %s", strerror(result));
    fine = write_all(run, error);
    pthread_join(reader, NULL);
    if (fine && run->reader_error.code == ERROR_INTERNAL) {
        *error = run->reader_error;
        fine = false;
    } else if (fine && run->reader_error.code != ERROR_NONE) {
        *error = run->reader_error;
        run->outcome.input_failed = true;
    }
    return fine;
}

bool insert_stream_run(const struct insert_stream *stream, struct insert_outcome *ret_outcome, struct error *error)
{
    int64_t share = stream->ops_max / INSERT_BLOCKS_MAX;
    struct run run = {
        .stream = stream,
        .parse = stream->parse,
        .block_lines = share >= INSERT_BLOCK_LINES ? INSERT_BLOCK_LINES
                       : share > 1                 ? (uint32_t)share
                                                   : 1,
        .mutex = PTHREAD_MUTEX_INITIALIZER,
        .changed = PTHREAD_COND_INITIALIZER,
        .stop_fd = eventfd(0, EFD_CLOEXEC),
    };
    bool fine;

    run.tail = &run.head;
    run.lines = lines_new(LIMIT_ROW_BYTES_MAX);
    if (!run.lines || run.stop_fd < 0)
        fine = error_set(error, ERROR_INTERNAL, "%s", run.lines ? strerror(errno) : "out of memory");
    else
        fine = run_threads(&run, error);
    *ret_outcome = run.outcome;
    if (run.stop_fd >= 0)
        close(run.stop_fd);
    lines_free(run.lines);
    buffer_release(&run.out);
    pthread_cond_destroy(&run.changed);
    pthread_mutex_destroy(&run.mutex);
    return fine;
}
