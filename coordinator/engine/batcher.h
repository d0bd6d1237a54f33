/* SPDX-License-Identifier: Apache-2.0 */
/* batcher.h - collects the writes of one shard into numbered batches and brings each member its outcome.
 *
 * Group commit without timers: while a batch is in flight what comes collects; a batch goes when none is in flight, or
 * when it is full (LIMIT_BATCH_ROWS_SOFT, LIMIT_BATCH_BYTES_SOFT) and fewer than batches_in_flight are. An entry is
 * never split. A batch that the shard refuses as a whole has not consumed its number: its members are told, the ones
 * behind it, which then come out of order, are numbered anew and sent again. A batch that the shard was lost with is
 * sent again when it is back (one that its hello has told of cannot be refused then: panic, the next start asks the
 * files); when that has happened limits.batch_losses times (a full disk at each commit, a row that it dies of) and its
 * hello says that the batch is not in the file, everything that waits for this shard is refused. Engine thread only. */
#ifndef SHEAF_BATCHER_H
#define SHEAF_BATCHER_H

#include "peer.h"

struct batch_member;

struct batch_member_kind {
    /* Op number `op` of the entry was there already with the same values. Comes before `settled`. */
    void (*same)(struct batch_member *member, uint32_t op);
    /* Applied (error NULL), or refused without effect: op number `op` is the reason. */
    void (*settled)(struct batch_member *member, uint32_t op, const struct error *error);
    /* Was sent, and no answer came for as long as an operation waits, or none will be read any more. `settled` may
     * still come later. */
    void (*overdue)(struct batch_member *member, const struct error *error);
};

/* Embedded in whoever has an entry in a batch. */
struct batch_member {
    const struct batch_member_kind *kind;
};

struct batch {
    struct ask ask;
    struct batcher *batcher;
    struct batch *next;
    uint64_t begun_ns; /* when its first entry came */
    uint64_t number;
    uint64_t sent_ns;
    uint32_t losses; /* how often the shard was lost with it */
    bool overdue;    /* its members have been told */
    uint32_t count, capacity;
    struct batch_member **members; /* one an entry; NULL: nobody wants to know */
};

struct batcher {
    struct engine *engine;
    struct peer *peer;
    uint64_t next_number;
    struct batch *first, *last;           /* not sent; the last may still grow */
    struct batch *first_sent, *last_sent; /* in flight */
    uint32_t sent;
    bool rewinding; /* a batch was refused: nothing is sent until those behind it have come back */
    uint64_t rewind_to;
    struct batch *first_again, *last_again; /* of those: to be sent again */
    struct batch *free;
};

void batcher_init(struct batcher *batcher, struct engine *engine, struct peer *peer);
void batcher_release(struct batcher *batcher);

/* The number of the last batch that the shard has applied. Before anything is sent. */
void batcher_start(struct batcher *batcher, uint64_t last_batch);

/* A row as an entry of its own. False: out of memory. */
bool batcher_row(struct batcher *batcher, struct batch_member *member, table_id table, unsigned flags,
                 const uint8_t *row, size_t row_len);

/* Where an entry of about `bytes` is written; batcher_added follows, or nothing when writing failed (`len` put back).
 */
struct buffer *batcher_room(struct batcher *batcher, size_t bytes);
bool batcher_added(struct batcher *batcher, struct batch_member *member);

/* Sends what may go. After each round of the loop. */
void batcher_pump(struct batcher *batcher);
/* Refuses what has waited too long to be sent, tells those who wait too long for an answer. */
void batcher_tick(struct batcher *batcher);
/* Refuses what was not sent to a shard that is away (peer_is_away). Whether there was anything. */
bool batcher_refuse_away(struct batcher *batcher);
/* How many entries, whose users have no answer, were sent to the shard and wait until it is back. */
uint32_t batcher_stranded(const struct batcher *batcher);
/* No answer will be read any more, after peer_stop: refuses what was not sent, and tells the others that their outcome
 * is not known. */
void batcher_stop(struct batcher *batcher);
bool batcher_is_idle(const struct batcher *batcher);

#endif
