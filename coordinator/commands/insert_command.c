/* SPDX-License-Identifier: Apache-2.0 */
#include "insert_command.h"

#include "clock.h"
#include "insert_stream.h"
#include "log.h"
#include "metrics_report.h"
#include "options.h"
#include "outputs.h"
#include "session.h"
#include "signals.h"

#include <stdlib.h>
#include <unistd.h>

static const struct options_spec spec = {
    .verb = "insert",
    .usage = "[OPTION]...",
    .about = "Inserts rows given as JSON lines on stdin and answers each line with a JSON line\n"
             "on stdout, in order, as soon as the row is durable:\n\n"
             "  {\"table\":\"users\",\"id\":1,\"name\":\"Ann\",\"email\":\"ann@example.org\"}\n"
             "  {\"line\":1,\"ok\":true}\n\n"
             "The same row again is \"already_there\":true. A row without its integer primary\n"
             "key gets the next one, answered as \"id\". A refused row has \"ok\":false and an\n"
             "\"error\" with code, table, constraint and message. A line sees earlier lines\n"
             "only. A column that is called \"table\" is written \"=table\". Blank lines get no\n"
             "answer.\n"
             "When the reader of stdout goes away, no more lines are taken, what was taken is\n"
             "finished, and the exit status is 3.\n",
    .examples = "  coordinator insert < rows.ndjson > answers.ndjson\n"
                "  echo '{\"table\":\"users\",\"name\":\"Ann\",\"email\":\"a@b.org\"}' | coordinator insert\n",
};

static int status_of(const struct insert_outcome *outcome)
{
    int caught = signals_caught();

    if (outcome->internal)
        return STATUS_INTERNAL;
    if (caught)
        return 128 + caught;
    if (outcome->broken_pipe || outcome->unavailable)
        return STATUS_UNAVAILABLE;
    if (outcome->input_failed)
        return STATUS_USAGE;
    return outcome->refused > 0 ? STATUS_REFUSED : STATUS_FINE;
}

static bool write_metrics(struct session *session, const struct options *options, const struct insert_stream *stream,
                          const struct insert_outcome *outcome, uint64_t started_ns, struct error *error)
{
    const struct metrics_target target = {
        .format = options->metrics, .standard = METRICS_NONE, .file = options->metrics_file, .fd = STDERR_FILENO};
    struct metrics metrics;
    bool fine;

    if (!metrics_wanted(&target))
        return true;
    if (!session_gather(session, stream->parse, started_ns, &metrics, error))
        return false;
    metrics.refused_in_input = outcome->unparsed;
    fine = metrics_write(&metrics, &target, error);
    metrics_release(&metrics);
    return fine;
}

static int insert_all(struct session *session, const struct options *options)
{
    uint64_t started_ns = clock_monotonic_ns();
    struct insert_outcome outcome = {0};
    struct error error = {0};
    struct insert_stream stream = {
        .engine = session->engine,
        .schema = session->schema,
        .in_fd = STDIN_FILENO,
        .out_fd = STDOUT_FILENO,
        .interrupt_fd = signals_fd(),
        .ops_max = session->config.limits.engine_ops_max,
        .parse = calloc(session->schema->database_count, sizeof *stream.parse), /* without memory it is not measured */
    };
    bool fine = insert_stream_run(&stream, &outcome, &error);
    int status = fine ? status_of(&outcome) : options_status_of(&error);

    if (!fine || outcome.input_failed || outcome.broken_pipe)
        options_complain(spec.verb, &error);
    if (!write_metrics(session, options, &stream, &outcome, started_ns, &error)) {
        options_complain(spec.verb, &error);
        if (status < STATUS_UNAVAILABLE)
            status = options_status_of(&error);
    }
    free(stream.parse);
    return status;
}

int insert_command(int argc, char **argv)
{
    struct options options;
    struct session session;
    struct error error;
    int operands, status;
    enum options_result result = options_read(&spec, argc, argv, &options, &operands);

    if (result != OPTIONS_GO)
        return options_leave(result);
    if (!session_open_shared(&session, &options, &error))
        return options_complain(spec.verb, &error);
    const char *const files[] = {"-", session.ddl_file, session.config.file};
    const struct outputs outputs = {session.data, files, sizeof files / sizeof *files};
    status = outputs_may_write(&outputs, "--metrics-file", options.metrics_file, &error) &&
                     session_start(&session, &options, &error)
                 ? insert_all(&session, &options)
                 : options_complain(spec.verb, &error);
    session_close(&session);
    return status;
}
