/* SPDX-License-Identifier: Apache-2.0 */
/* Locks one by one, and 100,000 steps of chance beside a model so simple that it can be believed. */
#include "locks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

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

/* One want, fresh owner; whether it was granted at once. */
static bool take(struct locks *locks, struct lock_owner *owner, uint64_t key, bool exclusive)
{
    struct lock_want want = {.key = key, .exclusive = exclusive};
    size_t count = 1;
    lock_owner_init(owner, never);
    assert_true(locks_take(locks, owner, &want, &count));
    return owner->waiting == 0;
}

static void shared_ones_hold_a_key_together(void **state)
{
    struct lock_owner a, b;
    assert_true(take(*state, &a, 7, false));
    assert_true(take(*state, &b, 7, false));
    assert_int_equal(locks_count(*state), 1);
    locks_release(*state, &a);
    locks_release(*state, &b);
    assert_int_equal(locks_count(*state), 0);
    assert_null(locks_next_granted(*state));
}

static void those_who_wait_get_it_in_order_of_arrival(void **state)
{
    struct lock_owner owners[5];
    assert_true(take(*state, &owners[0], 7, true));
    for (int i = 1; i < 5; i++)
        assert_false(take(*state, &owners[i], 7, true));
    for (int i = 0; i < 4; i++) {
        locks_release(*state, &owners[i]);
        assert_ptr_equal(locks_next_granted(*state), &owners[i + 1]);
        assert_null(locks_next_granted(*state));
    }
    locks_release(*state, &owners[4]);
    assert_int_equal(locks_count(*state), 0);
}

static void a_shared_one_waits_behind_a_waiting_exclusive_one(void **state)
{
    struct lock_owner reader, writer, late_a, late_b;
    assert_true(take(*state, &reader, 7, false));
    assert_false(take(*state, &writer, 7, true));
    assert_false(take(*state, &late_a, 7, false));
    assert_false(take(*state, &late_b, 7, false));
    locks_release(*state, &reader);
    assert_ptr_equal(locks_next_granted(*state), &writer);
    assert_null(locks_next_granted(*state));
    locks_release(*state, &writer);
    assert_ptr_equal(locks_next_granted(*state), &late_a);
    assert_ptr_equal(locks_next_granted(*state), &late_b);
    locks_release(*state, &late_a);
    locks_release(*state, &late_b);
    assert_int_equal(locks_count(*state), 0);
}

static void wants_for_one_key_are_merged_and_exclusive_wins(void **state)
{
    enum { MANY = 40 };
    struct lock_want few[] = {{.key = 9}, {.key = 8}, {.key = 9, .exclusive = true}, {.key = 9}}, many[MANY];
    struct lock_owner owner, other;
    size_t count = 4;
    lock_owner_init(&owner, never);
    assert_true(locks_take(*state, &owner, few, &count));
    assert_int_equal(count, 2);
    assert_int_equal(owner.waiting, 0); /* not for itself */
    assert_int_equal(locks_count(*state), 2);
    assert_false(take(*state, &other, 9, false));
    locks_release(*state, &other);
    assert_true(take(*state, &other, 8, false));
    locks_release(*state, &other);
    locks_release(*state, &owner);
    for (unsigned i = 0; i < MANY; i++)
        many[i] = (struct lock_want){.key = 100 + i % 10, .exclusive = i == 13};
    count = MANY;
    lock_owner_init(&owner, never);
    assert_true(locks_take(*state, &owner, many, &count));
    assert_int_equal(count, 10);
    assert_int_equal(owner.waiting, 0);
    for (uint64_t key = 100; key < 110; key++) {
        assert_int_equal(take(*state, &other, key, false), key != 103);
        locks_release(*state, &other);
    }
    locks_release(*state, &owner);
    assert_int_equal(locks_count(*state), 0);
}

/* A key of its own, and one or two where order decides. */
static bool take_in_order(struct locks *locks, struct lock_owner *owner, uint64_t own, uint64_t line, uint64_t other)
{
    struct lock_want wants[] = {
        {.key = own, .exclusive = true}, {.key = line, .in_order = true}, {.key = other, .in_order = true}};
    size_t count = 3;
    lock_owner_init(owner, never);
    assert_true(locks_take(locks, owner, wants, &count));
    return owner->waiting == 0;
}

static void who_waits_is_not_overtaken_where_order_decides(void **state)
{
    struct lock_owner first, second, third, fourth;
    assert_true(take_in_order(*state, &first, 1, 100, 100));
    assert_true(take_in_order(*state, &second, 2, 100, 100)); /* right behind it */
    assert_false(take_in_order(*state, &third, 2, 100, 100));
    assert_false(take_in_order(*state, &fourth, 4, 100, 100)); /* though its own key is free */
    locks_release(*state, &second);
    assert_null(locks_next_granted(*state));
    locks_release(*state, &first);
    assert_ptr_equal(locks_next_granted(*state), &third);
    assert_null(locks_next_granted(*state));
    locks_release(*state, &third);
    assert_ptr_equal(locks_next_granted(*state), &fourth);
    locks_release(*state, &fourth);
    assert_int_equal(locks_count(*state), 0);
}

static void who_waits_in_one_line_is_not_overtaken_in_another(void **state)
{
    struct lock_owner writer, first, second, third;
    assert_true(take(*state, &writer, 100, true));
    assert_false(take_in_order(*state, &first, 1, 100, 100));
    assert_false(take_in_order(*state, &second, 2, 100, 200));
    assert_false(take_in_order(*state, &third, 3, 200, 200));
    locks_release(*state, &writer);
    assert_ptr_equal(locks_next_granted(*state), &first);
    assert_null(locks_next_granted(*state));
    locks_release(*state, &first);
    assert_ptr_equal(locks_next_granted(*state), &second);
    locks_release(*state, &second);
    assert_ptr_equal(locks_next_granted(*state), &third);
    locks_release(*state, &third);
    assert_true(take_in_order(*state, &first, 1, 100, 200));
    assert_true(take_in_order(*state, &second, 2, 100, 200)); /* both shared again */
    locks_release(*state, &first);
    locks_release(*state, &second);
}

static void keys_with_one_upper_half_are_not_one_key(void **state)
{
    struct lock_owner a, b;
    assert_true(take(*state, &a, 0x500000001, true));
    assert_true(take(*state, &b, 0x500000002, true));
    assert_int_equal(locks_count(*state), 2);
    locks_release(*state, &a);
    locks_release(*state, &b);
    assert_int_equal(locks_count(*state), 0);
}

static void an_owner_comes_out_when_it_has_all(void **state)
{
    struct lock_owner a, b, both;
    struct lock_want wants[] = {{.key = 1, .exclusive = true}, {.key = 2, .exclusive = true}};
    size_t count = 2;
    assert_true(take(*state, &a, 1, true));
    assert_true(take(*state, &b, 2, false));
    lock_owner_init(&both, never);
    assert_true(locks_take(*state, &both, wants, &count));
    assert_int_equal(both.waiting, 2);
    locks_release(*state, &a);
    assert_null(locks_next_granted(*state));
    locks_release(*state, &b);
    assert_ptr_equal(locks_next_granted(*state), &both);
    locks_release(*state, &both);
}

static void one_that_leaves_the_line_holds_nobody_up(void **state)
{
    struct lock_owner reader, writer, behind, last;
    assert_true(take(*state, &reader, 7, false));
    assert_false(take(*state, &writer, 7, true));
    assert_false(take(*state, &behind, 7, false));
    assert_false(take(*state, &last, 7, true));
    locks_release(*state, &writer); /* from the head of the line */
    assert_ptr_equal(locks_next_granted(*state), &behind);
    locks_release(*state, &last); /* from its end */
    assert_true(take(*state, &writer, 7, false));
    locks_release(*state, &reader);
    locks_release(*state, &behind);
    locks_release(*state, &writer);
    assert_int_equal(locks_count(*state), 0);
    assert_null(locks_next_granted(*state));
}

static void one_released_before_it_was_told_is_not_told(void **state)
{
    struct lock_owner first, second, third, fourth;
    assert_true(take(*state, &first, 7, true));
    assert_false(take(*state, &second, 7, false));
    assert_false(take(*state, &third, 7, false));
    assert_false(take(*state, &fourth, 7, false));
    locks_release(*state, &first);
    locks_release(*state, &third);
    locks_release(*state, &fourth);
    assert_ptr_equal(locks_next_granted(*state), &second);
    assert_null(locks_next_granted(*state));
    assert_false(take(*state, &third, 7, true));
    locks_release(*state, &second);
    assert_ptr_equal(locks_next_granted(*state), &third); /* the list's end was kept right */
    locks_release(*state, &third);
}

/* Children of one refused parent: all are granted, and each is refused as soon as it is told. */
static void many_granted_at_once_end_one_by_one_without_a_walk_over_the_rest(void **state)
{
    enum { MANY = 100000 };
    struct lock_owner parent, *children = calloc(MANY, sizeof *children), *next;
    assert_non_null(children);
    assert_true(take(*state, &parent, 7, true));
    for (int i = 0; i < MANY; i++)
        assert_false(take(*state, &children[i], 7, false));
    clock_t before = clock();
    locks_release(*state, &parent);
    for (int i = 0; i < MANY; i++) {
        next = locks_next_granted(*state);
        assert_ptr_equal(next, &children[i]);
        locks_release(*state, next);
    }
    assert_true((double)(clock() - before) / CLOCKS_PER_SEC < 2.0); /* takes milliseconds; a walk each: many seconds */
    assert_int_equal(locks_count(*state), 0);
    free(children);
}

/* ---- beside a model ---- */

#define OWNERS 200
#define WANTS 6
#define KEYS 60
#define STEPS 100000

struct model_claim {
    unsigned owner;
    bool exclusive;
    bool granted;
};

/* Per key, everyone who came, in order. */
struct model {
    struct model_claim line[KEYS][OWNERS];
    unsigned count[KEYS];
    bool active[OWNERS]; /* has claims */
    bool told[OWNERS];   /* was granted all, at once or by the list */
};

static uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* A claim is granted when nobody before it in the line is incompatible with it or waits. */
static void model_grant(struct model *model)
{
    for (unsigned k = 0; k < KEYS; k++) {
        bool shared = false, stop = false;
        for (unsigned i = 0; i < model->count[k] && !stop; i++) {
            struct model_claim *claim = &model->line[k][i];
            stop = claim->exclusive;
            if (!claim->exclusive || !shared)
                claim->granted = true;
            shared |= !claim->exclusive;
        }
    }
}

/* How many claims of each owner wait. */
static void model_waiting(const struct model *model, unsigned *waiting)
{
    memset(waiting, 0, OWNERS * sizeof *waiting);
    for (unsigned k = 0; k < KEYS; k++)
        for (unsigned i = 0; i < model->count[k]; i++)
            waiting[model->line[k][i].owner] += !model->line[k][i].granted;
}

static void model_take(struct model *model, unsigned owner, const struct lock_want *wants, size_t count)
{
    unsigned waiting[OWNERS];
    model->active[owner] = true;
    for (size_t w = 0; w < count; w++) {
        unsigned k = (unsigned)(wants[w].key >> 32), i = 0;
        while (i < model->count[k] && model->line[k][i].owner != owner)
            i++;
        if (i == model->count[k])
            model->line[k][model->count[k]++] = (struct model_claim){owner, false, false};
        model->line[k][i].exclusive |= wants[w].exclusive;
    }
    model_grant(model);
    model_waiting(model, waiting);
    model->told[owner] = waiting[owner] == 0;
}

static void model_release(struct model *model, unsigned owner)
{
    model->active[owner] = model->told[owner] = false;
    for (unsigned k = 0; k < KEYS; k++) {
        unsigned kept = 0;
        for (unsigned i = 0; i < model->count[k]; i++)
            if (model->line[k][i].owner != owner)
                model->line[k][kept++] = model->line[k][i];
        model->count[k] = kept;
    }
    model_grant(model);
}

static size_t model_keys(const struct model *model)
{
    size_t keys = 0;
    for (unsigned k = 0; k < KEYS; k++)
        keys += model->count[k] > 0;
    return keys;
}

/* Everyone who comes out has just got all, and all who have just got all come out. */
static void compare_granted(struct locks *locks, struct model *model, struct lock_owner *owners)
{
    struct lock_owner *owner;
    unsigned waiting[OWNERS];
    while ((owner = locks_next_granted(locks))) {
        unsigned i = (unsigned)(owner - owners);
        assert_true(model->active[i]);
        assert_false(model->told[i]);
        model->told[i] = true;
    }
    model_waiting(model, waiting);
    for (unsigned i = 0; i < OWNERS; i++)
        if (model->active[i]) {
            assert_int_equal(owners[i].waiting, waiting[i]);
            assert_int_equal(model->told[i], owners[i].waiting == 0);
        }
    assert_int_equal(locks_count(locks), model_keys(model));
}

static void chance_finds_no_difference_to_the_model(void **state)
{
    static struct model model;
    static struct lock_owner owners[OWNERS];
    uint64_t seed = 0x5eaf5eaf5eafu;
    unsigned waited = 0, held = 0;
    memset(&model, 0, sizeof model);
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned owner = (unsigned)(random_next(&seed) % OWNERS);
        if (model.active[owner]) {
            locks_release(*state, &owners[owner]);
            model_release(&model, owner);
            if (random_next(&seed) % 8) /* else several releases and takes are told of at once */
                compare_granted(*state, &model, owners);
            continue;
        }
        struct lock_want wants[WANTS], given[WANTS];
        size_t count = random_next(&seed) % (WANTS + 1), left = count;
        bool mostly_shared = random_next(&seed) % 2;
        for (size_t w = 0; w < count; w++) /* the same upper half for one key only; some share the home slot */
            wants[w] = (struct lock_want){.key = (random_next(&seed) % KEYS) << 32 | 1,
                                          .exclusive = random_next(&seed) % (mostly_shared ? 16 : 2) == 0};
        memcpy(given, wants, sizeof given);
        compare_granted(*state, &model, owners);
        lock_owner_init(&owners[owner], never);
        assert_true(locks_take(*state, &owners[owner], wants, &left));
        model_take(&model, owner, given, count);
        compare_granted(*state, &model, owners);
        waited += owners[owner].waiting > 0;
        held += owners[owner].waiting == 0;
    }
    assert_true(waited > STEPS / 20 && held > STEPS / 20); /* else chance asked nothing */
    for (unsigned i = 0; i < OWNERS; i++)
        if (model.active[i])
            locks_release(*state, &owners[i]);
    assert_int_equal(locks_count(*state), 0);
    assert_null(locks_next_granted(*state));
}

/* Three keys a home slot, and the homes as far apart as those of real keys, which are hashes. */
static uint64_t spread(unsigned i)
{
    return (uint64_t)(i / 3 * 0x9e3779b9u) << 32 | i;
}

/* The table grows, and entries that share a home slot move up when one goes. */
static void a_hundred_thousand_keys_are_held_and_given_back(void **state)
{
    enum { MANY = 100000 };
    struct lock_owner *owners = calloc(MANY, sizeof *owners), other;
    uint64_t seed = 42;
    assert_non_null(owners);
    for (unsigned i = 0; i < MANY; i++)
        assert_true(take(*state, &owners[i], spread(i), true));
    assert_int_equal(locks_count(*state), MANY);
    for (unsigned left = MANY; left > 0; left--) { /* in any order */
        unsigned i = (unsigned)(random_next(&seed) % left);
        struct lock_owner *going = &owners[i];
        locks_release(*state, going);
        *going = owners[left - 1];
        if (left % 1000 == 1 && left > 1)
            assert_int_equal(locks_count(*state), left - 1);
    }
    assert_int_equal(locks_count(*state), 0);
    for (unsigned i = 0; i < MANY; i += 997) {
        assert_true(take(*state, &other, spread(i), true));
        locks_release(*state, &other);
    }
    free(owners);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(shared_ones_hold_a_key_together),
        TEST(those_who_wait_get_it_in_order_of_arrival),
        TEST(a_shared_one_waits_behind_a_waiting_exclusive_one),
        TEST(wants_for_one_key_are_merged_and_exclusive_wins),
        TEST(who_waits_is_not_overtaken_where_order_decides),
        TEST(who_waits_in_one_line_is_not_overtaken_in_another),
        TEST(keys_with_one_upper_half_are_not_one_key),
        TEST(an_owner_comes_out_when_it_has_all),
        TEST(one_that_leaves_the_line_holds_nobody_up),
        TEST(one_released_before_it_was_told_is_not_told),
        TEST(many_granted_at_once_end_one_by_one_without_a_walk_over_the_rest),
        TEST(chance_finds_no_difference_to_the_model),
        TEST(a_hundred_thousand_keys_are_held_and_given_back),
    };
    return cmocka_run_group_tests_name("locks", tests, NULL, NULL);
}
