#!/usr/bin/env bash
# Installs what is missing, builds, and runs the demonstration in a data directory under build/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

./scripts/build.sh coordinator shardd
exec build/bin/coordinator demo --data build/demo-data "$@"
