# Sourced by the scripts that need a running echo server. server_start LOG COMMAND... sets HOST and PORT once it accepts;
# server_stop ends it by SIGTERM and fails unless it ended well.
SERVER=

server_start() {
    local log=$1
    shift
    : >"$log" # here, since the server's process may come to it after the look below
    "$@" >"$log" 2>&1 </dev/null &
    SERVER=$!
    local address=
    for _ in $(seq 200); do
        address=$(sed -n 's/^listening on //p' "$log")
        if [ -n "$address" ]; then break; fi
        if ! kill -0 "$SERVER" 2>/dev/null; then break; fi
        sleep 0.05
    done
    if [ -z "$address" ]; then
        echo "the server did not start: $*"
        cat "$log"
        return 1
    fi
    # Read by the scripts that source this file.
    # shellcheck disable=SC2034
    HOST=${address%:*} PORT=${address##*:}
}

# With an argument: the server's process, where another program runs it.
server_stop() {
    if [ -z "$SERVER" ]; then return 0; fi
    local pid=$SERVER server=${1:-$SERVER} status=0
    SERVER=
    kill -TERM "$server" || true
    for _ in $(seq 200); do
        if ! kill -0 "$pid" 2>/dev/null; then break; fi
        sleep 0.05
    done
    if kill -KILL "$pid" 2>/dev/null; then
        kill -KILL "$server" 2>/dev/null || true
        echo "the server did not end in 10 s"
    fi
    wait "$pid" || status=$?
    if [ "$status" -ne 0 ]; then echo "the server ended with $status"; return 1; fi
}
