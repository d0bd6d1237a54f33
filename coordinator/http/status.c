/* SPDX-License-Identifier: Apache-2.0 */
#include "status.h"

unsigned status_of(enum error_code code)
{
    switch (code) {
    case ERROR_NONE:
        return 200;
    case ERROR_PARSE:
    case ERROR_UNKNOWN_COLUMN:
        return 400;
    case ERROR_UNAUTHORIZED:
        return 401;
    case ERROR_FORBIDDEN:
        return 403;
    case ERROR_UNKNOWN_TABLE:
    case ERROR_NOT_FOUND:
        return 404;
    case ERROR_METHOD:
        return 405;
    case ERROR_UNIQUE:
    case ERROR_REFERENCED:
    case ERROR_CONFLICT:
    case ERROR_KEY_REUSED:
        return 409;
    case ERROR_PRECONDITION:
        return 412;
    case ERROR_TOO_LARGE:
        return 413;
    case ERROR_MEDIA_TYPE:
        return 415;
    case ERROR_CHECK:
    case ERROR_NOT_NULL:
    case ERROR_TYPE:
    case ERROR_REFERENCE_MISSING:
        return 422;
    case ERROR_BUSY:
        return 429;
    case ERROR_UNAVAILABLE:
        return 503;
    case ERROR_UNKNOWN:
        return 504;
    case ERROR_IO:
    case ERROR_INTERNAL:
    case ERROR_CODE_COUNT:
        break;
    }
    return 500;
}
