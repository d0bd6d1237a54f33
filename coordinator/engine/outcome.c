/* SPDX-License-Identifier: Apache-2.0 */
#include "outcome.h"

#include "pack.h"

#include <stdlib.h>

enum { OUTCOME_DONE = 1, OUTCOME_REFUSED = 2 };

static bool may_pass(enum error_code code)
{
    return code == ERROR_BUSY || code == ERROR_UNAVAILABLE || code == ERROR_UNKNOWN || code == ERROR_CONFLICT ||
           code == ERROR_IO || code == ERROR_INTERNAL;
}

bool outcome_is_final_code(enum error_code code)
{
    return !may_pass(code);
}

bool outcome_is_final(const struct submission *submission, uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++)
        if (submission->ops[i].error && may_pass(submission->ops[i].error->code))
            return false;
    return true;
}

/* ---- out ---- */

static bool put_op(const struct submission *submission, const struct op *op, struct buffer *bytes)
{
    unsigned flags = (op->key_assigned ? OUTCOME_ASSIGNED : 0) | (op->inserted ? OUTCOME_INSERTED : 0) |
                     (op->new_key.len ? OUTCOME_NEW_KEY : 0);
    return pack_uint(bytes, flags) && (!op->key_assigned || pack_int(bytes, op->rowid)) &&
           (!op->new_key.len || pack_blob(bytes, submission->rows.bytes + op->new_key.at, op->new_key.len));
}

bool outcome_put_done(const struct submission *submission, uint32_t first, uint32_t count, struct buffer *bytes)
{
    bool ok = pack_array(bytes, 2) && pack_uint(bytes, OUTCOME_DONE) && pack_uint(bytes, count);
    for (uint32_t i = first; ok && i < first + count; i++)
        ok = put_op(submission, &submission->ops[i], bytes);
    return ok;
}

bool outcome_put_refused(const struct submission *submission, uint32_t first, uint32_t count, struct buffer *bytes)
{
    uint32_t at = 0;
    while (at < count && !submission->ops[first + at].error)
        at++;
    if (at == count)
        panic("operations that are refused for no reason");
    const struct error *error = submission->ops[first + at].error;
    return pack_array(bytes, 6) && pack_uint(bytes, OUTCOME_REFUSED) && pack_uint(bytes, at) &&
           pack_error(bytes, error);
}

/* ---- in ---- */

static bool get_op(struct cursor *cursor, struct submission *submission, struct op *op)
{
    const uint8_t *key = NULL;
    size_t key_len = 0;
    uint32_t flags;
    if (!cursor_uint32(cursor, &flags) || ((flags & OUTCOME_ASSIGNED) && !cursor_int(cursor, &op->rowid)) ||
        ((flags & OUTCOME_NEW_KEY) && !cursor_blob(cursor, &key, &key_len)))
        return false;
    if (submission->rows.len > UINT32_MAX - key_len || (key_len && !buffer_put(&submission->rows, key, key_len)))
        return false;
    op->key_assigned = flags & OUTCOME_ASSIGNED;
    op->inserted = flags & OUTCOME_INSERTED;
    op->new_key = (struct op_bytes){(uint32_t)(submission->rows.len - key_len), (uint32_t)key_len};
    op->result = OP_DONE;
    op->replayed = true;
    return true;
}

static void forget(struct op *op)
{
    op->key_assigned = op->inserted = op->replayed = false;
    op->rowid = 0;
    op->new_key = (struct op_bytes){0, 0};
    op->result = OP_PENDING;
}

static bool get_done(struct cursor *cursor, struct submission *submission, uint32_t first, uint32_t count)
{
    uint32_t told;
    bool ok = cursor_uint32(cursor, &told) && told == count;
    for (uint32_t i = first; ok && i < first + count; i++)
        ok = get_op(cursor, submission, &submission->ops[i]);
    if (ok && cursor_at_end(cursor))
        return true;
    for (uint32_t i = first; i < first + count; i++)
        forget(&submission->ops[i]);
    return false;
}

static bool get_refused(struct cursor *cursor, struct submission *submission, uint32_t first, uint32_t count)
{
    struct error refusal = {0};
    uint32_t at;
    if (!cursor_uint32(cursor, &at) || at >= count || !cursor_error(cursor, &refusal) || !cursor_at_end(cursor))
        return false;
    struct error *error = malloc(sizeof *error);
    if (!error)
        return false;
    *error = refusal;
    submission->ops[first + at].error = error;
    for (uint32_t i = first; i < first + count; i++) {
        submission->ops[i].result = OP_REFUSED;
        submission->ops[i].replayed = true;
    }
    return true;
}

bool outcome_get(const uint8_t *bytes, size_t len, struct submission *submission, uint32_t first, uint32_t count,
                 struct error *error)
{
    struct cursor cursor = cursor_over(bytes, len);
    uint32_t items, kind;
    bool ok = cursor_array(&cursor, &items) && cursor_uint32(&cursor, &kind) &&
              ((kind == OUTCOME_DONE && items == 2 && get_done(&cursor, submission, first, count)) ||
               (kind == OUTCOME_REFUSED && items == 6 && get_refused(&cursor, submission, first, count)));
    return ok || error_set(error, ERROR_INTERNAL, "what is kept for this idempotency key cannot be read");
}
