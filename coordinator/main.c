/* SPDX-License-Identifier: Apache-2.0 */
/* coordinator: finds the verb, hands over. */
#include "check.h"
#include "demo.h"
#include "failpoint.h"
#include "insert_command.h"
#include "load.h"
#include "options.h"
#include "output.h"
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LARGE_BYTES 1048576

struct verb {
    const char *name;
    const char *does;
    int (*command)(int argc, char **argv);
};

static const struct verb verbs[] = {
    {"demo", "insert a shop's rows, good and bad, and show what becomes of them", demo_command},
    {"load", "load CSV, TSV, NDJSON or msgpack files into tables", load_command},
    {"insert", "insert rows given as JSON lines, and answer each", insert_command},
    {"serve", "serve the databases over HTTP and JSON", serve_command},
    {"check", "verify files, references and transactions left over; repair nothing", check_command},
};
#define VERB_COUNT (sizeof verbs / sizeof *verbs)

static int print(const char *text)
{
    struct error error;

    if (output_write(STDOUT_FILENO, "stdout", text, strlen(text), NULL, &error))
        return STATUS_FINE;
    fprintf(stderr, "coordinator: %s\n", error.text);
    return STATUS_UNAVAILABLE;
}

static int print_help(void)
{
    char text[2048];
    int len = snprintf(text, sizeof text,
                       "Usage: coordinator VERB [OPTION]...\n\n"
                       "Makes many SQLite databases behave as one: a process for each database, and\n"
                       "foreign keys, unique keys and transactions that span them.\n\nVerbs:\n");

    for (size_t i = 0; i < VERB_COUNT; i++)
        len += snprintf(text + len, sizeof text - (size_t)len, "  %-8s %s\n", verbs[i].name, verbs[i].does);
    snprintf(text + len, sizeof text - (size_t)len,
             "\n'coordinator VERB --help' tells more of each.\n"
             "\nExit status: 0 all accepted or already there; 1 some rows refused, or check\n"
             "found something; 2 usage, configuration, schema or unreadable input; 3 a process\n"
             "or database unavailable, busy or full, or an outcome unknown; 4 internal error;\n"
             "129, 130, 143 interrupted.\n");
    return print(text);
}

static int print_version(void)
{
    char text[128];

    snprintf(text, sizeof text, "coordinator (Sheaf) %s, SQLite %s\n", SHEAF_VERSION, sqlite3_libversion());
    return print(text);
}

/* Edits that turn one word into the other: insertions, removals, changes, and neighbours swapped (which count as two).
 */
static size_t distance(const char *a, const char *b)
{
    size_t row[32];
    size_t len = strlen(b);

    if (len + 1 > sizeof row / sizeof *row)
        return SIZE_MAX;
    for (size_t j = 0; j <= len; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t corner = row[0];

        row[0] = i + 1;
        for (size_t j = 0; j < len; j++) {
            size_t change = corner + (a[i] != b[j]);

            corner = row[j + 1];
            row[j + 1] = change < row[j] + 1 ? change : row[j] + 1;
            if (corner + 1 < row[j + 1])
                row[j + 1] = corner + 1;
        }
    }
    return row[len];
}

static int complain_of(const char *word)
{
    const char *nearest = NULL;
    size_t least = 3; /* farther than two edits is no misspelling */
    struct error error;

    for (size_t i = 0; i < VERB_COUNT; i++) {
        size_t far = distance(word, verbs[i].name);

        if (far < least) {
            least = far;
            nearest = verbs[i].name;
        }
    }
    error_set(&error, ERROR_PARSE, "%s '%s'", *word == '-' ? "unknown option" : "there is no verb", word);
    fprintf(stderr, "coordinator: %s", error.text);
    if (nearest)
        fprintf(stderr, "; did you mean '%s'?", nearest);
    fputs("\nTry 'coordinator --help'.\n", stderr);
    return STATUS_USAGE;
}

/* Descriptors 0 to 2 must be something, or a database or socket would get their numbers and be written to as if it were
 * stdout. What was closed stays of no use: to write to it fails. */
static bool standard_descriptors_are_open(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
            return false;
    return true;
}

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : NULL;

    if (!standard_descriptors_are_open())
        return STATUS_INTERNAL;
    mallopt(M_ARENA_MAX, 1); /* rows are made by one thread and freed by another: more arenas only hoard memory */
    mallopt(M_MMAP_THRESHOLD, LARGE_BYTES); /* fixed: bodies and pages go back to the system when they are freed */
    signal(SIGXFSZ, SIG_IGN);               /* a file that may not grow is an error of write, like a full disk */
    signal(SIGPIPE, SIG_IGN);               /* a reader that went away is an error of write, told where it matters */
    failpoint_open("coordinator");
    if (!word) {
        fputs("coordinator: which verb?\nTry 'coordinator --help'.\n", stderr);
        return STATUS_USAGE;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "help") == 0)
        return print_help();
    if (strcmp(word, "--version") == 0)
        return print_version();
    if (strcmp(word, "--failpoints") == 0)
        return failpoint_list() ? STATUS_FINE : STATUS_USAGE;
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (strcmp(word, verbs[i].name) == 0)
            return verbs[i].command(argc - 1, argv + 1);
    return complain_of(word);
}
