"""test_servers.py NAME PROGRAM: clients in Python try what the guide says of its servers."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request

from guide_test import SECONDS, Server, receive_all, seconds_until_end

name, program = sys.argv[1:]


def ticker():
    with Server(program, "127.0.0.1:0") as server:
        stays = server.connect().makefile("rb")
        leaves = server.connect()
        assert leaves.makefile("rb").readline() == b"tick 1\n"
        leaves.close()
        for number in range(1, 5):
            assert stays.readline() == b"tick %d\n" % number
        server.stop()


def limits():
    with Server(program, "127.0.0.1:0", "60000", "60000") as server:
        talker, long = server.connect(), server.connect()
        talker.sendall(b"one\ntwo\nthr")
        talker.sendall(b"ee\n")
        long.sendall(b"x" * 4096)
        assert receive_all(long) == b"too long\n"
        talker.shutdown(1)
        assert receive_all(talker) == b"ONE\nTWO\nTHREE\n"
        server.stop()
    with Server(program, "127.0.0.1:0", "300", "60000") as server:
        # Bytes that come one by one move the idle limit, and not the deadline of the line.
        slow, began = server.connect(), time.monotonic()
        slow.settimeout(0.02)
        answer = b""
        while answer != b"too slow\n":
            assert time.monotonic() - began < SECONDS, answer
            try:
                slow.sendall(b"x")
                answer += slow.recv(64)
            except socket.timeout:
                pass
        assert time.monotonic() - began >= 0.3
        server.stop()
    with Server(program, "127.0.0.1:0", "60000", "400") as server:
        quiet = server.connect()
        time_quiet, text = seconds_until_end(quiet)
        assert time_quiet >= 0.39 and text == b"too slow\n", (time_quiet, text)
        server.stop()


def many_cores():
    with Server(program, "127.0.0.1:0", "4") as server:
        clients = [server.connect() for _ in range(200)]
        for number, client in enumerate(clients):
            client.sendall(b"%d" % number)
            client.shutdown(1)
        for number, client in enumerate(clients):
            assert receive_all(client) == b"%d" % number
        output, _ = server.stop()
    counts = [int(count) for count in re.findall(r"net \d: (\d+) connections", output)]
    assert len(counts) == 4 and sum(counts) == 200 and min(counts) > 0, output


def metrics():
    with Server(program, "127.0.0.1:0") as server:
        counts = []
        for _ in range(2):
            with urllib.request.urlopen(f"http://{server.address}/metrics", timeout=SECONDS) as answer:
                assert answer.headers["Content-Type"] == "text/plain; version=0.0.4", answer.headers
                text = answer.read().decode()
            counts.append(int(re.search(r"^iouringnet_callbacks_total (\d+)$", text, re.M)[1]))
        assert counts[1] > counts[0], counts
        server.stop()


def engine():
    done = subprocess.run(program, capture_output=True, text=True, timeout=SECONDS)
    if done.returncode != 0:
        assert "io_uring is demanded" in done.stderr, done
        print("cannot start: io_uring is demanded")
        raise SystemExit(77)
    probe, net = re.fullmatch(r"probe: (\w+), on Linux .*: .+\nnet: (\w+)\n", done.stdout).groups()
    assert probe == net, done
    # A choice of the library's that is not io_uring has its reason in the log.
    chosen = os.environ.get("IOURINGNET_ENGINE", "auto") == "auto"
    assert ("log: warning:" in done.stderr) == (chosen and net == "epoll"), done
    if not chosen:
        assert net == os.environ["IOURINGNET_ENGINE"], done


{"ticker": ticker, "limits": limits, "many_cores": many_cores, "metrics": metrics, "engine": engine}[name]()
