#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# gen-shop.sh USERS PRODUCTS ORDERS [DIR]: the shop's three tables as CSV, with a stated share of invalid rows.
#
# Deterministic: the same numbers give the same bytes. One row in a thousand is made invalid, each kind in turn. Writes into DIR
# (default: build/shop) users.csv products.csv orders.csv, and planted.csv: file,line,code of every row that must be refused.
# No valid row refers to a refused one.
set -euo pipefail

if (($# < 3 || $# > 4)) || [[ ! "$1$2$3" =~ ^[0-9]+$ ]] || (($1 < 10 || $2 < 10)); then
    echo "usage: scripts/gen-shop.sh USERS PRODUCTS ORDERS [DIR]   (at least 10 users and 10 products)" >&2
    exit 2
fi
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
exec /usr/bin/python3 "$top/tests/system/shop.py" "$1" "$2" "$3" "${4:-$top/build/shop}"
