/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "checking.h"
#include "metrics_report.h"
#include "options.h"
#include "output.h"
#include "session.h"
#include "style.h"
#include "table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WIDTH 80

static const char about[] = "Verifies every database of a data directory and repairs nothing: that each file\n"
                            "is there and whole (SQLite's integrity_check: pages, indexes and so unique keys,\n"
                            "NOT NULL, CHECK, STRICT), belongs to this cluster and holds the stored schema,\n"
                            "that every reference has its parent, over all files, and that no transaction was\n"
                            "left over. The files are opened to be read only; no server is needed, and copies\n"
                            "of the bare files do as well as the directory itself. Beside a running system\n"
                            "each file is read as it is at one moment, what is wrong by then is looked at\n"
                            "again, and the transactions that are under way are not left over. A database\n"
                            "with an address, whose file is not here, is \"elsewhere\": it is neither checked\n"
                            "nor missed, and the references from and to it are not checked.\n"
                            "\nExit status: 0 nothing found; 1 something found; 2 usage, configuration, or a\n"
                            "schema that cannot be used; 3 a file or the directory cannot be read; 4\n"
                            "internal.\n";
static const char examples[] = "  coordinator check --data /var/lib/sheaf\n";

/* ---- figures ---- */

static bool put_number(struct table *table, uint64_t number, enum style style)
{
    char text[24];
    int len = snprintf(text, sizeof text, "%" PRIu64, number);
    return table_cell(table, number ? style : STYLE_PLAIN, text, (size_t)len);
}

static const char *not_looked(bool elsewhere)
{
    return elsewhere ? "elsewhere" : "not read";
}

static bool put_tables(const struct checking *checking, bool colour, struct buffer *out)
{
    static const struct table_column columns[] = {
        {"table", TABLE_LEFT, TABLE_CUT}, {"database", TABLE_LEFT, TABLE_CUT}, {"rows", TABLE_RIGHT, TABLE_WHOLE}};
    const struct schema *schema = checking->schema;
    struct table *table = table_new(columns, sizeof columns / sizeof *columns);
    uint64_t all = 0;
    bool fine = table != NULL;
    for (table_id t = 0; fine && t < schema->table_count; t++) {
        const struct checking_table *figures = &checking->tables[t];
        fine = table_cell_text(table, schema->tables[t].name) &&
               table_cell_text(table, schema->databases[schema->tables[t].database].name) &&
               (figures->looked ? put_number(table, figures->rows, STYLE_PLAIN)
                                : table_cell_text(table, not_looked(figures->elsewhere)));
        all += figures->rows;
    }
    fine = fine && table_rule(table) && table_cell_text(table, "all") && table_cell_text(table, "") &&
           put_number(table, all, STYLE_PLAIN) && table_put(table, WIDTH, colour, out);
    table_free(table);
    return fine;
}

static bool put_reference(struct table *table, const struct checking *checking, reference_id r)
{
    const struct schema *schema = checking->schema;
    const struct schema_reference *reference = &schema->references[r];
    const struct reference_figures *figures = &checking->references[r];
    bool elsewhere = checking->tables[reference->child].elsewhere || checking->tables[reference->parent].elsewhere;
    const struct schema_table *child = &schema->tables[reference->child], *parent = &schema->tables[reference->parent];
    char time[STYLE_SHORT];
    if (!table_cell_format(table, "%s(%s)", child->name, reference->constraint) ||
        !table_cell_text(table, parent->name))
        return false;
    if (!figures->looked)
        return table_cell_text(table, not_looked(elsewhere)) && table_cell_text(table, "-") &&
               table_cell_text(table, "-") && table_cell_text(table, "-");
    return put_number(table, figures->rows, STYLE_PLAIN) && put_number(table, figures->dangling, STYLE_RED) &&
           put_number(table, figures->in_doubt, STYLE_YELLOW) &&
           table_cell_text(table, style_duration(figures->time_ns, time));
}

static bool put_references(const struct checking *checking, bool colour, struct buffer *out)
{
    static const struct table_column columns[] = {
        {"reference", TABLE_LEFT, TABLE_CUT},   {"parent", TABLE_LEFT, TABLE_CUT},
        {"checked", TABLE_RIGHT, TABLE_WHOLE},  {"dangling", TABLE_RIGHT, TABLE_WHOLE},
        {"in doubt", TABLE_RIGHT, TABLE_WHOLE}, {"time", TABLE_RIGHT, TABLE_WHOLE}};
    const struct schema *schema = checking->schema;
    if (schema->reference_count == 0)
        return true;
    struct table *table = table_new(columns, sizeof columns / sizeof *columns);
    bool fine = table != NULL && buffer_put_text(out, "\n");
    for (reference_id r = 0; fine && r < schema->reference_count; r++)
        fine = put_reference(table, checking, r);
    fine = fine && table_put(table, WIDTH, colour, out);
    table_free(table);
    return fine;
}

/* ---- findings ---- */

static const struct {
    const char *word;
    enum style style;
} kinds[] = {[FINDING_WRONG] = {"wrong", STYLE_RED},
             [FINDING_IN_DOUBT] = {"in doubt", STYLE_YELLOW},
             [FINDING_UNREADABLE] = {"not read", STYLE_RED},
             [FINDING_REMARK] = {"remark", STYLE_PLAIN}};

/* One line each and never cut, so that a key can be searched for. */
static bool put_findings(const struct findings *findings, bool colour, struct buffer *out)
{
    bool fine = findings->count == 0 || buffer_put_text(out, "\n");
    for (size_t i = 0; fine && i < findings->count; i++) {
        const struct finding *finding = &findings->items[i];
        const char *word = kinds[finding->kind].word;
        fine = style_put(out, kinds[finding->kind].style, colour, word, strlen(word)) && buffer_put_text(out, ": ") &&
               style_escape(out, finding->about, strlen(finding->about)) && buffer_put_text(out, ": ") &&
               style_escape(out, finding->text, strlen(finding->text)) && buffer_put_text(out, "\n");
    }
    return fine;
}

static int status_of(const struct findings *findings)
{
    if (findings->counts[FINDING_WRONG] || findings->counts[FINDING_IN_DOUBT])
        return STATUS_REFUSED;
    return findings->counts[FINDING_UNREADABLE] ? STATUS_UNAVAILABLE : STATUS_FINE;
}

static bool put_verdict(const struct checking *checking, struct buffer *out)
{
    const struct findings *findings = &checking->findings;
    char time[STYLE_SHORT];
    bool fine = buffer_put_text(out, "\n");
    if (checking->written)
        fine =
            fine && buffer_format(out,
                                  "%u of the files were written to meanwhile: each was read as it was at one moment,\n"
                                  "and references between them were looked at while writing went on.\n",
                                  (unsigned)checking->written);
    fine = fine && buffer_format(out, "%s: %u of %u databases read in %s; %zu wrong, %zu in doubt, %zu not read",
                                 status_of(findings) == STATUS_FINE ? "clean" : "not clean", (unsigned)checking->files,
                                 (unsigned)checking->schema->database_count, style_duration(checking->time_ns, time),
                                 findings->counts[FINDING_WRONG], findings->counts[FINDING_IN_DOUBT],
                                 findings->counts[FINDING_UNREADABLE]);
    if (checking->elsewhere)
        fine = fine && buffer_format(out, ", %u elsewhere", (unsigned)checking->elsewhere);
    return fine && buffer_put_text(out, "\n");
}

static bool report(const struct checking *checking, struct error *error)
{
    struct buffer out = {0};
    bool colour = style_colour(STDOUT_FILENO);
    bool fine = put_tables(checking, colour, &out) && put_references(checking, colour, &out) &&
                put_findings(&checking->findings, colour, &out) && put_verdict(checking, &out);
    fine = fine ? output_write(STDOUT_FILENO, "stdout", out.bytes, out.len, NULL, error)
                : error_set(error, ERROR_INTERNAL, "out of memory");
    buffer_release(&out);
    return fine;
}

/* ---- the verb ---- */

static bool has_address(void *context, const char *database)
{
    const struct session *session = context;
    return config_address(&session->config, database) != NULL;
}

static bool is_held(void *context)
{
    const struct session *session = context;
    return datadir_is_held(session->datadir);
}

static int check(struct session *session)
{
    const struct cluster *stored = &session->stored;
    const struct checking_options options = {.data = session->data,
                                             .note = {.cluster = stored->id[0] ? stored->id : NULL,
                                                      .schema = stored->schema,
                                                      .placement = stored->placement},
                                             .has_address = has_address,
                                             .is_held = is_held,
                                             .context = session};
    struct checking checking;
    struct error error;
    if (!checking_run(&options, &checking, &error)) {
        int status = options_complain("check", &error);
        return error.code == ERROR_NOT_FOUND ? STATUS_UNAVAILABLE : status;
    }
    int status = report(&checking, &error) ? status_of(&checking.findings) : options_complain("check", &error);
    checking_release(&checking);
    return status;
}

/* What the verbs that run shards understand, and a check has no use for, it refuses rather than passes over. */
static const char *useless_option(const struct options *options)
{
    if (options->schema)
        return "--schema";
    return options->metrics != METRICS_UNSET || options->metrics_file ? "--metrics" : NULL;
}

int check_command(int argc, char **argv)
{
    struct options options;
    struct session session;
    struct error error;
    int first;
    const struct options_spec spec = {.verb = "check",
                                      .usage = "[OPTION]...",
                                      .about = about,
                                      .examples = examples,
                                      .no_schema = true,
                                      .no_metrics = true};
    enum options_result result = options_read(&spec, argc, argv, &options, &first);
    if (result != OPTIONS_GO)
        return options_leave(result);
    const char *useless = useless_option(&options);
    if (useless)
        return options_usage_error("check", "%s: a check takes the schema from the files, and has no metrics", useless);
    if (!session_look(&session, &options, &error))
        return options_complain("check", &error);
    int status = check(&session);
    session_close(&session);
    return status;
}
