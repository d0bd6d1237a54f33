/* SPDX-License-Identifier: Apache-2.0 */
/* The part of wire.h about what is kept under idempotency keys. */
#include "wire_body.h"

bool wire_put_kept(struct buffer *message, const struct wire_kept_ask *ask)
{
    return pack_array(message, 3) && pack_blob(message, ask->key, ask->key_len) && pack_uint(message, ask->from) &&
           pack_int(message, ask->at_ms);
}

bool wire_get_kept(struct cursor *body, struct wire_kept_ask *ret_ask, struct error *error)
{
    struct wire_kept_ask ask;
    uint32_t items;
    if (!cursor_array(body, &items) || items != 3 || !cursor_blob(body, &ask.key, &ask.key_len) ||
        !cursor_uint32(body, &ask.from) || !cursor_int(body, &ask.at_ms) || !cursor_at_end(body))
        return wire_malformed(error, "kept");
    *ret_ask = ask;
    return true;
}

bool wire_put_kept_one(struct buffer *list, uint32_t index, const uint8_t *digest, const uint8_t *outcome,
                       size_t outcome_len)
{
    return pack_array(list, 3) && pack_uint(list, index) && pack_blob(list, digest, WIRE_DIGEST_BYTES) &&
           pack_blob(list, outcome, outcome_len);
}

bool wire_put_kept_answer(struct buffer *message, bool complete, uint32_t count, const struct buffer *list)
{
    return pack_array(message, 2) && pack_bool(message, complete) && pack_array(message, count) &&
           pack_raw(message, list->bytes, list->len);
}

bool wire_get_kept_one(struct cursor *list, struct wire_keep *ret_keep, struct error *error)
{
    struct wire_keep keep = {0};
    uint32_t items;
    size_t digest_len;
    if (!cursor_array(list, &items) || items != 3 || !cursor_uint32(list, &keep.index) ||
        !cursor_blob(list, &keep.digest, &digest_len) || digest_len != WIRE_DIGEST_BYTES ||
        !cursor_blob(list, &keep.outcome, &keep.outcome_len))
        return wire_malformed(error, "what is no outcome");
    *ret_keep = keep;
    return true;
}

bool wire_get_kept_answer(struct cursor *body, struct wire_kept *ret_kept, struct error *error)
{
    struct wire_kept kept;
    struct wire_keep keep;
    uint32_t items;
    if (!cursor_array(body, &items) || items != 2 || !cursor_bool(body, &kept.complete) ||
        !cursor_array(body, &kept.count))
        return wire_malformed(error, "the answer of kept");
    kept.list = *body;
    for (uint32_t i = 0; i < kept.count; i++)
        if (!wire_get_kept_one(body, &keep, error))
            return false;
    if (!cursor_at_end(body))
        return wire_malformed(error, "the answer of kept has trailing bytes");
    *ret_kept = kept;
    return true;
}
