#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Lays out every C file as .clang-format says; with --check only says which are not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# not git's list: a copy without .git, or one that another user owns, has none, and nothing would be looked at
mapfile -t files < <(find coordinator shardd shared tests -name '*.[ch]' | sort)
case "${1:-}" in
--check) clang-format --dry-run -Werror "${files[@]}" ;;
"") clang-format -i "${files[@]}" ;;
*) echo "usage: scripts/format.sh [--check]" >&2; exit 2 ;;
esac
