#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what Sheaf is built and tested with, from Debian's packages: the one list of them. Does nothing when all are there.
set -euo pipefail

packages=(
    gcc g++ clang libclang-rt-14-dev clang-format cmake ninja-build pkg-config git python3
    libsqlite3-dev sqlite3 libnng-dev libmsgpack-dev libjansson-dev libinih-dev
    libroaring-dev libmicrohttpd-dev
    libcmocka-dev procps spin
)

missing=()
for package in "${packages[@]}"; do
    status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
    [[ $status == "install ok installed" ]] || missing+=("$package")
done
((${#missing[@]})) || exit 0

echo "setup: installing ${missing[*]}" >&2
as_root=()
if ((EUID != 0)); then
    command -v sudo >/dev/null || { echo "setup: not root and there is no sudo; install them by hand" >&2; exit 2; }
    as_root=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq >&2
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
