/* SPDX-License-Identifier: Apache-2.0 */
#include "head.h"

#include "framing.h"

#include <microhttpd.h>
#include <string.h>

/* The library would make a record of each parameter, which nobody asks it for; of thousands that would be all the
 * memory that it has for the connection, and it would end that without an answer. So it is shown none. */
struct request *head_begin(struct http *http, const char *target)
{
    struct request *request = request_new(http, target);
    char *query = strchr(target, '?');

    if (request) {
        request->target_is_sound = framing_is_target(target);
        request->target_end = target + strlen(target);
    }
    if (query)
        query[1] = '\0';
    return request;
}

const char *head_value(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static enum MHD_Result look_at_header(void *context, enum MHD_ValueKind kind, const char *name, size_t name_len,
                                      const char *value, size_t value_len)
{
    (void)kind;
    framing_header(context, name, name_len, value ? value : name + name_len, value_len);
    return MHD_YES;
}

static bool is_framed(const struct request *request, struct MHD_Connection *connection, const char *method,
                      const char *version, struct error *error)
{
    const union MHD_ConnectionInfo *head = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    struct framing framing;

    if (!head || !request->target_is_sound)
        return error_set(error, ERROR_PARSE, "the request's target has a blank or a control character");
    framing_begin(&framing, request->target_end, version);
    (void)MHD_get_connection_values_n(connection, MHD_HEADER_KIND, look_at_header, &framing);
    return framing_end(&framing, method + head->header_size, error);
}

bool head_read(struct request *request, struct MHD_Connection *connection, const char *method, const char *version,
               struct error *error)
{
    request->headers = (struct request_headers){
        .authorization = head_value(connection, "Authorization"),
        .host = request->authority ? request->authority : head_value(connection, "Host"),
        .origin = head_value(connection, "Origin"),
        .content_type = head_value(connection, "Content-Type"),
        .content_encoding = head_value(connection, "Content-Encoding"),
        .if_match = head_value(connection, "If-Match"),
        .if_none_match = head_value(connection, "If-None-Match"),
        .idempotency_key = head_value(connection, "Idempotency-Key"),
    };
    return is_framed(request, connection, method, version, error);
}
