#!/usr/bin/env bash
# The tests where io_uring is refused, as in many containers. Those that demand it skip. The examples, and the tests of the
# choice, run over epoll. The modes over epoll never ask for io_uring and are left out. Needs `make`.
# usage: ci/refused.sh [CTEST ARGUMENTS]
set -euo pipefail
cd "$(dirname "$0")/.."
profile=refused
# shellcheck source=ci/filtered.sh
. ci/filtered.sh

for example in echo_server "echo_client 127.0.0.1:1 x" frames "file_transfer receive 127.0.0.1:0 $work/file" many demo; do
    # shellcheck disable=SC2086
    if IOURINGNET_ENGINE=io_uring filtered build/examples-c/$example >"$work/log" 2>&1; then
        echo "$example runs without io_uring"
        exit 1
    fi
    grep -q "seccomp" "$work/log" || { echo "$example does not say why it cannot start:"; cat "$work/log"; exit 1; }
done
echo "every example that demands io_uring says why it cannot start"

filtered_tests -LE epoll "$@"
grep -q "Skipped" "$work/tests" || { echo "no test was skipped: the filter refused nothing"; exit 1; }
