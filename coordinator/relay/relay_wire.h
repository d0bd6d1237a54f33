/* SPDX-License-Identifier: Apache-2.0 */
/* relay_wire.h - what `load` and `insert` and a running server say to each other over a Unix socket, encoded and
 * decoded.
 *
 * A frame is its length in bytes (u32, little-endian) and a msgpack array:
 *   to the server                                        from it
 *   [HELLO, protocol, schema identity]                   [HELLO, error or nil]
 *   [SUBMIT, id, flags, parsed ns, took ns,              [SUBMIT, id, [index, result, rowid or nil, error or nil, …]]
 *    [table, flags, at, len, position, …], rows]            those that are not simply done
 *   [ASK, id, kind, database, body]                      [ASK, id, body or nil, error or nil]
 *   [METRICS, id]                                        [METRICS, id, busy ns, [[counters and histograms]…]]
 * An error is [code, table, constraint, text]. Only inserts are submitted. Both ends run on one host, so the monotonic
 * clock is theirs in common. What is read is checked as if a stranger had written it. */
#ifndef SHEAF_RELAY_WIRE_H
#define SHEAF_RELAY_WIRE_H

#include "engine.h"

#define RELAY_PROTOCOL 1u
#define RELAY_FRAME_MAX 67108864u /* bytes: a transaction of 32 MiB and what describes it */
#define RELAY_OPS_MAX 131072u     /* operations of one submission: more than a transaction may have */

enum relay_kind { RELAY_HELLO = 1, RELAY_SUBMIT = 2, RELAY_ASK = 3, RELAY_METRICS = 4 };

/* ---- frames ---- */

/* Both block, and retry what a signal interrupted. False: the other end is gone, or the frame is longer than it may be.
 * `tail` is sent behind `head` without a copy; may be empty. */
bool relay_send(int fd, struct buffer *head, const void *tail, size_t tail_len);
bool relay_receive(int fd, struct buffer *frame);

/* Begins a frame in an emptied buffer: room for its length, which relay_send fills in. False: memory is out; likewise
 * below. */
bool relay_begin(struct buffer *head);

/* ---- to the server ---- */

bool relay_put_hello(struct buffer *head, const char *identity);
/* All but the operations' rows, which are sent as the tail. */
bool relay_put_submit(struct buffer *head, uint64_t id, const struct submission *submission);
bool relay_put_ask(struct buffer *head, uint64_t id, const struct query *query);
bool relay_put_metrics(struct buffer *head, uint64_t id);

/* The kind of a frame and, but for HELLO, its id; the cursor is then behind them. False: it is no frame of ours;
 * likewise below. */
bool relay_get_kind(const struct buffer *frame, struct cursor *ret_cursor, enum relay_kind *ret_kind, uint64_t *ret_id);
bool relay_get_hello(struct cursor *cursor, uint64_t *ret_protocol, const char **ret_identity, size_t *ret_len);
/* NULL: likewise, or memory is out. */
struct submission *relay_get_submit(struct cursor *cursor, const struct schema *schema);
bool relay_get_ask(struct cursor *cursor, const struct schema *schema, struct query *query);

/* ---- from it ---- */

bool relay_put_welcome(struct buffer *head, const struct error *error); /* NULL: welcome */
bool relay_get_welcome(struct cursor *cursor, struct error *ret_error); /* its code is NONE: welcome */
bool relay_put_submitted(struct buffer *head, uint64_t id, const struct submission *submission);
bool relay_get_submitted(struct cursor *cursor, struct submission *submission);
bool relay_put_asked(struct buffer *head, uint64_t id, const struct query *query);
bool relay_get_asked(struct cursor *cursor, struct query *query);
bool relay_put_measured(struct buffer *head, uint64_t id, const struct engine_metrics *metrics);
bool relay_get_measured(struct cursor *cursor, struct engine_metrics *ret_metrics);

#endif
