"""test_echoes.py PROGRAM: one test for all programs of chapter 11: `PROGRAM PORT IDLE_MS` does what the chapter says."""

import os
import socket
import sys
import threading

from guide_test import SECONDS, Server, receive_all, seconds_until_end

program = sys.argv[1]
MOST = 64 << 20  # more than the kernel's buffers and the program hold for a client that does not read


def echo(server, sent):
    """Sends, ends its side, and reads what comes back, at the same time."""
    with server.connect() as client:

        def send():
            client.sendall(sent)
            client.shutdown(1)

        sender = threading.Thread(target=send)
        sender.start()
        assert receive_all(client) == sent
        sender.join()


with Server(program, "0", str(SECONDS * 1000)) as server:
    echo(server, b"")
    echo(server, b"hello")
    sent = os.urandom(3_000_000)
    deaf = server.connect()
    deaf.settimeout(0.5)
    taken = 0
    try:
        while taken < MOST:
            taken += deaf.send(sent[taken % len(sent) :])
    except socket.timeout:
        pass  # held back
    assert taken < MOST, "a client that does not read is not held back"
    echo(server, sent)  # others are served meanwhile
    deaf.settimeout(SECONDS)
    deaf.shutdown(1)
    got = receive_all(deaf)
    assert got == (sent * (taken // len(sent) + 1))[:taken], (len(got), taken)
    server.stop()

with Server(program, "0", "400") as server:
    seconds, text = seconds_until_end(server.connect())
    assert text == b"" and seconds >= 0.39, (seconds, text)
    server.stop()
