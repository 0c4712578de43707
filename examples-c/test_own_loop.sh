#!/bin/sh
# test_own_loop.sh SERVER ECHO_CLIENT: a server on a loop of its own echoes a word, a file and the end, for several clients at
# once, and ends on both signals.
. "$(dirname "$0")/test_lib.sh"
server=$1
client=$2

head -c 1000003 /dev/urandom >"$directory/sent"
for signal in INT TERM; do
    start_server "$directory/server" "$server" 127.0.0.1:0
    answer=$("$client" "$address" "hello, echo") || fail "the client failed"
    [ "$answer" = "hello, echo" ] || fail "'hello, echo' came back as '$answer'"
    clients=""
    for number in 1 2 3 4; do
        "$client" "$address" <"$directory/sent" >"$directory/received$number" &
        clients="$clients $!"
    done
    for process in $clients; do
        wait "$process" || fail "a client failed with a file"
    done
    for number in 1 2 3 4; do
        cmp "$directory/sent" "$directory/received$number" || fail "the file came back changed"
    done
    "$client" "$address" </dev/null || fail "an empty conversation failed"
    "$server" "$address" 2>"$directory/error" && fail "two servers listen on one address"
    grep -q "cannot listen on $address: ." "$directory/error" || fail "a taken address was not explained"
    stop_server "$signal"
    "$client" "$address" "anyone?" 2>"$directory/error" && fail "a client talked to a stopped server"
done
exit 0
