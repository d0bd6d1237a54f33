/* SPDX-License-Identifier: Apache-2.0 */
#include "room.h"

#include "limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define LARGE (2u * LIMIT_ANSWER_BYTES_SMALL)

static void as_much_is_taken_as_there_is(void **state)
{
    struct room room = {.most = 2 * LARGE};
    uint64_t first, second, third = 7;
    struct error error;

    (void)state;
    assert_true(room_take(&room, LARGE, &first, &error));
    assert_true(room_is_left(&room, &error));
    assert_true(room_take(&room, LARGE, &second, &error));
    assert_false(room_is_left(&room, &error));
    assert_int_equal(error.code, ERROR_BUSY);
    assert_false(room_take(&room, LARGE, &third, &error));
    assert_int_equal(error.code, ERROR_BUSY);
    assert_int_equal(third, 7);
    room_give(&room, first);
    assert_true(room_take(&room, LARGE, &third, &error));
    room_give(&room, second);
    room_give(&room, third);
    assert_int_equal(room.used, 0);
}

static void what_is_small_has_room_always(void **state)
{
    struct room room = {.most = LARGE};
    uint64_t large, small;
    struct error error;

    (void)state;
    assert_true(room_take(&room, LARGE, &large, &error));
    assert_true(room_take(&room, LIMIT_ANSWER_BYTES_SMALL, &small, &error));
    assert_int_equal(small, 0);
    assert_false(room_take(&room, LIMIT_ANSWER_BYTES_SMALL + 1, &small, &error));
    room_give(&room, large);
    assert_int_equal(room.used, 0);
}

static void what_has_to_be_said_goes_beyond(void **state)
{
    struct room room = {.most = LARGE};
    struct error error;

    (void)state;
    assert_int_equal(room_take_always(&room, 3 * LARGE), 3 * LARGE);
    assert_false(room_is_left(&room, &error));
    assert_int_equal(room_take_always(&room, 1), 0);
    room_give(&room, 3 * LARGE);
    assert_true(room_is_left(&room, &error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_much_is_taken_as_there_is),
        cmocka_unit_test(what_is_small_has_room_always),
        cmocka_unit_test(what_has_to_be_said_goes_beyond),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
