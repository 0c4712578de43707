#!/bin/sh
# test_echo_others.sh ECHO_SERVER [--no-first-try]: clients that are not ours, nc and socat, send 64 MiB and read all
# of it back. Skipped where neither is installed.
. "$(dirname "$0")/test_lib.sh"
server=$1
shift

nc=$(command -v nc) && "$nc" -h 2>&1 | grep -q -- "-N" || nc="" # other variants of nc cannot half-close
socat=$(command -v socat) || socat=""
[ -n "$nc$socat" ] || {
    echo "neither an nc that knows -N nor socat is here"
    exit 77
}

head -c 67108864 /dev/urandom >"$directory/sent"
start_server "$directory/server" "$server" 127.0.0.1:0 "$@"
if [ -n "$nc" ]; then
    "$nc" -N "${address%:*}" "${address##*:}" <"$directory/sent" >"$directory/received" || fail "nc failed"
    cmp "$directory/sent" "$directory/received" || fail "nc got something else back"
fi
if [ -n "$socat" ]; then
    # -t: how long socat reads on after it has sent everything
    "$socat" -t 30 - "TCP:$address" <"$directory/sent" >"$directory/received" || fail "socat failed"
    cmp "$directory/sent" "$directory/received" || fail "socat got something else back"
fi
stop_server TERM
