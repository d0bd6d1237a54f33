/* SPDX-License-Identifier: Apache-2.0 */
#include "engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TABLE 3

static struct submission_key key_of(const char *path, const char *key, const char *how, const char *body)
{
    struct submission *submission = submission_new(1);
    struct error error;
    assert_non_null(submission);
    if (!submission_set_key(submission, path, TABLE, key, strlen(key), how, body, strlen(body), &error))
        fail_msg("%s", error.text);
    struct submission_key made = submission->key;
    submission_free(submission);
    return made;
}

static bool is_same_key(const struct submission_key *a, const struct submission_key *b)
{
    return a->len == b->len && !memcmp(a->bytes, b->bytes, a->len);
}

static bool is_same_digest(const struct submission_key *a, const struct submission_key *b)
{
    return !memcmp(&a->digest, &b->digest, sizeof a->digest);
}

static void a_key_belongs_to_its_path(void **state)
{
    (void)state;
    const struct submission_key key = key_of("/v1/rows/users", "K", "POST", "{}");
    const struct submission_key again = key_of("/v1/rows/users", "K", "POST", "{}");
    const struct submission_key other_path = key_of("/v1/rows/users/1", "K", "POST", "{}");
    const struct submission_key other_key = key_of("/v1/rows/users", "k", "POST", "{}");
    assert_true(is_same_key(&key, &again));
    assert_false(is_same_key(&key, &other_path));
    assert_false(is_same_key(&key, &other_key));
    assert_int_equal(key.table, TABLE);
    assert_int_equal(key.len, ROW_TAG_BYTES + 1);
}

static void the_digest_tells_bodies_and_methods_apart(void **state)
{
    (void)state;
    const struct submission_key key = key_of("/p", "K", "POST", "{\"a\":1}");
    const struct submission_key others[] = {
        key_of("/p", "K", "POST", "{\"a\":2}"), key_of("/p", "K", "PATCH", "{\"a\":1}"), key_of("/p", "K", "POST", ""),
        key_of("/p", "K", "POST{", "\"a\":1}"), key_of("/p", "K", "", "POST{\"a\":1}")};
    const struct submission_key again = key_of("/p", "K", "POST", "{\"a\":1}");
    assert_true(is_same_digest(&key, &again));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_true(is_same_key(&key, &others[i]));
        assert_false(is_same_digest(&key, &others[i]));
    }
}

static void a_key_has_one_to_255_bytes(void **state)
{
    (void)state;
    struct submission *submission = submission_new(1);
    char key[LIMIT_IDEMPOTENCY_KEY_BYTES_MAX + 1];
    struct error error;
    memset(key, 'k', sizeof key);
    assert_false(submission_set_key(submission, "/p", SCHEMA_NONE, key, 0, "", NULL, 0, &error));
    assert_int_equal(error.code, ERROR_PARSE);
    assert_false(submission_set_key(submission, "/p", SCHEMA_NONE, key, sizeof key, "", NULL, 0, &error));
    assert_int_equal(error.code, ERROR_TOO_LARGE);
    assert_int_equal(submission->key.len, 0); /* it has none */
    assert_true(submission_set_key(submission, "/p", SCHEMA_NONE, key, sizeof key - 1, "", NULL, 0, &error));
    assert_int_equal(submission->key.len, sizeof submission->key.bytes);
    submission_free(submission);
}

static void the_first_refusal_of_an_operation_stays(void **state)
{
    (void)state;
    struct submission *submission = submission_new(1);
    struct op *op = &submission->ops[submission->count++];
    struct error error;
    error_set(&error, ERROR_CHECK, "first");
    op_refuse(op, &error);
    error_set(&error, ERROR_IO, "second");
    op_refuse(op, &error);
    assert_int_equal(op->result, OP_REFUSED);
    assert_int_equal(op->error->code, ERROR_CHECK);
    assert_string_equal(op->error->text, "first");
    submission_free(submission);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_belongs_to_its_path),
        cmocka_unit_test(the_digest_tells_bodies_and_methods_apart),
        cmocka_unit_test(a_key_has_one_to_255_bytes),
        cmocka_unit_test(the_first_refusal_of_an_operation_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
