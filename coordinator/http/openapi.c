/* SPDX-License-Identifier: Apache-2.0 */
#include "openapi.h"

bool openapi_json(const struct schema *schema, struct buffer *out)
{
    (void)schema;
    return buffer_put_text(out, "{\"openapi\":\"3.0.3\"}");
}
