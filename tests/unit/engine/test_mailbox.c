/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox.h"

#include "clock.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define THREADS 4
#define EACH 5000

static int setup(void **state)
{
    return (*state = mailbox_new()) ? 0 : -1;
}

static int teardown(void **state)
{
    mailbox_free(*state);
    return 0;
}

static void post(struct mailbox *mailbox, database_id database, uint64_t generation)
{
    const struct mail mail = {
        .kind = MAIL_LINK,
        .link = {.kind = LINK_CONNECTED, .database = database, .generation = generation},
    };
    mailbox_post(mailbox, &mail);
}

static void both_lists_come_out_in_order(void **state)
{
    struct submission first = {0}, second = {0}, *submissions;
    struct mail *mails;
    mailbox_submit(*state, &first);
    post(*state, 1, 10);
    mailbox_submit(*state, &second);
    post(*state, 2, 20);
    mailbox_take(*state, -1, &mails, &submissions);
    assert_ptr_equal(submissions, &first);
    assert_ptr_equal(first.next, &second);
    assert_null(second.next);
    assert_int_equal(mails->link.generation, 10);
    assert_int_equal(mails->next->link.generation, 20);
    assert_null(mails->next->next);
    mail_free(mails->next);
    mail_free(mails);
    mailbox_take(*state, 0, &mails, &submissions);
    assert_null(mails);
    assert_null(submissions);
}

/* A submission carries the `next` of the queue it came from. */
static void an_old_next_is_forgotten(void **state)
{
    struct submission other = {0}, submission = {.next = &other}, *submissions;
    struct mail *mails;
    mailbox_submit(*state, &submission);
    mailbox_take(*state, -1, &mails, &submissions);
    assert_ptr_equal(submissions, &submission);
    assert_null(submission.next);
}

static void an_empty_one_waits_as_long_as_it_is_told(void **state)
{
    struct submission *submissions;
    struct mail *mails;
    uint64_t before = clock_monotonic_ns();
    mailbox_take(*state, 30, &mails, &submissions);
    assert_true(clock_monotonic_ns() - before >= 30000000);
    assert_null(mails);
    assert_null(submissions);
}

static void what_is_left_is_freed_with_it(void **state)
{
    post(*state, 0, 1);
    post(*state, 0, 2);
}

struct poster {
    pthread_t thread;
    struct mailbox *mailbox;
    database_id number;
    struct submission submissions[EACH];
};

static void *run(void *context)
{
    struct poster *poster = context;
    for (uint64_t i = 0; i < EACH; i++) {
        post(poster->mailbox, poster->number, i);
        poster->submissions[i] = (struct submission){.parsed_ns = i, .context = poster};
        mailbox_submit(poster->mailbox, &poster->submissions[i]);
    }
    return NULL;
}

static void nothing_is_lost_between_threads_and_each_keeps_its_order(void **state)
{
    struct poster *posters = calloc(THREADS, sizeof *posters);
    uint64_t mails_seen[THREADS] = {0}, submissions_seen[THREADS] = {0};
    unsigned left = 2 * THREADS * EACH;
    assert_non_null(posters);
    for (database_id i = 0; i < THREADS; i++) {
        posters[i].mailbox = *state;
        posters[i].number = i;
        assert_int_equal(pthread_create(&posters[i].thread, NULL, run, &posters[i]), 0);
    }
    while (left > 0) { /* without end: a post that does not wake shows as a timeout of the test */
        struct submission *submission;
        struct mail *mail, *next;
        mailbox_take(*state, -1, &mail, &submission);
        for (; mail; mail = next, left--) {
            next = mail->next;
            assert_int_equal(mail->link.generation, mails_seen[mail->link.database]++);
            mail_free(mail);
        }
        for (; submission; submission = submission->next, left--) {
            const struct poster *poster = submission->context;
            assert_int_equal(submission->parsed_ns, submissions_seen[poster->number]++);
        }
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(posters[i].thread, NULL);
    free(posters);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(both_lists_come_out_in_order),
        TEST(an_old_next_is_forgotten),
        TEST(an_empty_one_waits_as_long_as_it_is_told),
        TEST(what_is_left_is_freed_with_it),
        TEST(nothing_is_lost_between_threads_and_each_keeps_its_order),
    };
    return cmocka_run_group_tests_name("mailbox", tests, NULL, NULL);
}
