/* SPDX-License-Identifier: Apache-2.0 */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

struct submission *submission_new(uint32_t ops)
{
    struct submission *submission = calloc(1, sizeof *submission);
    if (!submission || !(submission->ops = calloc((size_t)ops + 1, sizeof *submission->ops))) {
        free(submission);
        return NULL;
    }
    return submission;
}

void submission_free(struct submission *submission)
{
    if (!submission)
        return;
    for (uint32_t i = 0; i < submission->count; i++)
        free(submission->ops[i].error);
    free(submission->ops);
    buffer_release(&submission->rows);
    free(submission);
}

void op_refuse(struct op *op, const struct error *error)
{
    op->result = OP_REFUSED;
    if (op->error)
        return;
    op->error = malloc(sizeof *error);
    if (!op->error)
        panic("out of memory for a refusal: %s", error->text);
    *op->error = *error;
}

static struct row_tag tag_of(const void *bytes, size_t len)
{
    return row_tag(len ? bytes : (const void *)"", len);
}

bool submission_set_key(struct submission *submission, const char *path, table_id table, const void *key,
                        size_t key_len, const char *how, const void *body, size_t body_len, struct error *error)
{
    struct submission_key *own = &submission->key;
    if (!key_len)
        return error_set(error, ERROR_PARSE, "an idempotency key without a character");
    if (key_len > LIMIT_IDEMPOTENCY_KEY_BYTES_MAX)
        return error_set(error, ERROR_TOO_LARGE, "an idempotency key of %zu bytes: at most %d", key_len,
                         LIMIT_IDEMPOTENCY_KEY_BYTES_MAX);
    const struct row_tag scope = tag_of(path, strlen(path));
    const struct row_tag parts[] = {tag_of(how, strlen(how)), tag_of(body, body_len)};
    memcpy(own->bytes, scope.bytes, sizeof scope.bytes);
    memcpy(own->bytes + sizeof scope.bytes, key, key_len);
    own->len = (uint16_t)(sizeof scope.bytes + key_len);
    own->digest = tag_of(parts, sizeof parts);
    own->table = table;
    return true;
}
