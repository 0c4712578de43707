"""test_clients.py NAME PROGRAM ECHO_SERVER: the guide's clients talk to the echo server, and say why they cannot."""

import socket
import subprocess
import sys

from guide_test import SECONDS, Server

name, program, echo_server = sys.argv[1:]


def run(*arguments):
    done = subprocess.run((program, *arguments), capture_output=True, text=True, timeout=SECONDS)
    if "io_uring is demanded" in done.stderr:
        print("cannot start: io_uring is demanded")
        raise SystemExit(77)
    return done


def smallest(server):
    assert run(server.address).stdout == "hello\n"
    server.stop()
    done = run(server.address)
    assert done.returncode == 1 and "refused" in done.stderr, done


def question(server):
    done = run(server.address, "who is there?", str(SECONDS * 1000))
    assert done.returncode == 0 and done.stdout.strip(".") == " who is there?\n", done
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # the kernel accepts, and nobody answers
        done = run(f"127.0.0.1:{deaf.getsockname()[1]}", "who is there?", "100")
    assert done.returncode == 1 and "the operation was cancelled" in done.stderr, done
    server.stop()


with Server(echo_server, "127.0.0.1:0") as server:
    {"smallest": smallest, "question": question}[name](server)
