#!/usr/bin/env python3
"""test_activated.py PROGRAM: stands in for systemd. The program gets two listening sockets as descriptors 3 and 4, serves a
client that came before it, ends, and is started again for a client that came meanwhile."""

import os
import re
import signal
import socket
import subprocess
import sys

PATIENCE = float(os.environ.get("IOURINGNET_TEST_PATIENCE", "1"))
TIME = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\r\n")


def listener():
    made = socket.create_server(("127.0.0.1", 0))
    # above the numbers at which the program expects its sockets
    os.set_inheritable(made.fileno(), False)
    return made


def start(program, listeners):
    """Starts the program as systemd does: LISTEN_PID is the process itself, so a shell sets it before it becomes the program."""
    high = [os.dup(made.fileno()) for made in listeners]
    moves = " ".join(f"{3 + place}<&{fd}" for place, fd in enumerate(high))
    closes = " ".join(f"{fd}<&-" for fd in high if fd >= 3 + len(high))
    script = f'export LISTEN_FDS={len(high)} LISTEN_PID=$$; exec "$0" {moves} {closes}'
    child = subprocess.Popen(["bash", "-c", script, program], stdout=subprocess.PIPE, pass_fds=high)
    for fd in high:
        os.close(fd)
    for made in listeners:
        line = child.stdout.readline().decode().strip()
        expected = "listening on 127.0.0.1:%d" % made.getsockname()[1]
        if line != expected:
            child.kill()
            sys.exit(f"expected {expected!r}, got {line!r}")
    return child


def client(made):
    return socket.create_connection(made.getsockname(), timeout=10 * PATIENCE)


def expect_time(connection):
    got = b""
    while piece := connection.recv(100):
        got += piece
    if not TIME.fullmatch(got):
        sys.exit(f"got {got!r}")


def main(program):
    # dup2 in the shell must not hit a descriptor that it still needs: these take 3 and 4 here
    spare = [os.open("/dev/null", os.O_RDONLY) for _ in range(8)]
    listeners = [listener(), listener()]
    early = client(listeners[0])
    for _ in range(2):
        child = start(program, listeners)
        expect_time(early)
        for made in listeners:
            expect_time(client(made))
        child.send_signal(signal.SIGTERM)
        if child.wait(10 * PATIENCE) != 0:
            sys.exit("the program did not end cleanly")
        early = client(listeners[1])  # nobody serves: the socket is still open
    refused = subprocess.run([program], env={"PATH": os.environ["PATH"]}, stderr=subprocess.PIPE)
    if refused.returncode != 1 or b"LISTEN_FDS" not in refused.stderr:
        sys.exit("the program starts without a socket")
    for fd in spare:
        os.close(fd)


main(sys.argv[1])
