#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench.sh [ROUNDS [USERS PRODUCTS ORDERS]]: loads the shop with Sheaf and, beside it, the same rows out of memory into one
# SQLite file; prints both times of each round and the ratio of the best ones (1.0: as fast; 2.0: Sheaf takes half the time).
# Sheaf's time is the whole command: start, parsing, checks, three databases, end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

rounds=${1:-3} users=${2:-200000} products=${3:-50000} orders=${4:-1000000}
if [[ ! "$rounds$users$products$orders" =~ ^[0-9]+$ ]]; then
    echo "usage: scripts/bench.sh [ROUNDS [USERS PRODUCTS ORDERS]]" >&2
    exit 2
fi
./scripts/build.sh
shop=build/bench/shop-$users-$products-$orders work=build/bench/work
[[ -f $shop/planted.csv ]] || ./scripts/gen-shop.sh "$users" "$products" "$orders" "$shop" >&2

best_sheaf='' best_file=''
less() { [[ -z $2 ]] || awk "BEGIN { exit !($1 < $2) }"; }
echo "round  sheaf s  one file s"
for ((round = 1; round <= rounds; round++)); do
    rm -rf "$work" && mkdir -p "$work"
    begun=$(date +%s.%N)
    build/bin/coordinator load --data "$work/sheaf" --quiet --metrics none "users=$shop/users.csv" "products=$shop/products.csv" \
        "orders=$shop/orders.csv" >/dev/null && status=0 || status=$?
    sheaf=$(awk "BEGIN { printf \"%.3f\", $(date +%s.%N) - $begun }")
    ((status <= 1)) || { echo "bench: load exited with $status" >&2; exit 1; }
    read -r _ _ file < <(build/tests/one_file "$work/one.db" "$shop/users.csv" "$shop/products.csv" "$shop/orders.csv")
    printf '%5d  %7s  %10s\n' "$round" "$sheaf" "$file"
    less "$sheaf" "$best_sheaf" && best_sheaf=$sheaf
    less "$file" "$best_file" && best_file=$file
done
awk "BEGIN { printf \"ratio of the best: %.2f\n\", $best_file / $best_sheaf }"
rm -rf "$work"
