/* SPDX-License-Identifier: Apache-2.0 */
/* outcome.h - what operations came to, as the bytes that are kept for their idempotency key: those of one operation on
 * its own, or of a whole atomic submission.
 *
 *   done:     [1, count] op…    an op: its flags; with OUTCOME_ASSIGNED its rowid; with OUTCOME_NEW_KEY its new key
 *   refused:  [2, op, code, table, constraint, text]    the first that has an error, counted from the first of them
 *
 * They lie in files: what is written here has to be read by later versions. No state. */
#ifndef SHEAF_OUTCOME_H
#define SHEAF_OUTCOME_H

#include "engine.h"

#define OUTCOME_ASSIGNED 1u
#define OUTCOME_INSERTED 2u
#define OUTCOME_NEW_KEY 4u

/* Whether a refusal with this code is one that a retry would meet again. */
bool outcome_is_final_code(enum error_code code);

/* Whether ops [first, first + count), which are refused, would be refused so for ever: no error of theirs is one that a
 * retry may not meet. */
bool outcome_is_final(const struct submission *submission, uint32_t first, uint32_t count);

/* Appends what ops [first, first + count) come to when they are done, whatever their result is now; what they came to,
 * refused. False: out of memory. */
bool outcome_put_done(const struct submission *submission, uint32_t first, uint32_t count, struct buffer *bytes);
bool outcome_put_refused(const struct submission *submission, uint32_t first, uint32_t count, struct buffer *bytes);

/* Gives the ops what they came to, as replayed. ERROR_INTERNAL, and they are as before: these are no such bytes, or of
 * another number of ops. */
bool outcome_get(const uint8_t *bytes, size_t len, struct submission *submission, uint32_t first, uint32_t count,
                 struct error *error);

#endif
