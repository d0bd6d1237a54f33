/* SPDX-License-Identifier: Apache-2.0 */
#include "leftovers.h"
#include "parents.h"

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

static const char ddl[] = "CREATE TABLE p (id INTEGER PRIMARY KEY);"
                          "CREATE TABLE c (id INTEGER PRIMARY KEY, p TEXT REFERENCES p(id));";
enum { PARENT, CHILD };

/* Two files, each with a writer beside the check. */
struct world {
    char folder[64];
    struct schema *schema;
    struct rowkeys *rowkeys;
    sqlite3 *writers[2];
    struct checked all[2];
    struct findings findings;
    struct reference_figures figures;
};

static void run(struct world *world, int database, const char *sql)
{
    assert_int_equal(sqlite3_exec(world->writers[database], sql, NULL, NULL, NULL), SQLITE_OK);
}

static const char *path_of(const struct world *world, int database, const char *ending)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s.db%s", world->folder, database == PARENT ? "p" : "c", ending);
    return path;
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    struct error error;
    snprintf(world->folder, sizeof world->folder, "%s", "sheaf-test-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    assert_non_null(world->schema = schema_load(ddl, strlen(ddl), "ddl", NULL, &error));
    assert_non_null(world->rowkeys = rowkeys_new(world->schema));
    for (int d = 0; d < 2; d++) {
        world->all[d].name = world->schema->databases[d].name;
        assert_int_equal(sqlite3_open(path_of(world, d, ""), &world->writers[d]), SQLITE_OK);
        run(world, d, "PRAGMA journal_mode = WAL; CREATE TABLE _sheaf_prepared (txn INTEGER PRIMARY KEY, locks BLOB)");
        run(world, d, world->schema->databases[d].statements[0]);
    }
    run(world, PARENT, "INSERT INTO p VALUES (1)");
    run(world, CHILD, "INSERT INTO c VALUES (10, '1')");
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    static const char *const endings[] = {"", "-wal", "-shm"};
    struct world *world = *state;
    for (int d = 0; d < 2; d++) {
        file_close(world->all[d].file);
        leftovers_release(&world->all[d].promised);
        sqlite3_close(world->writers[d]);
        for (int e = 0; e < 3; e++)
            unlink(path_of(world, d, endings[e]));
    }
    rmdir(world->folder);
    findings_release(&world->findings);
    rowkeys_free(world->rowkeys);
    schema_free(world->schema);
    free(world);
    return 0;
}

/* From here on the file is seen as it is now. */
static void snapshot(struct world *world, int database)
{
    struct error error;
    leftovers_release(&world->all[database].promised);
    assert_int_equal(file_open(path_of(world, database, ""), CACHE_BYTES, &world->all[database].file, &error),
                     FILE_OPENED);
}

static void check(struct world *world)
{
    struct error error;
    assert_true(parents_check(world->all, world->schema, world->rowkeys, 0, &world->findings, &world->figures, &error));
    assert_true(world->figures.looked);
}

static void a_parent_that_came_after_its_snapshot_is_there(void **state)
{
    struct world *world = *state;
    snapshot(world, PARENT);
    run(world, PARENT, "INSERT INTO p VALUES (2)");
    run(world, CHILD, "INSERT INTO c VALUES (20, '2')");
    snapshot(world, CHILD);
    check(world);
    assert_int_equal(world->figures.rows, 2);
    assert_int_equal(world->findings.count, 0);
}

static void a_child_that_went_with_its_parent_does_not_dangle(void **state)
{
    struct world *world = *state;
    snapshot(world, CHILD);
    run(world, CHILD, "DELETE FROM c");
    run(world, PARENT, "DELETE FROM p");
    snapshot(world, PARENT);
    check(world);
    assert_int_equal(world->figures.rows, 1);
    assert_int_equal(world->findings.count, 0);
}

static void a_child_that_names_another_parent_by_now_does_not_dangle(void **state)
{
    struct world *world = *state;
    snapshot(world, CHILD);
    run(world, PARENT, "UPDATE p SET id = 2");
    run(world, CHILD, "UPDATE c SET p = '2'");
    snapshot(world, PARENT);
    check(world);
    assert_int_equal(world->findings.count, 0);
}

static void a_child_that_stays_without_its_parent_dangles(void **state)
{
    struct world *world = *state;
    snapshot(world, PARENT);
    snapshot(world, CHILD);
    run(world, PARENT, "INSERT INTO p VALUES (3)"); /* written to meanwhile */
    check(world);
    assert_int_equal(world->findings.count, 0);
    file_close(world->all[PARENT].file);
    run(world, PARENT, "DELETE FROM p WHERE id = 1");
    snapshot(world, PARENT);
    check(world);
    assert_int_equal(world->figures.dangling, 1);
    assert_string_equal(world->findings.items[0].text, "c(p) -> p(id): row 10 names '1', which is not there");
}

static void promise(struct world *world, int database, const char *named)
{
    struct value values[2] = {value_integer(0), value_text(named, strlen(named))};
    uint64_t key;
    char sql[128];
    int len = snprintf(sql, sizeof sql, "INSERT INTO _sheaf_prepared VALUES (5, x'ffffffffffffffff01");
    assert_true(rowkeys_named(world->rowkeys, &world->schema->references[0], values, &key));
    for (unsigned b = 0; b < 8; b++)
        len += snprintf(sql + len, sizeof sql - (size_t)len, "%02x", (unsigned)(key >> (8 * b) & 0xff));
    snprintf(sql + len, sizeof sql - (size_t)len, "00')");
    run(world, database, sql);
}

static void a_parent_that_a_promise_holds_is_in_doubt(void **state)
{
    struct world *world = *state;
    for (int database = 0; database < 2; database++) {
        run(world, PARENT, "DELETE FROM p");
        promise(world, database, "1");
        snapshot(world, PARENT);
        snapshot(world, CHILD);
        check(world);
        assert_int_equal(world->figures.in_doubt, 1);
        assert_int_equal(world->findings.count, 0);
        run(world, database, "DELETE FROM _sheaf_prepared");
        file_close(world->all[PARENT].file);
        file_close(world->all[CHILD].file);
    }
    promise(world, PARENT, "7"); /* another parent's */
    snapshot(world, PARENT);
    snapshot(world, CHILD);
    check(world);
    assert_int_equal(world->figures.dangling, 1);
}

/* Beside the check both rows go before each look at the parent, and are there again before each one at the child. */
static int rounds_left;

static int go(unsigned what, void *context, void *statement, void *sql)
{
    struct world *world = context;
    (void)what;
    (void)statement;
    if (strstr(sql, "\"p\"") && rounds_left > 0) {
        run(world, CHILD, "DELETE FROM c");
        run(world, PARENT, "DELETE FROM p");
    }
    return 0;
}

static int come_again(unsigned what, void *context, void *statement, void *sql)
{
    struct world *world = context;
    (void)what;
    (void)statement;
    if (strstr(sql, "\"c\"") && rounds_left-- > 0) {
        run(world, PARENT, "INSERT OR IGNORE INTO p VALUES (1)");
        run(world, CHILD, "INSERT OR IGNORE INTO c VALUES (10, '1')");
    }
    return 0;
}

static void a_child_that_comes_and_goes_with_its_parent_does_not_dangle(void **state)
{
    struct world *world = *state;
    snapshot(world, CHILD);
    run(world, CHILD, "DELETE FROM c");
    run(world, PARENT, "DELETE FROM p");
    snapshot(world, PARENT);
    rounds_left = 10;
    sqlite3_trace_v2(file_now(world->all[PARENT].file), SQLITE_TRACE_STMT, go, world);
    sqlite3_trace_v2(file_now(world->all[CHILD].file), SQLITE_TRACE_STMT, come_again, world);
    check(world);
    assert_int_equal(world->findings.count, 0);
    assert_int_equal(world->figures.dangling, 0);
    assert_true(rounds_left <= 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_parent_that_came_after_its_snapshot_is_there),
        T(a_child_that_went_with_its_parent_does_not_dangle),
        T(a_child_that_names_another_parent_by_now_does_not_dangle),
        T(a_child_that_stays_without_its_parent_dangles),
        T(a_parent_that_a_promise_holds_is_in_doubt),
        T(a_child_that_comes_and_goes_with_its_parent_does_not_dangle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
