#!/usr/bin/env python3
"""Checks that the load generator sees what it is there to see: servers that damage, lose, double or misdirect bytes, that
hang up, and that stall; senders of streams and posts that do the like; receivers that lie about what came; and programs that
dial with the same faults. Usage: test_load.py PATH_OF_LOAD
"""
import os
import socket
import struct
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
    except EOFError:
        connection.close()  # a server that is to end early


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


PERIOD = 65521


def make_pattern():
    """The table of pattern.c."""
    x, table = 2463534242, bytearray()
    for _ in range(PERIOD):
        x ^= x << 13 & 0xFFFFFFFF
        x ^= x >> 17
        x ^= x << 5 & 0xFFFFFFFF
        table.append(x & 0xFF)
    return bytes(table) * 3


PATTERN = make_pattern()


def pattern(number, offset, size):
    at = (31 * number + offset) % PERIOD
    return PATTERN[at:at + size]


def exactly(connection, size):
    data = b""
    while len(data) < size and (piece := connection.recv(size - len(data))):
        data += piece
    return data


class Streams:
    """Serves one-way streams (stream.h); the hooks change what honest servers do: `piece` what is sent, `count` what is
    answered."""

    def __init__(self, piece=lambda offset, data: data, count=lambda received: received, chatter=b""):
        self.piece, self.count, self.chatter = piece, count, chatter

    def __call__(self, _, connection):
        request = exactly(connection, 8)
        size, number = struct.unpack("=II", request)
        connection.sendall(request)
        if size:
            offset = 0
            while True:
                connection.sendall(self.piece(offset, pattern(number, offset, size)))
                offset += size
        received, wrong = 0, False
        for total, data in each(connection):
            received = total + len(data)
            wrong = wrong or data != pattern(number, total, len(data))
        # Its own look at the bytes: a client that sends others than it says would be no measure.
        connection.sendall(struct.pack("=Q", 2**64 - 1 if wrong else self.count(received)) + self.chatter)
        connection.close()


def flipped(offset, data):
    """One wrong byte, the 1,000,000th."""
    at = 1000000 - offset
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:] if 0 <= at < len(data) else data


def lost(offset, data):
    return data[1:] if offset <= 1000000 < offset + len(data) else data


def ends(offset, data):
    if offset >= 1000000:
        raise EOFError
    return data


class Posts:
    """Sends the messages of eight threads (posts.h) in turns; `change` is asked for each what to send in its place."""

    def __init__(self, change=lambda thread, sequence, message: message, threads=8):
        self.change, self.threads = change, threads

    def __call__(self, _, connection):
        for sequence in range(10**9):
            connection.sendall(b"".join(self.change(t, sequence, self.message(t, sequence)) for t in range(self.threads)))

    @staticmethod
    def message(thread, sequence):
        return struct.pack("=QI", sequence, thread) + pattern(thread, sequence, 52)


def at_post(thread, sequence, replacement):
    """Replaces one message, and none else."""
    return Posts(lambda t, s, message: replacement(message) if (t, s) == (thread, sequence) else message)


def chatters_at_once(_, connection):
    connection.sendall(b"!")
    honest(_, connection)


class Dials:
    """A program that dials, eight at a time. fault(number, message, connection) says what goes out on each connection."""

    def __init__(self, fault=lambda number, message, connection: message, dials=8):
        self.fault, self.dials, self.number, self.lock = fault, dials, 0, threading.Lock()

    def __call__(self, _, connection):
        orders = b"".join(data for _, data in each(connection))
        connection.close()
        message, (host, port) = orders[:64], orders[64:].decode().split(":")
        for _ in range(self.dials):
            threading.Thread(target=guard, args=(self.dial, message, (host, int(port))), daemon=True).start()

    def dial(self, message, target):
        while True:
            with self.lock:
                self.number += 1
                number = self.number
            with socket.create_connection(target) as connection:
                connection.sendall(self.fault(number, message, connection))
                answer = b""
                while len(answer) < 64:
                    data = connection.recv(64 - len(answer))
                    if not data:
                        return
                    answer += data
                message = answer


FAULTY_DIAL = 100  # late enough for all that begins to have begun


def at_fault(change):
    """A fault of a single connection."""
    return Dials(lambda number, message, connection: change(message, connection) if number == FAULTY_DIAL else message)


def ends_early(message, connection):
    connection.sendall(message[:-1])
    connection.shutdown(socket.SHUT_WR)
    return b""


def resets(message, connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.sendall(message[:-1])
    connection.close()
    return b""


class Repeats:
    """Dials twice with what it was answered once."""

    def __init__(self):
        self.kept = None

    def __call__(self, number, message, _):
        if number == FAULTY_DIAL:
            self.kept = message
        return self.kept if number == FAULTY_DIAL + 20 else message


class NeverCloses:
    def __init__(self):
        self.kept = []

    def __call__(self, _, message, connection):
        self.kept.append(connection.dup())
        return message


def stops(message, _):
    time.sleep(5)
    return message


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
                      ["--blocking"], ["--blocking", "--size", "65536"], ["--reconnect", "--connections", "4"],
                      ["--silent", "--connections", "4"], ["--rate", "500"], ["--idle", "3"],
                      ["--size", "65536", "--connections", "2", "--in-flight", "4"],
                      ["--size", "65536", "--connections", "4", "--in-flight", "64"]):
        done = load(program, honest, *arguments)
        check("an honest server passes: " + " ".join(arguments),
              done.returncode == 0 and "msgs_per_s=" in done.stdout, done)

    for answer, arguments in (
            (Streams(), ["--download", "--size", "65536"]),
            (Streams(), ["--download", "--size", "65536", "--connections", "5"]),
            (Streams(), ["--upload", "--size", "65536"]),
            (Streams(), ["--upload", "--size", "1048576", "--connections", "5"]),
            (Posts(), ["--posts"]),
            (honest, ["--memory", "--idle", "50", "--pid", str(os.getpid())])):
        done = load(program, answer, *arguments)
        figure = "_bytes_per_conn=" if "--memory" in arguments else "_per_s="
        check("an honest server passes: " + " ".join(arguments[:5]), done.returncode == 0 and figure in done.stdout, done)

    dialled = ["--dialled", "--connections", "8"]
    done = load(program, Dials(), *dialled)
    check("a program that dials passes", done.returncode == 0 and "msgs_per_s=" in done.stdout, done)

    download, upload = ["--download", "--size", "65536"], ["--upload", "--size", "65536"]
    for name, answer, arguments, *words in (
            ("a stream with a wrong byte", Streams(flipped), download),
            ("a stream with a wrong byte, one of several", Streams(flipped), download + ["--connections", "3"]),
            ("a stream with a lost byte", Streams(lost), download),
            ("a stream that ends", Streams(ends), download),
            ("a server that serves no streams", lambda _, c: c.sendall(b"other answer"), download),
            ("a count that is too large", Streams(count=lambda received: received + 1), upload),
            ("a count that is too small, one of several", Streams(count=lambda received: received - 1),
             upload + ["--connections", "3"]),
            ("a receiver that got other bytes", Streams(count=lambda _: 2**64 - 1), upload),
            ("bytes after the count", Streams(chatter=b"!"), upload),
            ("a missing post", at_post(3, 700, lambda m: b""), ["--posts"]),
            ("a doubled post", at_post(3, 700, lambda m: m + m), ["--posts"]),
            ("a post out of order", at_post(3, 700, lambda m: Posts.message(3, 701) + m), ["--posts"]),
            ("a post with a wrong byte", at_post(3, 700, lambda m: m[:-1] + bytes([m[-1] ^ 1])), ["--posts"]),
            ("a post that is torn", at_post(3, 700, lambda m: m[:30]), ["--posts"]),
            ("a thread that does not post", Posts(threads=7), ["--posts"]),
            ("bytes on an idle connection, measuring memory", chatters_when_idle,
             ["--memory", "--idle", "2", "--pid", str(os.getpid())]),
            ("a damaged byte", damages, []),
            ("a damaged byte, blocking", damages, ["--blocking"]),
            ("a lost byte", loses, ["--in-flight", "2"]),
            ("a doubled byte", doubles, []),
            ("another connection's bytes, reconnecting", Misdirects(3), ["--reconnect"]),
            ("another connection's bytes", Misdirects(after=640), ["--connections", "2"]),
            ("a hang-up", hangs_up, []),
            ("bytes on an idle connection", chatters_when_idle, ["--idle", "1"]),
            ("bytes on a silent connection", chatters_at_once, ["--silent"]),
            ("a damaged byte, dialling", at_fault(lambda m, _: m[:40] + bytes([m[40] ^ 1]) + m[41:]), dialled,
             "brought what no other"),
            ("a lost byte, dialling", at_fault(ends_early), dialled, "ended before"),
            ("a byte too many, dialling", at_fault(lambda m, _: m + m[-1:]), dialled, "more than a message"),
            ("a reset, dialling", at_fault(resets), dialled, "reset by peer"),
            ("a message dialled with twice", Dials(Repeats()), dialled, "brought what no other"),
            ("connections that stay open, dialling", Dials(NeverCloses()), dialled, "more connections are open"),
            ("a dial that stops", at_fault(stops), dialled, "fewer connections"),
            ("fewer dials than asked for", Dials(dials=7), dialled, "fewer connections")):
        done = load(program, answer, *arguments)
        seen = done.returncode == 1 and done.stderr.startswith("load: ") and all(word in done.stderr for word in words)
        check("is seen: " + name, seen, done)

    # 300 of the 500 messages should have left during the stall, and wait for 150 ms on average. A closed loop would have seen
    # a single late one.
    done = load(program, stalls, "--rate", "1000", "--warmup", "0")
    values = dict(word.split("=") for word in done.stdout.split())
    check("a stall is charged to all that had to wait",
          done.returncode == 0 and float(values["p50_us"]) > 1000 and float(values["max_us"]) > 290000, done)

    for arguments in (["--rate"], ["--size", "0"], ["--connections", "x"], ["--blocking", "--connections", "2"],
                      ["--size", "65537"], ["--download", "--in-flight", "2"], ["--posts", "--connections", "2"],
                      ["--upload", "--idle", "1"], ["--memory", "--idle", "5"],
                      ["--dialled", "--idle", "1"], ["--silent", "--rate", "1"]):
        done = load(program, honest, *arguments)
        check("is refused: " + " ".join(arguments), done.returncode == 2, done)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]) if len(sys.argv) == 2 else 2)
