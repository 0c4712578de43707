#!/usr/bin/env bash
# The library as it is in a container: the examples, and the C tests over epoll, under a seccomp filter like the default
# profiles of container runtimes. Those refuse io_uring. Needs `make`.
# usage: ci/containers.sh [CTEST ARGUMENTS]
set -euo pipefail
cd "$(dirname "$0")/.."
profile=container
# shellcheck source=ci/filtered.sh
. ci/filtered.sh

# Nobody names an engine to the examples, so each of them finds out by itself.
unset IOURINGNET_ENGINE
if IOURINGNET_ENGINE=io_uring filtered build/examples-c/frames >"$work/log" 2>&1; then
    echo "io_uring works under the filter"
    exit 1
fi
grep -q seccomp "$work/log" || { echo "frames does not say why it cannot start:"; cat "$work/log"; exit 1; }

filtered_tests -LE io_uring "$@"
grep "(Skipped)" "$work/tests" || true
