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
    {"coordinator", "spawn.before", NULL},
    {"coordinator", "spawn.after", NULL},
    {"coordinator", "send.before", requests},
    {"coordinator", "send.after", requests},
    {"coordinator", "answer.before", requests}, /* it has arrived; */
    {"coordinator", "answer.after", requests},  /* and was handed to whoever waits for it */
    {"coordinator", "reply.before", NULL},      /* to a client of HTTP */
    {"coordinator", "reply.after", NULL},
    {"shardd", "start.locked", NULL},
    {"shardd", "start.opened", NULL},
    {"shardd", "ready.before", NULL},
    {"shardd", "ready.after", NULL},
    {"shardd", "request", requests},
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
    const char *armed; /* the name; not ended */
    size_t len;
    const char *file;
} failpoint;

void failpoint_open(const char *program)
{
    const char *text = getenv("SHEAF_FAILPOINT");
    const char *colon = text ? strchr(text, ':') : NULL;
    failpoint.program = program;
    if (!colon)
        return;
    failpoint.armed = text;
    failpoint.len = (size_t)(colon - text);
    failpoint.file = colon + 1;
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

void failpoint_pass(const char *place, const char *kind)
{
    char name[128];
    if (!failpoint.program) /* a unit test */
        return;
    if (!is_known(place, kind))
        panic("there is no failpoint %s.%s", place, kind ? kind : "");
    int len = snprintf(name, sizeof name, "%s.%s%s%s", failpoint.program, place, kind ? "." : "", kind ? kind : "");
    if (failpoint.armed && (size_t)len == failpoint.len && memcmp(name, failpoint.armed, failpoint.len) == 0 &&
        unlink(failpoint.file) == 0)
        raise(SIGKILL);
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
