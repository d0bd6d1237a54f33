/* SPDX-License-Identifier: Apache-2.0 */
#include "datadir.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];
static char data[128];

static struct datadir *opened(void)
{
    struct error error = {0};
    struct datadir *datadir = datadir_open(data, &error);
    if (!datadir)
        fail_msg("%s", error.text);
    return datadir;
}

static void put_file(const char *name, const char *bytes, size_t len)
{
    char path[192];
    snprintf(path, sizeof path, "%s/%s", data, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static struct cluster sample(void)
{
    return (struct cluster){.id = "shop.0123456789abcdef0123456789abcdef",
                            .schema = "CREATE TABLE t (\n\n a);\n",
                            .schema_len = 23,
                            .placement = "t\tt\n",
                            .placement_len = 4};
}

static void a_new_directory_is_private(void **state)
{
    (void)state;
    struct stat status;
    struct datadir *datadir = opened();
    assert_int_equal(stat(data, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_string_equal(datadir_path(datadir), data);
    datadir_close(datadir);
    datadir_close(opened()); /* and serves again */
}

static bool is_there(const char *name)
{
    char path[192];
    snprintf(path, sizeof path, "%s/%s", data, name);
    return access(path, F_OK) == 0;
}

static int remove_file(const char *name)
{
    char path[192];
    snprintf(path, sizeof path, "%s/%s", data, name);
    return unlink(path);
}

static void what_came_to_nothing_leaves_nothing(void **state)
{
    (void)state;
    datadir_undo(opened());
    assert_false(is_there("."));
    struct datadir *datadir = opened();
    put_file("kept", "x", 1);
    datadir_undo(datadir); /* the directory is somebody's now */
    assert_true(is_there("kept"));
    assert_false(is_there("sheaf.lock"));
    datadir_close(opened());
    datadir_undo(opened());
    assert_true(is_there("sheaf.lock")); /* it was there before */
}

/* Stands in for the system's: between opening a lock file and locking it, its holder ends and takes it away. */
static bool taken_away;

int flock(int fd, int operation)
{
    char path[192];
    snprintf(path, sizeof path, "%s/sheaf.lock", data);
    if (taken_away)
        unlink(path);
    taken_away = false;
    return (int)syscall(SYS_flock, fd, operation);
}

static void a_lock_that_was_taken_away_is_none(void **state)
{
    (void)state;
    taken_away = true;
    struct datadir *datadir = opened();
    assert_true(is_there("sheaf.lock")); /* else another could hold one, too */
    datadir_close(datadir);
}

static void the_parent_must_exist(void **state)
{
    (void)state;
    struct error error = {0};
    snprintf(data, sizeof data, "%s/no/data", folder);
    assert_null(datadir_open(data, &error));
    assert_int_equal(error.code, ERROR_IO);
    assert_non_null(strstr(error.text, data));
}

static void a_file_is_no_directory(void **state)
{
    (void)state;
    struct error error = {0};
    int fd = open(data, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_null(datadir_open(data, &error));
    assert_int_equal(error.code, ERROR_IO);
    assert_non_null(strstr(error.text, "Not a directory"));
}

static void a_second_user_is_told_the_first_ones_pid(void **state)
{
    (void)state;
    char pid[32];
    struct error error = {0};
    struct datadir *datadir = opened();
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    assert_null(datadir_open(data, &error)); /* flock is per open file: one process is enough to see it */
    assert_int_equal(error.code, ERROR_UNAVAILABLE);
    assert_non_null(strstr(error.text, pid));
    assert_non_null(strstr(error.text, data));
    datadir_close(datadir);
    datadir_close(opened());
}

static void who_only_asks_stands_in_nobodys_way(void **state)
{
    (void)state;
    struct error error = {0};
    datadir_close(opened());
    struct datadir *asks = datadir_look(data, &error);
    assert_non_null(asks);
    assert_false(datadir_is_held(asks));
    struct datadir *datadir = opened();
    assert_true(datadir_is_held(asks));
    assert_true(datadir_is_held(asks));
    datadir_close(datadir);
    assert_false(datadir_is_held(asks));
    datadir_undo(opened());
    assert_int_equal(remove_file("sheaf.lock"), 0);
    assert_false(datadir_is_held(asks)); /* a copy of the bare files has none */
    assert_false(is_there("sheaf.lock"));
    datadir_close(asks);
}

static void a_note_is_read_back_as_it_was_written(void **state)
{
    (void)state;
    struct error error = {0};
    struct cluster got, sent = sample(), bare = {.id = "0123"};
    struct datadir *datadir = opened();
    assert_true(cluster_read(datadir, &got, &error));
    assert_string_equal(got.id, "");
    assert_null(got.schema);
    assert_true(cluster_write(datadir, &bare, &error));
    assert_true(cluster_read(datadir, &got, &error));
    assert_string_equal(got.id, "0123");
    assert_null(got.schema);
    assert_true(cluster_write(datadir, &sent, &error));
    assert_true(cluster_read(datadir, &got, &error));
    assert_string_equal(got.id, sent.id);
    assert_int_equal(got.schema_len, sent.schema_len);
    assert_string_equal(got.schema, sent.schema);
    assert_int_equal(got.placement_len, sent.placement_len);
    assert_string_equal(got.placement, sent.placement);
    cluster_release(&got);
    datadir_close(datadir);
}

static void every_damaged_note_is_refused_by_name(void **state)
{
    (void)state;
    static const char whole[] = "sheaf cluster 1\nid 01ab\nschema 3\nplacement 2\n\nabcde";
    static const char *const wrong[] = {
        "",
        "garbage",
        "sheaf cluster 1\nid \nschema 3\nplacement 2\n\nabcde",
        "sheaf cluster 1\nid 01ab\nschema 4\nplacement 2\n\nabcde",
        "sheaf cluster 1\nid 01ab\nschema 3\nplacement 2\n\nabcdef",
        "sheaf cluster 1\nid 01ab\nschema 3\nplacement 2\nabcde",
        "sheaf cluster 1\nid 01ab\nschema -2\nplacement 2\n\nabcde",
        "sheaf cluster 1\nid 01ab\nschema 99999999999\nplacement 2\n\nabcde",
        "sheaf cluster 1\nid 01ab\nschema 3\nplacement -1\n\nabcde",
        "sheaf cluster 0\nid 01ab\nschema 3\nplacement 2\n\nabcde",
    };
    struct error error = {0};
    struct cluster got;
    struct datadir *datadir = opened();
    put_file("sheaf.cluster", whole, strlen(whole));
    assert_true(cluster_read(datadir, &got, &error));
    assert_string_equal(got.schema, "abc");
    assert_string_equal(got.placement, "de");
    cluster_release(&got);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        put_file("sheaf.cluster", wrong[i], strlen(wrong[i]));
        error = (struct error){0};
        assert_false(cluster_read(datadir, &got, &error));
        assert_int_equal(error.code, ERROR_IO);
        assert_non_null(strstr(error.text, "sheaf.cluster"));
        assert_non_null(strstr(error.text, "damaged"));
    }
    for (size_t len = 0; len < strlen(whole); len++) { /* cut anywhere */
        put_file("sheaf.cluster", whole, len);
        assert_false(cluster_read(datadir, &got, &error));
    }
    put_file("sheaf.cluster", "sheaf cluster 2\nwhatever", 24);
    assert_false(cluster_read(datadir, &got, &error));
    assert_non_null(strstr(error.text, "newer Sheaf (format 2)"));
    datadir_close(datadir);
}

/* RLIMIT_FSIZE stands for a full disk: write(2) gives EFBIG instead of ENOSPC. */
static void a_note_that_cannot_be_written_leaves_the_old_one(void **state)
{
    (void)state;
    struct error error = {0};
    struct cluster old = {.id = "0123"}, got, next = sample();
    struct datadir *datadir = opened();
    assert_true(cluster_write(datadir, &old, &error));
    pid_t child = fork();
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){16, 16});
        bool refused = !cluster_write(datadir, &next, &error) && error.code == ERROR_IO &&
                       strstr(error.text, "sheaf.cluster.new") && strstr(error.text, "too large");
        _exit(refused ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(cluster_read(datadir, &got, &error));
    assert_string_equal(got.id, "0123");
    char path[192];
    snprintf(path, sizeof path, "%s/sheaf.cluster.new", data);
    assert_int_not_equal(access(path, F_OK), 0);
    datadir_close(datadir);
}

static void a_directory_that_may_not_be_written_is_named(void **state)
{
    (void)state;
    struct error error = {0};
    assert_int_equal(mkdir(data, 0500), 0);
    pid_t child = fork();
    if (child == 0) { /* root may write anywhere: become nobody, who may not even look in */
        if (geteuid() == 0 && (setgid(65534) || setuid(65534)))
            _exit(2);
        bool refused = !datadir_open(data, &error) && error.code == ERROR_IO && strstr(error.text, data) &&
                       strstr(error.text, "denied");
        _exit(refused ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void a_directory_that_others_may_write_is_refused(void **state)
{
    (void)state;
    static const mode_t open_to_others[] = {0777, 0770, 0702, 01777};
    static const mode_t fine[] = {0700, 0750, 0755, 0705};
    assert_int_equal(mkdir(data, 0700), 0);
    for (size_t i = 0; i < 4; i++) {
        struct error error = {0};
        assert_int_equal(chmod(data, open_to_others[i]), 0);
        assert_null(datadir_open(data, &error));
        assert_int_equal(error.code, ERROR_IO);
        assert_non_null(strstr(error.text, data));
        assert_non_null(strstr(error.text, "can be written by others"));
        assert_false(is_there("sheaf.lock"));
        assert_int_equal(chmod(data, fine[i]), 0);
        struct datadir *datadir = opened();
        assert_int_equal(datadir_others_may_look_in(datadir), i >= 2);
        datadir_close(datadir);
        assert_int_equal(remove_file("sheaf.lock"), 0);
    }
}

static void ids_differ_and_carry_their_name(void **state)
{
    (void)state;
    struct error error = {0};
    char one[CLUSTER_ID_SIZE], other[CLUSTER_ID_SIZE];
    assert_true(cluster_id_new(NULL, one, &error));
    assert_int_equal(strlen(one), 32);
    assert_true(cluster_id_new(NULL, other, &error));
    assert_string_not_equal(one, other);
    assert_false(cluster_id_has_name(one, "shop"));
    assert_true(cluster_id_new("shop", one, &error));
    assert_true(cluster_id_has_name(one, "shop"));
    assert_false(cluster_id_has_name(one, "sho"));
    assert_false(cluster_id_has_name(one, "shops"));
    assert_true(cluster_id_new("123456789012345678901234567890", one, &error));
    assert_int_equal(strlen(one), 63);
    assert_false(cluster_id_new("1234567890123456789012345678901", one, &error));
    assert_int_equal(error.code, ERROR_PARSE);
    assert_false(cluster_id_new("", one, &error));
    assert_false(cluster_id_new("a b", one, &error));
}

static int begin_test(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/sheaf-datadir-XXXXXX");
    if (!mkdtemp(folder) || chmod(folder, 0755))
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
        TEST(a_new_directory_is_private),
        TEST(what_came_to_nothing_leaves_nothing),
        TEST(a_lock_that_was_taken_away_is_none),
        TEST(the_parent_must_exist),
        TEST(a_file_is_no_directory),
        TEST(a_second_user_is_told_the_first_ones_pid),
        TEST(who_only_asks_stands_in_nobodys_way),
        TEST(a_note_is_read_back_as_it_was_written),
        TEST(every_damaged_note_is_refused_by_name),
        TEST(a_note_that_cannot_be_written_leaves_the_old_one),
        TEST(a_directory_that_may_not_be_written_is_named),
        TEST(a_directory_that_others_may_write_is_refused),
        TEST(ids_differ_and_carry_their_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
