/* SPDX-License-Identifier: Apache-2.0 */
/* Owners that plan: who gives way to whom when locks are found late; and chance, in which somebody can always go on and
 * no two hold what only one may. The first locks of all owners stand in test_locks.c. */
#include "locks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { X = 7, Y = 8, Z = 9 };

static void never(struct lock_owner *owner)
{
    (void)owner;
    fail_msg("the one who asks calls those who were granted");
}

static int setup(void **state)
{
    return (*state = locks_new()) ? 0 : -1;
}

static int teardown(void **state)
{
    locks_free(*state);
    return 0;
}

static void begin(struct lock_owner *owner, uint64_t age, bool plans)
{
    lock_owner_init(owner, never);
    owner->age = age;
    owner->plans = plans;
}

/* The first locks, all exclusive; whether they were granted at once. */
static bool take(struct locks *locks, struct lock_owner *owner, const uint64_t *keys, size_t count)
{
    struct lock_want wants[4];
    for (size_t i = 0; i < count; i++)
        wants[i] = (struct lock_want){.key = keys[i], .exclusive = true};
    assert_true(locks_take(locks, owner, wants, &count));
    return owner->waiting == 0;
}

static bool take_one(struct locks *locks, struct lock_owner *owner, uint64_t key, bool exclusive)
{
    struct lock_want want = {.key = key, .exclusive = exclusive};
    size_t count = 1;
    assert_true(locks_take(locks, owner, &want, &count));
    return owner->waiting == 0;
}

static bool more(struct locks *locks, struct lock_owner *owner, uint64_t key, bool exclusive)
{
    struct lock_want want = {.key = key, .exclusive = exclusive};
    size_t count = 1;
    assert_true(locks_take_more(locks, owner, &want, &count));
    return owner->waiting == 0;
}

/* ---- who has not begun ---- */

static void what_is_held_by_one_that_still_waits_is_taken_back(void **state)
{
    struct lock_owner planner, row;
    begin(&planner, 1, true);
    begin(&row, 2, false);
    assert_true(take_one(*state, &planner, X, true));
    assert_false(take(*state, &row, (const uint64_t[]){X, Y}, 2)); /* holds Y, waits for X */
    assert_true(more(*state, &planner, Y, true));
    assert_null(locks_next_granted(*state));
    locks_settle(&planner);
    locks_release(*state, &planner);
    assert_ptr_equal(locks_next_granted(*state), &row);
    assert_int_equal(row.waiting, 0);
    locks_release(*state, &row);
    assert_int_equal(locks_count(*state), 0);
}

static void what_was_taken_back_stands_before_those_who_came_later(void **state)
{
    struct lock_owner planner, row, later;
    begin(&planner, 1, true);
    begin(&row, 2, false);
    begin(&later, 3, false);
    assert_true(take_one(*state, &planner, X, true));
    assert_false(take(*state, &row, (const uint64_t[]){X, Y}, 2));
    assert_false(take_one(*state, &later, Y, true));
    assert_true(more(*state, &planner, Y, true));
    locks_release(*state, &planner);
    assert_ptr_equal(locks_next_granted(*state), &row);
    assert_null(locks_next_granted(*state));
    locks_release(*state, &row);
    assert_ptr_equal(locks_next_granted(*state), &later);
    locks_release(*state, &later);
}

static void what_several_share_who_still_wait_is_taken_back_from_all(void **state)
{
    struct lock_owner planner, rows[2];
    begin(&planner, 1, true);
    assert_true(take_one(*state, &planner, X, true));
    for (unsigned i = 0; i < 2; i++) {
        struct lock_want wants[] = {{.key = X, .exclusive = false}, {.key = Y, .exclusive = false}};
        size_t count = 2;
        begin(&rows[i], 2 + i, false);
        assert_true(locks_take(*state, &rows[i], wants, &count));
        assert_int_equal(rows[i].waiting, 1);
    }
    assert_true(more(*state, &planner, Y, true));
    assert_int_equal(rows[0].waiting + rows[1].waiting, 4);
    locks_release(*state, &planner);
    assert_non_null(locks_next_granted(*state));
    assert_non_null(locks_next_granted(*state));
    assert_null(locks_next_granted(*state));
    for (unsigned i = 0; i < 2; i++)
        locks_release(*state, &rows[i]);
}

/* ---- who has begun ---- */

static void one_that_writes_is_waited_for(void **state)
{
    struct lock_owner planner, row;
    begin(&planner, 1, true);
    begin(&row, 2, false);
    assert_true(take_one(*state, &row, Y, true));
    assert_true(take_one(*state, &planner, X, true));
    assert_false(more(*state, &planner, Y, true));
    assert_null(locks_next_granted(*state));
    locks_release(*state, &row);
    assert_ptr_equal(locks_next_granted(*state), &planner);
    locks_release(*state, &planner);
}

static void a_younger_one_that_plans_gives_way(void **state)
{
    struct lock_owner older, younger;
    begin(&older, 1, true);
    begin(&younger, 2, true);
    assert_true(take_one(*state, &older, X, true));
    assert_true(take_one(*state, &younger, Y, true));
    assert_true(more(*state, &older, Y, true));
    assert_true(younger.wounded);
    assert_ptr_equal(locks_next_granted(*state), &younger);
    assert_false(take_one(*state, &younger, Y, true));
    assert_false(younger.wounded);
    locks_release(*state, &older);
    assert_ptr_equal(locks_next_granted(*state), &younger);
    locks_release(*state, &younger);
}

static void an_older_one_that_plans_is_waited_for(void **state)
{
    struct lock_owner older, younger;
    begin(&older, 1, true);
    begin(&younger, 2, true);
    assert_true(take_one(*state, &older, X, true));
    assert_true(take_one(*state, &younger, Y, true));
    assert_false(more(*state, &younger, X, true));
    assert_true(more(*state, &older, Y, true)); /* the circle would close: the younger one is wounded */
    assert_ptr_equal(locks_next_granted(*state), &younger);
    assert_true(younger.wounded);
    locks_release(*state, &older);
}

static void one_that_has_settled_is_not_wounded(void **state)
{
    struct lock_owner older, younger;
    begin(&older, 1, true);
    begin(&younger, 2, true);
    assert_true(take_one(*state, &older, X, true));
    assert_true(take_one(*state, &younger, Y, true));
    locks_settle(&younger);
    assert_false(more(*state, &older, Y, true));
    assert_false(younger.wounded);
    locks_release(*state, &younger);
    assert_ptr_equal(locks_next_granted(*state), &older);
    locks_release(*state, &older);
}

static void what_is_shared_can_be_made_exclusive(void **state)
{
    struct lock_owner older, younger;
    begin(&older, 1, true);
    begin(&younger, 2, true);
    assert_true(take_one(*state, &older, X, false));
    assert_true(take_one(*state, &younger, X, false));
    assert_false(more(*state, &younger, X, true)); /* waits for the older one, */
    assert_true(more(*state, &older, X, true));    /* which wants the same */
    assert_ptr_equal(locks_next_granted(*state), &younger);
    assert_true(younger.wounded);
    locks_release(*state, &older);
    assert_int_equal(locks_count(*state), 0);
}

/* Each of the two locks is granted in the call itself, when the other is not waited for yet. */
static void who_is_granted_all_in_the_call_is_not_told_as_well(void **state)
{
    struct lock_owner planner, younger[2];
    struct lock_want wants[] = {{.key = Y, .exclusive = true}, {.key = Z, .exclusive = true}};
    size_t count = 2;
    begin(&planner, 1, true);
    assert_true(take_one(*state, &planner, X, true));
    for (unsigned i = 0; i < 2; i++) {
        begin(&younger[i], 2 + i, true);
        assert_true(take_one(*state, &younger[i], wants[i].key, true));
    }
    assert_true(locks_take_more(*state, &planner, wants, &count));
    assert_int_equal(planner.waiting, 0);
    assert_ptr_equal(locks_next_granted(*state), &younger[0]);
    assert_ptr_equal(locks_next_granted(*state), &younger[1]);
    assert_null(locks_next_granted(*state));
    locks_release(*state, &planner);
    assert_int_equal(locks_count(*state), 0);
}

/* ---- chance ---- */

#define OWNERS 24
#define KEYS 10
#define HOLDS_MAX 8
#define STEPS 100000

struct actor {
    struct lock_owner owner; /* first */
    bool active, told;
    unsigned rounds; /* of asking for more, still to come */
    struct lock_want holds[HOLDS_MAX];
    size_t count;
};

static uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* What it wants beyond what it has, added to what it has. */
static size_t choose(struct actor *actor, uint64_t *seed, struct lock_want *wants)
{
    size_t count = 0;
    for (uint64_t n = random_next(seed) % 3 + 1; n > 0 && actor->count < HOLDS_MAX; n--) {
        struct lock_want want = {.key = random_next(seed) % KEYS << 32 | 1, .exclusive = random_next(seed) % 2};
        size_t at = 0;
        while (at < actor->count && actor->holds[at].key != want.key)
            at++;
        if (at < actor->count && (actor->holds[at].exclusive || !want.exclusive))
            continue;
        actor->holds[at] = want;
        actor->count += at == actor->count;
        wants[count++] = want;
    }
    return count;
}

static bool goes_on(const struct actor *actor)
{
    return actor->active && actor->told && actor->owner.waiting == 0 && !actor->owner.wounded;
}

static void assert_nobody_shares_what_is_exclusive(const struct actor *actors)
{
    for (unsigned i = 0; i < OWNERS; i++)
        for (unsigned j = 0; j < i; j++)
            for (size_t a = 0; goes_on(&actors[i]) && goes_on(&actors[j]) && a < actors[i].count; a++)
                for (size_t b = 0; b < actors[j].count; b++)
                    assert_false(actors[i].holds[a].key == actors[j].holds[b].key &&
                                 (actors[i].holds[a].exclusive || actors[j].holds[b].exclusive));
}

/* Takes all again after a wound. */
static void hear(struct locks *locks, unsigned *wounds)
{
    struct lock_owner *owner;
    while ((owner = locks_next_granted(locks))) {
        struct actor *actor = (struct actor *)(void *)owner;
        assert_true(actor->active);
        actor->told = true;
        if (!owner->wounded)
            continue;
        struct lock_want wants[HOLDS_MAX];
        size_t count = actor->count;
        memcpy(wants, actor->holds, sizeof wants);
        owner->plans = true;
        ++*wounds;
        assert_true(locks_take(locks, owner, wants, &count));
        actor->told = owner->waiting == 0;
    }
}

static void start(struct locks *locks, struct actor *actor, uint64_t age, uint64_t *seed)
{
    struct lock_want wants[HOLDS_MAX];
    *actor = (struct actor){.active = true, .rounds = (unsigned)(random_next(seed) % 4)};
    begin(&actor->owner, age, actor->rounds > 0);
    size_t count = choose(actor, seed, wants);
    assert_true(locks_take(locks, &actor->owner, wants, &count));
    actor->told = actor->owner.waiting == 0;
}

static void go_on(struct locks *locks, struct actor *actor, uint64_t *seed)
{
    struct lock_want wants[HOLDS_MAX];
    if (actor->rounds == 0) {
        locks_release(locks, &actor->owner);
        actor->active = false;
        return;
    }
    if (--actor->rounds == 0) {
        locks_settle(&actor->owner);
        return;
    }
    size_t count = choose(actor, seed, wants);
    assert_true(locks_take_more(locks, &actor->owner, wants, &count));
    actor->told = actor->owner.waiting == 0;
}

static void chance_finds_no_circle_and_nothing_held_twice(void **state)
{
    static struct actor actors[OWNERS];
    uint64_t seed = 0x5eaf5eaf5eafu, age = 0;
    unsigned wounds = 0, waited = 0;
    memset(actors, 0, sizeof actors);
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned from = (unsigned)(random_next(&seed) % OWNERS), at = from;
        if (!actors[at].active)
            start(*state, &actors[at], ++age, &seed);
        else {
            while (!goes_on(&actors[at]) && (at + 1) % OWNERS != from)
                at = (at + 1) % OWNERS;
            assert_true(goes_on(&actors[at])); /* else all wait for each other */
            go_on(*state, &actors[at], &seed);
        }
        waited += actors[at].active && actors[at].owner.waiting > 0;
        hear(*state, &wounds);
        assert_nobody_shares_what_is_exclusive(actors);
    }
    assert_true(waited > STEPS / 50 && wounds > STEPS / 200); /* else chance asked nothing */
    for (unsigned i = 0; i < OWNERS; i++)
        if (actors[i].active)
            locks_release(*state, &actors[i].owner);
    assert_int_equal(locks_count(*state), 0);
}

/* Who is waited for, and since when it stands still. */
struct walker {
    struct lock_owner owner; /* first */
    uint64_t moved_ns;
    bool asked;
};

static uint64_t moved_of(const struct lock_owner *owner)
{
    return ((const struct walker *)(const void *)owner)->moved_ns;
}

static bool is_asked(const struct lock_owner *owner)
{
    return ((const struct walker *)(const void *)owner)->asked;
}

static void who_waits_in_line_is_told_when_the_line_moved_last(void **state)
{
    struct locks *locks = *state;
    static struct walker walkers[200];
    enum { COUNT = sizeof walkers / sizeof *walkers };
    for (unsigned i = 0; i < COUNT; i++) { /* each holds its own key, and waits for that of the one before */
        const uint64_t keys[] = {100 + i, 99 + i};
        begin(&walkers[i].owner, i + 1, false);
        walkers[i].owner.moved_ns = moved_of;
        walkers[i].owner.waits_for_shard = is_asked;
        walkers[i].moved_ns = 1000 - i;
        assert_int_equal(take(locks, &walkers[i].owner, keys, i ? 2 : 1), i == 0);
    }
    assert_int_equal(locks_moved_ns(locks, &walkers[0].owner), 0); /* it waits for nobody */
    assert_int_equal(locks_moved_ns(locks, &walkers[1].owner), 1000);
    assert_int_equal(locks_moved_ns(locks, &walkers[3].owner), 1000);
    assert_false(locks_is_behind_shard(locks, &walkers[3].owner));
    walkers[0].asked = true;
    assert_true(locks_is_behind_shard(locks, &walkers[3].owner));
    assert_false(locks_is_behind_shard(locks, &walkers[0].owner));
    walkers[1].moved_ns = 5000;
    assert_int_equal(locks_moved_ns(locks, &walkers[3].owner), 5000);
    assert_int_equal(locks_moved_ns(locks, &walkers[1].owner), 1000);
    walkers[1].moved_ns = 0;
    assert_true(locks_moved_ns(locks, &walkers[COUNT - 1].owner) < 900); /* too far to see the first */
    for (unsigned i = 0; i < COUNT; i++)
        locks_release(locks, &walkers[i].owner);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_held_by_one_that_still_waits_is_taken_back),
        TEST(what_was_taken_back_stands_before_those_who_came_later),
        TEST(what_several_share_who_still_wait_is_taken_back_from_all),
        TEST(one_that_writes_is_waited_for),
        TEST(a_younger_one_that_plans_gives_way),
        TEST(an_older_one_that_plans_is_waited_for),
        TEST(one_that_has_settled_is_not_wounded),
        TEST(what_is_shared_can_be_made_exclusive),
        TEST(who_is_granted_all_in_the_call_is_not_told_as_well),
        TEST(who_waits_in_line_is_told_when_the_line_moved_last),
        TEST(chance_finds_no_circle_and_nothing_held_twice),
    };
    return cmocka_run_group_tests_name("locks_more", tests, NULL, NULL);
}
