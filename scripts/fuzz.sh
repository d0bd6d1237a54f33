#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fuzz.sh [--build FOLDER] [--seed N] [--save] SECONDS [TARGET…]: what is saved for each target of tests/fuzz, then new inputs
# for so many seconds each. What breaks it is kept, with the command that repeats it. --save puts what was found, as far as
# it reaches anything new, into tests/fuzz/corpus.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build=build/fuzz seed=$((RANDOM * 32768 + RANDOM + 1)) save=
while [[ ${1:-} == --* ]]; do
    case $1 in
    --build) build=$2; shift ;;
    --seed) seed=$2; shift ;;
    --save) save=yes ;;
    *) sed -n '3,5s/^# //p' "$0"; exit 2 ;;
    esac
    shift
done
seconds=${1:?how many seconds for each target}
shift
targets=("$@")
if ((!${#targets[@]})); then
    mapfile -t targets < <(find tests/fuzz -name 'fuzz_*.c' -printf '%f\n' | sed 's/^fuzz_//; s/\.c$//' | sort)
fi

if [[ $build == build/fuzz && ! -f $build/build.ninja ]]; then
    CC=clang cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=None -DSHEAF_FUZZ=ON >/dev/null
fi
[[ $build != build/fuzz ]] || ninja -C "$build" --quiet

# what is freed is kept by ASan for a while, and would count as Sheaf's memory
export ASAN_OPTIONS=quarantine_size_mb=8:malloc_context_size=8:detect_leaks=1
# by the clock on the wall, and the machine may be busy: what takes so long is a hang
limits=(-rss_limit_mb=256 -timeout=60)

fuzz() { # target
    local name=$1 program=$build/bin/fuzz_$1 corpus=tests/fuzz/corpus/$1 finds=$build/finds/$1 broken=$build/broken/$1
    local more=()
    rm -rf "$finds" "$broken"
    mkdir -p "$finds" "$broken"
    [[ ! -f tests/fuzz/$name.dict ]] || more=("-dict=tests/fuzz/$name.dict")
    echo "fuzz: $name: $(find "$corpus" -type f | wc -l) saved inputs, then $seconds s, seed $seed"
    if ! "$program" "${limits[@]}" -runs=0 -artifact_prefix="$broken/" "$corpus" ||
        ! "$program" "${limits[@]}" -seed="$seed" -max_total_time="$seconds" -detect_leaks=1 -print_final_stats=1 \
            -artifact_prefix="$broken/" "${more[@]}" "$finds" "$corpus"; then
        find "$broken" -type f | while read -r input; do
            echo "fuzz: $name breaks; again: ASAN_OPTIONS=$ASAN_OPTIONS $program $input"
        done
        return 1
    fi
}

save() { # target: the smallest inputs that reach what both have reached
    local merged=$build/merged/$1 corpus=tests/fuzz/corpus/$1
    rm -rf "$merged"
    mkdir -p "$merged"
    "$build/bin/fuzz_$1" "${limits[@]}" -merge=1 "$merged" "$corpus" "$build/finds/$1"
    find "$corpus" -name 'found-*' -exec cp {} "$merged" \; # what once broke it stays as it was
    rm -rf "$corpus"
    mv "$merged" "$corpus"
}

failed=0
for target in "${targets[@]}"; do
    fuzz "$target" 2>&1 || failed=1
    [[ -z $save ]] || save "$target"
done
exit $failed
