/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- an engine that only remembers how it was started ---- */

static struct {
    bool fails;
    int running;
    bool first_use;
    char cluster[64];
    char data[256];
    char address[64]; /* of the first database */
    char databases[256];
    int64_t stop_ms;
    bool noted; /* sheaf.cluster was there when it started */
} seen;

struct engine *engine_start(const struct engine_options *options, struct error *error)
{
    char path[320];
    seen.first_use = options->first_use;
    seen.stop_ms = options->limits.stop_ms;
    snprintf(seen.cluster, sizeof seen.cluster, "%s", options->cluster);
    snprintf(seen.data, sizeof seen.data, "%s", options->data);
    snprintf(seen.address, sizeof seen.address, "%s", options->addresses[0] ? options->addresses[0] : "");
    seen.databases[0] = '\0';
    for (size_t i = 0; i < options->schema->database_count; i++) {
        strcat(seen.databases, options->schema->databases[i].name);
        strcat(seen.databases, " ");
    }
    snprintf(path, sizeof path, "%s/sheaf.cluster", options->data);
    seen.noted = access(path, F_OK) == 0;
    if (seen.fails) {
        error_set(error, ERROR_UNAVAILABLE, "database users: no");
        return NULL;
    }
    seen.running++;
    return (struct engine *)&seen;
}

void engine_stop(struct engine *engine)
{
    seen.running -= engine != NULL;
}

/* ---- helpers ---- */

static char folder[64];
static char data[128];

static const char *file(const char *name, const char *text)
{
    static char paths[8][192];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    if (text) {
        FILE *out = fopen(path, "w");
        assert_non_null(out);
        fputs(text, out);
        assert_int_equal(fclose(out), 0);
    }
    return path;
}

static struct options options_of(const char *schema, const char *config)
{
    return (struct options){.data = data,
                            .data_given = true,
                            .schema = schema,
                            .config = config,
                            .log_format = "logfmt",
                            .log_level = "error"};
}

static void opens(const struct options *options)
{
    struct session session;
    struct error error = {0};
    if (!session_open(&session, options, &error))
        fail_msg("%s", error.text);
    assert_int_equal(seen.running, 0);
    if (!session_start(&session, options, &error))
        fail_msg("%s", error.text);
    assert_int_equal(seen.running, 1);
    session_close(&session);
    assert_int_equal(seen.running, 0);
}

static void is_refused(const struct options *options, enum error_code code, const char *part)
{
    struct session session;
    struct error error = {0};
    bool opened = session_open(&session, options, &error);
    assert_false(opened && session_start(&session, options, &error));
    assert_int_equal(seen.running, 0);
    if (opened)
        session_close(&session);
    if (error.code != code || !strstr(error.text, part))
        fail_msg("%s: \"%s\" is not %s: \"%s\"", error_code_name(error.code), error.text, error_code_name(code), part);
}

#define SCHEMA "CREATE TABLE t (id INTEGER PRIMARY KEY);\nCREATE TABLE u (id INTEGER PRIMARY KEY);\n"

/* ---- tests ---- */

static void the_shop_is_what_a_new_directory_gets(void **state)
{
    (void)state;
    struct options options = options_of(NULL, NULL);
    opens(&options);
    assert_true(seen.first_use);
    assert_string_equal(seen.databases, "users products orders ");
    assert_string_equal(seen.data, data);
    char cluster[64];
    strcpy(cluster, seen.cluster);
    opens(&options);
    assert_false(seen.first_use);
    assert_string_equal(seen.cluster, cluster);
}

static void the_stored_schema_is_used_again(void **state)
{
    (void)state;
    struct options first = options_of(file("s.sql", SCHEMA), NULL), later = options_of(NULL, NULL);
    opens(&first);
    opens(&later);
    assert_string_equal(seen.databases, "t u ");
    opens(&first); /* the same one may be given again */
}

static void another_schema_is_refused_with_the_difference(void **state)
{
    (void)state;
    struct options first = options_of(file("s.sql", SCHEMA), NULL);
    struct options other = options_of(file("o.sql", "CREATE TABLE t (id INTEGER PRIMARY KEY, x);\n"), NULL);
    opens(&first);
    is_refused(&other, ERROR_PARSE, data);
    is_refused(&other, ERROR_PARSE, "t");
    struct options later = options_of(NULL, NULL);
    opens(&later);
    assert_string_equal(seen.databases, "t u ");
}

static void the_placement_is_stored_and_compared(void **state)
{
    (void)state;
    const char *schema = file("s.sql", SCHEMA);
    struct options first = options_of(schema, file("p.conf", "[database both]\ntables = t, u\n"));
    opens(&first);
    assert_string_equal(seen.databases, "both ");
    struct options silent = options_of(NULL, NULL), same = options_of(NULL, first.config);
    opens(&silent);
    assert_string_equal(seen.databases, "both ");
    opens(&same);
    struct options given = options_of(schema, NULL);
    opens(&given);
    assert_string_equal(seen.databases, "both ");
    struct options other = options_of(NULL, file("q.conf", "[database mine]\ntables = t\n"));
    is_refused(&other, ERROR_PARSE, "another schema");
    struct options unknown = options_of(NULL, file("r.conf", "[database mine]\ntables = nowhere\n"));
    is_refused(&unknown, ERROR_UNKNOWN_TABLE, "nowhere");
    struct options shrunk = options_of(file("o.sql", "CREATE TABLE t (id INTEGER PRIMARY KEY);\n"), NULL);
    is_refused(&shrunk, ERROR_PARSE, "another schema");
}

static void a_failed_first_start_claims_nothing_but_keeps_its_id(void **state)
{
    (void)state;
    struct options options = options_of(file("s.sql", SCHEMA), NULL), shop = options_of(NULL, NULL);
    seen.fails = true;
    is_refused(&options, ERROR_UNAVAILABLE, "database users: no");
    assert_true(seen.noted); /* before a shard could hear the id */
    char cluster[64];
    strcpy(cluster, seen.cluster);
    seen.fails = false;
    opens(&shop);
    assert_true(seen.first_use);
    assert_string_equal(seen.cluster, cluster);
    assert_string_equal(seen.databases, "users products orders ");
}

static void a_wrong_schema_or_config_leaves_no_directory(void **state)
{
    (void)state;
    struct options missing = options_of(file("no.sql", NULL), NULL);
    is_refused(&missing, ERROR_PARSE, "no.sql");
    struct options wrong = options_of(file("w.sql", "DROP TABLE t;\n"), NULL);
    is_refused(&wrong, ERROR_PARSE, "w.sql");
    struct options config = options_of(NULL, file("no.conf", NULL));
    is_refused(&config, ERROR_PARSE, "no.conf");
    assert_int_not_equal(access(data, F_OK), 0);
}

static void a_second_session_is_told_who_holds_the_directory(void **state)
{
    (void)state;
    struct options options = options_of(NULL, NULL);
    struct session session;
    struct error error = {0};
    char pid[32];
    assert_true(session_open(&session, &options, &error));
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    struct session other;
    assert_false(session_open(&other, &options, &error));
    assert_int_equal(error.code, ERROR_UNAVAILABLE);
    assert_non_null(strstr(error.text, pid));
    session_close(&session);
}

static void the_directory_comes_from_the_options_then_the_config_then_the_environment(void **state)
{
    (void)state;
    struct options options = options_of(NULL, file("c.conf", "[coordinator]\ndata = by-config\n"));
    setenv("SHEAF_DATA", file("by-environment", NULL), 1);
    opens(&options);
    assert_string_equal(seen.data, data);
    options.data = NULL;
    options.data_given = false;
    opens(&options);
    assert_string_equal(seen.data, file("by-config", NULL));
    options.config = NULL;
    opens(&options);
    assert_string_equal(seen.data, file("by-environment", NULL));
    unsetenv("SHEAF_DATA");
    assert_int_equal(chdir(folder), 0);
    opens(&options);
    assert_string_equal(seen.data, "./sheaf-data");
    assert_int_equal(chdir("/"), 0);
}

static void the_directorys_own_config_is_found(void **state)
{
    (void)state;
    struct options options = options_of(NULL, NULL);
    assert_int_equal(mkdir(data, 0700), 0);
    file("data/sheaf.conf", "[coordinator]\ndata = .\ncluster = corner\n[limits]\nstop_ms = 4321\n"
                            "[database users]\naddress = tcp://127.0.0.1:7401\n");
    opens(&options);
    assert_int_equal(seen.stop_ms, 4321);
    assert_string_equal(seen.address, "tcp://127.0.0.1:7401");
    assert_true(cluster_id_has_name(seen.cluster, "corner"));
    file("data/sheaf.conf", "[coordinator]\ncluster = other\n");
    is_refused(&options, ERROR_PARSE, "corner");
    file("data/sheaf.conf", "[coordinator]\ndata = elsewhere\n");
    is_refused(&options, ERROR_PARSE, "elsewhere");
    file("data/sheaf.conf", "[database usres]\naddress = tcp://127.0.0.1:7401\n");
    is_refused(&options, ERROR_PARSE, "usres");
}

static int begin_test(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof seen);
    unsetenv("SHEAF_DATA");
    snprintf(folder, sizeof folder, "/tmp/sheaf-session-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(data, sizeof data, "%s/data", folder);
    return 0;
}

static int end_test(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_test, end_test)
    const struct CMUnitTest tests[] = {
        TEST(the_shop_is_what_a_new_directory_gets),
        TEST(the_stored_schema_is_used_again),
        TEST(another_schema_is_refused_with_the_difference),
        TEST(the_placement_is_stored_and_compared),
        TEST(a_failed_first_start_claims_nothing_but_keeps_its_id),
        TEST(a_wrong_schema_or_config_leaves_no_directory),
        TEST(a_second_session_is_told_who_holds_the_directory),
        TEST(the_directory_comes_from_the_options_then_the_config_then_the_environment),
        TEST(the_directorys_own_config_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
