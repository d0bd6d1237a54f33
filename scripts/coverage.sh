#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Which lines the tests run: by folder, and what none runs, with the reason. Fails below 85 % of all, and below 95 % of
# shardd and of coordinator/engine. Builds a copy that counts lines, in build/coverage, and runs all tests there, but for
# those of memory and speed.
#   coverage.sh [--lines PREFIX]     PREFIX: of files, shardd/batch; the text of what is not reached there without a reason
#   coverage.sh --report …           only reports what the last run has counted
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build=build/coverage
if [[ ${1:-} == --report ]]; then
    shift
else
    ./scripts/setup.sh
    [[ -f $build/build.ninja ]] ||
        CC=gcc cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DSHEAF_COVERAGE=ON -DSHEAF_FAILPOINTS=ON >/dev/null
    ninja -C "$build" --quiet >&2
    # counts are of this run, and of these sources
    rm -rf "$build/coverage" "$build/coverage-errors.txt"
    find "$build" -name '*.gcda' -delete
    GCOV_ERROR_FILE="$PWD/$build/coverage-errors.txt" ctest --test-dir "$build" --output-on-failure -j2 \
        -L 'unit|differential|system|fault|fuzz' -E 'system/shop|fault/recovery' >&2
fi
exec /usr/bin/python3 -B tests/coverage/report.py "$build" "$@"
