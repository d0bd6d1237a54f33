/* SPDX-License-Identifier: Apache-2.0 */
/* fake_shards.h - shards made of memory, for the tests of the engine: stands in for links.h.
 *
 * Every request is written down as one line of text, which the test reads in order (fake_next):
 *
 *   claim                                        write 3: people(1,'a') people(2,NULL)~; …
 *   hello                                        write 4: group[people(1) people(2)]
 *   exists people.1: 'a' 'b'                     write 5: prepare 1.1 home=notes [people(1)]
 *   keys people after 7                          write 6: decide 1.1 (people) [notes(1,1)]
 *   scan, stats, ping, stop                      write 7: resolve 1.1 commit; forget 1.1     (1.1: epoch, number)
 *   probe [people(1,'a')~]                       write 8: try[people(1)]
 *   people(1)=(-,'b')                            an update, with its key; -people(1) a delete
 *   +K.0=done +K=unique +K.claim                 what is kept under the idempotency key K: of op 0, of all, of none
 *   kept K                                       kept K from 5
 *
 * and answered at once, unless its kind is held; then by fake_answer or fake_refuse. A write is answered as a shard
 * would: out of order, again from the notes (a number that comes again must bring the same bytes), applied. What an op
 * meets is told beforehand, by the beginning of its text: fake_fails, fake_same. It holds no rows: what asks for rows
 * (read, children, scan) has to be held and refused. What was kept under idempotency keys it tells, at most
 * FAKE_KEPT_PAGE at a time. */
#ifndef SHEAF_TEST_FAKE_SHARDS_H
#define SHEAF_TEST_FAKE_SHARDS_H

#include "links.h"
#include "wire.h"

#define FAKE_KEPT_PAGE 3

struct fake_request {
    struct wire_header header;
    database_id database;
    char line[2048];
    struct buffer body;
    bool answered;
    bool silent; /* a hello that was answered at once */
    struct fake_request *next;
};

/* What a shard says to hello; filled in before the engine starts. */
struct fake_says {
    bool fresh;
    uint64_t epoch;
    uint64_t last_batch;
    int64_t kept_at_ms;
    struct wire_prepared prepared[4];
    uint32_t prepared_count;
    uint64_t decided[4];
    uint32_t decided_count;
    struct wire_table_state tables[8]; /* by default every table of the database, without rows */
    uint32_t table_count;
};

void fake_open(const struct schema *schema);
void fake_close(void); /* after the engine has stopped */

struct fake_says *fake_says(database_id database);
/* It cannot be started. */
void fake_broken(database_id database);

/* Requests of that kind are kept for fake_answer; let go: only new ones are answered at once. */
void fake_hold(database_id database, enum wire_kind kind, bool hold);

/* Ops whose text begins with `op` fail so from now on; NULL: none. */
void fake_fails(database_id database, const char *op, enum error_code code);
void fake_same(database_id database, const char *op);
/* What exists says: keys whose text this is are absent; NULL: none. */
void fake_absent(database_id database, const char *key);
/* The next write that comes in order is refused as a whole so. */
void fake_refuses_next(database_id database, enum error_code code);
/* The time of the last question for what is kept. */
int64_t fake_asked_at_ms(database_id database);
/* The rowids of its first table, as keys tells them: two chunks. */
void fake_keys(database_id database, const int64_t *rowids, uint32_t count);

/* The next request to that shard that was not read yet; waits for it, a minute at most. A hello that was answered at
 * once is not told. */
struct fake_request *fake_next(database_id database);
/* Whether there is none at the moment. */
bool fake_is_quiet(database_id database);
unsigned fake_hellos(database_id database);

void fake_answer(struct fake_request *request);
void fake_refuse(struct fake_request *request, enum error_code code, const char *text);
/* Answers with this body, whatever it is, and has applied nothing. */
void fake_say(struct fake_request *request, const void *body, size_t len);

/* The connection breaks: what is not answered never will be. With `applies`, the writes that were held are applied
 * first. */
void fake_lose(database_id database, bool applies);
void fake_connect(database_id database);
/* Waits until the engine wants it to be started again, a minute at most, and does that. */
void fake_restart(database_id database);
/* It was started again, in vain. */
void fake_fail_to_start(database_id database, const char *why);

/* The end of a test, however it went: nothing is held any more, all are connected, everything is answered. */
void fake_let_go(void);

#endif
