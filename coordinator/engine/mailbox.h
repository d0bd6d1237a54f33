/* SPDX-License-Identifier: Apache-2.0 */
/* mailbox.h - how other threads reach the engine's: what they post is taken out in one piece, in order.
 *
 * The one lock of the engine: posts come from front ends' threads and from links' (nng's and the supervisor's), which
 * own no state here; it is held for a few instructions and never while anything is called. */
#ifndef SHEAF_MAILBOX_H
#define SHEAF_MAILBOX_H

#include "engine.h"
#include "links.h"

#include <semaphore.h>

/* Questions of other threads to the engine's, which they wait for. */
struct metrics_request {
    sem_t over;
    struct engine_metrics *metrics;
    bool ok;
};
struct ready_request {
    sem_t over;
    struct error error; /* code NONE: all are */
};

enum mail_kind { MAIL_LINK, MAIL_QUERY, MAIL_METRICS, MAIL_READY, MAIL_STOP };

struct mail {
    enum mail_kind kind;
    struct mail *next;
    union {
        struct link_event link;
        struct query *query;
        struct metrics_request *metrics;
        struct ready_request *ready;
    };
};

struct mailbox;

struct mailbox *mailbox_new(void);          /* NULL: out of memory */
void mailbox_free(struct mailbox *mailbox); /* with what is in it */

void mailbox_submit(struct mailbox *mailbox, struct submission *submission);
/* `mail` is copied. Panics when memory is out: an event of a link that got lost would be a lie. */
void mailbox_post(struct mailbox *mailbox, const struct mail *mail);

/* Everything that was posted since, as two lists in order; the mails are freed by the taker (mail_free). Waits until
 * there is something, at most `wait_ms` (negative: without end). */
void mailbox_take(struct mailbox *mailbox, int wait_ms, struct mail **ret_mails, struct submission **ret_submissions);
void mail_free(struct mail *mail);

#endif
