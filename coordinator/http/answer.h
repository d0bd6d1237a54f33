/* SPDX-License-Identifier: Apache-2.0 */
/* answer.h - what became of a request's operations, as its answer (docs/api.md).
 *
 * Each is the `render` of a request whose work is over. Server thread. */
#ifndef SHEAF_ANSWER_H
#define SHEAF_ANSWER_H

#include "request.h"

/* Writes: the outcome of one, {"results":[…],"accepted":n,"refused":m} of many, {"ok":true,"results":[…]} of an atomic
 * batch or the error of the first operation that failed. */
void answer_writes(struct request *request);

/* One row, with its ETag; 304 when If-None-Match has it. */
void answer_row(struct request *request);

/* {"rows":[…],"next":"…"} */
void answer_page(struct request *request);

#endif
