/* SPDX-License-Identifier: Apache-2.0 */
/* engine_world.h - an engine on shards made of memory (fake_shards.h), and rows written as text.
 *
 * Rows are written as fake_shards.h tells them: "people(1,'a') people(-,NULL)~"; - is not given, ~ says that the same
 * row may be there, *600000 is a text of so many bytes; ?people(1) reads the row with this key, -people(1) deletes it.
 * What became of them is text as well: "done same unique", a word an operation; "-" when it fell with the others of its
 * submission. A word and … stand for many that are all alike.
 *
 * world_open and world_close are setup and teardown of a test; the engine starts in between, with world_start, when the
 * test has said what the shards hold. world_close lets go whatever is held, so a test may fail anywhere. */
#ifndef SHEAF_TEST_ENGINE_WORLD_H
#define SHEAF_TEST_ENGINE_WORLD_H

#include "engine.h"
#include "fake_shards.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Each table has a database of its own, with the same number. */
enum { PEOPLE, NOTES, THINGS, STAFF, PLACES, VISITS, LETTERS, TABLES };

/* An `answer_ms` for tests in which it runs out; all else takes as long as it takes. */
#define SOON_MS 100

/* A submission on its way, or answered. Lives as long as the world. */
struct sent {
    struct submission *submission;
    bool answered;
    char outcome[512];
    struct sent *next;
};

/* A question on its way, or answered; likewise. */
struct asked {
    struct query query;
    bool answered;
    struct asked *next;
};

struct world {
    struct schema *schema;
    struct engine_options options;
    struct engine *engine; /* NULL: not started, or stopped */
    struct error error;    /* why it did not start */
    struct sent *sent;
    struct asked *asked;
    struct background *starting, *stopping;
};

int world_open(void **state);
int world_close(void **state);
/* Of a server: not patient, and no limit passes by itself unless the test shortens it. */
int world_open_server(void **state);

/* Fails the test when it does not start. */
void world_start(struct world *world);
/* Starts it while the test goes on; world_started waits and says whether it serves. */
void world_start_beside(struct world *world);
bool world_started(struct world *world);

void world_stop(struct world *world);
/* Likewise: while the test goes on. */
void world_stop_beside(struct world *world);
void world_stopped(struct world *world);

struct sent *world_submit(struct world *world, const char *rows);
struct sent *world_submit_atomic(struct world *world, const char *rows);
/* With an idempotency key; the digest is of the text. Rows of one table alone, not atomic, come by that table's path.
 */
struct sent *world_submit_keyed(struct world *world, const char *key, const char *rows);
struct sent *world_submit_keyed_atomic(struct world *world, const char *key, const char *rows);
/* `count` rows with the ids from `from` on, and that in their second column. */
struct sent *world_submit_many(struct world *world, table_id table, int64_t from, uint32_t count, struct value second);
struct sent *world_submit_many_atomic(struct world *world, table_id table, int64_t from, uint32_t count,
                                      struct value second);

/* The rows 1 to `count`, as one, with a key. */
struct sent *world_submit_many_keyed(struct world *world, const char *key, table_id table, uint32_t count);

/* Asks a shard for its stats; for a page of a table. */
struct asked *world_ask(struct world *world, database_id database);
struct asked *world_scan(struct world *world, table_id table);
bool asked_is_answered(const struct asked *asked);
void asked_wait(const struct asked *asked);

/* Everything that was posted has been acted on, and what followed from it. */
void world_settle(struct world *world);

/* Connects a shard that was lost, and waits until it has said hello: what needs it is not refused any more. */
void world_reconnect(struct world *world, database_id database);

/* Whether a line of the engine's log holds this. */
bool world_logged(const char *text);
unsigned world_logged_times(const char *text);

/* Whether every op's outcome is that of an earlier submission. */
bool sent_is_replayed(const struct sent *sent);
bool sent_is_answered(const struct sent *sent);
/* Waits for it. Of more than eight that all went alike only the first is told, and "…". */
const char *sent_outcome(struct sent *sent);
/* The first refusal's text; after the outcome. */
const char *sent_text(const struct sent *sent);

/* "At once" is before the engine looks at the clock again: with the event that decides it. */
void world_assert_at_once(struct world *world, struct sent *sent, const char *outcome);
/* Of a question: as ERROR_UNAVAILABLE. */
void world_assert_refused_at_once(struct world *world, const struct asked *asked);

struct fake_request *world_expect(database_id database, const char *line, const char *file, int at);

/* The next request to a shard is this; gives it. A line that ends in … is only the beginning. */
#define expect(database, line) world_expect(database, line, __FILE__, __LINE__)
#define assert_outcome(sent, outcome) assert_string_equal(sent_outcome(sent), outcome)
#define assert_says(text, part)                                 \
    do {                                                        \
        if (!strstr(text, part))                                \
            fail_msg("\"%s\" does not say \"%s\"", text, part); \
    } while (0)
/* Nothing goes to that shard at the moment. */
#define assert_quiet(world, database)         \
    do {                                      \
        world_settle(world);                  \
        assert_true(fake_is_quiet(database)); \
    } while (0)
#define engine_test(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)
#define server_test(name) cmocka_unit_test_setup_teardown(name, world_open_server, world_close)

#endif
