/* SPDX-License-Identifier: Apache-2.0 */
#include "failpoint.h"

#include <stdio.h>

#ifdef SHEAF_FAILPOINTS

#include "wire.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const requests[] = {
#define X(number, name, NAME, claimed) #name,
    WIRE_REQUESTS(X)
#undef X
        NULL};
/* Those that the coordinator sends: updates and deletes travel in groups. */
static const char *const entries[] = {"insert", "group", "prepare", "decide", "commit", "abort", "forget", "try", NULL};

static const struct place {
    const char *program, *name;
    const char *const *kinds; /* NULL: none */
} places[] = {
    {"coordinator", "cluster.before", NULL}, /* the data directory's one file of its own is put in place */
    {"coordinator", "cluster.after", NULL},
    {"coordinator", "spawn.before", NULL},
    {"coordinator", "spawn.after", NULL},
    {"coordinator", "ready.before", NULL}, /* a shard has said that it is */
    {"coordinator", "ready.after", NULL},
    {"coordinator", "send.before", requests},
    {"coordinator", "send.after", requests},
    {"coordinator", "answer.before", requests}, /* it has arrived; */
    {"coordinator", "answer.after", requests},  /* and was handed to whoever waits for it */
    {"coordinator", "ask.before", NULL},        /* of a client of HTTP: all of it has arrived; */
    {"coordinator", "ask.after", NULL},         /* and was handed to the engine, or refused */
    {"coordinator", "reply.before", NULL},
    {"coordinator", "reply.after", NULL},
    {"coordinator", "relay.send.before", NULL}, /* between `load` or `insert` and a server, at either end */
    {"coordinator", "relay.send.after", NULL},
    {"coordinator", "relay.received", NULL},
    {"shardd", "start.locked", NULL},
    {"shardd", "start.opened", NULL},
    {"shardd", "ready.before", NULL},
    {"shardd", "ready.after", NULL},
    {"shardd", "create.before", NULL}, /* the commits of a claim: of a file that had none; */
    {"shardd", "create.after", NULL},
    {"shardd", "claim.before", NULL}, /* and of one that another coordinator had */
    {"shardd", "claim.after", NULL},
    {"shardd", "index.before", NULL}, /* on the columns of a reference */
    {"shardd", "index.after", NULL},
    {"shardd", "request.before", requests},
    {"shardd", "request.after", requests}, /* it was handled: a write is applied, and as a rule not yet committed */
    {"shardd", "answer.before", requests},
    {"shardd", "answer.after", requests},
    {"shardd", "apply.before", entries}, /* commit and abort are what a transaction's RESOLVE comes to */
    {"shardd", "apply.after", entries},
    {"shardd", "commit.before", NULL},
    {"shardd", "commit.flushed", NULL}, /* all is in the WAL but the commit itself */
    {"shardd", "commit.after", NULL},
};
#define PLACES (sizeof places / sizeof *places)

static struct {
    const char *program;
    const char *folder; /* NULL: nothing can be armed */
} failpoint;

void failpoint_open(const char *program)
{
    failpoint.program = program;
    failpoint.folder = getenv("SHEAF_FAILPOINTS");
}

bool failpoint_list(void)
{
    for (size_t i = 0; i < PLACES; i++) {
        const struct place *place = &places[i];
        if (strcmp(place->program, failpoint.program) != 0)
            continue;
        if (!place->kinds)
            printf("%s.%s\n", place->program, place->name);
        for (size_t k = 0; place->kinds && place->kinds[k]; k++)
            printf("%s.%s.%s\n", place->program, place->name, place->kinds[k]);
    }
    return true;
}

static bool is_known(const char *name, const char *kind)
{
    for (size_t i = 0; i < PLACES; i++) {
        if (strcmp(places[i].program, failpoint.program) != 0 || strcmp(places[i].name, name) != 0)
            continue;
        if (!kind || !places[i].kinds)
            return !kind && !places[i].kinds;
        for (size_t k = 0; places[i].kinds[k]; k++)
            if (strcmp(places[i].kinds[k], kind) == 0)
                return true;
    }
    return false;
}

/* 0: there is none, or no file. */
static unsigned number_in(const char *path)
{
    unsigned number = 0;
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%u", &number) != 1)
        number = 0;
    if (file)
        fclose(file);
    return number;
}

void failpoint_pass(const char *place, const char *kind)
{
    char file[4096];
    if (!failpoint.program) /* a unit test */
        return;
    if (kind && strcmp(kind, wire_kind_name(0)) == 0) /* "unknown": a peer has made it up */
        return;
    if (!is_known(place, kind))
        panic("there is no failpoint %s.%s", place, kind ? kind : "");
    if (!failpoint.folder)
        return;
    int len = snprintf(file, sizeof file, "%s/%s.%s%s%s", failpoint.folder, failpoint.program, place, kind ? "." : "",
                       kind ? kind : "");
    if ((size_t)len >= sizeof file)
        return;
    unsigned wait_ms = number_in(file);
    if (unlink(file) == 0) {
        usleep(wait_ms * 1000);
        raise(SIGKILL);
    }
}

void failpoint_pass_message(const char *place, const void *bytes, size_t len)
{
    struct cursor cursor = cursor_over(bytes, len);
    uint32_t items, kind;
    if (cursor_array(&cursor, &items) && cursor_uint32(&cursor, &kind))
        failpoint_pass(place, wire_kind_name(kind));
}

#else

void failpoint_open(const char *program)
{
    (void)program;
}

bool failpoint_list(void)
{
    fputs("this build has no failpoints: configure it with -DSHEAF_FAILPOINTS=ON\n", stderr);
    return false;
}

#endif
