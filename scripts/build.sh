#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the two programs, optimised, into build/bin/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

./scripts/setup.sh
[[ -f build/build.ninja ]] || CC=gcc cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release >&2
ninja -C build --quiet "${@:-all}" >&2
