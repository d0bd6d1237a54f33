/* SPDX-License-Identifier: Apache-2.0 */
/* shardd: the process that owns one SQLite file. Options, readiness, lifetime. */
#include "cache.h"
#include "clock.h"
#include "failpoint.h"
#include "limits.h"
#include "log.h"
#include "owner.h"
#include "serve.h"
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static const char help[] = "usage: shardd --database NAME --data DIR --listen URL [options]\n"
                           "\n"
                           "Owns one SQLite file, DIR/NAME.db, and serves it to a Sheaf coordinator.\n"
                           "A coordinator starts its local shards itself; run one by hand to have it\n"
                           "dialled (address = tcp://127.0.0.1:PORT in the coordinator's configuration).\n"
                           "\n"
                           "  --database NAME            the database\n"
                           "  --data DIR                 the directory of its file; must exist\n"
                           "  --listen URL               ipc:///PATH or tcp://127.0.0.1:PORT (loopback)\n"
                           "  --cache-bytes N            SQLite's page cache\n"
                           "  --wal-checkpoint-pages N   checkpoint when the WAL has so many pages\n"
                           "  --wal-bytes N              beyond it writes are refused\n"
                           "  --kept-keys N              answers kept for idempotency keys\n"
                           "  --lock-file-ms N           wait so long for a predecessor to end\n"
                           "  --io-ms N                  busy, not mute, so long in one read, write or sync\n"
                           "  --log-format logfmt|json   lines on stderr\n"
                           "  --log-level LEVEL          error, warn, info or debug\n"
                           "  --parent PID               end when this process does (set by coordinators)\n"
                           "  --ready-fd N               write `ready` here (set by coordinators)\n"
                           "  --help, --version\n"
                           "\n"
                           "SIGTERM: finishes what was received, closes the file, exits 0.\n";

enum { STATUS_OK = 0, STATUS_USAGE = 2, STATUS_UNAVAILABLE = 3 };

struct options {
    struct store_options store;
    const char *listen;
    int64_t io_ms;
    long parent;
    int ready_fd;
    enum log_level level;
    enum log_format format;
};

static int usage(const char *what, const char *value)
{
    fprintf(stderr, "shardd: %s%s%s (try shardd --help)\n", what, value ? " " : "", value ? value : "");
    return STATUS_USAGE;
}

static bool read_number(const char *text, int64_t *number)
{
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end || errno || value < 0)
        return false;
    *number = value;
    return true;
}

static bool is_port(const char *text)
{
    int64_t port;
    return text[0] >= '0' && text[0] <= '9' && read_number(text, &port) && port >= 1 && port <= 65535;
}

/* ipc:// anywhere; plain tcp:// on this host only: other hosts need certificates. A port that nobody could know to dial
 * is none. */
static bool may_listen_on(const char *url)
{
    static const char *const loopback[] = {"tcp://127.", "tcp://[::1]:", "tcp://localhost:"};
    if (!strncmp(url, "ipc://", 6))
        return true;
    const char *colon = strrchr(url, ':');
    for (unsigned i = 0; colon && i < sizeof loopback / sizeof *loopback; i++)
        if (!strncasecmp(url, loopback[i], strlen(loopback[i])))
            return is_port(colon + 1) && (i > 0 || url + 6 + strspn(url + 6, "0123456789.") == colon);
    return false;
}

static const struct option long_options[] = {
    {"database", required_argument, NULL, 'd'},
    {"data", required_argument, NULL, 'D'},
    {"listen", required_argument, NULL, 'l'},
    {"cache-bytes", required_argument, NULL, 'c'},
    {"wal-checkpoint-pages", required_argument, NULL, 'w'},
    {"wal-bytes", required_argument, NULL, 'W'},
    {"lock-file-ms", required_argument, NULL, 'k'},
    {"kept-keys", required_argument, NULL, 'K'},
    {"io-ms", required_argument, NULL, 'i'},
    {"log-format", required_argument, NULL, 'f'},
    {"log-level", required_argument, NULL, 'L'},
    {"parent", required_argument, NULL, 'p'},
    {"ready-fd", required_argument, NULL, 'r'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'v'},
    {"failpoints", no_argument, NULL, 'F'},
    {0},
};

static bool take_number(struct options *options, int option, const char *text)
{
    int64_t number;
    if (!read_number(text, &number))
        return false;
    switch (option) {
    case 'c':
        options->store.cache_bytes = number;
        return true;
    case 'w':
        options->store.wal_checkpoint_pages = number;
        return true;
    case 'W':
        options->store.wal_bytes = number;
        return true;
    case 'k':
        options->store.lock_file_ms = number;
        return true;
    case 'K':
        options->store.kept_keys = number;
        return true;
    case 'i':
        options->io_ms = number;
        return true;
    case 'p':
        options->parent = number;
        return true;
    case 'r':
        options->ready_fd = (int)number;
        return true;
    default:
        return false;
    }
}

/* -1: go on; else the exit status. */
static int read_options(int argc, char **argv, struct options *options)
{
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        bool ok = true;
        switch (option) {
        case 'h':
            return fputs(help, stdout) < 0;
        case 'v':
            return puts("shardd " SHEAF_VERSION) < 0;
        case 'F':
            return failpoint_list() ? STATUS_OK : STATUS_USAGE;
        case 'd':
            options->store.database = optarg;
            break;
        case 'D':
            options->store.data = optarg;
            break;
        case 'l':
            options->listen = optarg;
            break;
        case 'f':
            ok = log_format_of(optarg, &options->format);
            break;
        case 'L':
            ok = log_level_of(optarg, &options->level);
            break;
        case '?':
            return usage("unknown option, or one without its value:", argv[optind - 1]);
        default:
            ok = take_number(options, option, optarg);
        }
        if (!ok)
            return usage("a value that cannot be:", optarg);
    }
    if (optind < argc)
        return usage("what is this?", argv[optind]);
    if (!options->store.database || !*options->store.database || !options->store.data || !options->listen)
        return usage("--database, --data and --listen are needed", NULL);
    if (!may_listen_on(options->listen))
        return usage("listens on ipc:// or on tcp:// with a loopback address and a port only, not on", options->listen);
    return -1;
}

/* ---- life ---- */

/* The coordinator's end is ours, whatever way it ends. */
static bool follow_parent(long parent)
{
    return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent;
}

static void tell(int ready_fd, const char *line)
{
    if (ready_fd < 0)
        return;
    ssize_t ignored = write(ready_fd, line, strlen(line)); /* a coordinator that is gone ends us anyway */
    (void)ignored;
    close(ready_fd);
}

static int fail(const struct options *options, const struct error *error)
{
    char line[sizeof error->text + 64];
    snprintf(line, sizeof line, "failed %s %s\n", error_code_name(error->code), error->text);
    if (options->ready_fd < 0)
        fprintf(stderr, "shardd: %s\n", error->text);
    tell(options->ready_fd, line);
    return STATUS_UNAVAILABLE;
}

struct signal_thread {
    sigset_t signals;
    struct serve *serve;
};

/* Waits for the first signal that asks to end; end_waiting is one. */
static void *wait_for_signal(void *context)
{
    struct signal_thread *thread = context;
    int number;
    sigwait(&thread->signals, &number);
    serve_stop(thread->serve);
    return NULL;
}

/* Before what it would stop is freed: a signal may come at any time. */
static void end_waiting(pthread_t waiter)
{
    pthread_kill(waiter, SIGTERM);
    pthread_join(waiter, NULL);
}

static struct serve *served; /* for the progress handler, which is set before there is anything to serve */

static void on_progress(void *context)
{
    (void)context;
    if (served)
        serve_progress(served);
}

static int run(struct options *options, struct signal_thread *thread)
{
    struct error error = {0};
    pthread_t waiter;
    options->store.progress = on_progress;
    if (!cache_reserve(options->store.cache_bytes, &error) || !owner_register_vfs(&error))
        return fail(options, &error);
    struct store *store = store_open(&options->store, &error);
    if (!store)
        return fail(options, &error);
    struct serve *serve = serve_open(store, options->listen, options->io_ms, &error);
    if (!serve) {
        store_close(store);
        return fail(options, &error);
    }
    served = serve;
    thread->serve = serve;
    if (pthread_create(&waiter, NULL, wait_for_signal, thread) != 0)
        panic("no thread can be made");
    FAILPOINT("ready.before", NULL);
    tell(options->ready_fd, "ready\n");
    FAILPOINT("ready.after", NULL);
    log_info("ready", LOG_TEXT("listen", options->listen), LOG_NUMBER("pid", getpid()));
    int status = serve_run(serve);
    if (status) {
        fflush(NULL);
        _exit(status); /* the outcome of a commit is unknown: touch nothing more */
    }
    served = NULL;
    end_waiting(waiter);
    serve_close(serve);
    store_close(store);
    log_info("ended", LOG_NUMBER("status", status));
    return status;
}

int main(int argc, char **argv)
{
    failpoint_open("shardd");
    struct limits limits = limits_default();
    struct options options = {.store = {.cache_bytes = limits.cache_bytes_shard,
                                        .wal_checkpoint_pages = limits.wal_checkpoint_pages,
                                        .wal_bytes = limits.wal_bytes,
                                        .lock_file_ms = limits.lock_file_ms,
                                        .kept_keys = limits.kept_keys},
                              .io_ms = limits.io_ms,
                              .ready_fd = -1,
                              .level = LOG_LEVEL_INFO,
                              .format = LOG_LOGFMT};
    int status = read_options(argc, argv, &options);
    if (status >= 0)
        return status;
    if (options.parent && !follow_parent(options.parent))
        return STATUS_UNAVAILABLE;
    if (options.ready_fd >= 0)
        fcntl(options.ready_fd, F_SETFD, FD_CLOEXEC);
    const struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    log_open("shardd", options.store.database, options.level, options.format);
    /* the terminal's Ctrl-C and its end go to the coordinator, which says what happens to its shards */
    if (options.parent) {
        signal(SIGINT, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error, like a full disk */
    struct signal_thread thread = {0};
    sigemptyset(&thread.signals);
    sigaddset(&thread.signals, SIGTERM);
    if (!options.parent) {
        struct sigaction hangup;
        sigaddset(&thread.signals, SIGINT);
        if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN) /* nohup */
            sigaddset(&thread.signals, SIGHUP);
    }
    pthread_sigmask(SIG_BLOCK, &thread.signals, NULL); /* before any thread: all inherit it */
    return run(&options, &thread);
}
