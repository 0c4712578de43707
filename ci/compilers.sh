#!/usr/bin/env bash
# The examples and the C tests compile without a warning, with gcc and with clang.
set -euo pipefail
cd "$(dirname "$0")/.."
flags=(-std=c11 -O2 -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Iinclude -Iexamples-c -Ic-tests)
flags+=('-DCONSTRUCTOR_LIBRARY="path"' '-DPLUGIN_HOST="path"') # CMake knows the paths
files=(examples-c/*.c c-tests/*.c c-tests/plugin/*.c)
for compiler in gcc clang; do
    if ! command -v "$compiler" >/dev/null; then
        echo "SKIPPED: $compiler is not installed"
        continue
    fi
    for file in "${files[@]}"; do
        "$compiler" "${flags[@]}" -c -o /dev/null "$file"
    done
    echo "$compiler: ${#files[@]} files"
done
