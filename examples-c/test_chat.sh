#!/bin/sh
# test_chat.sh CHAT: clients in Python talk; one that does not read is dropped, and the others miss nothing. Skipped without
# python3.
. "$(dirname "$0")/test_lib.sh"
command -v python3 >/dev/null || {
    echo "python3 is missing"
    exit 77
}

start_server "$directory/server" "$1" 127.0.0.1:0
python3 - "$address" <<'PYTHON' || fail "the clients saw something else"
import socket, sys

host, port = sys.argv[1].rsplit(":", 1)

def join():
    client = socket.create_connection((host, int(port)), timeout=30)
    return client, client.makefile("rb")

def expect(reader, line):
    got = reader.readline()
    assert got == line, (got[:100], line[:100])

one, one_reads = join()
expect(one_reads, b"* guest 1 joins\n")
two, two_reads = join()
for reads in one_reads, two_reads:
    expect(reads, b"* guest 2 joins\n")
one.sendall(b"hel")
two.sendall(b"hi\n")
expect(one_reads, b"guest 2: hi\n")
one.sendall(b"lo\n")
expect(two_reads, b"guest 1: hello\n")

# A client that does not read. Sizes on both sides of what a queue copies.
slow = socket.socket()
slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
slow.connect((host, int(port)))
for reads in one_reads, two_reads:
    expect(reads, b"* guest 3 joins\n")
dropped = False
for number in range(4000):
    line = b"%d %s\n" % (number, b"x" * (number * 37 % 8000))
    one.sendall(line)
    got = two_reads.readline()
    if got == b"* guest 3 is dropped\n":
        dropped = True
        got = two_reads.readline()
    assert got == b"guest 1: " + line, (number, got[:100])
    if dropped and number > 500:
        break
assert dropped, "the slow reader is still there"
expect(one_reads, b"* guest 3 is dropped\n")
slow.settimeout(30)
try:
    while slow.recv(65536):
        pass
    assert False, "a dropped client sees a reset"
except ConnectionResetError:
    pass

one.sendall(b"y" * 70000)  # a line without an end
expect(two_reads, b"* guest 1 leaves\n")
two.sendall(b"alone\n")
two.shutdown(socket.SHUT_WR)
assert two_reads.read() == b""
PYTHON
stop_server TERM
