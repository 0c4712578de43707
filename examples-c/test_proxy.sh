#!/bin/sh
# test_proxy.sh PROXY ECHO_SERVER ECHO_CLIENT: programs talk through the proxy that know nothing of it: ours, and nc, socat,
# curl and Python's web server where they are installed.
. "$(dirname "$0")/test_lib.sh"
proxy=$1
echo_server=$2
echo_client=$3

start_server "$directory/echo" "$echo_server" 127.0.0.1:0
backend_pid=$pid
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

# A client that comes while the backend is gone is told so at once.
kill "$backend_pid"
wait "$backend_pid"
"$echo_client" "$address" "anyone?" 2>/dev/null && fail "somebody answered"
grep -q "cannot reach 127.0.0.1:[0-9]*: ." "$directory/error" || fail "the proxy did not say that the backend is gone"
stop_server TERM
grep -q "^127.0.0.1:[0-9]*: 17 bytes to the backend, 17 bytes back" "$directory/proxy" || fail "the proxy did not count"

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
exit 0
