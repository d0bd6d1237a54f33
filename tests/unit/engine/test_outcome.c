/* SPDX-License-Identifier: Apache-2.0 */
#include "outcome.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OPS 4u

static struct submission *blank(void)
{
    struct submission *submission = submission_new(OPS);
    assert_non_null(submission);
    submission->count = OPS;
    assert_true(buffer_put(&submission->rows, "rows", 4));
    return submission;
}

/* A plain one, an inserted one with its key, one that got a new key, and one that lies elsewhere. */
static struct submission *done(void)
{
    struct submission *submission = blank();
    struct op *ops = submission->ops;
    ops[0].rowid = 99; /* it came with its key: nobody is told */
    ops[1].key_assigned = ops[1].inserted = true;
    ops[1].rowid = -7;
    ops[2].new_key = (struct op_bytes){4, 3};
    assert_true(buffer_put(&submission->rows, "\x92\x01\x02", 3));
    return submission;
}

static void refuse(struct submission *submission, uint32_t op, enum error_code code)
{
    struct error error;
    error_set(&error, code, "a text of %u", op);
    error_about(&error, "table", "a,b");
    submission->ops[op].error = malloc(sizeof error);
    assert_non_null(submission->ops[op].error);
    *submission->ops[op].error = error;
}

static bool is_blank(const struct op *op)
{
    return op->result == OP_PENDING && !op->error && !op->replayed && !op->key_assigned && !op->inserted &&
           !op->rowid && !op->new_key.len;
}

static void what_was_done_is_given_as_it_was(void **state)
{
    (void)state;
    struct submission *from = done(), *to = blank();
    struct buffer bytes = {0};
    struct error error;
    assert_true(outcome_put_done(from, 0, 3, &bytes));
    assert_true(outcome_get(bytes.bytes, bytes.len, to, 0, 3, &error));
    for (int i = 0; i < 3; i++)
        assert_true(to->ops[i].result == OP_DONE && to->ops[i].replayed && !to->ops[i].error);
    assert_true(!to->ops[0].key_assigned && !to->ops[0].inserted && !to->ops[0].new_key.len && !to->ops[0].rowid);
    assert_true(to->ops[1].key_assigned && to->ops[1].inserted && to->ops[1].rowid == -7);
    assert_int_equal(to->ops[2].new_key.len, 3);
    assert_memory_equal(to->rows.bytes + to->ops[2].new_key.at, "\x92\x01\x02", 3);
    assert_memory_equal(to->rows.bytes, "rows", 4);
    assert_true(is_blank(&to->ops[3]));
    buffer_release(&bytes);
    submission_free(from);
    submission_free(to);
}

static void one_of_several_is_kept_by_itself(void **state)
{
    (void)state;
    struct submission *from = done(), *to = blank();
    struct buffer bytes = {0};
    struct error error;
    assert_true(outcome_put_done(from, 1, 1, &bytes));
    assert_true(outcome_get(bytes.bytes, bytes.len, to, 3, 1, &error));
    assert_true(to->ops[3].result == OP_DONE && to->ops[3].key_assigned && to->ops[3].rowid == -7);
    assert_true(is_blank(&to->ops[0]) && is_blank(&to->ops[1]) && is_blank(&to->ops[2]));
    buffer_release(&bytes);
    submission_free(from);
    submission_free(to);
}

static void of_what_was_refused_the_first_reason_is_given(void **state)
{
    (void)state;
    struct submission *from = blank(), *to = blank();
    struct buffer bytes = {0};
    struct error error;
    refuse(from, 2, ERROR_UNIQUE);
    refuse(from, 3, ERROR_CHECK);
    assert_true(outcome_put_refused(from, 1, 3, &bytes));
    assert_true(outcome_get(bytes.bytes, bytes.len, to, 0, 3, &error));
    for (int i = 0; i < 3; i++)
        assert_true(to->ops[i].result == OP_REFUSED && to->ops[i].replayed);
    assert_true(!to->ops[0].error && !to->ops[2].error && is_blank(&to->ops[3]));
    assert_int_equal(to->ops[1].error->code, ERROR_UNIQUE);
    assert_string_equal(to->ops[1].error->text, "a text of 2");
    assert_string_equal(to->ops[1].error->table, "table");
    assert_string_equal(to->ops[1].error->constraint, "a,b");
    buffer_release(&bytes);
    submission_free(from);
    submission_free(to);
}

static void what_may_pass_is_not_final(void **state)
{
    (void)state;
    static const enum error_code passing[] = {ERROR_BUSY,     ERROR_UNAVAILABLE, ERROR_UNKNOWN,
                                              ERROR_CONFLICT, ERROR_IO,          ERROR_INTERNAL};
    for (unsigned code = 1; code < ERROR_CODE_COUNT; code++) {
        struct submission *submission = blank();
        bool passes = false;
        for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
            passes |= passing[i] == code;
        refuse(submission, 1, ERROR_UNIQUE);
        refuse(submission, 2, (enum error_code)code);
        assert_int_equal(outcome_is_final(submission, 0, 3), !passes);
        assert_true(outcome_is_final(submission, 0, 2));
        submission_free(submission);
    }
}

static void other_bytes_are_refused_and_change_nothing(void **state)
{
    (void)state;
    struct submission *from = done(), *to = blank(), *refused = blank();
    struct buffer wholes[2] = {{0}, {0}};
    struct error error;
    refuse(refused, 1, ERROR_UNIQUE);
    assert_true(outcome_put_done(from, 0, 3, &wholes[0]) && outcome_put_refused(refused, 0, 2, &wholes[1]));
    for (int w = 0; w < 2; w++) {
        uint32_t count = w ? 1 : 3; /* the second op is the reason: there is none among one */
        for (size_t len = 0; len < wholes[w].len + !!w; len++) {
            error.code = ERROR_NONE;
            uint8_t *copy = malloc(len + 1);
            assert_non_null(copy);
            memcpy(copy, wholes[w].bytes, len);
            assert_false(outcome_get(copy, len, to, 0, count, &error));
            assert_int_equal(error.code, ERROR_INTERNAL);
            free(copy);
            for (unsigned i = 0; i < OPS; i++)
                assert_true(is_blank(&to->ops[i]));
        }
        assert_false(outcome_get(wholes[w].bytes, wholes[w].len, to, 0, w ? 1 : 2, &error));
        assert_true(buffer_put(&wholes[w], "\xc0", 1));
        assert_false(outcome_get(wholes[w].bytes, wholes[w].len, to, 0, w ? 2 : 3, &error));
        for (unsigned i = 0; i < OPS; i++)
            assert_true(is_blank(&to->ops[i]));
        buffer_release(&wholes[w]);
    }
    submission_free(from);
    submission_free(refused);
    submission_free(to);
}

/* They lie in files. */
static void the_bytes_stay_as_they_are(void **state)
{
    (void)state;
    static const uint8_t as_done[] = {0x92, 0x01, 0x03, 0x00, 0x03, 0xf9, 0x04, 0xc4, 0x03, 0x92, 0x01, 0x02};
    static const uint8_t as_refused[] = "\x96\x02\x01\x07\xa5table\xa3"
                                        "a,b\xab"
                                        "a text of 1";
    struct submission *from = done(), *refused = blank();
    struct buffer bytes = {0};
    refuse(refused, 1, ERROR_UNIQUE);
    assert_true(outcome_put_done(from, 0, 3, &bytes));
    assert_int_equal(bytes.len, sizeof as_done);
    assert_memory_equal(bytes.bytes, as_done, sizeof as_done);
    buffer_clear(&bytes);
    assert_true(outcome_put_refused(refused, 0, 2, &bytes));
    assert_int_equal(bytes.len, sizeof as_refused - 1);
    assert_memory_equal(bytes.bytes, as_refused, sizeof as_refused - 1);
    buffer_release(&bytes);
    submission_free(from);
    submission_free(refused);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_done_is_given_as_it_was),
        cmocka_unit_test(one_of_several_is_kept_by_itself),
        cmocka_unit_test(of_what_was_refused_the_first_reason_is_given),
        cmocka_unit_test(what_may_pass_is_not_final),
        cmocka_unit_test(other_bytes_are_refused_and_change_nothing),
        cmocka_unit_test(the_bytes_stay_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
