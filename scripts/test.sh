#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Everything that guards Sheaf: layout, warnings of two compilers, and all tests, twice where it pays: optimised, and under
# ASan and UBSan (unit and differential tests, each as one test of the same run); the fault tests under these alone. clang's
# builds have TSan, for the engine's and the links' tests, and libFuzzer. What CTest says last counts all of it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

./scripts/setup.sh
./scripts/format.sh --check

configure() { # folder, compiler, options…
    local folder=$1 compiler=$2
    shift 2
    [[ -f $folder/build.ninja ]] || CC=$compiler cmake -S . -B "$folder" -G Ninja "$@" >/dev/null
}

configure build gcc -DCMAKE_BUILD_TYPE=Release
configure build/asan gcc -DCMAKE_BUILD_TYPE=Debug -DSHEAF_SANITIZE=address,undefined -DSHEAF_FAILPOINTS=ON
configure build/tsan clang -DCMAKE_BUILD_TYPE=Debug -DSHEAF_SANITIZE=thread
configure build/fuzz clang -DCMAKE_BUILD_TYPE=None -DSHEAF_FUZZ=ON
cmake -S . -B build -DSHEAF_ASAN_BUILD="$PWD/build/asan" -DSHEAF_TSAN_BUILD="$PWD/build/tsan" \
    -DSHEAF_FUZZ_BUILD="$PWD/build/fuzz" >/dev/null
for folder in build build/asan build/tsan build/fuzz; do
    echo "test: building $folder" >&2
    ninja -C "$folder" --quiet
done

# one more at a time than there are cores: many wait, for a disk or on purpose
exec ctest --test-dir build --output-on-failure -j"$(($(nproc) + 1))" "$@"
