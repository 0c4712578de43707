#!/usr/bin/env bash
# Clients that are not ours get every byte back from the echo server: 64 MiB through nc and through socat, with the first
# try and without. Needs `make`.
set -euo pipefail
cd "$(dirname "$0")/.."
. ci/server.sh
work=$(mktemp -d)
trap 'server_stop || true; rm -rf "$work"' EXIT
head -c $((64 * 1024 * 1024)) /dev/urandom >"$work/in"

for mode in "" --no-first-try; do
    # shellcheck disable=SC2086
    server_start "$work/server.log" build/examples-c/echo_server 127.0.0.1:0 $mode
    timeout 60 nc -N "$HOST" "$PORT" <"$work/in" >"$work/out"
    cmp "$work/in" "$work/out"
    # -t: how long socat waits for the other direction after its input ended.
    timeout 60 socat -t 50 - "TCP4:$HOST:$PORT" <"$work/in" >"$work/out"
    cmp "$work/in" "$work/out"
    server_stop
    echo "nc and socat: 64 MiB back, byte for byte ${mode:-(first try on)}"
done
