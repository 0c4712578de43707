#!/bin/sh
# test_proxy.sh PROXY ECHO_SERVER ECHO_CLIENT: programs talk through the proxy that know nothing of it: ours, and nc, socat,
# curl, Python's web server and Redis where they are installed.
. "$(dirname "$0")/test_lib.sh"
proxy=$1
echo_server=$2
echo_client=$3

start_server "$directory/echo" "$echo_server" 127.0.0.1:0
start_server "$directory/proxy" "$proxy" 127.0.0.1:0 "$address" 2>"$directory/error"

answer=$("$echo_client" "$address" "through the proxy") || fail "the client failed"
[ "$answer" = "through the proxy" ] || fail "'through the proxy' came back as '$answer'"
head -c 33554432 /dev/urandom >"$directory/sent"
"$echo_client" "$address" <"$directory/sent" >"$directory/received" || fail "the client failed with a file"
cmp "$directory/sent" "$directory/received" || fail "the file came back changed"
# These send all, end their side, and read on until the proxy passes the end of the echo on.
if nc -h 2>&1 | grep -q -- "-N"; then
    nc -N "${address%:*}" "${address##*:}" <"$directory/sent" >"$directory/received" || fail "nc failed"
    cmp "$directory/sent" "$directory/received" || fail "nc got something else back"
fi
if command -v socat >/dev/null; then
    socat -t 30 - "TCP:$address" <"$directory/sent" >"$directory/received" || fail "socat failed"
    cmp "$directory/sent" "$directory/received" || fail "socat got something else back"
fi

stop_server TERM
grep -q "^127.0.0.1:[0-9]*: 17 bytes to the backend, 17 bytes back" "$directory/proxy" || fail "the proxy did not count"

# A client learns at once that the backend refuses.
if command -v python3 >/dev/null; then
    refuse_port "$directory/refused"
    start_server "$directory/proxy" "$proxy" 127.0.0.1:0 "$address" 2>"$directory/error"
    "$echo_client" "$address" "anyone?" 2>/dev/null && fail "somebody answered"
    grep -q "cannot reach 127.0.0.1:[0-9]*: ." "$directory/error" || fail "the proxy did not say that the backend refuses"
    stop_server TERM
fi

if command -v curl >/dev/null && command -v python3 >/dev/null; then
    cat >"$directory/web.py" <<'END'
import functools, http.server, sys
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
print("listening on 127.0.0.1:%d" % server.server_port, flush=True)
server.serve_forever()
END
    mkdir "$directory/pages"
    cp "$directory/sent" "$directory/pages/page"
    start_server "$directory/web" python3 "$directory/web.py" "$directory/pages" 2>/dev/null
    start_server "$directory/proxy" "$proxy" 127.0.0.1:0 "$address"
    curl -sS --max-time 30 -o "$directory/one" -o "$directory/two" "http://$address/page" "http://$address/page" ||
        fail "curl failed"
    cmp "$directory/sent" "$directory/one" && cmp "$directory/sent" "$directory/two" || fail "curl got something else"
    stop_server INT
fi

# benchmark BACKEND_PORT PROXY_PORT ARGUMENT...: Redis's own benchmark checks each answer, and ends at the first error.
benchmark() {
    backend_port=$1
    port=$2
    shift 2
    before=$(redis-cli -p "$backend_port" info stats | sed -n 's/^total_commands_processed://p' | tr -d '\r')
    timeout 100 redis-benchmark -p "$port" -n 2000 --csv "$@" >"$directory/benchmark" 2>&1 || fail "redis-benchmark failed"
    grep -q -i -e error -e closed "$directory/benchmark" && fail "$(cat "$directory/benchmark")"
    after=$(redis-cli -p "$backend_port" info stats | sed -n 's/^total_commands_processed://p' | tr -d '\r')
    [ $((after - before)) -ge 6000 ] || fail "Redis got $((after - before)) commands"
}

if command -v redis-benchmark >/dev/null && command -v redis-server >/dev/null && command -v python3 >/dev/null; then
    free_port='import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
    redis_port=$(python3 -c "$free_port")
    redis-server --bind 127.0.0.1 --port "$redis_port" --save "" --appendonly no --dir "$directory" >"$directory/redis" &
    started="$started $!"
    tries=0
    until [ "$(redis-cli -p "$redis_port" ping 2>/dev/null)" = PONG ]; do
        tries=$((tries + 1))
        [ "$tries" -le 100 ] || fail "redis-server did not start: $(cat "$directory/redis")"
        sleep 0.1
    done
    start_server "$directory/proxy" "$proxy" 127.0.0.1:0 "127.0.0.1:$redis_port"
    benchmark "$redis_port" "${address##*:}" -t set,get,lpush
    benchmark "$redis_port" "${address##*:}" -t set,get,lpush -P 16 -d 3000 -c 100
    stop_server TERM
fi
exit 0
