#!/usr/bin/env bash
# What the echo server asks of the kernel under load, seen by strace: io_uring_enter in any case, and with the first try
# off no call that sends or receives on a socket. Needs `make`.
set -euo pipefail
cd "$(dirname "$0")/.."
. ci/server.sh
work=$(mktemp -d)
trap 'server_stop "$(cat "$work/pid" 2>/dev/null)" || true; rm -rf "$work"' EXIT
head -c $((8 * 1024 * 1024)) /dev/urandom >"$work/in"

if ! timeout 20 strace -o /dev/null true 2>"$work/log"; then
    cat "$work/log"
    if [ -n "${CI:-}" ]; then exit 1; fi
    echo "SKIPPED: strace may not trace here"
    exit 0
fi

for mode in "" --no-first-try; do
    # -C: the table of -c, after the calls one by one; -yy: what each descriptor is. The shell leaves its process to the
    # server, so that it is the server that gets the signal at the end; strace blocks it.
    # shellcheck disable=SC2016,SC2086
    rm -f "$work/pid"
    server_start "$work/server.log" strace -f -C -yy -o "$work/trace" \
        sh -c 'echo $$ >"$0"; exec "$@"' "$work/pid" build/examples-c/echo_server 127.0.0.1:0 $mode
    clients=()
    for n in 1 2 3 4; do
        (timeout 120 nc -N "$HOST" "$PORT" <"$work/in" >"$work/out.$n" && cmp "$work/in" "$work/out.$n") &
        clients+=($!)
    done
    for client in "${clients[@]}"; do wait "$client"; done
    server_stop "$(cat "$work/pid")"

    echo "echo_server ${mode:-(first try on)}, calls:"
    sed -n '/^% time/,$p' "$work/trace" | awk 'NF >= 5 && $1 ~ /^[0-9]/ {print $4, $NF}' | sort -rn | head -12 | sed 's/^/  /'
    grep -qE '^[0-9]+ +io_uring_enter\(' "$work/trace" || { echo "no io_uring_enter"; exit 1; }
    if [ -n "$mode" ]; then
        if grep -m 5 -E '^[0-9]+ +(sendto|sendmsg|sendmmsg|recvfrom|recvmsg|recvmmsg|sendfile|splice)\(' "$work/trace"; then
            echo "a send or receive call with the first try off"
            exit 1
        fi
        if grep -m 5 -E '^[0-9]+ +(read|write|readv|writev)\([0-9]+<(TCP|TCPv6|socket)' "$work/trace"; then
            echo "a read or write on a socket with the first try off"
            exit 1
        fi
    fi
done
