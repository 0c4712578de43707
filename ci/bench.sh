#!/usr/bin/env bash
# The measuring client against servers with faults: it must find every one. Measures nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build/bench
cc -std=c11 -O2 -Wall -Wextra -Werror -o build/bench/load bench/load*.c bench/pattern.c -pthread -lm
timeout 120 python3 bench/test_load.py build/bench/load
