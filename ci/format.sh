#!/usr/bin/env bash
# The Rust code is formatted as rustfmt.toml says, the C and C++ code of bench/, examples-c/, c-tests/, docs/guide/programs/,
# tools/ and ci/ as .clang-format says; --write mends both.
# usage: ci/format.sh [--write]
set -euo pipefail
cd "$(dirname "$0")/.."
cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
sh ci/need.sh clang-format
sources=(bench/*.c bench/*.h bench/*.cpp examples-c/*.c examples-c/*.h c-tests/*.c c-tests/*.h c-tests/plugin/*.c ci/*.c
    ci/install/*.c tools/*.c tools/*.h docs/guide/programs/*.c docs/guide/programs/*.cpp)

if [ "${1:-}" = --write ]; then
    cargo fmt --all
    clang-format -i "${sources[@]}"
    exit 0
fi
result=0
cargo fmt --all --check || result=1
clang-format --dry-run --Werror "${sources[@]}" || result=1
[ "$result" = 0 ] || echo "the layout is not that of rustfmt.toml and .clang-format: run ci/format.sh --write" >&2
exit "$result"
