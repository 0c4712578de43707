#!/bin/sh
# test_echo.sh ECHO_SERVER ECHO_CLIENT: the two talk to each other, in both modes of the server, and the client's
# errors are sentences.
. "$(dirname "$0")/test_lib.sh"
server=$1
client=$2

for mode in "" --no-first-try; do
    signal=${mode:+INT}
    start_server "$directory/server" "$server" 127.0.0.1:0 $mode

    answer=$("$client" "$address" "hello, echo") || fail "the client failed"
    [ "$answer" = "hello, echo" ] || fail "'hello, echo' came back as '$answer'"

    head -c 1000003 /dev/urandom >"$directory/sent"
    "$client" "$address" <"$directory/sent" >"$directory/received" || fail "the client failed with a file"
    cmp "$directory/sent" "$directory/received" || fail "the file came back changed"

    "$client" "$address" </dev/null || fail "an empty conversation failed"
    "$server" "$address" 2>"$directory/error" && fail "two servers listen on one address"
    grep -q "cannot bind $address: ." "$directory/error" || fail "a taken address was not explained"

    stop_server "${signal:-TERM}"
    "$client" "$address" "anyone?" 2>"$directory/error" && fail "a client talked to a stopped server"
    grep -q "cannot connect to $address: ." "$directory/error" || fail "a refused connection was not explained"
done
"$client" "no address" x 2>"$directory/error" && fail "nonsense was taken for an address"
grep -q "cannot connect to no address: ." "$directory/error" || fail "a bad address was not explained"

# The log: one line for each connection, with the time and the client's address.
start_server "$directory/server" "$server" 127.0.0.1:0 --log 2>"$directory/log"
"$client" "$address" hello >"$directory/received" || fail "the client failed"
stop_server TERM
grep -qE "^[0-9:]{8}\.[0-9]{6} DEBUG accepted a connection peer=127\.0\.0\.1:[0-9]+ " "$directory/log" ||
    fail "the log does not name the client: $(cat "$directory/log")"
grep -vE "^[0-9:]{8}\.[0-9]{6} (ERROR|WARN |INFO |DEBUG) [a-z]" "$directory/log" && fail "a line has no time and level"
exit 0
