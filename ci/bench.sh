#!/usr/bin/env bash
# run.py where it measures nothing, and the measuring client against servers with faults: it must find every one.
# Measures nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
timeout 60 python3 bench/test_run.py
sh ci/need.sh liburing
mkdir -p build/bench-client
cc -std=c11 -O2 -Wall -Wextra -Werror -o build/bench-client/load bench/load*.c bench/pattern.c -pthread -luring
timeout 120 python3 bench/test_load.py build/bench-client/load
