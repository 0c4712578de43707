#!/usr/bin/env python3
"""Checks that the load generator sees what it is there to see: servers that damage, lose, double or misdirect bytes, that
hang up, and that stall. Usage: test_load.py PATH_OF_LOAD
"""
import socket
import subprocess
import sys
import threading
import time


def serve(listener, answer):
    """Accepts for ever; answer(index, connection) serves one connection in a thread of its own."""
    index = 0
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=guard, args=(answer, index, connection), daemon=True).start()
        index += 1


def guard(answer, index, connection):
    try:
        answer(index, connection)
    except OSError:
        pass  # the load generator has ended, and resets its connections


def each(connection):
    """The pieces that arrive, with the number of bytes before each."""
    total = 0
    while data := connection.recv(65536):
        yield total, data
        total += len(data)


def honest(_, connection):
    for _, data in each(connection):
        connection.sendall(data)


def damages(_, connection):
    for total, data in each(connection):
        if total <= 10000 < total + len(data):
            at = 10000 - total
            data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
        connection.sendall(data)


def loses(_, connection):
    for total, data in each(connection):
        connection.sendall(data[1:] if total >= 6400 else data)


def doubles(_, connection):
    for total, data in each(connection):
        connection.sendall(data + data[-1:] if total >= 6400 else data)


def hangs_up(_, connection):
    for total, data in each(connection):
        if total >= 6400:
            connection.close()
            return
        connection.sendall(data)


class Misdirects:
    """Answers a later connection with what the first has sent."""

    def __init__(self, later=1, after=0):
        self.first, self.later, self.after = None, later, after

    def __call__(self, index, connection):
        for total, data in each(connection):
            if index == 0:
                self.first = data
            connection.sendall(self.first if index == self.later and total >= self.after else data)


def stalls(_, connection):
    stalled = False
    for total, data in each(connection):
        if total >= 64 * 100 and not stalled:
            stalled = True
            time.sleep(0.3)
        connection.sendall(data)


def chatters_when_idle(index, connection):
    for _, data in each(connection):
        connection.sendall(data + b"!" if index == 0 else data)


def load(program, answer, *arguments):
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    threading.Thread(target=serve, args=(listener, answer), daemon=True).start()
    address = "%s:%d" % listener.getsockname()
    done = subprocess.run([program, "--address", address, "--seconds", "0.5", "--warmup", "0.05", *arguments],
                          capture_output=True, text=True, timeout=60)
    # Without the shutdown a thread in accept would keep the socket.
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    return done


def main(program):
    bad = 0

    def check(name, holds, done):
        nonlocal bad
        print(("ok      " if holds else "NOT OK  ") + name)
        if not holds:
            bad += 1
            print(f"  exit {done.returncode}\n  {done.stdout}  {done.stderr}")

    for arguments in ([], ["--connections", "5"], ["--connections", "3", "--in-flight", "7", "--size", "1000"],
                      ["--blocking"], ["--blocking", "--size", "65536"], ["--reconnect", "--connections", "4"], ["--rate", "500"], ["--idle", "3"],
                      ["--size", "65536", "--connections", "2", "--in-flight", "4"]):
        done = load(program, honest, *arguments)
        check("an honest server passes: " + " ".join(arguments),
              done.returncode == 0 and "msgs_per_s=" in done.stdout, done)

    for name, answer, arguments in (
            ("a damaged byte", damages, []),
            ("a damaged byte, blocking", damages, ["--blocking"]),
            ("a lost byte", loses, ["--in-flight", "2"]),
            ("a doubled byte", doubles, []),
            ("another connection's bytes, reconnecting", Misdirects(3), ["--reconnect"]),
            ("another connection's bytes", Misdirects(after=640), ["--connections", "2"]),
            ("a hang-up", hangs_up, []),
            ("bytes on an idle connection", chatters_when_idle, ["--idle", "1"])):
        done = load(program, answer, *arguments)
        check("is seen: " + name, done.returncode == 1 and done.stderr.startswith("load: "), done)

    # 300 of the 500 messages should have left during the stall, and wait for 150 ms on average. A closed loop would have seen
    # a single late one.
    done = load(program, stalls, "--rate", "1000", "--warmup", "0")
    values = dict(word.split("=") for word in done.stdout.split())
    check("a stall is charged to all that had to wait",
          done.returncode == 0 and float(values["p50_us"]) > 1000 and float(values["max_us"]) > 290000, done)

    for arguments in (["--rate"], ["--size", "0"], ["--connections", "x"], ["--blocking", "--connections", "2"]):
        done = load(program, honest, *arguments)
        check("is refused: " + " ".join(arguments), done.returncode == 2, done)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]) if len(sys.argv) == 2 else 2)
