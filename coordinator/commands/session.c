/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include "clock.h"
#include "links.h"
#include "log.h"
#include "relay_client.h"
#include "signals.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DATA_STANDARD "./sheaf-data"
#define CONFIG_NAME "sheaf.conf"

static bool out_of_memory(struct error *error)
{
    return error_set(error, ERROR_INTERNAL, "out of memory");
}

/* A schema or configuration that cannot be read is the caller's mistake, unlike a database that cannot. */
static bool wrong_input(struct error *error)
{
    if (error->code == ERROR_IO)
        error->code = ERROR_PARSE;
    return false;
}

static bool open_log(const struct options *options, struct error *error)
{
    enum log_level level;
    enum log_format format;
    if (!log_level_of(options->log_level, &level))
        return error_set(error, ERROR_PARSE, "--log-level %s: not error, warn, info or debug", options->log_level);
    if (!log_format_of(options->log_format, &format))
        return error_set(error, ERROR_PARSE, "--log-format %s: not logfmt or json", options->log_format);
    log_open("coordinator", NULL, level, format);
    return true;
}

/* ---- configuration and data directory ---- */

static const char *data_without_config(const struct options *options)
{
    const char *environment = getenv("SHEAF_DATA");
    if (options->data)
        return options->data;
    return environment && environment[0] ? environment : DATA_STANDARD;
}

static bool is_same_directory(const char *one, const char *other)
{
    struct stat a, b;
    return stat(one, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* DIR/sheaf.conf when it is there. It may say `data` only if that is DIR: it was found because DIR is in use. */
static bool read_own_config(struct session *session, const char *data, struct error *error)
{
    char *path = NULL;
    if (asprintf(&path, "%s/" CONFIG_NAME, data) < 0)
        return out_of_memory(error);
    bool fine = true;
    if (access(path, F_OK) == 0) {
        fine = config_read(&session->config, path, error) || wrong_input(error);
        if (fine && session->config.data && !is_same_directory(session->config.data, data))
            fine = error_set(error, ERROR_PARSE, "%s: data = %s is another directory than the one this file is in",
                             path, session->config.data);
    }
    free(path);
    return fine;
}

static bool choose_data(struct session *session, const struct options *options, const char **ret_data,
                        struct error *error)
{
    const char *data = data_without_config(options);
    if (!options->config) {
        if (!read_own_config(session, data, error))
            return false;
    } else {
        if (!config_read(&session->config, options->config, error))
            return wrong_input(error);
        if (!options->data && session->config.data)
            data = session->config.data;
    }
    if (options->data_given)
        log_info("data directory", LOG_TEXT("path", data));
    else
        log_warn("data directory", LOG_TEXT("path", data));
    *ret_data = data;
    return true;
}

/* ---- schema ---- */

/* NULL when nothing is placed: a schema's own default, or the stored placement, holds. */
static const struct schema_placement *given(const struct schema_placement *placement)
{
    return placement->count ? placement : NULL;
}

/* The schema that was asked for, NULL when none was. Before the directory is touched: a wrong one leaves no trace. */
static bool load_given(const struct session *session, const struct schema_placement *placement,
                       struct schema **ret_schema, struct error *error)
{
    const char *path = session->ddl_file;
    *ret_schema = NULL;
    if (!path)
        return true;
    *ret_schema = schema_load_file(path, given(placement), error);
    return *ret_schema || wrong_input(error);
}

static bool refuse_difference(const struct session *session, const struct schema *stored, const struct schema *asked,
                              struct error *error)
{
    struct buffer text = {0};
    bool fine = schema_difference(stored, asked, &text);
    if (!fine)
        out_of_memory(error);
    else if (text.len)
        fine = error_set(error, ERROR_PARSE, "%s was made with another schema: %.*s", session->data, (int)text.len,
                         (const char *)text.bytes);
    buffer_release(&text);
    return fine;
}

/* Compares what was asked for, each part that was not asked for taken from the stored one. */
static bool compare(const struct session *session, const struct schema *stored, const struct schema *asked,
                    const struct schema_placement *asked_placement, const struct schema_placement *stored_placement,
                    struct error *error)
{
    const struct schema_placement *placement = given(asked_placement) ? asked_placement : stored_placement;
    const char *text = asked ? asked->text : stored->text;
    struct error ignored = {0};
    if (!asked && !given(asked_placement))
        return true;
    struct schema *whole = schema_load(text, strlen(text), "the schema", placement, asked ? &ignored : error);
    if (!whole && !asked)
        return false; /* the configuration places a table that the stored schema lacks */
    /* an asked schema that lacks a table of the stored placement: its default placement shows the difference too */
    bool fine = refuse_difference(session, stored, whole ? whole : asked, error);
    schema_free(whole);
    return fine;
}

static bool load_stored(struct session *session, const struct schema *asked,
                        const struct schema_placement *asked_placement, struct error *error)
{
    struct schema_placement placement = {0};
    if (!schema_placement_read(session->stored.placement, session->stored.placement_len, &placement, error))
        return false;
    session->schema =
        schema_load(session->stored.schema, session->stored.schema_len, "the stored schema", &placement, error);
    bool fine = session->schema && compare(session, session->schema, asked, asked_placement, &placement, error);
    schema_placement_release(&placement);
    return fine;
}

/* Takes `asked` over. */
static bool choose_schema(struct session *session, struct schema *asked, const struct schema_placement *placement,
                          struct error *error)
{
    if (session->stored.schema) {
        bool fine = load_stored(session, asked, placement, error);
        schema_free(asked);
        return fine;
    }
    session->schema =
        asked ? asked : schema_load(schema_shop, strlen(schema_shop), "the built-in shop", given(placement), error);
    return session->schema != NULL;
}

/* ---- engine ---- */

static bool choose_addresses(struct session *session, struct error *error)
{
    const struct schema *schema = session->schema;
    for (size_t i = 0; i < session->config.database_count; i++)
        if (schema_find_database(schema, session->config.databases[i].name) == SCHEMA_NONE)
            return error_set(error, ERROR_PARSE, "%s: [database %s]: no table is in such a database",
                             session->config.file, session->config.databases[i].name);
    session->addresses = calloc(schema->database_count + 1u, sizeof *session->addresses);
    if (!session->addresses)
        return out_of_memory(error);
    for (size_t i = 0; i < schema->database_count; i++) {
        session->addresses[i] = config_address(&session->config, schema->databases[i].name);
        if (session->addresses[i] && !links_address_valid(session->addresses[i], schema->databases[i].name, error))
            return error_prefix(error, "%s: ", session->config.file);
    }
    return true;
}

/* The cluster's id is on disk before a shard hears it: a first start that is killed goes on with the same one. */
static bool identify(struct session *session, struct error *error)
{
    const char *name = session->config.cluster;
    if (session->stored.id[0])
        return !name || cluster_id_has_name(session->stored.id, name) ||
               error_set(error, ERROR_PARSE, "%s belongs to the cluster %s, not to %s", session->data,
                         session->stored.id, name);
    return cluster_id_new(name, session->stored.id, error) && cluster_write(session->datadir, &session->stored, error);
}

/* Only who may write the directory can have made it, and it is used; but a lock file or a copy of the directory does
 * not go where it leads. */
static void warn_of_links(const struct session *session)
{
    char name[3 * LIMIT_NAME_BYTES_MAX + 8];
    for (size_t i = 0; i < session->schema->database_count; i++)
        if (!session->addresses[i] && schema_file_name(session->schema->databases[i].name, name, sizeof name) &&
            datadir_has_link(session->datadir, name))
            log_warn("a database's file is a symbolic link, and what it leads to is used",
                     LOG_TEXT("database", session->schema->databases[i].name), LOG_TEXT("file", name));
}

static void log_engine(void *context, int level, database_id database, const char *text)
{
    const struct schema *schema = context;
    if (database < schema->database_count)
        log_at((enum log_level)level, text, LOG_TEXT("database", schema->databases[database].name));
    else
        log_write((enum log_level)level, text, NULL, 0);
}

/* `found`: there was a note. */
static bool start_engine(struct session *session, const struct options *options, bool found, struct error *error)
{
    bool unheard = false;
    const struct engine_options engine = {.schema = session->schema,
                                          .limits = session->config.limits,
                                          .data = session->data,
                                          .addresses = session->addresses,
                                          .cluster = session->stored.id,
                                          .first_use = !session->stored.schema,
                                          .patient = !session->serves,
                                          .ret_unheard = &unheard,
                                          .log_format = options->log_format,
                                          .log_level = options->log_level,
                                          .log = log_engine,
                                          .log_context = session->schema};
    session->engine = engine_start(&engine, error);
    if (session->engine)
        return true;
    session->begun = found || !unheard;
    if (!session->begun)
        cluster_remove(session->datadir);
    if (error->code != ERROR_INTERNAL) /* whatever is wrong with it, this database cannot be used now */
        error->code = ERROR_UNAVAILABLE;
    return false;
}

/* Every shard took the schema: from now on the directory is of this schema. */
static bool claim(struct session *session, struct error *error)
{
    if (session->stored.schema)
        return true;
    struct buffer placement = {0};
    struct cluster cluster = {.schema = session->schema->text, .schema_len = strlen(session->schema->text)};
    memcpy(cluster.id, session->stored.id, sizeof cluster.id);
    bool fine = schema_placement_text(session->schema, &placement) || out_of_memory(error);
    cluster.placement = (char *)placement.bytes;
    cluster.placement_len = placement.len;
    fine = fine && cluster_write(session->datadir, &cluster, error);
    buffer_release(&placement);
    return fine;
}

/* What was set up on purpose perhaps, and perhaps not. */
static void warn_of_directory(const struct session *session)
{
    if (datadir_others_may_look_in(session->datadir))
        log_warn("every user of this machine may look into the data directory", LOG_TEXT("data", session->data));
}

static bool open_directory(struct session *session, const char *data, bool shared, struct error *error)
{
    session->datadir = datadir_open(data, error);
    if (!session->datadir && shared && error->code == ERROR_UNAVAILABLE) {
        session->shared = true;
        session->held = *error;
        session->datadir = datadir_look(data, error);
    }
    if (!session->datadir)
        return false;
    session->data = datadir_path(session->datadir);
    warn_of_directory(session);
    return cluster_read(session->datadir, &session->stored, error);
}

bool session_look(struct session *session, const struct options *options, struct error *error)
{
    const char *data = NULL;
    *session = (struct session){0};
    config_init(&session->config);
    if (open_log(options, error) && choose_data(session, options, &data, error) &&
        (session->datadir = datadir_look(data, error)) != NULL) {
        session->data = datadir_path(session->datadir);
        if (cluster_read(session->datadir, &session->stored, error))
            return true;
    }
    session_close(session);
    return false;
}

static bool open_session(struct session *session, const struct options *options, bool shared, struct error *error)
{
    struct schema_placement placement = {0};
    struct schema *asked = NULL;
    const char *data = NULL;
    *session = (struct session){0};
    config_init(&session->config);
    bool fine = open_log(options, error) && signals_start(error) && choose_data(session, options, &data, error) &&
                config_placement(&session->config, &placement, error);
    session->ddl_file = options->schema ? options->schema : session->config.schema;
    fine = fine && load_given(session, &placement, &asked, error) && open_directory(session, data, shared, error);
    if (!fine)
        schema_free(asked);
    fine = fine && choose_schema(session, asked, &placement, error) && choose_addresses(session, error);
    schema_placement_release(&placement);
    if (!fine && error->code == ERROR_UNKNOWN_TABLE && session->config.file) /* only a placement names tables here */
        error_prefix(error, "%s: ", session->config.file);
    if (!fine)
        session_close(session);
    return fine;
}

bool session_open(struct session *session, const struct options *options, struct error *error)
{
    return open_session(session, options, false, error);
}

bool session_open_shared(struct session *session, const struct options *options, struct error *error)
{
    return open_session(session, options, true, error);
}

/* Whoever has the directory and is no server, or none yet, is told by its pid. */
static bool reach_server(struct session *session, struct error *error)
{
    session->engine = relay_connect(session->data, session->schema, error);
    if (session->engine)
        return metrics_gather(session->engine, session->schema, NULL, clock_monotonic_ns(), &session->before, error);
    if (error->code == ERROR_NOT_FOUND)
        *error = session->held;
    return false;
}

bool session_start(struct session *session, const struct options *options, struct error *error)
{
    bool found = session->stored.id[0] != '\0';
    session->begun = true;
    if (session->shared)
        return reach_server(session, error);
    warn_of_links(session);
    return identify(session, error) && start_engine(session, options, found, error) && claim(session, error);
}

bool session_gather(const struct session *session, const struct histogram *parse, uint64_t started_ns,
                    struct metrics *ret_metrics, struct error *error)
{
    if (!metrics_gather(session->engine, session->schema, parse, started_ns, ret_metrics, error))
        return false;
    if (session->shared)
        metrics_since(ret_metrics, &session->before);
    return true;
}

void session_stop(struct session *session)
{
    engine_stop(session->engine);
    session->engine = NULL;
}

void session_close(struct session *session)
{
    session_stop(session);
    metrics_release(&session->before);
    if (session->begun)
        datadir_close(session->datadir);
    else
        datadir_undo(session->datadir);
    cluster_release(&session->stored);
    free(session->addresses);
    schema_free(session->schema);
    config_release(&session->config);
    *session = (struct session){0};
}
