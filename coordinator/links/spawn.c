/* SPDX-License-Identifier: Apache-2.0 */
#include "spawn.h"

#include "failpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_FD 3

/* The command line: strings that live elsewhere, and numbers that live here. */
struct arguments {
    const char *argv[40];
    size_t count;
    char numbers[8][24];
    size_t number_count;
};

static void put_text(struct arguments *arguments, const char *option, const char *text)
{
    if (arguments->count + 3 > sizeof arguments->argv / sizeof *arguments->argv)
        panic("the command line of shardd has more options than room");
    arguments->argv[arguments->count++] = option;
    arguments->argv[arguments->count++] = text;
}

static void put_number(struct arguments *arguments, const char *option, int64_t number)
{
    char *text = arguments->numbers[arguments->number_count++];
    snprintf(text, sizeof arguments->numbers[0], "%" PRId64, number);
    put_text(arguments, option, text);
}

static void arrange(struct arguments *arguments, const struct spawn_order *order)
{
    *arguments = (struct arguments){.argv[0] = order->program, .count = 1};
    put_text(arguments, "--database", order->database);
    put_text(arguments, "--data", order->data);
    put_text(arguments, "--listen", order->url);
    put_number(arguments, "--parent", getpid());
    put_number(arguments, "--ready-fd", READY_FD);
    put_number(arguments, "--cache-bytes", order->cache_bytes);
    put_number(arguments, "--wal-checkpoint-pages", order->limits->wal_checkpoint_pages);
    put_number(arguments, "--wal-bytes", order->limits->wal_bytes);
    put_number(arguments, "--lock-file-ms", order->limits->lock_file_ms);
    put_number(arguments, "--kept-keys", order->limits->kept_keys);
    put_number(arguments, "--io-ms", order->limits->io_ms);
    put_text(arguments, "--log-format", order->log_format);
    put_text(arguments, "--log-level", order->log_level);
}

static int describe_files(posix_spawn_file_actions_t *files, int ready_write_fd)
{
    /* onto itself too: that clears close-on-exec */
    int result = posix_spawn_file_actions_adddup2(files, ready_write_fd, READY_FD);
    if (!result)
        result = posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!result && fcntl(STDERR_FILENO, F_GETFD) < 0) /* closed by whoever started us */
        result = posix_spawn_file_actions_addopen(files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (!result)
        result = posix_spawn_file_actions_adddup2(files, STDERR_FILENO, STDOUT_FILENO);
    if (!result)
        result = posix_spawn_file_actions_addclosefrom_np(files, READY_FD + 1);
    return result;
}

static int describe_signals(posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    int result = posix_spawnattr_setsigmask(attributes, &none);
    if (!result)
        result = posix_spawnattr_setsigdefault(attributes, &all);
    if (!result)
        result = posix_spawnattr_setpgroup(attributes, 0);
    if (!result)
        result = posix_spawnattr_setflags(attributes,
                                          POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    return result;
}

/* An errno, 0 when the process runs. */
static int start(const struct spawn_order *order, int ready_write_fd, pid_t *ret_pid)
{
    struct arguments arguments;
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    int result = posix_spawn_file_actions_init(&files);
    if (result)
        return result;
    result = posix_spawnattr_init(&attributes);
    if (!result) {
        arrange(&arguments, order);
        result = describe_files(&files, ready_write_fd);
        if (!result)
            result = describe_signals(&attributes);
        if (!result)
            result = posix_spawnp(ret_pid, order->program, &files, &attributes, (char *const *)arguments.argv, environ);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&files);
    return result;
}

bool spawn_shard(const struct spawn_order *order, struct spawned *ret_spawned, struct error *error)
{
    int ends[2];
    struct spawned spawned = {0};
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set(error, ERROR_UNAVAILABLE, "no pipe can be made: %s", strerror(errno));
    FAILPOINT("spawn.before", NULL);
    int result = start(order, ends[1], &spawned.pid);
    FAILPOINT("spawn.after", NULL);
    close(ends[1]);
    if (result) {
        close(ends[0]);
        return error_set(error, ERROR_UNAVAILABLE, "%s cannot be started: %s", order->program, strerror(result));
    }
    spawned.ready_fd = ends[0];
    spawned.pid_fd = pidfd_open(spawned.pid, 0); /* close-on-exec by itself */
    if (spawned.pid_fd < 0 || fcntl(spawned.ready_fd, F_SETFL, O_NONBLOCK) < 0) {
        error_set(error, ERROR_UNAVAILABLE, "shardd cannot be watched: %s", strerror(errno));
        kill(spawned.pid, SIGKILL);
        waitpid(spawned.pid, NULL, 0);
        if (spawned.pid_fd >= 0)
            close(spawned.pid_fd);
        close(spawned.ready_fd);
        return false;
    }
    *ret_spawned = spawned;
    return true;
}

/* The line is whole: what it says. */
static enum spawn_word understand(char *text, struct error *error)
{
    static const char failed[] = "failed ";
    if (!strcmp(text, "ready"))
        return SPAWN_READY;
    if (strncmp(text, failed, strlen(failed)))
        return SPAWN_ENDED;
    char *name = text + strlen(failed), *blank = strchr(name, ' ');
    if (!blank)
        return SPAWN_ENDED;
    *blank = '\0';
    enum error_code code = error_code_of(name);
    error_set(error, code ? code : ERROR_UNAVAILABLE, "%s", blank + 1);
    return SPAWN_REFUSED;
}

enum spawn_word spawn_listen(int ready_fd, struct spawn_line *line, struct error *error)
{
    for (;;) {
        size_t room = sizeof line->text - 1 - line->len;
        if (!room)
            return SPAWN_ENDED;
        ssize_t got = read(ready_fd, line->text + line->len, room);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return SPAWN_SILENT;
        if (got <= 0)
            return SPAWN_ENDED;
        line->len += (size_t)got;
        line->text[line->len] = '\0';
        char *end = strchr(line->text, '\n');
        if (end) {
            *end = '\0';
            FAILPOINT("ready.before", NULL);
            enum spawn_word word = understand(line->text, error);
            FAILPOINT("ready.after", NULL);
            return word;
        }
    }
}

void spawn_status_text(int status, char *text, size_t size)
{
    if (WIFEXITED(status)) {
        snprintf(text, size, "shardd exited with status %d", WEXITSTATUS(status));
        return;
    }
    const char *name = sigabbrev_np(WTERMSIG(status));
    snprintf(text, size, "shardd was killed by signal %d (%s%s)", WTERMSIG(status), name ? "SIG" : "unknown",
             name ? name : "");
}
