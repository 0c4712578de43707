#!/bin/sh
# Compares include/iouringnet.h with what the sources make; --write makes it anew.
# usage: ci/header.sh [--write]
set -eu
cd "$(dirname "$0")/.."

fresh=$(mktemp)
trap 'rm -f "$fresh"' EXIT
# --lib is enough: the build script writes the header.
IOURINGNET_HEADER=$fresh cargo check --quiet --locked --lib --features header

if [ "${1:-}" = --write ]; then
    cat "$fresh" > include/iouringnet.h
elif ! diff -u include/iouringnet.h "$fresh"; then
    echo "include/iouringnet.h is not what the sources make: run ci/header.sh --write" >&2
    exit 1
fi
