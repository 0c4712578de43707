#!/usr/bin/env bash
# The library and its Rust tests compile without a warning with the oldest Rust that Cargo.toml allows (rust-version). Skips
# if neither the machine nor rustup has that toolchain.
set -euo pipefail
cd "$(dirname "$0")/.."

oldest=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
if [[ $(rustc --version) == "rustc $oldest."* ]]; then
    cargo=(cargo)
elif rustup run "$oldest.0" true 2>/dev/null ||
    timeout 120 rustup toolchain install "$oldest.0" --profile minimal --no-self-update; then
    cargo=(rustup run "$oldest.0" cargo)
else
    echo "SKIPPED: Rust $oldest is neither installed nor to be had"
    exit 0
fi
RUSTFLAGS="-D warnings" "${cargo[@]}" check --locked --all-targets --target-dir build/oldest-rust
