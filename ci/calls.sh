#!/usr/bin/env bash
# The C tests that move bytes, with a system call for each send of a callback, as on machines where that is cheap. Needs `make`.
# usage: ci/calls.sh [CTEST ARGUMENTS]
set -euo pipefail
cd "$(dirname "$0")/.."
export IOURINGNET_SENDS=calls
ctest --preset release -L io_uring -R '^(promise|transfer|fault_chaos).*/first-try$' "$@"
