/* SPDX-License-Identifier: Apache-2.0 */
/* rows.h - the calls on /v1/rows: insert, read, change and delete rows of one table (docs/api.md).
 *
 * Handlers (request.h); `text` is what stands behind "/v1/rows/", still encoded. Server thread. */
#ifndef SHEAF_ROWS_H
#define SHEAF_ROWS_H

#include "request.h"

/* Whether `text` is TABLE, or TABLE/KEY. */
bool rows_path_has_key(const char *text, size_t len);

void rows_post(struct request *request);   /* POST TABLE */
void rows_page(struct request *request);   /* GET TABLE */
void rows_get(struct request *request);    /* GET TABLE/KEY */
void rows_patch(struct request *request);  /* PATCH TABLE/KEY */
void rows_delete(struct request *request); /* DELETE TABLE/KEY */

#endif
