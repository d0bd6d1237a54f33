/* SPDX-License-Identifier: Apache-2.0 */
#include "histogram.h"
#include "pack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct histogram h, other;

static int clear(void **state)
{
    (void)state;
    memset(&h, 0, sizeof h);
    memset(&other, 0, sizeof other);
    return 0;
}

static void an_empty_one_says_nought(void **state)
{
    (void)state;
    assert_int_equal(histogram_percentile(&h, 0.5), 0);
    histogram_add(&h, 5, 0);
    assert_int_equal(h.count, 0);
    assert_int_equal(h.max, 0);
}

static void a_single_value_is_at_most_a_sixteenth_too_high_and_never_too_low(void **state)
{
    (void)state;
    for (uint64_t value = 0; value < UINT64_C(31) << 35;
         /* where the last slot begins */ value = value < 70 ? value + 1 : value + value / 7) {
        memset(&h, 0, sizeof h);
        histogram_add(&h, value, 1);
        histogram_add(&h, UINT64_C(1) << 60, 1); /* so that the largest does not tell */
        uint64_t said = histogram_percentile(&h, 0.5);
        if (said < value || (double)said > (double)value * 1.0625)
            fail_msg("%llu is said to be %llu", (unsigned long long)value, (unsigned long long)said);
    }
}

static void it_never_says_more_than_the_largest(void **state)
{
    (void)state;
    histogram_add(&h, 1000, 3);
    assert_int_equal(histogram_percentile(&h, 0.5), 1000);
    assert_int_equal(histogram_percentile(&h, 1.0), 1000);
    histogram_add(&h, UINT64_MAX, 1);
    assert_int_equal(histogram_percentile(&h, 1.0), UINT64_MAX);
}

static void percentiles_are_those_of_the_sorted_values(void **state)
{
    (void)state;
    for (uint64_t value = 1; value <= 10; value++)
        histogram_add(&h, value, 1);
    assert_int_equal(histogram_percentile(&h, 0.0), 1);
    assert_int_equal(histogram_percentile(&h, 0.1), 1);
    assert_int_equal(histogram_percentile(&h, 0.11), 2);
    assert_int_equal(histogram_percentile(&h, 0.5), 5);
    assert_int_equal(histogram_percentile(&h, 0.99), 10);
    assert_int_equal(h.sum, 55);
    memset(&h, 0, sizeof h);
    histogram_add(&h, 3, 99);
    histogram_add(&h, 9, 1);
    assert_int_equal(histogram_percentile(&h, 0.99), 3);
    assert_int_equal(histogram_percentile(&h, 0.999), 9);
    assert_int_equal(h.sum, 306);
}

static void a_merged_one_is_that_of_all_values(void **state)
{
    (void)state;
    static struct histogram all;
    memset(&all, 0, sizeof all);
    for (uint64_t i = 0; i < 1000; i++) {
        histogram_add(i % 3 ? &h : &other, i * i * 37, i % 5);
        histogram_add(&all, i * i * 37, i % 5);
    }
    histogram_merge(&h, &other);
    assert_memory_equal(&h, &all, sizeof all);
}

static void it_is_unpacked_as_it_was_packed(void **state)
{
    (void)state;
    struct buffer bytes = {0};
    struct error error;
    for (uint64_t value = 1; value < (UINT64_C(1) << 45); value = value * 3 + 1)
        histogram_add(&h, value, value % 70);
    assert_true(histogram_pack(&h, &bytes));
    struct cursor cursor = cursor_over(bytes.bytes, bytes.len);
    assert_true(histogram_unpack(&cursor, &other, &error));
    assert_true(cursor_at_end(&cursor));
    assert_memory_equal(&h, &other, sizeof h);
    for (size_t len = 0; len < bytes.len; len++) {
        uint8_t *copy = malloc(len ? len : 1);
        memcpy(copy, bytes.bytes, len);
        cursor = cursor_over(copy, len);
        assert_false(histogram_unpack(&cursor, &other, &error));
        assert_int_equal(error.code, ERROR_PARSE);
        free(copy);
    }
    buffer_release(&bytes);
}

static void a_slot_that_is_none_is_refused(void **state)
{
    (void)state;
    struct error error;
    for (uint64_t slot = HISTOGRAM_SLOTS - 1; slot <= HISTOGRAM_SLOTS + 1; slot++) {
        struct buffer bytes = {0};
        assert_true(pack_array(&bytes, 5) && pack_uint(&bytes, 1) && pack_uint(&bytes, 1) && pack_uint(&bytes, 1) &&
                    pack_uint(&bytes, slot) && pack_uint(&bytes, 1));
        struct cursor cursor = cursor_over(bytes.bytes, bytes.len);
        assert_int_equal(histogram_unpack(&cursor, &other, &error), slot == HISTOGRAM_SLOTS - 1);
        buffer_release(&bytes);
    }
}

static void what_was_counted_before_is_taken_out(void **state)
{
    (void)state;
    histogram_add(&h, 10, 3);
    other = h;
    histogram_add(&h, 12, 2);
    assert_true(histogram_subtract(&h, &other));
    assert_int_equal(h.count, 2);
    assert_int_equal(h.sum, 24);
    assert_int_equal(histogram_percentile(&h, 0.5), 12);
}

/* A shard that was started again counts from nothing, and may have counted more than before. */
static void what_was_counted_by_another_is_left_in(void **state)
{
    (void)state;
    histogram_add(&other, 10, 3);
    histogram_add(&h, 1000, 4);
    const struct histogram counted = h;
    assert_false(histogram_subtract(&h, &other));
    assert_memory_equal(&h, &counted, sizeof h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_empty_one_says_nought, clear),
        cmocka_unit_test_setup(a_single_value_is_at_most_a_sixteenth_too_high_and_never_too_low, clear),
        cmocka_unit_test_setup(it_never_says_more_than_the_largest, clear),
        cmocka_unit_test_setup(percentiles_are_those_of_the_sorted_values, clear),
        cmocka_unit_test_setup(a_merged_one_is_that_of_all_values, clear),
        cmocka_unit_test_setup(it_is_unpacked_as_it_was_packed, clear),
        cmocka_unit_test_setup(a_slot_that_is_none_is_refused, clear),
        cmocka_unit_test_setup(what_was_counted_before_is_taken_out, clear),
        cmocka_unit_test_setup(what_was_counted_by_another_is_left_in, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
