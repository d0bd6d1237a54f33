#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds, and runs the demonstration in a data directory under build/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

./scripts/build.sh coordinator shardd
exec build/bin/coordinator demo --data build/demo-data "$@"
