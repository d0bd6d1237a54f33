/* SPDX-License-Identifier: Apache-2.0 */
#include "checking.h"

#include "file_meta.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DDL "CREATE TABLE t (id INTEGER PRIMARY KEY);"

/* One database that nobody has open, and somebody who comes while it is checked. */
struct world {
    char folder[64];
    char path[96];
    sqlite3 *writer;
    int visits; /* still to come */
    unsigned asked;
};

static void run(struct world *world, const char *sql)
{
    if (!world->writer)
        assert_int_equal(sqlite3_open(world->path, &world->writer), SQLITE_OK);
    assert_int_equal(sqlite3_exec(world->writer, sql, NULL, NULL, NULL), SQLITE_OK);
}

static void leave(struct world *world)
{
    sqlite3_close(world->writer);
    world->writer = NULL;
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    char sql[256];
    snprintf(world->folder, sizeof world->folder, "%s", "sheaf-test-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    snprintf(world->path, sizeof world->path, "%s/t.db", world->folder);
    snprintf(sql, sizeof sql, "PRAGMA application_id = %d; PRAGMA user_version = %d; PRAGMA journal_mode = WAL;",
             FILE_APPLICATION_ID, FILE_FORMAT);
    run(world, sql);
    run(world,
        DDL "CREATE TABLE _sheaf_meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
            "CREATE TABLE _sheaf_prepared (txn INTEGER PRIMARY KEY, epoch, home, ops, locks);"
            "CREATE TABLE _sheaf_decision (txn INTEGER PRIMARY KEY, participants);"
            "INSERT INTO _sheaf_meta VALUES ('epoch', 1), ('coordinator', 1), ('cluster', 'c'), ('database', 't'),"
            " ('schema', '" DDL "'), ('placement', 't' || char(9) || 't' || char(10));"
            "INSERT INTO t VALUES (1)");
    leave(world);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    char command[128];
    leave(world);
    snprintf(command, sizeof command, "rm -r %s", world->folder);
    int status = system(command);
    free(world);
    return status;
}

/* Asked at a check's end, before it looks whether somebody came. */
static bool somebody_comes(void *context)
{
    struct world *world = context;
    world->asked++;
    if (world->visits-- > 0) {
        run(world, "INSERT INTO t (id) VALUES (NULL)");
        leave(world);
    }
    return false;
}

static void check(struct world *world, struct checking *ret_checking)
{
    const struct checking_options options = {.data = world->folder, .is_held = somebody_comes, .context = world};
    struct error error;
    assert_true(checking_run(&options, ret_checking, &error));
}

static void a_file_that_nobody_opens_meanwhile_is_checked_once(void **state)
{
    struct world *world = *state;
    struct checking checking;
    check(world, &checking);
    assert_int_equal(checking.findings.count, 0);
    assert_int_equal(checking.tables[0].rows, 1);
    assert_int_equal(world->asked, 1);
    checking_release(&checking);
}

static void what_was_read_of_a_file_that_was_opened_meanwhile_is_read_again(void **state)
{
    struct world *world = *state;
    struct checking checking;
    world->visits = 1;
    check(world, &checking);
    assert_int_equal(checking.findings.count, 0);
    assert_int_equal(checking.tables[0].rows, 2);
    assert_int_equal(checking.files, 1);
    assert_int_equal(world->asked, 2);
    checking_release(&checking);
}

static void who_comes_each_time_makes_it_unreadable(void **state)
{
    struct world *world = *state;
    struct checking checking;
    world->visits = 100;
    check(world, &checking);
    assert_int_equal(checking.findings.count, 1);
    assert_int_equal(checking.findings.counts[FINDING_UNREADABLE], 1);
    checking_release(&checking);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_file_that_nobody_opens_meanwhile_is_checked_once),
        T(what_was_read_of_a_file_that_was_opened_meanwhile_is_read_again),
        T(who_comes_each_time_makes_it_unreadable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
