/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox.h"

#include "clock.h"

#include <pthread.h>
#include <stdlib.h>

struct mailbox {
    pthread_mutex_t lock;
    pthread_cond_t posted;
    struct mail *first_mail, *last_mail;
    struct submission *first_submission, *last_submission;
};

struct mailbox *mailbox_new(void)
{
    struct mailbox *mailbox = calloc(1, sizeof *mailbox);
    if (!mailbox)
        return NULL;
    bool fine = clock_cond_init(&mailbox->posted) == 0;
    if (fine && pthread_mutex_init(&mailbox->lock, NULL) == 0)
        return mailbox;
    if (fine)
        pthread_cond_destroy(&mailbox->posted);
    free(mailbox);
    return NULL;
}

void mail_free(struct mail *mail)
{
    if (mail->kind == MAIL_LINK)
        link_event_release(&mail->link);
    free(mail);
}

void mailbox_free(struct mailbox *mailbox)
{
    if (!mailbox)
        return;
    while (mailbox->first_mail) {
        struct mail *mail = mailbox->first_mail;
        mailbox->first_mail = mail->next;
        mail_free(mail);
    }
    pthread_cond_destroy(&mailbox->posted);
    pthread_mutex_destroy(&mailbox->lock);
    free(mailbox);
}

void mailbox_submit(struct mailbox *mailbox, struct submission *submission)
{
    submission->next = NULL;
    pthread_mutex_lock(&mailbox->lock);
    if (mailbox->last_submission)
        mailbox->last_submission->next = submission;
    else
        mailbox->first_submission = submission;
    mailbox->last_submission = submission;
    pthread_cond_signal(&mailbox->posted);
    pthread_mutex_unlock(&mailbox->lock);
}

void mailbox_post(struct mailbox *mailbox, const struct mail *mail)
{
    struct mail *copy = malloc(sizeof *copy);
    if (!copy)
        panic("out of memory for %zu bytes", sizeof *copy);
    *copy = *mail;
    copy->next = NULL;
    pthread_mutex_lock(&mailbox->lock);
    if (mailbox->last_mail)
        mailbox->last_mail->next = copy;
    else
        mailbox->first_mail = copy;
    mailbox->last_mail = copy;
    pthread_cond_signal(&mailbox->posted);
    pthread_mutex_unlock(&mailbox->lock);
}

static void wait_for_post(struct mailbox *mailbox, int wait_ms)
{
    struct timespec until = clock_until_ms(wait_ms < 0 ? 0 : (uint64_t)wait_ms);
    int result = 0;
    while (!mailbox->first_mail && !mailbox->first_submission && result == 0)
        result = wait_ms < 0 ? pthread_cond_wait(&mailbox->posted, &mailbox->lock)
                             : pthread_cond_timedwait(&mailbox->posted, &mailbox->lock, &until);
}

void mailbox_take(struct mailbox *mailbox, int wait_ms, struct mail **ret_mails, struct submission **ret_submissions)
{
    pthread_mutex_lock(&mailbox->lock);
    wait_for_post(mailbox, wait_ms);
    *ret_mails = mailbox->first_mail;
    *ret_submissions = mailbox->first_submission;
    mailbox->first_mail = mailbox->last_mail = NULL;
    mailbox->first_submission = mailbox->last_submission = NULL;
    pthread_mutex_unlock(&mailbox->lock);
}
