#!/usr/bin/env bash
# The protocols between threads, tried in every order that loom finds with so many preemptions.
# More: LOOM_MAX_PREEMPTIONS=4 ci/loom.sh
set -euo pipefail
cd "$(dirname "$0")/.."
export LOOM_MAX_PREEMPTIONS=${LOOM_MAX_PREEMPTIONS:-2}
log=build/loom.log
mkdir -p build
RUSTFLAGS="--cfg loom" cargo test --locked --release --lib --target-dir build/loom loom 2>&1 | tee "$log"
# A filter that matches nothing would pass.
models=$(grep -cE '^test .*loom.* \.\.\. ok$' "$log" || true)
[ "$models" -ge 4 ] || { echo "only $models models ran"; exit 1; }
echo "$models models, at most $LOOM_MAX_PREEMPTIONS preemptions"
