#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test-plants.sh [NAME…]: plants each bug of tests/fault/plants/ in a scratch copy, and expects the test that it is there for to
# fail and to say what it should. --table: the rows of docs/promises.md; --help: the rest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

./scripts/setup.sh
exec /usr/bin/python3 -B tests/fault/plants.py "$@"
