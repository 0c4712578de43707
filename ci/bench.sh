#!/usr/bin/env bash
# run.py where it measures nothing, the measuring client against servers with faults, of which it must find every one, and
# a moment of run.py with servers that need no other library's package. Its figures mean nothing here. Needs `make`.
set -euo pipefail
cd "$(dirname "$0")/.."
timeout 60 python3 bench/test_run.py
sh ci/need.sh liburing
mkdir -p build/bench-client
cc -std=c11 -O2 -Wall -Wextra -Werror -o build/bench-client/load bench/load*.c bench/pattern.c -pthread -luring
timeout 120 python3 bench/test_load.py build/bench-client/load
cc -std=c11 -O2 -Wall -Wextra -Werror -o build/bench-client/floor_io_uring bench/floor_io_uring.c -luring
cc -std=c11 -O2 -Wall -Wextra -Werror -Iinclude -o build/bench-client/ours_chain bench/ours_chain.c -pthread \
    -Lbuild -liouringnet "-Wl,-rpath,$PWD/build"
timeout 60 python3 bench/run.py --directory build/bench-client --cases '^echo_(64b_64|16kib_64|64b_64_pipelined_16)$' \
    --servers '^(floor_(io_uring|io_uring_skip|inline)|ours_chain(_rings)?)$' --variants --rounds 1 --seconds 0.1 --no-calls
