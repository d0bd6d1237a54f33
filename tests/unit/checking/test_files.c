/* SPDX-License-Identifier: Apache-2.0 */
#include "files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CACHE_BYTES 65536

struct place {
    char folder[64];
    char path[96];
    sqlite3 *writer;
};

static void run(sqlite3 *connection, const char *sql)
{
    assert_int_equal(sqlite3_exec(connection, sql, NULL, NULL, NULL), SQLITE_OK);
}

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    snprintf(place->folder, sizeof place->folder, "%s", "sheaf-test-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    snprintf(place->path, sizeof place->path, "%s/100%%25.db", place->folder); /* a URI would decode it */
    assert_int_equal(sqlite3_open(place->path, &place->writer), SQLITE_OK);
    run(place->writer, "PRAGMA journal_mode = WAL; CREATE TABLE t (x); INSERT INTO t VALUES (1);");
    *state = place;
    return 0;
}

static void stop_writing(struct place *place)
{
    sqlite3_close(place->writer);
    place->writer = NULL;
}

static int for_each_entry(const char *folder, bool remove)
{
    DIR *dir = opendir(folder);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[400];
        if (entry->d_name[0] == '.')
            continue;
        count++;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (remove)
            unlink(path);
    }
    closedir(dir);
    return count;
}

static int teardown(void **state)
{
    struct place *place = *state;
    stop_writing(place);
    for_each_entry(place->folder, true);
    rmdir(place->folder);
    free(place);
    return 0;
}

static int rows(sqlite3 *connection)
{
    sqlite3_stmt *row = NULL;
    assert_int_equal(sqlite3_prepare_v2(connection, "SELECT count(*) FROM t", -1, &row, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    int count = sqlite3_column_int(row, 0);
    sqlite3_finalize(row);
    return count;
}

static struct file *opened(const struct place *place)
{
    struct file *file = NULL;
    struct error error;
    assert_int_equal(file_open(place->path, CACHE_BYTES, &file, &error), FILE_OPENED);
    return file;
}

static void beside_a_writer_one_moment_and_the_present_are_read(void **state)
{
    struct place *place = *state;
    struct file *file = opened(place);
    assert_false(file_was_written(file));
    int64_t version = file_version(file);
    run(place->writer, "INSERT INTO t VALUES (2)");
    assert_int_equal(rows(file_snapshot(file)), 1);
    assert_int_equal(rows(file_now(file)), 2);
    assert_true(file_was_written(file));
    assert_true(file_version(file) != version);
    assert_false(file_was_taken(file));
    file_close(file);
}

static void a_file_that_nobody_has_open_is_left_without_a_trace(void **state)
{
    struct place *place = *state;
    stop_writing(place);
    struct file *file = opened(place);
    assert_int_equal(rows(file_snapshot(file)), 1);
    assert_int_equal(for_each_entry(place->folder, false), 1);
    file_close(file);
    assert_int_equal(for_each_entry(place->folder, false), 1);
}

static void who_opens_a_file_that_nobody_had_open_is_noticed(void **state)
{
    struct place *place = *state;
    stop_writing(place);
    struct file *file = opened(place);
    assert_false(file_was_taken(file));
    assert_int_equal(sqlite3_open(place->path, &place->writer), SQLITE_OK);
    run(place->writer, "INSERT INTO t VALUES (2)");
    assert_true(file_was_taken(file));
    file_close(file);
}

/* A copy without the -shm: as the writer had it, and nothing is made beside it. */
static void a_wal_alone_is_read_through_an_index_in_memory(void **state)
{
    struct place *place = *state;
    char command[400];
    snprintf(command, sizeof command, "cd %s && for f in 100*; do case $f in *-shm) ;; *) cp $f c$f;; esac; done",
             place->folder);
    assert_int_equal(system(command), 0);
    stop_writing(place);
    snprintf(place->path, sizeof place->path, "%s/c100%%25.db", place->folder);
    int before = for_each_entry(place->folder, false);
    struct file *file = opened(place);
    assert_int_equal(rows(file_snapshot(file)), 1); /* all of it is in the WAL */
    assert_false(file_was_taken(file));
    assert_int_equal(for_each_entry(place->folder, false), before);
    file_close(file);
    assert_int_equal(for_each_entry(place->folder, false), before);
}

static void nothing_can_be_written(void **state)
{
    struct place *place = *state;
    struct file *file = opened(place);
    assert_int_not_equal(sqlite3_exec(file_now(file), "INSERT INTO t VALUES (3)", NULL, NULL, NULL), SQLITE_OK);
    assert_int_not_equal(sqlite3_exec(file_now(file), "ATTACH '/tmp/x' AS x", NULL, NULL, NULL), SQLITE_OK);
    file_close(file);
}

static void what_cannot_be_opened_says_why(void **state)
{
    struct place *place = *state;
    struct file *file = NULL;
    struct error error;
    assert_int_equal(file_open("sheaf-test-no/such.db", CACHE_BYTES, &file, &error), FILE_MISSING);
    assert_int_equal(file_open(place->folder, CACHE_BYTES, &file, &error), FILE_UNREADABLE);
    stop_writing(place);
    FILE *out = fopen(place->path, "w");
    for (int i = 0; i < 100; i++)
        fputs("this is no database", out);
    fclose(out);
    assert_int_equal(file_open(place->path, CACHE_BYTES, &file, &error), FILE_DAMAGED);
    assert_string_equal(error.text, "file is not a database");
    assert_null(file);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(beside_a_writer_one_moment_and_the_present_are_read),
        T(a_file_that_nobody_has_open_is_left_without_a_trace),
        T(who_opens_a_file_that_nobody_had_open_is_noticed),
        T(a_wal_alone_is_read_through_an_index_in_memory),
        T(nothing_can_be_written),
        T(what_cannot_be_opened_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
