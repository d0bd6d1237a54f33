#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tidy.sh [FILE…]: clang-tidy over every source of the two programs, or over FILEs, with the checks of .clang-tidy. Not part
# of test.sh: it takes minutes, and each release of clang-tidy has an opinion of its own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v clang-tidy >/dev/null || { echo "tidy: there is no clang-tidy here: apt install clang-tidy" >&2; exit 2; }
[[ -f build/compile_commands.json ]] || ./scripts/build.sh
(($#)) || mapfile -t files < <(git ls-files -- 'shared/*.c' 'shardd/*.c' 'coordinator/*.c')
printf '%s\0' "${files[@]:-$@}" | xargs -0 -P "$(nproc)" -n 8 clang-tidy -p build --quiet
