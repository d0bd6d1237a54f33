/* SPDX-License-Identifier: Apache-2.0 */
#include "answers.h"

#include <stdlib.h>

#define NOT_KNOWN (-1)
#define PAGE_BYTES 4194304u

struct answers {
    sqlite3 *connection;
    int64_t limit;
    int64_t count; /* or NOT_KNOWN */
    sqlite3_stmt *counting, *sweep, *keep, *renew, *find;
};

/* ---- life ---- */

static bool failed(const struct answers *answers, struct error *error)
{
    return error_set(error, ERROR_IO, "answers kept for idempotency keys: %s", sqlite3_errmsg(answers->connection));
}

static bool prepare(struct answers *answers, const char *sql, sqlite3_stmt **statement, struct error *error)
{
    return sqlite3_prepare_v3(answers->connection, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL) == SQLITE_OK ||
           failed(answers, error);
}

struct answers *answers_new(sqlite3 *connection, int64_t limit, struct error *error)
{
    struct answers *answers = calloc(1, sizeof *answers);
    if (!answers) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    answers->connection = connection;
    answers->limit = limit;
    answers->count = NOT_KNOWN;
    if (prepare(answers, "SELECT count(*) FROM _sheaf_answers", &answers->counting, error) &&
        prepare(answers,
                "DELETE FROM _sheaf_answers WHERE (key, idx) IN"
                " (SELECT key, idx FROM _sheaf_answers WHERE at <= ?1 ORDER BY at LIMIT ?2)",
                &answers->sweep, error) &&
        prepare(answers, "INSERT INTO _sheaf_answers (key, idx, digest, at, outcome) VALUES (?1, ?2, ?3, ?4, ?5)",
                &answers->keep, error) &&
        prepare(answers,
                "UPDATE _sheaf_answers SET digest = ?3, at = ?4, outcome = ?5"
                " WHERE key = ?1 AND idx = ?2 AND at <= ?6",
                &answers->renew, error) &&
        prepare(answers,
                "SELECT idx, digest, outcome FROM _sheaf_answers"
                " WHERE key = ?1 AND idx >= ?2 AND at > ?3 ORDER BY idx",
                &answers->find, error))
        return answers;
    answers_free(answers);
    return NULL;
}

void answers_free(struct answers *answers)
{
    if (!answers)
        return;
    sqlite3_finalize(answers->counting);
    sqlite3_finalize(answers->sweep);
    sqlite3_finalize(answers->keep);
    sqlite3_finalize(answers->renew);
    sqlite3_finalize(answers->find);
    free(answers);
}

int64_t answers_count(const struct answers *answers)
{
    return answers->count;
}

void answers_undo(struct answers *answers, int64_t count)
{
    answers->count = count;
}

void answers_forget(struct answers *answers)
{
    answers->count = NOT_KNOWN;
}

/* ---- keeping ---- */

/* What is kept since this time or before is gone. */
static int64_t gone_at(int64_t at_ms)
{
    return at_ms < INT64_MIN + LIMIT_KEPT_MS ? INT64_MIN : at_ms - LIMIT_KEPT_MS;
}

static bool count(struct answers *answers, struct error *error)
{
    if (answers->count != NOT_KNOWN)
        return true;
    bool ok = sqlite3_step(answers->counting) == SQLITE_ROW;
    if (ok)
        answers->count = sqlite3_column_int64(answers->counting, 0);
    else
        failed(answers, error);
    sqlite3_reset(answers->counting);
    return ok;
}

static bool sweep(struct answers *answers, int64_t gone_ms, struct error *error)
{
    sqlite3_bind_int64(answers->sweep, 1, gone_ms);
    sqlite3_bind_int64(answers->sweep, 2, ANSWERS_SWEPT_MAX);
    bool ok = sqlite3_step(answers->sweep) == SQLITE_DONE;
    if (ok)
        answers->count -= sqlite3_changes64(answers->connection);
    else
        failed(answers, error);
    sqlite3_reset(answers->sweep);
    return ok;
}

static int bind(sqlite3_stmt *statement, int at, const void *bytes, size_t len)
{
    return sqlite3_bind_blob64(statement, at, len ? bytes : "", len, SQLITE_STATIC);
}

static int run(sqlite3_stmt *statement, const struct wire_keep *keep)
{
    sqlite3_bind_int64(statement, 2, keep->index);
    sqlite3_bind_int64(statement, 4, keep->at_ms);
    int code = bind(statement, 1, keep->key, keep->key_len);
    if (code == SQLITE_OK)
        code = bind(statement, 3, keep->digest, WIRE_DIGEST_BYTES);
    if (code == SQLITE_OK)
        code = bind(statement, 5, keep->outcome, keep->outcome_len);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return code;
}

/* In the place of one that is gone and was not removed yet. */
static enum answers_result renew(struct answers *answers, const struct wire_keep *keep, struct error *error)
{
    sqlite3_bind_int64(answers->renew, 6, gone_at(keep->at_ms));
    if (run(answers->renew, keep) != SQLITE_DONE) {
        failed(answers, error);
        return ANSWERS_FAILED;
    }
    if (sqlite3_changes64(answers->connection) == 1)
        return ANSWERS_KEPT;
    error_set(error, ERROR_INTERNAL, "an answer is kept already for this idempotency key and operation %u",
              keep->index);
    return ANSWERS_REFUSED;
}

static enum answers_result insert(struct answers *answers, const struct wire_keep *keep, struct error *error)
{
    int code = run(answers->keep, keep);
    if ((code & 0xff) == SQLITE_CONSTRAINT)
        return renew(answers, keep, error);
    if (code == SQLITE_DONE) {
        answers->count++;
        return ANSWERS_KEPT;
    }
    failed(answers, error);
    return ANSWERS_FAILED;
}

enum answers_result answers_keep(struct answers *answers, const struct wire_keep *keep, bool promised,
                                 struct error *error)
{
    if (!count(answers, error) || !sweep(answers, gone_at(keep->at_ms), error))
        return ANSWERS_FAILED;
    if (answers->count >= answers->limit && !promised) {
        error_set(error, ERROR_BUSY, "%lld answers are kept for idempotency keys, and no more can be",
                  (long long)answers->count);
        return ANSWERS_REFUSED;
    }
    return insert(answers, keep, error);
}

/* ---- finding ---- */

bool answers_find(struct answers *answers, const struct wire_kept_ask *ask, struct buffer *answer, struct error *error)
{
    struct buffer list = {0};
    uint32_t found = 0;
    bool put = true;
    sqlite3_bind_int64(answers->find, 2, ask->from);
    sqlite3_bind_int64(answers->find, 3, gone_at(ask->at_ms));
    int code = bind(answers->find, 1, ask->key, ask->key_len);
    bool bound = code == SQLITE_OK;
    while (bound && put && list.len < PAGE_BYTES && (code = sqlite3_step(answers->find)) == SQLITE_ROW) {
        put = sqlite3_column_bytes(answers->find, 1) == WIRE_DIGEST_BYTES &&
              wire_put_kept_one(&list, (uint32_t)sqlite3_column_int64(answers->find, 0),
                                sqlite3_column_blob(answers->find, 1), sqlite3_column_blob(answers->find, 2),
                                (size_t)sqlite3_column_bytes(answers->find, 2));
        found++;
    }
    bool ok = code == SQLITE_DONE || code == SQLITE_ROW;
    if (!ok)
        failed(answers, error);
    else if (!put || !wire_put_kept_answer(answer, code == SQLITE_DONE, found, &list))
        ok = error_set(error, ERROR_INTERNAL, "an answer that is kept for an idempotency key cannot be told");
    sqlite3_reset(answers->find);
    sqlite3_clear_bindings(answers->find);
    buffer_release(&list);
    return ok;
}
