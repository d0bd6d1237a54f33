/* SPDX-License-Identifier: Apache-2.0 */
#include "engine.h"

#include <stdlib.h>

struct submission *submission_new(uint32_t ops)
{
    struct submission *submission = calloc(1, sizeof *submission);
    if (!submission || !(submission->ops = calloc((size_t)ops + 1, sizeof *submission->ops))) {
        free(submission);
        return NULL;
    }
    return submission;
}

void submission_free(struct submission *submission)
{
    if (!submission)
        return;
    for (uint32_t i = 0; i < submission->count; i++)
        free(submission->ops[i].error);
    free(submission->ops);
    buffer_release(&submission->rows);
    free(submission);
}
