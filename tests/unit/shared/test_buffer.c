/* SPDX-License-Identifier: Apache-2.0 */
#include "buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void what_is_put_is_there_in_order_however_it_grows(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    for (unsigned i = 0; i < 5000; i++) {
        uint8_t byte = (uint8_t)(i * 7u);
        assert_true(buffer_put(&buffer, &byte, 1));
        assert_true(buffer.len == i + 1 && buffer.capacity >= buffer.len);
    }
    for (unsigned i = 0; i < 5000; i++)
        assert_int_equal(buffer.bytes[i], (uint8_t)(i * 7u));
    assert_true(buffer.capacity <= 4 * 5000);
    buffer_release(&buffer);
    assert_null(buffer.bytes);
    assert_int_equal(buffer.len + buffer.capacity, 0);
    buffer_release(&buffer); /* empty: nothing happens */
}

static void nothing_may_be_put_into_an_empty_buffer(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    assert_true(buffer_put(&buffer, NULL, 0));
    assert_true(buffer_put_text(&buffer, ""));
    assert_int_equal(buffer.len, 0);
    buffer_release(&buffer);
}

static void reserved_room_is_used_without_moving(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    static const uint8_t zeros[70000];
    assert_true(buffer_reserve(&buffer, sizeof zeros));
    const uint8_t *before = buffer.bytes;
    assert_true(buffer_put(&buffer, zeros, sizeof zeros));
    assert_ptr_equal(before, buffer.bytes);
    assert_int_equal(buffer.len, sizeof zeros);
    buffer_clear(&buffer);
    assert_int_equal(buffer.len, 0);
    assert_ptr_equal(before, buffer.bytes); /* the memory is kept */
    buffer_release(&buffer);
}

static void a_growth_that_cannot_be_leaves_all_as_it_was(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    assert_true(buffer_put_text(&buffer, "here"));
    const struct buffer before = buffer;
    assert_false(buffer_reserve(&buffer, SIZE_MAX));
    assert_false(buffer_reserve(&buffer, SIZE_MAX - 4));
    assert_false(buffer_reserve(&buffer, SIZE_MAX / 2));
    assert_memory_equal(&buffer, &before, sizeof before);
    assert_memory_equal(buffer.bytes, "here", 4);
    buffer_release(&buffer);
}

static void formatted_text_is_appended_without_its_nul(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    char filler[300];
    memset(filler, 'f', sizeof filler - 1);
    filler[sizeof filler - 1] = '\0';
    assert_true(buffer_format(&buffer, "%d-%s", 5, "five"));
    assert_int_equal(buffer.len, 6);
    assert_true(buffer_format(&buffer, "%s", filler)); /* grows while formatting */
    assert_true(buffer_format(&buffer, "%s", ""));
    assert_int_equal(buffer.len, 6 + 299);
    assert_memory_equal(buffer.bytes, "5-fivefff", 9);
    buffer_release(&buffer);
}

static void a_move_frees_what_was_there_and_empties_the_other(void **state)
{
    (void)state;
    struct buffer from = {0}, to = {0};
    assert_true(buffer_put_text(&from, "new") && buffer_put_text(&to, "old"));
    buffer_move(&to, &from);
    assert_int_equal(to.len, 3);
    assert_memory_equal(to.bytes, "new", 3);
    assert_null(from.bytes);
    assert_int_equal(from.len + from.capacity, 0);
    assert_true(buffer_put_text(&from, "again"));
    buffer_release(&from);
    buffer_release(&to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_is_there_in_order_however_it_grows),
        cmocka_unit_test(nothing_may_be_put_into_an_empty_buffer),
        cmocka_unit_test(reserved_room_is_used_without_moving),
        cmocka_unit_test(a_growth_that_cannot_be_leaves_all_as_it_was),
        cmocka_unit_test(formatted_text_is_appended_without_its_nul),
        cmocka_unit_test(a_move_frees_what_was_there_and_empties_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
