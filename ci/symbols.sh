#!/usr/bin/env bash
# The shared object exports the functions that the header declares, and nothing else; its soname is the one promised.
# Needs `make`.
set -euo pipefail
cd "$(dirname "$0")/.."
library=build/libiouringnet.so
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The preprocessor drops the comments; its line markers tell the header's own lines from those that it includes. A name
# before a parenthesis is a function: a pointer type has its name inside one.
cc -E include/iouringnet.h |
    awk '/^# /{ours = ($3 ~ /iouringnet\.h"$/)} ours && !/^#/' |
    grep -oE '\b[a-z][a-z0-9_]*[[:space:]]*\(' | tr -d '( \t' |
    grep -vE '^(__attribute__|iouringnet_status|void|size_t)$' | sort -u >"$work/declared"
nm -D --defined-only "$library" | awk '{print $3}' | sort -u >"$work/exported"

[ -s "$work/declared" ] || { echo "no functions found in the header"; exit 1; }
if ! diff -u "$work/declared" "$work/exported"; then
    echo "header (-) and library (+) differ"
    exit 1
fi
for name in net_start net_dial sink_send stream_recv stream_peek; do
    grep -qx "$name" "$work/exported" || { echo "$name is not exported"; exit 1; }
done
readelf -d "$library" | grep -q 'SONAME.*\[libiouringnet.so.0.1\]' || { echo "the soname is not libiouringnet.so.0.1"; exit 1; }
readelf -d "$library" | grep -q 'NODELETE' || { echo "not linked with -z nodelete: a detached thread may outlive dlclose"; exit 1; }
echo "$(wc -l <"$work/exported") functions, in the header and in the library alike"
