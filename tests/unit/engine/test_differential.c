/* SPDX-License-Identifier: Apache-2.0 */
/* Random schemas and operations, done by an engine on real shards and by one SQLite file: every answer agrees, and
 * every table at the end. Says its seed; what disagrees is printed as a script that --script takes back.
 *
 *   engine_differential [--seed N] [--operations N] [--each N] [--script FILE]
 *
 * A script is the DDL, a line "--" (or "-- together", all tables in one database), and the operations. */
#include "few_keys.h"
#include "twin.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPERATIONS 3500u
#define EACH 100u /* lines of one schema */

struct totals {
    uint64_t done, refused, schemas, not_taken;
    uint64_t fired[2][ACTION_CASCADE + 1];
};

static void add(struct totals *totals, const struct twin *twin)
{
    totals->done += twin->one.done;
    totals->refused += twin->one.refused;
    totals->schemas++;
    for (int e = 0; e < 2; e++)
        for (int a = 0; a <= ACTION_CASCADE; a++)
            totals->fired[e][a] += twin->one.fired[e][a];
}

static void complain(const char *ddl, bool together, const struct buffer *lines, const struct buffer *text)
{
    printf("%s-- %s\n%.*s# %.*s\n", ddl, together ? "together" : "", (int)lines->len,
           lines->len ? (const char *)lines->bytes : "", (int)text->len, (const char *)text->bytes);
}

/* ---- random ---- */

/* One schema; false when the two do not agree. */
static bool run_schema(uint64_t seed, uint64_t lines, struct totals *totals)
{
    struct few_keys keys = {seed};
    struct buffer ddl = {0}, line = {0}, history = {0}, text = {0};
    struct twin twin;
    struct error error;
    few_keys_schema(&keys, &ddl);
    bool together = few_keys_number(&keys, 3) == 0, same = true;
    if (!twin_open(&twin, (const char *)ddl.bytes, together, &error)) {
        totals->not_taken++;
        buffer_release(&ddl);
        return true;
    }
    for (uint64_t i = 0; same && i < lines; i++) {
        buffer_clear(&line);
        few_keys_line(&keys, twin.schema, twin.one.connection, &line);
        if (!buffer_put_text(&history, (const char *)line.bytes) || !buffer_put_text(&history, "\n"))
            panic("out of memory");
        same = twin_do(&twin, (const char *)line.bytes, &text);
    }
    same = same && twin_same_at_the_end(&twin, &text);
    if (!same) {
        printf("seed %" PRIu64 "\n", seed);
        complain((const char *)ddl.bytes, together, &history, &text);
    }
    add(totals, &twin);
    twin_close(&twin);
    buffer_release(&ddl);
    buffer_release(&line);
    buffer_release(&history);
    buffer_release(&text);
    return same;
}

static const char *const events[] = {"delete", "update"};
static const char *const actions[] = {"no action", "restrict", "set null", "set default", "cascade"};

/* Whether so much was done and met that the test is worth something. */
static bool is_enough(const struct totals *totals, uint64_t operations)
{
    uint64_t all = totals->done + totals->refused;
    bool enough = totals->done * 4 >= all;
    printf("%" PRIu64 " operations on %" PRIu64 " schemas, %" PRIu64 "%% done, %" PRIu64 " schemas not taken\n", all,
           totals->schemas, totals->done * 100 / (all ? all : 1), totals->not_taken);
    for (int e = 0; e < 2; e++)
        for (int a = 0; a <= ACTION_CASCADE; a++) {
            printf("on %s %s: %" PRIu64 "\n", events[e], actions[a], totals->fired[e][a]);
            enough = enough && totals->fired[e][a] * 1000 >= operations;
        }
    return enough;
}

static int run_random(uint64_t seed, uint64_t operations, uint64_t each)
{
    struct totals totals = {0};
    bool same = true;
    printf("seed %" PRIu64 "\n", seed);
    for (uint64_t i = 0; same && totals.done + totals.refused < operations; i++)
        same = run_schema(seed + i, each, &totals);
    if (!same)
        return 1;
    if (is_enough(&totals, operations))
        return 0;
    printf("too little of it was done, or met\n");
    return 1;
}

/* ---- a script ---- */

static int run_script(const char *path)
{
    struct buffer ddl = {0}, text = {0};
    char line[4096];
    bool open = false, same = true;
    struct twin twin;
    struct error error;
    FILE *file = fopen(path, "r");
    if (!file)
        panic("%s cannot be read", path);
    while (same && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        if (!strncmp(line, "--", 2)) {
            if (!buffer_put(&ddl, "", 1) ||
                !twin_open(&twin, (const char *)ddl.bytes, strstr(line, "together") != NULL, &error)) {
                printf("%s\n", error.text);
                fclose(file);
                return 2;
            }
            open = true;
        } else if (!open) {
            if (!buffer_put_text(&ddl, line) || !buffer_put_text(&ddl, "\n"))
                panic("out of memory");
        } else if (line[0] && line[0] != '#') {
            same = twin_do(&twin, line, &text);
            if (!same)
                printf("%s\n", line);
        }
    }
    fclose(file);
    same = open && same && twin_same_at_the_end(&twin, &text);
    if (open)
        twin_close(&twin);
    printf("%.*s\n", (int)text.len, text.len ? (const char *)text.bytes : "");
    buffer_release(&ddl);
    buffer_release(&text);
    return same ? 0 : 1;
}

int main(int argc, char **argv)
{
    uint64_t seed = 1, operations = OPERATIONS, each = EACH;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--seed"))
            seed = strtoull(argv[i + 1], NULL, 10);
        else if (!strcmp(argv[i], "--operations"))
            operations = strtoull(argv[i + 1], NULL, 10);
        else if (!strcmp(argv[i], "--each"))
            each = strtoull(argv[i + 1], NULL, 10);
        else if (!strcmp(argv[i], "--script"))
            return run_script(argv[i + 1]);
    }
    return run_random(seed, operations, each);
}
