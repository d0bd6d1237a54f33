/* SPDX-License-Identifier: Apache-2.0 */
#include "clock.h"
#include "owner.h"
#include "shard.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define says assert_string_equal

/* A shard in a process of its own: only from another process does SQLite see its locks as a foreign program does. */
struct other {
    pid_t pid;
    int orders; /* a byte: 'w' writes the next batch, 'c' checkpoints, 'e' closes and ends */
    int answers;
};

static void obey(struct shard *s, int orders, int answers)
{
    char what;
    uint64_t next = store_last_batch(s->store) + 1;
    while (write(answers, "k", 1) == 1 && read(orders, &what, 1) == 1 && what != 'e') {
        if (what == 'c') {
            shard_sql(s, "PRAGMA wal_checkpoint(PASSIVE)");
            continue;
        }
        char row[64];
        snprintf(row, sizeof row, "%llu|'Ann|NULL|-", (unsigned long long)next);
        shard_insert(s, PEOPLE, row);
        if (strcmp(shard_write(s, next++), "applied"))
            _exit(1);
    }
    shard_close(s);
    _exit(write(answers, "k", 1) == 1 ? 0 : 1);
}

static void wait_for(const struct other *other)
{
    char done;
    assert_int_equal(read(other->answers, &done, 1), 1);
}

static void order(const struct other *other, char what)
{
    assert_int_equal(write(other->orders, &what, 1), 1);
    wait_for(other);
}

static struct other start_other(struct shard *s)
{
    int orders[2], answers[2];
    assert_int_equal(pipe(orders), 0);
    assert_int_equal(pipe(answers), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(orders[1]);
        close(answers[0]);
        if (!shard_open(s))
            _exit(1);
        uint64_t epoch = store_epoch(s->store);
        shard_close(s);
        shard_start(s, epoch + 1);
        obey(s, orders[0], answers[1]);
    }
    close(orders[0]);
    close(answers[1]);
    struct other other = {.pid = pid, .orders = orders[1], .answers = answers[0]};
    wait_for(&other);
    return other;
}

static int end_other(struct other *other, int signal_number)
{
    int status;
    if (signal_number)
        kill(other->pid, signal_number);
    else
        order(other, 'e');
    assert_int_equal(waitpid(other->pid, &status, 0), other->pid);
    close(other->orders);
    close(other->answers);
    return status;
}

/* ---- what a foreign program sees ---- */

static sqlite3 *foreign(struct shard *s)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open_v2(shard_path(s, "town.db"), &db, SQLITE_OPEN_READWRITE, "unix"), SQLITE_OK);
    return db;
}

static int count_people(sqlite3 *db)
{
    sqlite3_stmt *row;
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM people", -1, &row, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    int count = sqlite3_column_int(row, 0);
    sqlite3_finalize(row);
    return count;
}

static void assert_locked(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_BUSY)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    says(sqlite3_errmsg(db), "database is locked");
}

static void another_program_reads_and_backs_up_and_cannot_write(void **state)
{
    struct shard *s = *state;
    struct other other = start_other(s);
    sqlite3 *db = foreign(s), *copy;
    assert_int_equal(count_people(db), 0);
    assert_locked(db, "INSERT INTO people VALUES (99, 'Eve', NULL, NULL)");
    order(&other, 'w');
    assert_int_equal(count_people(db), 1);
    assert_locked(db, "DELETE FROM people");
    order(&other, 'c');
    assert_locked(db, "DELETE FROM people");
    assert_locked(db, "BEGIN IMMEDIATE");
    assert_locked(db, "PRAGMA journal_mode = DELETE");
    assert_int_equal(sqlite3_exec(db, "PRAGMA wal_checkpoint(PASSIVE)", NULL, NULL, NULL), SQLITE_OK);
    order(&other, 'w');
    assert_int_equal(sqlite3_open(":memory:", &copy), SQLITE_OK);
    sqlite3_backup *backup = sqlite3_backup_init(copy, "main", db, "main");
    assert_int_equal(sqlite3_backup_step(backup, -1), SQLITE_DONE);
    sqlite3_backup_finish(backup);
    assert_int_equal(count_people(copy), 2);
    sqlite3_close(copy);
    assert_int_equal(end_other(&other, 0), 0);
    assert_int_equal(count_people(db), 2);
    sqlite3_close(db);
}

static void all_is_normal_after_a_close(void **state)
{
    struct shard *s = *state;
    struct other other = start_other(s);
    order(&other, 'w');
    sqlite3 *db = foreign(s);
    assert_locked(db, "DELETE FROM people");
    assert_int_equal(end_other(&other, 0), 0);
    assert_int_equal(sqlite3_exec(db, "DELETE FROM people", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_not_equal(access(shard_path(s, "town.db-wal"), F_OK), 0); /* the last to close folds the WAL in */
    db = foreign(s);
    assert_int_equal(sqlite3_exec(db, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    other = start_other(s);
    order(&other, 'w');
    assert_int_equal(end_other(&other, 0), 0);
}

/* SQLite keeps the locks of one process in its own books, which a close must not leave behind. */
static void all_is_normal_after_a_close_for_the_same_process_too(void **state)
{
    struct shard *s = *state;
    shard_start(s, 1);
    sqlite3 *db = foreign(s);
    assert_int_equal(count_people(db), 0);
    assert_locked(db, "DELETE FROM people");
    shard_close(s);
    if (sqlite3_exec(db, "DELETE FROM people", NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s", sqlite3_errmsg(db));
    sqlite3_close(db);
}

static void all_is_normal_after_a_kill(void **state)
{
    struct shard *s = *state;
    for (int i = 1; i <= 8; i++) {
        struct other other = start_other(s);
        order(&other, 'w');
        if (i % 2)
            order(&other, 'c');
        sqlite3 *db = foreign(s);
        assert_locked(db, "DELETE FROM people");
        int status = end_other(&other, SIGKILL);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(count_people(db), i);
        assert_int_equal(sqlite3_exec(db, "INSERT INTO notes VALUES ('x')", NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
    }
    struct other other = start_other(s);
    order(&other, 'w');
    assert_int_equal(end_other(&other, 0), 0);
    sqlite3 *db = foreign(s);
    assert_int_equal(count_people(db), 9);
    sqlite3_close(db);
}

static void a_second_shardd_is_told_who_holds_the_file(void **state)
{
    struct shard *s = *state;
    char pid[32];
    struct other other = start_other(s);
    assert_false(shard_open(s));
    assert_int_equal(s->error.code, ERROR_UNAVAILABLE);
    snprintf(pid, sizeof pid, "(pid %ld)", (long)other.pid);
    if (!strstr(s->error.text, pid) || !strstr(s->error.text, "database town: "))
        fail_msg("%s", s->error.text);
    order(&other, 'w'); /* it was not disturbed */
    sqlite3 *db = foreign(s);
    assert_locked(db, "DELETE FROM people");
    sqlite3_close(db);
    end_other(&other, SIGKILL);
    shard_start(s, 9);
    says(shard_sql(s, "SELECT id FROM people"), "1");
}

static void a_starter_waits_for_its_predecessor_and_not_for_ever(void **state)
{
    struct shard *s = *state;
    struct other other = start_other(s);
    s->options.lock_file_ms = 300;
    uint64_t begun = clock_monotonic_ns();
    assert_false(shard_open(s));
    uint64_t took = clock_monotonic_ns() - begun;
    assert_int_equal(s->error.code, ERROR_UNAVAILABLE);
    assert_in_range(took / 1000000u, 300, 3000);
    /* and one that is ending is waited for */
    s->options.lock_file_ms = 20000;
    kill(other.pid, SIGKILL);
    assert_true(shard_open(s));
    end_other(&other, SIGKILL);
}

/* Stands in for the system's: between opening a lock file and locking it, its holder ends and takes it away. */
static const char *taken_away;

int flock(int fd, int operation)
{
    if (taken_away)
        unlink(taken_away);
    taken_away = NULL;
    return (int)syscall(SYS_flock, fd, operation);
}

static void a_lock_file_that_was_taken_away_locks_nothing(void **state)
{
    struct shard *s = *state;
    char path[256];
    snprintf(path, sizeof path, "%s", shard_path(s, "town.db.lock"));
    taken_away = path;
    assert_true(shard_open(s));
    assert_int_equal(access(path, F_OK), 0); /* else another could hold one, too */
}

static void a_foreign_writer_is_waited_for_and_named(void **state)
{
    struct shard *s = *state;
    shard_start(s, 1);
    shard_close(s);
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        sqlite3 *db = foreign(s);
        if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK || write(ready[1], "k", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    s->options.lock_file_ms = 100;
    assert_false(shard_open(s));
    assert_int_equal(s->error.code, ERROR_UNAVAILABLE);
    assert_non_null(strstr(s->error.text, "database is locked by another program"));
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(ready[0]);
    close(ready[1]);
    assert_true(shard_open(s));
}

static void a_lock_file_that_cannot_be_made_is_an_error(void **state)
{
    struct shard *s = *state;
    struct error error;
    assert_int_equal(owner_lock(shard_path(s, "no/such.lock"), 0, &error), -1);
    assert_int_equal(error.code, ERROR_IO);
    owner_unlock(-1);
    int descriptor = owner_lock(shard_path(s, "a.lock"), 0, &error);
    assert_true(descriptor >= 0);
    assert_int_equal(owner_lock(shard_path(s, "a.lock"), 0, &error), -1);
    assert_int_equal(error.code, ERROR_UNAVAILABLE);
    owner_unlock(descriptor);
    descriptor = owner_lock(shard_path(s, "a.lock"), 0, &error);
    assert_true(descriptor >= 0);
    owner_unlock(descriptor);
}

/* ---- a disk at work ---- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool hold, held; /* the next write waits; it does */
} disk = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false};

static ssize_t slow_write(int fd, const void *bytes, size_t count, off64_t at)
{
    pthread_mutex_lock(&disk.lock);
    disk.held = disk.hold;
    pthread_cond_broadcast(&disk.changed);
    while (disk.hold)
        pthread_cond_wait(&disk.changed, &disk.lock);
    disk.held = false;
    pthread_mutex_unlock(&disk.lock);
    return pwrite64(fd, bytes, count, at);
}

static void hold_disk(bool hold)
{
    pthread_mutex_lock(&disk.lock);
    disk.hold = hold;
    pthread_cond_broadcast(&disk.changed);
    pthread_mutex_unlock(&disk.lock);
}

static void *write_a_row(void *context)
{
    struct shard *s = context;
    shard_insert(s, PEOPLE, "1|'Ann|NULL|-");
    return strcmp(shard_write(s, 1), "applied") ? context : NULL;
}

static void a_disk_at_work_is_progress_for_as_long_as_it_may_take(void **state)
{
    struct shard *s = *state;
    sqlite3_vfs *real = sqlite3_vfs_find("unix");
    pthread_t writer;
    void *failed;
    shard_start(s, 1);
    uint64_t before = owner_io_progress(1000, 50);
    assert_int_equal(owner_io_progress(2000, 50), before); /* it rests */
    hold_disk(true);
    assert_int_equal(real->xSetSystemCall(real, "pwrite64", (sqlite3_syscall_ptr)slow_write), SQLITE_OK);
    assert_int_equal(pthread_create(&writer, NULL, write_a_row, s), 0);
    pthread_mutex_lock(&disk.lock);
    while (!disk.held)
        pthread_cond_wait(&disk.changed, &disk.lock);
    pthread_mutex_unlock(&disk.lock);
    uint64_t first = owner_io_progress(3000, 50);
    assert_true(first > before);
    assert_true(owner_io_progress(3020, 50) > first);
    uint64_t last = owner_io_progress(3050, 50);
    assert_true(last > first + 1);
    assert_int_equal(owner_io_progress(3051, 50), last); /* it hangs */
    assert_int_equal(owner_io_progress(9000, 50), last);
    hold_disk(false);
    pthread_join(writer, &failed);
    assert_null(failed);
    assert_int_equal(real->xSetSystemCall(real, "pwrite64", NULL), SQLITE_OK);
    uint64_t after = owner_io_progress(9001, 50);
    assert_true(after > last);
    assert_int_equal(owner_io_progress(9002, 50), after);
}

/* What a predecessor wrote into the file says nothing about who has it now. */
static void who_holds_a_lock_file_is_told_as_it_is(void **state)
{
    struct shard *s = *state;
    struct error error;
    char holder[64];
    FILE *file = fopen(shard_path(s, "a.lock"), "w");
    assert_non_null(file);
    fputs("999999999\n", file);
    fflush(file);
    assert_int_equal(flock(fileno(file), LOCK_EX), 0);
    assert_int_equal(owner_lock(shard_path(s, "a.lock"), 0, &error), -1);
    fclose(file);
    snprintf(holder, sizeof holder, "a.lock is held by shardd_owner (pid %ld)", (long)getpid());
    if (!strstr(error.text, holder))
        fail_msg("%s", error.text);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, shard_setup_unopened, shard_teardown)
    const struct CMUnitTest tests[] = {
        TEST(another_program_reads_and_backs_up_and_cannot_write),
        TEST(all_is_normal_after_a_close),
        TEST(all_is_normal_after_a_close_for_the_same_process_too),
        TEST(all_is_normal_after_a_kill),
        TEST(a_second_shardd_is_told_who_holds_the_file),
        TEST(a_starter_waits_for_its_predecessor_and_not_for_ever),
        TEST(a_lock_file_that_was_taken_away_locks_nothing),
        TEST(a_foreign_writer_is_waited_for_and_named),
        TEST(a_lock_file_that_cannot_be_made_is_an_error),
        TEST(a_disk_at_work_is_progress_for_as_long_as_it_may_take),

        TEST(who_holds_a_lock_file_is_told_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
