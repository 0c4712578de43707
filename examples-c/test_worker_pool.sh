#!/bin/sh
# test_worker_pool.sh WORKER_POOL: clients in Python get each answer once and then the end, beside one that reads nothing.
# A server that ends answers what it has taken, and not all that its client has sent. Skipped without python3.
. "$(dirname "$0")/test_lib.sh"
command -v python3 >/dev/null || {
    echo "python3 is missing"
    exit 77
}

start_server "$directory/server" "$1" 127.0.0.1:0
python3 - "$address" "$pid" <<'PYTHON' || fail "the clients saw something else"
import hashlib, os, socket, sys, threading

host, port = sys.argv[1].rsplit(":", 1)

def descriptors():
    return len(os.listdir("/proc/%s/fd" % sys.argv[2]))

def answer(text):
    digest = text
    for _ in range(1000):
        digest = hashlib.sha256(digest).digest()
    return digest.hex()

def connect():
    return socket.create_connection((host, int(port)), timeout=60)

deaf = connect()  # sends without end, and reads nothing
deaf.settimeout(1)
try:
    while True:
        deaf.sendall(b"line\n" * 1000)
except socket.timeout:
    pass  # TCP holds it back

deaf.settimeout(60)
deaf.recv(1, socket.MSG_PEEK)  # takes nothing, and shows that the server has accepted it
before = descriptors()
gone = connect()  # leaves amid its work
gone.sendall(b"line\n" * 20000)
gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
gone.close()

failures = []

def client(name, lines):
    try:
        texts = [b"%s line %d" % (name, i) for i in range(lines)]
        connection = connect()
        connection.sendall(b"".join(text + b"\n" for text in texts))
        connection.shutdown(socket.SHUT_WR)
        got = connection.makefile("r").read().splitlines()
        want = ["%d %s" % (i + 1, answer(text)) for i, text in enumerate(texts)]
        assert sorted(got) == sorted(want), (len(got), len(want))
    except Exception as failure:
        failures.append(failure)

threads = [threading.Thread(target=client, args=(b"client %d" % i, lines)) for i, lines in enumerate([0, 1, 32, 33, 300])]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failures, failures
for _ in range(40):  # a line each time, so that the lines of `gone` would still be in work
    if descriptors() <= before:
        break
    client(b"later", 1)
else:
    raise AssertionError("it works for a client that is gone")
assert not failures, failures
PYTHON
stop_server TERM

start_server "$directory/ending" "$1" 127.0.0.1:0
python3 - "$address" "$pid" <<'PYTHON' || fail "a server that ends answered something else"
import os, signal, socket, sys

LINES = 10000
host, port = sys.argv[1].rsplit(":", 1)
connection = socket.create_connection((host, int(port)), timeout=60)
connection.sendall(b"line\n" * LINES)
reader = connection.makefile("r")
numbers = [int(reader.readline().split()[0])]
os.kill(int(sys.argv[2]), signal.SIGTERM)
numbers += [int(line.split()[0]) for line in reader]
assert sorted(numbers) == list(range(1, len(numbers) + 1)), numbers
assert len(numbers) < LINES, "it hashed every line before it ended"
PYTHON
wait "$pid" || fail "the server did not end cleanly"
