#!/usr/bin/env bash
# No warning from the compiler or from clippy, in the library, its tests, and the code that only loom builds.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
cargo clippy --locked --all-targets --all-features --target-dir build/clippy -- -D warnings
# Test mode alone: what only the models use is dead code in a library built for loom.
RUSTFLAGS="--cfg loom" cargo clippy --locked --lib --profile test --target-dir build/clippy-loom -- -D warnings
