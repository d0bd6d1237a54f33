/* SPDX-License-Identifier: Apache-2.0 */
#include "leftovers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CACHE_BYTES 65536
#define NEWEST "30064771072" /* 7 << 32 */
#define OLDER "25769803776"  /* 6 << 32 */

static const char ddl[] = "CREATE TABLE a (id INTEGER PRIMARY KEY);"
                          "CREATE TABLE b (id INTEGER PRIMARY KEY);";
static const char own[] =
    "PRAGMA journal_mode = WAL; CREATE TABLE _sheaf_meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE _sheaf_prepared (txn INTEGER PRIMARY KEY, epoch INTEGER, home TEXT, ops BLOB, locks BLOB);"
    "CREATE TABLE _sheaf_decision (txn INTEGER PRIMARY KEY, participants TEXT);"
    "INSERT INTO _sheaf_meta VALUES ('epoch', 6);";

/* Two files, each with a writer beside the check. */
struct world {
    char folder[64];
    struct schema *schema;
    sqlite3 *writers[2];
    struct checked all[2];
    struct findings findings;
};

static const char *path_of(const struct world *world, int database, const char *ending)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%d.db%s", world->folder, database, ending);
    return path;
}

static void run(struct world *world, int database, const char *sql)
{
    assert_int_equal(sqlite3_exec(world->writers[database], sql, NULL, NULL, NULL), SQLITE_OK);
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    struct error error;
    snprintf(world->folder, sizeof world->folder, "%s", "sheaf-test-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    assert_non_null(world->schema = schema_load(ddl, strlen(ddl), "ddl", NULL, &error));
    for (int d = 0; d < 2; d++) {
        world->all[d].name = world->schema->databases[d].name;
        assert_int_equal(sqlite3_open(path_of(world, d, ""), &world->writers[d]), SQLITE_OK);
        run(world, d, own);
    }
    run(world, 0, "UPDATE _sheaf_meta SET value = 7"); /* the other has not been claimed yet */
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    static const char *const endings[] = {"", "-wal", "-shm"};
    struct world *world = *state;
    for (int d = 0; d < 2; d++) {
        file_close(world->all[d].file);
        sqlite3_close(world->writers[d]);
        for (int e = 0; e < 3; e++)
            unlink(path_of(world, d, endings[e]));
    }
    rmdir(world->folder);
    findings_release(&world->findings);
    schema_free(world->schema);
    free(world);
    return 0;
}

static void snapshots(struct world *world)
{
    struct error error;
    for (int d = 0; d < 2; d++)
        assert_int_equal(file_open(path_of(world, d, ""), CACHE_BYTES, &world->all[d].file, &error), FILE_OPENED);
}

static void expect(struct world *world, bool held, size_t wrong, size_t in_doubt)
{
    struct error error;
    findings_release(&world->findings);
    assert_true(leftovers_report(world->all, world->schema, held, &world->findings, &error));
    assert_int_equal(world->findings.counts[FINDING_WRONG], wrong);
    assert_int_equal(world->findings.counts[FINDING_IN_DOUBT], in_doubt);
}

static void what_the_coordinator_at_work_began_is_not_left_over(void **state)
{
    struct world *world = *state;
    run(world, 0, "INSERT INTO _sheaf_decision VALUES (" NEWEST " + 1, 'b')");
    run(world, 1, "INSERT INTO _sheaf_prepared VALUES (" NEWEST " + 2, 7, 'a', x'90', x'')");
    snapshots(world);
    expect(world, true, 0, 0);
    expect(world, false, 0, 2);
}

static void what_an_earlier_coordinator_left_is_in_doubt_beside_the_next_one_too(void **state)
{
    struct world *world = *state;
    run(world, 0, "INSERT INTO _sheaf_decision VALUES (" OLDER " + 1, 'b')");
    run(world, 1, "INSERT INTO _sheaf_prepared VALUES (" OLDER " + 1, 6, 'a', x'90', x'')");
    snapshots(world);
    expect(world, true, 0, 2);
    expect(world, false, 0, 2);
}

static void what_is_resolved_meanwhile_was_not_left_over(void **state)
{
    struct world *world = *state;
    run(world, 1, "INSERT INTO _sheaf_prepared VALUES (" OLDER " + 1, 6, 'a', x'90', x'')");
    snapshots(world);
    run(world, 1, "DELETE FROM _sheaf_prepared");
    expect(world, false, 0, 0);
}

static void what_cannot_be_read_is_wrong_whoever_is_at_work(void **state)
{
    struct world *world = *state;
    run(world, 1, "INSERT INTO _sheaf_prepared VALUES (" NEWEST " + 1, 7, 'a', x'91', x'')");
    run(world, 1, "INSERT INTO _sheaf_prepared VALUES (" NEWEST " + 2, 7, 'nowhere', x'90', x'')");
    snapshots(world);
    expect(world, true, 2, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(what_the_coordinator_at_work_began_is_not_left_over),
        T(what_an_earlier_coordinator_left_is_in_doubt_beside_the_next_one_too),
        T(what_is_resolved_meanwhile_was_not_left_over),
        T(what_cannot_be_read_is_wrong_whoever_is_at_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
