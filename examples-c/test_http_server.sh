#!/bin/sh
# test_http_server.sh HTTP_SERVER: curl, and wrk where it is there, at the server; and clients that nobody wrote well.
. "$(dirname "$0")/test_lib.sh"
server=$1
for program in curl nc; do
    command -v $program >/dev/null || {
        echo "$program is not here"
        exit 77
    }
done
cd "$directory" || exit 1

# ask NAME FILE CURL_ARGUMENT...: what curl gets of the page is the file
ask() {
    name=$1
    wanted=$2
    shift 2
    curl -sS --noproxy '*' --max-time 60 "$@" "http://$address$name" >received || fail "curl $* $name"
    cmp "$wanted" received || fail "curl $* $name got something else"
}

head -c 67108864 /dev/urandom >file
printf 'Hello. The file is at /file.\n' >hello
printf 'There is no such page.\n' >unknown
start_server server "$server" file 127.0.0.1:0

ask / hello
ask /file file
ask /other unknown
ask / hello --http1.0
ask /file file --http1.0
ask / hello --request POST --data "a body that nobody reads"
curl -sS --noproxy '*' --head "http://$address/file" | grep -q '^Content-Length: 67108864' || fail "HEAD"

# one connection for two requests, and two answers in the order of the requests
curl -sSv --noproxy '*' "http://$address/" "http://$address/file" 2>log | cat >both
cat hello file | cmp - both || fail "two requests of one connection"
grep -q -i 're-using existing connection' log || fail "the connection did not last: $(cat log)"

# pipelined, in pieces
port=${address##*:}
(printf 'GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /other HT'; sleep 0.3; printf 'TP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nConnection: close\r\n\r\n') |
    timeout 10 nc -N 127.0.0.1 "$port" | grep -a -e Hello -e 'no such' >received
cat hello unknown hello | cmp - received || fail "three pipelined requests"

# many requests for the file at once, whose answers do not fit: they wait in the client
i=0
while [ $i -lt 20 ]; do
    printf 'GET /file HTTP/1.1\r\nHost: a\r\n\r\n'
    i=$((i + 1))
done >requests
size=$(timeout 60 nc -N 127.0.0.1 "$port" <requests | wc -c)
[ "$size" -gt 1342177280 ] || fail "20 pipelined files have $size bytes"

printf 'NONSENSE\r\n\r\n' | timeout 10 nc -N 127.0.0.1 "$port" | grep -q '400 Bad Request' || fail "nonsense was answered"

# a client that sends a byte now and then, and never the end of its head
began=$(date +%s)
(printf 'GET / HTTP/1.1\r\nX: '; while sleep 1 && printf x; do :; done) 2>/dev/null | timeout 60 nc 127.0.0.1 "$port" >received
took=$(($(date +%s) - began))
[ "$took" -ge 9 ] && [ "$took" -le 20 ] || fail "a head that never ends took $took s"

if command -v wrk >/dev/null; then
    wrk -t1 -c100 -d2s "http://$address/" >log || fail "wrk"
    grep -q 'Socket errors\|Non-2xx' log && fail "wrk met errors: $(cat log)"
fi
stop_server TERM
