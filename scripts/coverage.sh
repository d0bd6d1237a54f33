#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Which lines the tests have run: by folder, and what none has run, with the reason. Fails below 85 % of all, and below
# 95 % of shardd and of coordinator/engine. Runs the tests that count lines when none has yet.
#   coverage.sh [--lines PREFIX]     PREFIX: of files, shardd/batch; the text of what is not reached there without a reason
#   coverage.sh --report BUILD …     only reports, of that build
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build=build/asan
if [[ ${1:-} == --report ]]; then
    build=$2
    shift 2
elif [[ -z $(find "$build" -name '*.gcda' -print -quit 2>/dev/null) ]]; then
    ./scripts/test.sh -R '^coverage$' >&2 # and whatever counts lines before it
fi
exec /usr/bin/python3 -B tests/coverage/report.py "$build" "$@"
