/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "records.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    records_check(INPUT_FORMAT_CSV, bytes, len);
    return 0;
}
