#!/bin/sh
# test_file_transfer.sh FILE_TRANSFER: files of several lengths arrive whole; a broken transfer leaves no file and
# says so on both sides.
. "$(dirname "$0")/test_lib.sh"
program=$1

for size in 0 1 65537 20000000; do
    head -c "$size" /dev/urandom >"$directory/original"
    start_server "$directory/output" "$program" receive 127.0.0.1:0 "$directory/copy"
    "$program" send "$address" "$directory/original" >"$directory/sent" || fail "sending $size bytes failed"
    wait "$pid" || fail "receiving $size bytes failed"
    cmp "$directory/original" "$directory/copy" || fail "a file of $size bytes arrived changed"
    digest=$(sha256sum "$directory/original" | cut -d ' ' -f 1)
    grep -q "$digest" "$directory/sent" || fail "the sender does not name the SHA-256 of sha256sum"
    grep -q "$digest" "$directory/output" || fail "the receiver does not name the SHA-256 of sha256sum"
    rm "$directory/copy"
done

# A sender that gives up: the receiver says so, and nothing takes the name of the file.
start_server "$directory/output" "$program" receive 127.0.0.1:0 "$directory/copy" 2>"$directory/error"
"$program" send "$address" "$directory" 2>"$directory/sender" && fail "a directory was sent"
grep -q "only a regular file" "$directory/sender" || fail "the sender did not explain itself"
wait "$pid" && fail "the receiver took a broken transfer for a good one"
[ -s "$directory/error" ] || fail "the receiver did not explain itself"
[ ! -e "$directory/copy" ] && [ ! -e "$directory/copy.part" ] || fail "a broken transfer left a file"

"$program" send 127.0.0.1:1 "$directory/none" 2>"$directory/error" && fail "a missing file was sent"
grep -q "cannot open $directory/none: ." "$directory/error" || fail "a missing file was not explained"
exit 0
