/* SPDX-License-Identifier: Apache-2.0 */
#include "inbox.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static nng_msg *numbered(uint32_t number)
{
    nng_msg *message;
    assert_int_equal(nng_msg_alloc(&message, 0), 0);
    assert_int_equal(nng_msg_append_u32(message, number), 0);
    return message;
}

static uint32_t number_of(nng_msg *message)
{
    uint32_t number;
    assert_non_null(message);
    assert_int_equal(nng_msg_trim_u32(message, &number), 0);
    nng_msg_free(message);
    return number;
}

static void messages_come_out_in_the_order_they_went_in(void **state)
{
    (void)state;
    struct error error;
    struct inbox *inbox = inbox_new(&error);
    bool room;
    assert_null(inbox_take(inbox, false, &room));
    for (uint32_t in = 0, out = 0; out < 3 * INBOX_MAX; out++) {
        for (; in < out + 7; in++)
            assert_true(inbox_put(inbox, numbered(in)));
        assert_int_equal(number_of(inbox_take(inbox, true, &room)), out);
        assert_false(room);
    }
    inbox_free(inbox); /* with what is left in it */
}

static void a_full_inbox_says_so_once_and_then_when_there_is_room(void **state)
{
    (void)state;
    struct error error;
    struct inbox *inbox = inbox_new(&error);
    bool room;
    for (uint32_t i = 0; i < INBOX_MAX - 1; i++)
        assert_true(inbox_put(inbox, numbered(i)));
    assert_false(inbox_put(inbox, numbered(INBOX_MAX - 1)));
    assert_int_equal(number_of(inbox_take(inbox, true, &room)), 0);
    assert_true(room);
    assert_int_equal(number_of(inbox_take(inbox, true, &room)), 1);
    assert_false(room);
    inbox_free(inbox);
}

static void a_stopped_inbox_gives_what_is_in_it_and_waits_no_more(void **state)
{
    (void)state;
    struct error error;
    struct inbox *inbox = inbox_new(&error);
    bool room;
    assert_true(inbox_put(inbox, numbered(5)));
    inbox_stop(inbox);
    assert_int_equal(number_of(inbox_take(inbox, true, &room)), 5);
    assert_null(inbox_take(inbox, true, &room));
    assert_null(inbox_take(inbox, true, &room));
    inbox_free(inbox);
}

/* Puts as nng's thread does: after a "full" only when the taker has said that there is room. */
struct relay {
    struct inbox *inbox;
    pthread_mutex_t lock;
    pthread_cond_t resumed;
    bool may_go_on;
};

#define RELAYED 100000u

static void *put_all(void *context)
{
    struct relay *relay = context;
    for (uint32_t i = 0; i < RELAYED; i++) {
        if (inbox_put(relay->inbox, numbered(i)))
            continue;
        pthread_mutex_lock(&relay->lock);
        while (!relay->may_go_on)
            pthread_cond_wait(&relay->resumed, &relay->lock);
        relay->may_go_on = false;
        pthread_mutex_unlock(&relay->lock);
    }
    return NULL;
}

static void nothing_is_lost_between_two_threads(void **state)
{
    (void)state;
    struct error error;
    struct relay relay = {
        .inbox = inbox_new(&error), .lock = PTHREAD_MUTEX_INITIALIZER, .resumed = PTHREAD_COND_INITIALIZER};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, put_all, &relay), 0);
    for (uint32_t i = 0; i < RELAYED; i++) {
        bool room;
        assert_int_equal(number_of(inbox_take(relay.inbox, true, &room)), i);
        if (!room)
            continue;
        pthread_mutex_lock(&relay.lock);
        relay.may_go_on = true;
        pthread_cond_signal(&relay.resumed);
        pthread_mutex_unlock(&relay.lock);
    }
    pthread_join(thread, NULL);
    inbox_free(relay.inbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_out_in_the_order_they_went_in),
        cmocka_unit_test(a_full_inbox_says_so_once_and_then_when_there_is_room),
        cmocka_unit_test(a_stopped_inbox_gives_what_is_in_it_and_waits_no_more),
        cmocka_unit_test(nothing_is_lost_between_two_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
