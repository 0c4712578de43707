#!/usr/bin/env bash
# The static library builds for musl, and examples that are linked with it run. Skips if musl-gcc or Rust's standard library
# for musl is neither installed nor to be had.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(uname -m)-unknown-linux-musl
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sh ci/need.sh musl-gcc || { echo "SKIPPED: musl-gcc is missing"; exit 0; }
libdir=$(rustc --print target-libdir --target "$target")
if [ ! -d "$libdir" ] && ! timeout 120 rustup target add "$target"; then
    echo "SKIPPED: the standard library of $target is missing"
    exit 0
fi

cmake -S . -B build/musl -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_COMPILER=musl-gcc -DIOURINGNET_CARGO_TARGET="$target" \
    -DIOURINGNET_EXAMPLES=OFF -DIOURINGNET_TESTS=OFF >"$work/log" 2>&1 &&
    cmake --build build/musl --target iouringnet_static >>"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
for example in echo_server echo_client frames many; do
    # libunwind comes before the unwinder of gcc, which asks for glibc.
    musl-gcc -static -O1 -Iinclude "examples-c/$example.c" build/musl/libiouringnet.a \
        "$libdir/self-contained/libunwind.a" -o "$work/$example"
done
"$work/frames" >"$work/log" || { cat "$work/log"; exit 1; }
"$work/many" 200 >"$work/log" || { cat "$work/log"; exit 1; }
sh examples-c/test_echo.sh "$work/echo_server" "$work/echo_client"
echo "static programs on musl run"
