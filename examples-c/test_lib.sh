# Shared by the tests of the examples: a directory of their own, the end of what they started, and waiting for
# the line in which a server says its address. Sourced, not run.
set -u
directory=$(mktemp -d) || exit 1
started=""

clean_up() {
    for pid in $started; do
        kill "$pid" 2>/dev/null
    done
    rm -rf "$directory"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# start_server OUTPUT PROGRAM ARGUMENT...: starts it, and sets `pid` and the `address` that it printed.
start_server() {
    output=$1
    shift
    "$@" >"$output" &
    pid=$!
    started="$started $pid"
    tries=0
    address=""
    while [ -z "$address" ]; do
        kill -0 "$pid" 2>/dev/null || fail "$1 ended before it listened"
        tries=$((tries + 1))
        [ "$tries" -le 100 ] || fail "$1 did not say within 10 s where it listens"
        sleep 0.1
        address=$(sed -n 's/^listening on //p' "$output")
    done
}

# refuse_port OUTPUT: sets `address` to one that refuses every connection until this test ends. Needs Python.
refuse_port() {
    start_server "$1" python3 -c '
import socket, time
bound = socket.socket()
bound.bind(("127.0.0.1", 0))
print("listening on 127.0.0.1:%d" % bound.getsockname()[1], flush=True)
time.sleep(600)'
}

# stop_server SIGNAL: sends it to `pid`, which must then end with 0.
stop_server() {
    kill -s "$1" "$pid" || fail "the server was gone before SIG$1"
    wait "$pid" || fail "the server did not end cleanly on SIG$1"
}
