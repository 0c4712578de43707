"""What the tests of the guide's programs share: servers with a bounded start and a clean end, clients, and time."""

import ctypes
import os
import re
import select
import signal
import socket
import subprocess
import time

PATIENCE = int(os.environ.get("IOURINGNET_TEST_PATIENCE", "1"))
SECONDS = 60 * PATIENCE  # for anything that should happen


def end_with_parent():
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Server:
    """A program that prints `listening on HOST:PORT`. SIGTERM ends it, with 0."""

    def __init__(self, *command):
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=end_with_parent
        )
        ready, _, _ = select.select([self.process.stdout], [], [], SECONDS)
        line = self.process.stdout.readline().decode() if ready else ""
        found = re.fullmatch(r"listening on (.*):(\d+)\n", line)
        if found is None:
            self.process.kill()
            _, error = self.process.communicate()
            if b"io_uring is demanded" in error:  # ctest then counts the test as skipped
                print("cannot start: io_uring is demanded", error.decode())
                raise SystemExit(77)
            raise AssertionError(f"{command} prints {line!r}, {error!r}")
        self.host, self.port = found[1].strip("[]"), int(found[2])
        self.address = f"{found[1]}:{found[2]}"

        self.clients = []

    def connect(self):
        self.clients.append(socket.create_connection((self.host, self.port), timeout=SECONDS))
        return self.clients[-1]

    def stop(self):
        """Closes all clients, for which the server would wait. Returns what it has printed since its first line."""
        for client in self.clients:
            client.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            output, error = self.process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        assert self.process.returncode == 0, (self.process.returncode, error)
        return output.decode(), error.decode()

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def receive_all(client):
    """Everything up to the end of the stream."""
    pieces = []
    while True:
        piece = client.recv(1 << 16)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)


def seconds_until_end(client):
    """How long the server leaves the connection open, and what it sends until then."""
    began = time.monotonic()
    try:
        text = receive_all(client)
    except ConnectionResetError:
        text = None
    return time.monotonic() - began, text
