/* SPDX-License-Identifier: Apache-2.0 */
#include "limits.h"

struct limits limits_default(void)
{
    return (struct limits){
#define X(name, standard, smallest, largest, unit, why) .name = standard,
        LIMITS_SETTABLE(X)
#undef X
    };
}
