#!/usr/bin/env bash
# The examples, the tools, the programs of the guide and the C tests compile without a warning, with gcc and with clang.
# Programs of libraries that are not installed are left out.
set -euo pipefail
cd "$(dirname "$0")/.."
flags=(-std=c11 -O2 -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Iinclude -Iexamples-c -Ic-tests)
flags+=('-DCONSTRUCTOR_LIBRARY="path"' '-DPLUGIN_HOST="path"') # CMake knows the paths
for module in glib-2.0 libuv; do
    read -ra found < <(pkg-config --cflags "$module" 2>/dev/null) || true
    flags+=("${found[@]}")
done
if [ -d build/llhttp/include ]; then flags+=(-isystem build/llhttp/include); fi

files=()
for file in examples-c/*.c docs/guide/programs/*.c tools/*.c c-tests/*.c c-tests/plugin/*.c; do
    errors=$(cc "${flags[@]}" -M "$file" 2>&1 >/dev/null || true)
    if missing=$(grep -oE '(glib-unix|uv|event2/[a-z]+|llhttp|openssl/[a-z]+)\.h: No such file.*' <<<"$errors"); then
        echo "SKIPPED: $file: $missing"
    else
        files+=("$file")
    fi
done
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
