#!/usr/bin/env bash
# The Rust code is formatted as rustfmt.toml says. To mend it: cargo fmt
set -euo pipefail
cd "$(dirname "$0")/.."
cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
cargo fmt --all --check
