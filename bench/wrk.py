"""wrk as the load generator of the HTTP case: starts it, and tells what a request costs the server.

wrk knows whole seconds only, has no warm-up, and checks the status of an answer, not its bytes. So a run here is longer than
those of `load`, counts the opening of the connections, and is preceded by one request whose answer is compared.
"""
import math
import os
import re
import resource
import shutil
import socket
import subprocess
import time

PROGRAM = "wrk"
BODY = b"0123456789" * 10  # as in http.h
LEAST_SECONDS = 2  # in which opening 1,000 connections is a small part


class Error(Exception):
    pass


def installed():
    return shutil.which(PROGRAM) is not None


def duration(seconds):
    """Whole seconds of a run."""
    return max(LEAST_SECONDS, math.ceil(seconds))


def ask(address):
    """Sends one request. Anything but status 200 and the body is an error."""
    host, port = address.split(":")
    text = b""
    try:
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: " + host.encode() + b"\r\n\r\n")
            while b"\r\n\r\n" not in text or len(text.partition(b"\r\n\r\n")[2]) < len(BODY):
                piece = connection.recv(65536)
                if not piece:
                    break
                text += piece
    except OSError as error:
        raise Error(f"a request was not answered: {error}")
    head, _, body = text.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 ") or body != BODY:
        raise Error(f"an answer is not the one that all servers give: {text[:60]!r}")


def family(pid):
    """The process and its descendants."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                parents[int(name)] = int(file.read().rpartition(")")[2].split()[1])
        except OSError:
            pass  # ended meanwhile
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def cpu_seconds(pids):
    """By the kernel's clock of each process, which clock_getcpuclockid(3) names so."""
    try:
        return sum(time.clock_gettime(~pid << 3 | 2) for pid in pids)
    except OSError:
        raise Error("a process of the server is gone")


UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6}


def reported(text):
    """What wrk printed, by the names that the figures have everywhere. Any error that it counted is one here."""
    for pattern in (r"Socket errors:.*", r"Non-2xx or 3xx responses:.*"):
        if found := re.search(pattern, text):
            raise Error("wrk: " + found.group())
    requests = re.search(r"^ *(\d+) requests in ", text, re.MULTILINE)
    rate = re.search(r"^Requests/sec: +([\d.]+)", text, re.MULTILINE)
    if not requests or not rate or int(requests.group(1)) == 0:
        raise Error("wrk tells of no requests")
    values = {"requests": int(requests.group(1)), "msgs_per_s": float(rate.group(1))}
    for percent, name in (("50", "p50_us"), ("99", "p99_us")):
        if found := re.search(rf"^ *{percent}% +([\d.]+)(us|ms|s|m)$", text, re.MULTILINE):
            values[name] = float(found.group(1)) * UNITS[found.group(2)]
    return values


def run(address, pid, arguments, seconds, setup):
    """The figures of one run against the server `pid`; `setup` is called in the child before it becomes wrk."""
    def own_cpu():
        used = resource.getrusage(resource.RUSAGE_CHILDREN)  # of wrk alone: no other child ends meanwhile
        return used.ru_utime + used.ru_stime

    ask(address)
    pids = family(pid)
    begun, own, server = time.monotonic(), own_cpu(), cpu_seconds(pids)
    done = subprocess.run([PROGRAM, *map(str, arguments), "--duration", f"{duration(seconds)}s", "--latency",
                           f"http://{address}/"], capture_output=True, text=True, preexec_fn=setup,
                          timeout=duration(seconds) + 60)
    server, own, elapsed = cpu_seconds(pids) - server, own_cpu() - own, time.monotonic() - begun
    if done.returncode != 0:
        raise Error(f"wrk ended with {done.returncode}: {(done.stderr or done.stdout).strip()}")
    values = reported(done.stdout)
    return values | {"cpu_us_per_msg": server * 1e6 / values["requests"], "client_busy": own / elapsed}
