/* SPDX-License-Identifier: Apache-2.0 */
/* status.h - the HTTP status of each error code. */
#ifndef SHEAF_STATUS_H
#define SHEAF_STATUS_H

#include "error.h"

unsigned status_of(enum error_code code); /* ERROR_NONE: 200 */

#endif
