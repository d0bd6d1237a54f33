#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Lays out every C file as .clang-format says; with --check only says which are not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mapfile -t files < <(git ls-files -- '*.c' '*.h')
case "${1:-}" in
--check) clang-format --dry-run -Werror "${files[@]}" ;;
"") clang-format -i "${files[@]}" ;;
*) echo "usage: scripts/format.sh [--check]" >&2; exit 2 ;;
esac
