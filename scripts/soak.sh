#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# soak.sh [--seed N] HOURS [ROW…]: the long forms of the tests that break Sheaf, one after the other; --rows lists them. The time
# is shared out: half of it goes to `soak` when that is among them. The report, and what each run said, is in build/soak/.
# Exit 1: one failed. Ctrl-C leaves the report of what has run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ ${1:-} != --rows && ${1:-} != --help ]]; then
    ./scripts/setup.sh
    CC=gcc cmake -S . -B build/asan -G Ninja -DCMAKE_BUILD_TYPE=Debug -DSHEAF_SANITIZE=address,undefined -DSHEAF_FAILPOINTS=ON \
        >/dev/null
    CC=gcc cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DSHEAF_ASAN_BUILD="$PWD/build/asan" >/dev/null
    for folder in build/asan build; do
        ninja -C "$folder" --quiet coordinator shardd tests/fault/all
    done
fi
exec /usr/bin/python3 -B tests/fault/long.py "$@"
