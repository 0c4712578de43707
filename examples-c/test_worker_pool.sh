#!/bin/sh
# test_worker_pool.sh WORKER_POOL: clients in Python and nc get each answer once and then the end, beside one that reads
# nothing. Skipped without python3.
. "$(dirname "$0")/test_lib.sh"
command -v python3 >/dev/null || {
    echo "python3 is missing"
    exit 77
}

start_server "$directory/server" "$1" 127.0.0.1:0
python3 - "$address" <<'PYTHON' || fail "the clients saw something else"
import hashlib, socket, sys, threading

host, port = sys.argv[1].rsplit(":", 1)

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

gone = connect()  # leaves amid its work
gone.sendall(b"line\n" * 500)
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
PYTHON
stop_server TERM
