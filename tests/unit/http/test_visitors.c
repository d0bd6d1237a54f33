/* SPDX-License-Identifier: Apache-2.0 */
#include "visitors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)
#define CROWD 3

/* Three who come at 1, 2 and 3 ms; `theirs` are their ends of the sockets. */
struct world {
    struct limits limits;
    struct visitors visitors;
    struct visitor *visitor[CROWD];
    int ours[CROWD], theirs[CROWD];
};

static void begin(struct world *world)
{
    memset(world, 0, sizeof *world);
    world->limits = limits_default();
    world->limits.header_ms = 100;
    world->limits.idle_ms = 200;
    world->limits.transfer_ms = 300;
    world->visitors.limits = &world->limits;
    for (int i = 0; i < CROWD; i++) {
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        world->ours[i] = pair[0];
        world->theirs[i] = pair[1];
        world->visitor[i] = visitors_add(&world->visitors, pair[0], (uint64_t)(i + 1) * MS);
        assert_non_null(world->visitor[i]);
    }
}

static void end(struct world *world)
{
    for (int i = 0; i < CROWD; i++) {
        if (world->visitor[i])
            visitors_remove(&world->visitors, world->visitor[i]);
        close(world->ours[i]);
        close(world->theirs[i]);
    }
    assert_int_equal(world->visitors.count, 0);
    assert_int_equal(world->visitors.leaving, 0);
    assert_null(world->visitors.first);
    assert_null(world->visitors.last);
}

/* Whether the client has been sent away. */
static bool is_ended(const struct world *world, int i)
{
    char byte;
    ssize_t got = recv(world->theirs[i], &byte, 1, MSG_DONTWAIT);

    assert_true(got <= 0);
    assert_int_equal(world->visitor[i]->state == VISITOR_SHUT_DOWN, got == 0);
    return got == 0;
}

static void each_state_has_its_own_deadline(void **state)
{
    (void)state;
    const struct {
        enum visitor_state state;
        uint64_t ms; /* 0: for ever */
    } cases[] = {
        {VISITOR_CAME, 100}, {VISITOR_IDLE, 200}, {VISITOR_SENDING, 300}, {VISITOR_TAKING, 300}, {VISITOR_WAITING, 0}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world world;
        uint64_t until = (1000 + (cases[i].ms ? cases[i].ms : 1000000)) * MS;

        begin(&world);
        visitors_move(&world.visitors, world.visitor[1], VISITOR_WAITING, MS);
        visitors_move(&world.visitors, world.visitor[2], VISITOR_WAITING, MS);
        visitors_move(&world.visitors, world.visitor[0], cases[i].state, 1000 * MS);
        visitors_tick(&world.visitors, until - 1);
        assert_false(is_ended(&world, 0));
        visitors_tick(&world.visitors, until);
        assert_int_equal(is_ended(&world, 0), cases[i].ms != 0);
        end(&world);
    }
}

static void a_change_begins_a_new_deadline(void **state)
{
    (void)state;
    struct world world;

    begin(&world);
    visitors_move(&world.visitors, world.visitor[0], VISITOR_IDLE, 100 * MS);
    visitors_tick(&world.visitors, 103 * MS);
    assert_false(is_ended(&world, 0));
    assert_true(is_ended(&world, 1));
    assert_true(is_ended(&world, 2));
    assert_int_equal(world.visitors.count, 3);
    assert_int_equal(world.visitors.leaving, 2);
    end(&world);
}

static void the_one_idle_longest_makes_room(void **state)
{
    (void)state;
    struct world world;

    begin(&world);
    visitors_move(&world.visitors, world.visitor[0], VISITOR_IDLE, 50 * MS); /* it was the first, and asked again */
    assert_true(visitors_evict(&world.visitors, 60 * MS));
    assert_true(is_ended(&world, 1));
    assert_true(visitors_evict(&world.visitors, 60 * MS));
    assert_true(is_ended(&world, 2));
    assert_false(is_ended(&world, 0));
    assert_int_equal(world.visitors.leaving, 2);
    end(&world);
}

static void who_has_a_request_is_not_sent_away_for_another(void **state)
{
    (void)state;
    struct world world;

    begin(&world);
    visitors_move(&world.visitors, world.visitor[0], VISITOR_SENDING, 50 * MS);
    visitors_move(&world.visitors, world.visitor[1], VISITOR_WAITING, 50 * MS);
    visitors_move(&world.visitors, world.visitor[2], VISITOR_TAKING, 50 * MS);
    assert_false(visitors_evict(&world.visitors, 60 * MS));
    visitors_dismiss(&world.visitors, 60 * MS);
    for (int i = 0; i < CROWD; i++)
        assert_false(is_ended(&world, i));
    visitors_move(&world.visitors, world.visitor[1], VISITOR_IDLE, 70 * MS);
    visitors_dismiss(&world.visitors, 80 * MS);
    assert_true(is_ended(&world, 1));
    assert_int_equal(world.visitors.leaving, 1);
    end(&world);
}

static void who_is_sent_away_does_not_come_back(void **state)
{
    (void)state;
    struct world world;

    begin(&world);
    visitors_tick(&world.visitors, 101 * MS);
    assert_true(is_ended(&world, 0));
    visitors_move(&world.visitors, world.visitor[0], VISITOR_IDLE, 102 * MS); /* its last answer's end is told late */
    assert_int_equal(world.visitor[0]->state, VISITOR_SHUT_DOWN);
    assert_int_equal(world.visitors.leaving, 1);
    visitors_remove(&world.visitors, world.visitor[0]);
    world.visitor[0] = NULL;
    assert_int_equal(world.visitors.leaving, 0);
    assert_int_equal(world.visitors.count, 2);
    end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_state_has_its_own_deadline),
        cmocka_unit_test(a_change_begins_a_new_deadline),
        cmocka_unit_test(the_one_idle_longest_makes_room),
        cmocka_unit_test(who_has_a_request_is_not_sent_away_for_another),
        cmocka_unit_test(who_is_sent_away_does_not_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
