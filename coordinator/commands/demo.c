/* SPDX-License-Identifier: Apache-2.0 */
#include "demo.h"

#include "clock.h"
#include "demo_data.h"
#include "demo_report.h"
#include "log.h"
#include "metrics_report.h"
#include "options.h"
#include "output.h"
#include "outputs.h"
#include "row.h"
#include "session.h"
#include "style.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct options_spec spec = {
    .verb = "demo",
    .usage = "[OPTION]...",
    .about = "Inserts the built-in shop's test data, good rows and every kind of bad one, each\n"
             "an operation of its own and all in flight at once. Shows what became of each and\n"
             "why, then the rows of every database, read back through its process, and the\n"
             "times. The directory is ./sheaf-demo when none is given. Again on the same\n"
             "directory, it says of each accepted row that it is there already. The exit\n"
             "status is 0 when all went as planned, 1 when not.\n",
    .examples = "  coordinator demo\n"
                "  coordinator demo --data /tmp/shop --metrics json --metrics-file times.json\n",
    .no_schema = true,
    .data_help = "directory of the databases (else ./sheaf-demo)",
};

/* Whether the directory holds the shop and nothing else; where its tables are placed does not matter. */
static bool schema_is_the_shop(const struct schema *schema, const char *data, struct error *error)
{
    struct schema_placement placement = {0};
    struct buffer text = {0};
    struct schema *shop = NULL;
    bool fine = schema_placement_text(schema, &text) || error_set(error, ERROR_INTERNAL, "out of memory");

    fine = fine && schema_placement_read((const char *)text.bytes, text.len, &placement, error);
    if (fine) {
        shop = schema_load(schema_shop, strlen(schema_shop), "the shop", &placement, error);
        fine = shop != NULL;
    }
    buffer_clear(&text);
    fine = fine && (schema_difference(schema, shop, &text) || error_set(error, ERROR_INTERNAL, "out of memory"));
    if (fine && text.len > 0)
        fine = error_set(error, ERROR_PARSE, "%.*s", (int)text.len, (const char *)text.bytes);
    if (!fine && error->code != ERROR_INTERNAL)
        error_prefix(error, "%s does not hold the demo's shop: ", data);
    schema_free(shop);
    schema_placement_release(&placement);
    buffer_release(&text);
    return fine;
}

/* Operations that were submitted and are not yet finished. */
struct flight {
    pthread_mutex_t mutex;
    pthread_cond_t landed;
    unsigned in_flight;
};

/* Engine thread. */
static void operation_finished(struct submission *submission)
{
    struct flight *flight = submission->context;

    pthread_mutex_lock(&flight->mutex);
    flight->in_flight--;
    if (flight->in_flight == 0)
        pthread_cond_signal(&flight->landed);
    pthread_mutex_unlock(&flight->mutex);
}

static struct submission *operation_of(const struct schema *schema, const struct demo_row *row, unsigned number,
                                       struct error *error)
{
    table_id table = schema_find_table(schema, row->table, strlen(row->table));
    struct submission *submission = submission_new(1);

    if (table == SCHEMA_NONE || schema->tables[table].column_count != row->column_count)
        panic("the demo's row %u does not fit the shop", number);
    if (!submission || !row_write(&schema->tables[table], row->values, &submission->rows)) {
        submission_free(submission);
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    submission->ops[0] = (struct op){
        .table = table,
        .same_is_fine = true,
        .row_len = (uint32_t)submission->rows.len,
        .position = number,
    };
    submission->count = 1;
    return submission;
}

/* Submits them all before the first is waited for. */
static void fly(struct engine *engine, struct submission *const *submissions)
{
    struct flight flight = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, demo_row_count};

    for (unsigned i = 0; i < demo_row_count; i++) {
        submissions[i]->context = &flight;
        submissions[i]->finished = operation_finished;
        engine_submit(engine, submissions[i]);
    }
    pthread_mutex_lock(&flight.mutex);
    while (flight.in_flight > 0)
        pthread_cond_wait(&flight.landed, &flight.mutex);
    pthread_mutex_unlock(&flight.mutex);
    pthread_cond_destroy(&flight.landed);
    pthread_mutex_destroy(&flight.mutex);
}

static enum error_code verdict_of(const struct op *op)
{
    if (op->result == OP_DONE || op->result == OP_SAME)
        return ERROR_NONE;
    return op->error ? op->error->code : ERROR_INTERNAL;
}

struct tally {
    unsigned accepted;
    unsigned same;
    unsigned refused;
    unsigned unplanned;
    bool unavailable;
};

static bool count_one(const struct op *op, unsigned i, struct tally *tally, struct buffer *differences)
{
    enum error_code verdict = verdict_of(op);

    tally->accepted += op->result == OP_DONE;
    tally->same += op->result == OP_SAME;
    tally->refused += verdict != ERROR_NONE;
    tally->unavailable |= verdict == ERROR_UNAVAILABLE || verdict == ERROR_UNKNOWN || verdict == ERROR_BUSY;
    if (log_wants(LOG_LEVEL_DEBUG))
        log_debug(op->result == OP_SAME ? "there already"
                  : verdict             ? "refused"
                                        : "accepted",
                  LOG_NUMBER("operation", i + 1), LOG_TEXT("table", demo_rows[i].table),
                  LOG_TEXT("reason", op->error ? op->error->text : ""));
    if (verdict == demo_rows[i].expected)
        return true;
    tally->unplanned++;
    return buffer_format(differences, "operation %u (%s): planned: %s, but: %s\n", i + 1, demo_rows[i].what,
                         demo_rows[i].expected ? error_code_name(demo_rows[i].expected) : "accepted",
                         verdict ? error_code_name(verdict) : "accepted");
}

/* "41 operations: 19 accepted, 22 refused, all as planned", after what was not. */
static bool put_closing(struct submission *const *submissions, bool colour, struct buffer *out, struct tally *tally)
{
    struct buffer line = {0};
    bool fine = buffer_put(out, "\n", 1);

    for (unsigned i = 0; i < demo_row_count && fine; i++)
        fine = count_one(&submissions[i]->ops[0], i, tally, out);
    fine = fine && buffer_format(&line, "%u operations: %u accepted, ", demo_row_count, tally->accepted);
    if (tally->same > 0)
        fine = fine && buffer_format(&line, "%u there already, ", tally->same);
    fine = fine && buffer_format(&line, "%u refused, ", tally->refused);
    if (tally->unplanned > 0)
        fine = fine && buffer_format(&line, "%u not as planned", tally->unplanned);
    else
        fine = fine && buffer_put_text(&line, "all as planned");
    fine = fine &&
           style_put(out, tally->unplanned ? STYLE_RED : STYLE_GREEN, colour, (const char *)line.bytes, line.len) &&
           buffer_put(out, "\n", 1);
    buffer_release(&line);
    return fine;
}

/* Everything but the metrics, into one text. */
static bool report(struct session *session, struct submission *const *submissions, struct tally *tally,
                   struct error *error)
{
    bool colour = style_colour(STDOUT_FILENO);
    struct buffer out = {0};
    bool fine = demo_put_verdicts(submissions, colour, &out) || error_set(error, ERROR_INTERNAL, "out of memory");

    fine = fine && demo_put_contents(session->engine, session->schema, colour, &out, error);
    fine = fine && (put_closing(submissions, colour, &out, tally) || error_set(error, ERROR_INTERNAL, "out of memory"));
    fine = fine && output_write(STDOUT_FILENO, "stdout", out.bytes, out.len, NULL, error);
    buffer_release(&out);
    return fine;
}

static bool write_metrics(struct session *session, const struct options *options, const struct histogram *parse,
                          uint64_t started_ns, struct error *error)
{
    const struct metrics_target target = {
        .format = options->metrics, .standard = METRICS_TEXT, .file = options->metrics_file, .fd = STDOUT_FILENO};
    struct metrics metrics;
    bool fine = true;

    if (!metrics_wanted(&target))
        return true;
    if (!metrics_gather(session->engine, session->schema, parse, started_ns, &metrics, error))
        return false;
    if (!target.file && options->metrics != METRICS_JSON)
        fine = output_write(STDOUT_FILENO, "stdout", "\n", 1, NULL, error);
    fine = fine && metrics_write(&metrics, &target, error);
    metrics_release(&metrics);
    return fine;
}

static bool make_operations(const struct schema *schema, struct submission **submissions, struct histogram *parse,
                            struct error *error)
{
    for (unsigned i = 0; i < demo_row_count; i++) {
        uint64_t began_ns = clock_monotonic_ns();

        submissions[i] = operation_of(schema, &demo_rows[i], i + 1, error);
        if (!submissions[i])
            return false;
        submissions[i]->parsed_ns = began_ns;
        submissions[i]->parse_took_ns = clock_monotonic_ns() - began_ns;
        histogram_add(&parse[schema->tables[submissions[i]->ops[0].table].database], submissions[i]->parse_took_ns, 1);
    }
    return true;
}

static int demo_run(struct session *session, const struct options *options)
{
    uint64_t started_ns = clock_monotonic_ns();
    struct submission **submissions = calloc(demo_row_count, sizeof(struct submission *));
    struct histogram *parse = calloc(session->schema->database_count, sizeof *parse);
    struct tally tally = {0};
    struct error error = {0};
    int status;
    bool fine = (submissions && parse) || error_set(&error, ERROR_INTERNAL, "out of memory");

    fine = fine && make_operations(session->schema, submissions, parse, &error);
    if (fine)
        fly(session->engine, submissions);
    fine = fine && report(session, submissions, &tally, &error) &&
           write_metrics(session, options, parse, started_ns, &error);
    if (!fine)
        status = options_complain(spec.verb, &error);
    else if (tally.unavailable)
        status = STATUS_UNAVAILABLE;
    else
        status = tally.unplanned ? STATUS_REFUSED : STATUS_FINE;
    for (unsigned i = 0; submissions && i < demo_row_count; i++)
        submission_free(submissions[i]);
    free(submissions);
    free(parse);
    return status;
}

int demo_command(int argc, char **argv)
{
    struct options options;
    struct session session;
    struct error error;
    int operands, status;
    enum options_result result = options_read(&spec, argc, argv, &options, &operands);

    if (result != OPTIONS_GO)
        return options_leave(result);
    if (options.schema)
        return options_usage_error(spec.verb, "--schema: the demo brings its own, the built-in shop");
    if (!options.data)
        options.data = "./sheaf-demo";
    if (!session_open(&session, &options, &error))
        return options_complain(spec.verb, &error);
    const char *const files[] = {session.ddl_file, session.config.file};
    const struct outputs outputs = {session.data, files, sizeof files / sizeof *files};
    if (schema_is_the_shop(session.schema, session.data, &error) &&
        outputs_may_write(&outputs, "--metrics-file", options.metrics_file, &error) &&
        session_start(&session, &options, &error))
        status = demo_run(&session, &options);
    else
        status = options_complain(spec.verb, &error);
    session_close(&session);
    return status;
}
