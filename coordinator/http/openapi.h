/* SPDX-License-Identifier: Apache-2.0 */
/* openapi.h - what /v1/openapi.json answers: every call, described (OpenAPI 3.0.3). Any thread. */
#ifndef SHEAF_OPENAPI_H
#define SHEAF_OPENAPI_H

#include "buffer.h"
#include "schema.h"

/* False only when memory is out. */
bool openapi_json(const struct schema *schema, struct buffer *out);

#endif
