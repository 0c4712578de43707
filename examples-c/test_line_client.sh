#!/bin/sh
# test_line_client.sh LINE_CLIENT: it talks to a server that is not ours, a few lines of Python, which refuses, resets and
# keeps silent now and then. Skipped where there is no Python.
. "$(dirname "$0")/test_lib.sh"
client=$1
command -v python3 >/dev/null || {
    echo "no python3 is here"
    exit 77
}

# server.py WHAT...: treats the first connection as the first WHAT says, and so on; the last one stays.
cat >"$directory/server.py" <<'END'
import socket, struct, sys, time
listener = socket.create_server(("127.0.0.1", 0))
print("listening on 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
plan, kept = sys.argv[1:], []
while True:
    connection, _ = listener.accept()
    what = plan.pop(0) if len(plan) > 1 else plan[0]
    if what == "end":
        connection.close()
    elif what == "reset":
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    elif what == "silent":
        kept.append(connection)
    elif what == "endless":
        connection.recv(1)
        try:
            connection.sendall(b"x" * 1000000)
        except OSError:
            pass
        kept.append(connection)
    else:
        for line in connection.makefile("rb"):
            for byte in b"you said " + line: # in pieces
                connection.sendall(bytes([byte]))
        connection.close()
END

start_server "$directory/server" python3 "$directory/server.py" answer
"$client" "$address" one "two words" "" three >"$directory/output" || fail "a simple conversation failed"
printf 'you said one\r\nyou said two words\r\nyou said \r\nyou said three\r\n' | cmp - "$directory/output" ||
    fail "the answers are wrong"
refuse_port "$directory/refused"
"$client" "$address" --tries 2 one 2>"$directory/error" && fail "somebody answered"
[ "$(grep -c "^line_client: $address: ." "$directory/error")" -eq 2 ] || fail "it did not try twice: $(cat "$directory/error")"

# Another try helps after each of these.
start_server "$directory/server" python3 "$directory/server.py" end reset silent answer
"$client" "$address" patience >"$directory/output" 2>"$directory/error" || fail "it gave up: $(cat "$directory/error")"
printf 'you said patience\r\n' | cmp - "$directory/output" || fail "the answer is wrong"
[ "$(wc -l <"$directory/error")" -eq 3 ] || fail "not three tries failed: $(cat "$directory/error")"

# A line without an end is final.
start_server "$directory/server" python3 "$directory/server.py" endless
"$client" "$address" x >"$directory/output" 2>"$directory/error" && fail "it took an endless line"
[ "$(wc -l <"$directory/error")" -eq 1 ] || fail "an endless line: $(cat "$directory/error")"

"$client" "no address" x 2>"$directory/error" && fail "nonsense was taken for an address"
[ "$(wc -l <"$directory/error")" -eq 1 ] || fail "a bad address: $(cat "$directory/error")"
exit 0
