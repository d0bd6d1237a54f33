/* SPDX-License-Identifier: Apache-2.0 */
/* batch.h - POST /v1/batch: operations on any tables, all or nothing or each for itself (docs/api.md).
 *
 * A handler (request.h). Server thread. */
#ifndef SHEAF_BATCH_REQUEST_H
#define SHEAF_BATCH_REQUEST_H

#include "request.h"

void batch_post(struct request *request);

#endif
