#!/usr/bin/env bash
# Builds everything that run.py runs, into build/bench. The library itself must have been built in build/.
set -euo pipefail
cd "$(dirname "$0")/.."
library=${IOURINGNET_BUILD:-$PWD/build}
out=${BENCH_OUT:-$PWD/build/bench}

bench/need.sh
cmake -S bench -B "$out" -DIOURINGNET_BUILD="$library" -Wno-dev
cmake --build "$out"

# A make above would pass down a job server that cargo does not share with it.
unset MAKEFLAGS MFLAGS MAKELEVEL
if ! command -v cargo >/dev/null 2>&1; then
    echo "skipped: peer_tokio, peer_tokio_dial, peer_tokio_proxy, peer_monoio: cargo is missing"
elif CARGO_TARGET_DIR=$out/rust timeout 600 cargo build --release --locked --manifest-path bench/rust-peers/Cargo.toml; then
    cp -f "$out"/rust/release/peer_{tokio,tokio_dial,tokio_proxy,monoio} "$out/"
else
    echo "skipped: peer_tokio, peer_tokio_dial, peer_tokio_proxy, peer_monoio: cargo could not build them"
fi

if ! command -v cargo >/dev/null 2>&1; then
    echo "skipped: peer_commonware: cargo is missing"
elif CARGO_TARGET_DIR=$out/rust-commonware timeout 600 cargo build --release --locked --manifest-path bench/rust-commonware/Cargo.toml; then
    cp -f "$out/rust-commonware/release/peer_commonware" "$out/"
else
    echo "skipped: peer_commonware: cargo could not build it"
fi
