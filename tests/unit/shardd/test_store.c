/* SPDX-License-Identifier: Apache-2.0 */
#include "shard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define says assert_string_equal

static void assert_refused(struct shard *s, bool done, enum error_code code, const char *about)
{
    assert_false(done);
    if (s->error.code != code || !strstr(s->error.text, about))
        fail_msg("refused with %s: %s", error_code_name(s->error.code), s->error.text);
}

static void a_fresh_file_says_so_and_is_made_by_its_first_claim(void **state)
{
    struct shard *s = *state;
    assert_true(shard_open(s));
    assert_null(store_schema(s->store));
    says(shard_describe(s), "fresh=1 epoch=0 last=0 prepared=[] decided=[] tables=[]");
    assert_true(shard_claim(s, 3, 77));
    says(shard_describe(s), "fresh=0 epoch=3 last=0 prepared=[] decided=[] "
                            "tables=[0:0:- 1:0:- 2:0:- 3:0:- 4:0:- 5:0:-]");
    says(shard_sql(s, "SELECT group_concat(name, ' ') FROM (SELECT name FROM sqlite_schema WHERE type = 'table' AND "
                      "name NOT LIKE 'sqlite%' ORDER BY name)"),
         "_sheaf_answers _sheaf_applied _sheaf_decision _sheaf_meta _sheaf_prepared counted hidden notes pairs people "
         "words");
    says(shard_sql(s, "PRAGMA application_id"), "1399350625");
    says(shard_sql(s, "PRAGMA user_version"), "1");
    says(shard_sql(s, "PRAGMA journal_mode"), "wal");
    says(shard_sql(s, "PRAGMA synchronous"), "2");
    says(shard_sql(s, "PRAGMA foreign_keys"), "0");
    struct stat is;
    assert_int_equal(stat(shard_path(s, "town.db"), &is), 0);
    assert_int_equal(is.st_mode & 0777, 0600);
}

static void the_statements_are_the_users_own_verbatim(void **state)
{
    struct shard *s = *state;
    shard_start(s, 1);
    says(shard_sql(s, "SELECT sql FROM sqlite_schema WHERE name = 'words'"),
         "CREATE TABLE words (word TEXT PRIMARY KEY, n NUMERIC UNIQUE, twice AS (n * 2))");
}

static void a_claim_of_a_lower_epoch_or_of_another_at_the_same_is_refused(void **state)
{
    struct shard *s = *state;
    shard_start(s, 5);
    assert_refused(s, shard_claim(s, 4, SHARD_COORDINATOR), ERROR_UNAVAILABLE, "epoch 5, not 4");
    assert_refused(s, shard_claim(s, 5, 78), ERROR_UNAVAILABLE, "newer coordinator");
    assert_true(shard_claim(s, 5, SHARD_COORDINATOR));
    assert_true(shard_claim(s, 6, 78));
    assert_refused(s, shard_claim(s, 5, SHARD_COORDINATOR), ERROR_UNAVAILABLE, "epoch 6, not 5");
    assert_int_equal(store_epoch(s->store), 6);
    assert_int_equal(store_coordinator(s->store), 78);
}

static void an_epoch_is_in_the_file_before_the_claim_is_answered(void **state)
{
    struct shard *s = *state;
    shard_start(s, 1);
    assert_true(shard_claim(s, 9, 78));
    says(shard_sql(s, "SELECT value FROM _sheaf_meta WHERE name IN ('epoch', 'coordinator') ORDER BY value"), "9;78");
    shard_close(s);
    assert_true(shard_open(s));
    assert_int_equal(store_epoch(s->store), 9);
    assert_refused(s, shard_claim(s, 8, 99), ERROR_UNAVAILABLE, "epoch 9");
    assert_true(shard_claim(s, UINT64_MAX, UINT64_MAX)); /* every number can be kept */
    shard_close(s);
    assert_true(shard_open(s));
    assert_true(store_epoch(s->store) == UINT64_MAX && store_coordinator(s->store) == UINT64_MAX);
}

static bool claim_with(struct shard *s, struct wire_hello hello)
{
    return store_is_meant(s->store, &hello, &s->error) && store_claim(s->store, 50, 50, &hello, &s->error);
}

static void a_claim_for_another_database_cluster_schema_or_placement_is_refused(void **state)
{
    struct shard *s = *state;
    shard_start(s, 1);
    struct wire_hello hello = shard_hello();
    hello.database = "village", hello.database_len = 7;
    assert_refused(s, claim_with(s, hello), ERROR_PARSE, "database village: it is expected here, but");
    hello = shard_hello();
    hello.cluster = "c2";
    assert_refused(s, claim_with(s, hello), ERROR_PARSE, "another cluster (c1)");
    hello = shard_hello();
    hello.schema = "CREATE TABLE people (id INTEGER PRIMARY KEY);", hello.schema_len = 45;
    hello.placement = "town\tpeople\n", hello.placement_len = 12;
    assert_refused(s, claim_with(s, hello), ERROR_PARSE, "another schema: ");
    hello = shard_hello();
    hello.placement = "town\tpeople\n", hello.placement_len = 12;
    assert_refused(s, claim_with(s, hello), ERROR_PARSE, "another schema: ");
    hello = shard_hello();
    hello.schema_len = 20; /* cut: no SQL */
    assert_refused(s, claim_with(s, hello), ERROR_PARSE, "the schema");
    assert_int_equal(store_epoch(s->store), 1);
    says(shard_sql(s, "SELECT value FROM _sheaf_meta WHERE name = 'epoch'"), "1");
}

static void a_fresh_file_is_left_fresh_by_a_claim_that_fails(void **state)
{
    struct shard *s = *state;
    assert_true(shard_open(s));
    struct wire_hello hello = shard_hello();
    hello.placement = "", hello.placement_len = 0;
    assert_refused(s, claim_with(s, hello), ERROR_PARSE, "places no table in it");
    char cluster[100];
    memset(cluster, 'c', sizeof cluster);
    hello = shard_hello();
    hello.cluster = cluster, hello.cluster_len = sizeof cluster; /* no hello could carry it back */
    assert_refused(s, claim_with(s, hello), ERROR_TOO_LARGE, "100 bytes");
    says(shard_sql(s, "SELECT count(*) FROM sqlite_schema"), "0");
    assert_true(shard_claim(s, 1, 1));
}

static void write_file(const char *path, const char *sql, const char *bytes)
{
    if (bytes) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(bytes, file);
        fclose(file);
        return;
    }
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static struct buffer file_bytes(const char *path)
{
    struct buffer bytes = {0};
    char block[4096];
    size_t len;
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while ((len = fread(block, 1, sizeof block, file)) > 0)
        assert_true(buffer_put(&bytes, block, len));
    fclose(file);
    return bytes;
}

static bool is_there(struct shard *s, const char *name)
{
    return access(shard_path(s, name), F_OK) == 0;
}

static void a_file_that_nobody_claims_goes_with_who_made_it(void **state)
{
    struct shard *s = *state;
    assert_true(shard_open(s));
    assert_true(is_there(s, "town.db") && is_there(s, "town.db.lock"));
    shard_close(s);
    assert_false(is_there(s, "town.db") || is_there(s, "town.db-wal") || is_there(s, "town.db-shm") ||
                 is_there(s, "town.db.lock"));
    assert_true(shard_open(s));
    assert_true(shard_claim(s, 1, SHARD_COORDINATOR));
    shard_close(s);
    assert_true(is_there(s, "town.db") && is_there(s, "town.db.lock"));
}

/* A copy that somebody restores where a file was missing, moved there or written into what was made for nothing. */
static void what_came_to_stand_in_place_of_a_file_made_for_nothing_stays(void **state)
{
    struct shard *s = *state;
    for (unsigned written = 0; written < 2; written++) {
        assert_true(shard_open(s));
        FILE *restored = fopen(shard_path(s, written ? "town.db" : "restored"), "w");
        for (unsigned i = 0; i < 8192; i++)
            fputc('x', restored);
        fclose(restored);
        assert_true(written || rename(shard_path(s, "restored"), shard_path(s, "town.db")) == 0);
        shard_close(s);
        assert_true(is_there(s, "town.db"));
        unlink(shard_path(s, "town.db"));
    }
}

/* An empty file, too: somebody made it. */
static void a_file_that_was_there_stays(void **state)
{
    struct shard *s = *state;
    fclose(fopen(shard_path(s, "town.db"), "w"));
    assert_true(shard_open(s));
    shard_close(s);
    assert_true(is_there(s, "town.db"));
}

static void a_file_that_is_not_ours_is_refused_and_left_as_it_is(void **state)
{
    struct shard *s = *state;
    static const struct {
        const char *sql, *bytes, *about;
    } cases[] = {
        {"CREATE TABLE mine (x); INSERT INTO mine VALUES (1)", NULL, "holds another program's tables"},
        {"PRAGMA journal_mode = WAL; CREATE TABLE mine (x)", NULL, "holds another program's tables"},
        {"PRAGMA application_id = 5", NULL, "holds another program's tables"},
        {"PRAGMA application_id = 1399350625; PRAGMA user_version = 2", NULL, "has format 2, this Sheaf knows up to 1"},
        {"PRAGMA application_id = 1399350625; PRAGMA user_version = 1", NULL, "_sheaf_meta"},
        {NULL, "this is a text, and long enough that nobody takes it for anything else at all", "not a database"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = shard_path(s, "town.db");
        write_file(path, cases[i].sql, cases[i].bytes);
        struct buffer before = file_bytes(path);
        bool opened = shard_open(s);
        if (opened || !strstr(s->error.text, cases[i].about) || !strstr(s->error.text, "town.db"))
            fail_msg("case %zu: %s", i, s->error.text);
        struct buffer after = file_bytes(path);
        if (i != 4) { /* that one is ours, and became a WAL database */
            assert_int_equal(before.len, after.len);
            assert_memory_equal(before.bytes, after.bytes, before.len);
        }
        buffer_release(&before);
        buffer_release(&after);
        unlink(path);
        unlink(shard_path(s, "town.db-wal"));
        unlink(shard_path(s, "town.db-shm"));
    }
}

static void another_programs_wal_is_not_folded_into_its_file(void **state)
{
    struct shard *s = *state;
    char path[512], copy[512], wal[520], wal_copy[520], command[2200];
    snprintf(path, sizeof path, "%s", shard_path(s, "other.db"));
    snprintf(wal, sizeof wal, "%s-wal", path);
    snprintf(copy, sizeof copy, "%s", shard_path(s, "town.db"));
    snprintf(wal_copy, sizeof wal_copy, "%s-wal", copy);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA journal_mode = WAL; CREATE TABLE mine (x)", NULL, NULL, NULL), SQLITE_OK);
    snprintf(command, sizeof command, "cp %s %s; cp %s %s", path, copy, wal, wal_copy); /* as after a crash */
    assert_int_equal(system(command), 0);
    sqlite3_close(db);
    struct buffer before = file_bytes(copy);
    assert_false(shard_open(s));
    struct buffer after = file_bytes(copy);
    assert_int_equal(before.len, after.len);
    struct stat is;
    assert_int_equal(stat(wal_copy, &is), 0);
    assert_true(is.st_size > 0);
    buffer_release(&before);
    buffer_release(&after);
}

static void a_file_of_another_database_or_with_damaged_tables_is_refused(void **state)
{
    struct shard *s = *state;
    shard_start(s, 1);
    shard_close(s);
    assert_int_equal(rename(shard_path(s, "town.db"), shard_path(s, "village.db")), 0);
    s->options.database = "village";
    assert_refused(s, shard_open(s), ERROR_PARSE, "village.db is database town's file");
    assert_int_equal(rename(shard_path(s, "village.db"), shard_path(s, "town.db")), 0);
    s->options.database = SHARD_DATABASE;
    write_file(shard_path(s, "town.db"), "UPDATE _sheaf_meta SET value = '' WHERE name = 'placement'", NULL);
    assert_refused(s, shard_open(s), ERROR_PARSE, "places no table in it");
    write_file(shard_path(s, "town.db"), "DELETE FROM _sheaf_meta WHERE name = 'schema'", NULL);
    assert_refused(s, shard_open(s), ERROR_PARSE, "its own tables are incomplete");
    write_file(shard_path(s, "town.db"), "DROP TABLE _sheaf_applied", NULL);
    assert_false(shard_open(s));
}

/* Of another SQLite, while no shard has the file. */
static void a_file_whose_tables_were_changed_by_hand_is_refused(void **state)
{
    static const struct {
        const char *change, *back, *about;
    } cases[] = {
        {"ALTER TABLE notes ADD COLUMN more", "ALTER TABLE notes DROP COLUMN more",
         "was changed past Sheaf: the table notes differs from the schema: it is CREATE TABLE notes"},
        {"CREATE TRIGGER gone AFTER INSERT ON notes BEGIN DELETE FROM notes; END", "DROP TRIGGER gone",
         "the trigger gone is in it and not in the schema"},
        {"CREATE TRIGGER _sheaf_gone AFTER INSERT ON notes BEGIN DELETE FROM notes; END", "DROP TRIGGER _sheaf_gone",
         "the trigger _sheaf_gone is in it"},
        {"CREATE TRIGGER late AFTER INSERT ON _sheaf_applied BEGIN DELETE FROM notes; END", "DROP TRIGGER late",
         "the trigger late is in it"},
        {"CREATE INDEX quick ON notes (\"the \"\"text\"); CREATE VIEW seen AS SELECT 1",
         "DROP INDEX quick; DROP VIEW seen", "in 2 places: the index quick is in it and not in the schema"},
        {"DROP TABLE words", NULL, "was changed past Sheaf: the table words is not in it"},
    };
    struct shard *s = *state;
    shard_start(s, 1);
    shard_close(s);
    write_file(shard_path(s, "town.db"), "ANALYZE; CREATE INDEX _sheaf_ix_5 ON notes (\"the \"\"text\")", NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(shard_open(s)); /* nothing is wrong with it */
        shard_close(s);
        write_file(shard_path(s, "town.db"), cases[i].change, NULL);
        assert_refused(s, shard_open(s), ERROR_PARSE, cases[i].about);
        assert_non_null(strstr(s->error.text, "database town: "));
        assert_non_null(strstr(s->error.text, "town.db was changed"));
        if (cases[i].back)
            write_file(shard_path(s, "town.db"), cases[i].back, NULL);
    }
}

static void a_directory_that_is_not_there_is_an_error(void **state)
{
    struct shard *s = *state;
    s->options.data = shard_path(s, "nowhere");
    assert_refused(s, shard_open(s), ERROR_IO, "nowhere");
    write_file(shard_path(s, "file"), NULL, "x");
    s->options.data = shard_path(s, "file");
    assert_refused(s, shard_open(s), ERROR_IO, "is not a directory");
}

static void the_highest_rowid_is_told_even_when_its_row_is_gone(void **state)
{
    struct shard *s = *state;
    shard_start(s, 1);
    shard_insert(s, COUNTED, "41|1");
    shard_insert(s, COUNTED, "7|1");
    shard_insert(s, PEOPLE, "8|'Ann|NULL|-");
    shard_insert(s, PAIRS, "8|'x|-");
    says(shard_write(s, 1), "applied");
    shard_sql(s, "DELETE FROM counted");
    says(shard_describe(s), "fresh=0 epoch=1 last=1 prepared=[] decided=[] "
                            "tables=[0:1:8 1:1:- 2:0:- 3:0:- 4:0:41 5:0:-]");
}

static void the_last_rowid_is_told_by_itself(void **state)
{
    struct shard *s = *state;
    shard_start(s, 1);
    shard_insert(s, COUNTED, "9223372036854775807|1");
    shard_insert(s, PEOPLE, "9223372036854775807|'Ann|NULL|-");
    shard_insert(s, PEOPLE, "8|'Bob|NULL|-");
    says(shard_write(s, 1), "applied");
    says(shard_describe(s), "fresh=0 epoch=1 last=1 prepared=[] decided=[] "
                            "tables=[0:1:8+last 1:0:- 2:0:- 3:0:- 4:1:-+last 5:0:-]");
    shard_sql(s, "DELETE FROM counted");
    shard_sql(s, "DELETE FROM people");
    says(shard_describe(s), "fresh=0 epoch=1 last=1 prepared=[] decided=[] "
                            "tables=[0:0:- 1:0:- 2:0:- 3:0:- 4:0:-+last 5:0:-]");
}

static void what_is_left_of_a_full_disk_is_an_error_with_no_effect(void **state)
{
    struct shard *s = *state;
    shard_start(s, 1);
    shard_insert(s, NOTES, "'first");
    says(shard_write(s, 1), "applied");
    shard_sql(s, "PRAGMA max_page_count = 1"); /* raised by SQLite to what is used: nothing can grow */
    char row[6000];
    memset(row, 'x', sizeof row);
    row[0] = '\'';
    row[sizeof row - 1] = '\0';
    shard_insert(s, NOTES, row);
    says(shard_apply(s, 2), "failed io");
    batch_abandon(s->batch);
    says(shard_sql(s, "SELECT count(*) FROM notes"), "1");
    assert_int_equal(store_last_batch(s->store), 1);
    shard_sql(s, "PRAGMA max_page_count = 100000");
    says(shard_apply_again(s), "applied");
    shard_commit(s);
    says(shard_sql(s, "SELECT count(*) FROM notes"), "2");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, shard_setup_unopened, shard_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_fresh_file_says_so_and_is_made_by_its_first_claim),
        TEST(the_statements_are_the_users_own_verbatim),
        TEST(a_claim_of_a_lower_epoch_or_of_another_at_the_same_is_refused),
        TEST(an_epoch_is_in_the_file_before_the_claim_is_answered),
        TEST(a_claim_for_another_database_cluster_schema_or_placement_is_refused),
        TEST(a_fresh_file_is_left_fresh_by_a_claim_that_fails),
        TEST(a_file_that_nobody_claims_goes_with_who_made_it),
        TEST(what_came_to_stand_in_place_of_a_file_made_for_nothing_stays),
        TEST(a_file_that_was_there_stays),
        TEST(a_file_that_is_not_ours_is_refused_and_left_as_it_is),
        TEST(another_programs_wal_is_not_folded_into_its_file),
        TEST(a_file_of_another_database_or_with_damaged_tables_is_refused),
        TEST(a_file_whose_tables_were_changed_by_hand_is_refused),
        TEST(a_directory_that_is_not_there_is_an_error),
        TEST(the_highest_rowid_is_told_even_when_its_row_is_gone),
        TEST(the_last_rowid_is_told_by_itself),
        TEST(what_is_left_of_a_full_disk_is_an_error_with_no_effect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
