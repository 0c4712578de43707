#!/usr/bin/env python3
"""Runs every server through every case, and tells how they compare.

Servers take turns within each round, so that whatever else the machine does falls on all of them alike; figures are quartiles
over all runs, and comparisons are made within one run only. Needs nothing but Python's standard library.

Prints one line for each case and server (case=... server=... name=value ...), then a table for each case, and writes both, the
tables in Markdown, the figures in JSON, and a chart into the output directory. --charts runs nothing: it makes the charts and the
table of docs/PERFORMANCE.md from figures that were kept.
"""
import argparse
import ctypes
import datetime
import fcntl
import json
import os
import platform
import re
import resource
import select
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

sys.dont_write_bytecode = True  # a run writes below build/ only
import charts
import wrk

HERE = os.path.dirname(os.path.abspath(__file__))


@dataclass(frozen=True)
class Server:
    name: str
    group: str  # floor, ours or peer
    program: str
    arguments: tuple = ()
    threads: bool = False  # one for each connection: kept out of cases with a thousand
    sized: bool = False  # is told the size of a message, as its last argument
    without: str = ""  # a pattern of cases that it cannot take part in
    variant: bool = False  # of another server: takes part where a case compares variants
    kind: str = "echo"  # of the cases that it can serve
    quick: bool = True  # takes part in a quick run, which has time for few; --servers asks for the others there too
    floor: tuple = ()  # what it is compared with where a case has a floor over io_uring
    pins: bool = False  # has --cpu, by which the threads of its connections keep to a core while all else of it does not


# Two of floor_io_uring's ways of sending; where a case's floor names both, the better one counts. The third, floor_inline, tells
# what a send(2) for each message costs beside them.
ONE_RING = ("floor_io_uring", "floor_io_uring_skip")

# The library where io_uring is refused.
OVER_EPOLL = ("--engine", "epoll")

# Cases in which server and client have a core each: only where they have both is spinning looked at.
CONFINED = "^(?!.*_anywhere)"

SERVERS = [
    Server("floor_io_uring", "floor", "floor_io_uring"),
    Server("floor_io_uring_skip", "floor", "floor_io_uring", ("--skip-success",)),
    Server("floor_inline", "floor", "floor_io_uring", ("--inline",), variant=True, quick=False),
    Server("floor_epoll", "floor", "floor_epoll", variant=True),
    Server("floor_blocking", "floor", "floor_blocking", threads=True, pins=True),
    Server("ours_callback", "ours", "ours_callback"),
    Server("ours_callback_rings", "ours", "ours_callback", ("--no-first-try",), variant=True),
    Server("ours_callback_no_spin", "ours", "ours_callback", ("--no-spin",), without=CONFINED),
    Server("ours_own_loop", "ours", "ours_callback", ("--own-loop",), variant=True, quick=False, floor=("floor_epoll",)),
    Server("ours_callback_epoll", "ours", "ours_callback", OVER_EPOLL, variant=True, quick=False, floor=("floor_epoll",)),
    Server("ours_chain", "ours", "ours_chain", variant=True, quick=False),
    Server("ours_chain_rings", "ours", "ours_chain", ("--no-first-try",), variant=True, quick=False),
    Server("ours_chain_own_loop", "ours", "ours_chain", ("--own-loop",), variant=True, quick=False, floor=("floor_epoll",)),
    Server("ours_chain_epoll", "ours", "ours_chain", OVER_EPOLL, variant=True, quick=False, floor=("floor_epoll",)),
    Server("ours_blocking", "ours", "ours_blocking", threads=True, pins=True),
    Server("ours_blocking_no_spin", "ours", "ours_blocking", ("--no-spin",), threads=True, without=CONFINED),
    Server("ours_blocking_rings", "ours", "ours_blocking", ("--no-first-try",), threads=True, pins=True, variant=True),
    Server("ours_blocking_epoll", "ours", "ours_blocking", OVER_EPOLL, threads=True, pins=True, variant=True, quick=False,
           floor=("floor_epoll",)),
    Server("ours_async", "ours", "ours_blocking", ("--async",), threads=True, pins=True, variant=True),
    Server("ours_async_rings", "ours", "ours_blocking", ("--no-first-try", "--async"), threads=True, pins=True, variant=True),
    Server("libuv", "peer", "peer_libuv"),
    Server("libevent", "peer", "peer_libevent"),
    Server("libevent_events", "peer", "peer_libevent_events"),
    Server("asio", "peer", "peer_asio"),
    Server("asio_io_uring", "peer", "peer_asio_io_uring"),
    Server("asio_coroutines", "peer", "peer_asio_coroutines", quick=False),
    Server("asio_io_uring_coroutines", "peer", "peer_asio_io_uring_coroutines", quick=False),
    Server("nng", "peer", "peer_nng"),
    Server("tokio", "peer", "peer_tokio"),
    Server("monoio", "peer", "peer_monoio"),
    # Its rings have 1,024 places, of which every connection that waits for bytes keeps one.
    Server("commonware", "peer", "peer_commonware", ("2",), sized=True, without="idle_10000"),
    Server("commonware_one_worker", "peer", "peer_commonware", ("1",), sized=True, without="idle_10000", variant=True),
    Server("floor_stream_blocking", "floor", "floor_stream_blocking", kind="stream"),
    Server("floor_stream_epoll", "floor", "floor_stream_epoll", kind="stream"),
    Server("ours_stream_blocking", "ours", "ours_stream_blocking", kind="stream"),
    Server("ours_stream_blocking_no_spin", "ours", "ours_stream_blocking", ("--no-spin",), kind="stream", without=CONFINED),
    Server("ours_stream_blocking_rings", "ours", "ours_stream_blocking", ("--no-first-try",), kind="stream", variant=True),
    Server("ours_stream_blocking_epoll", "ours", "ours_stream_blocking", OVER_EPOLL, kind="stream", variant=True, quick=False),
    Server("ours_stream_callback", "ours", "ours_stream_callback", kind="stream"),
    Server("ours_stream_callback_rings", "ours", "ours_stream_callback", ("--no-first-try",), kind="stream", variant=True),
    Server("ours_stream_callback_epoll", "ours", "ours_stream_callback", OVER_EPOLL, kind="stream", variant=True, quick=False),
    Server("libuv_stream", "peer", "peer_libuv_stream", kind="stream"),
    Server("asio_stream", "peer", "peer_asio_stream", kind="stream"),
    Server("asio_io_uring_stream", "peer", "peer_asio_io_uring_stream", kind="stream"),
    Server("floor_posts", "floor", "floor_posts", kind="posts"),
    Server("ours_posts", "ours", "ours_posts", kind="posts"),
    Server("ours_posts_rings", "ours", "ours_posts", ("--no-first-try",), kind="posts", variant=True),
    Server("ours_posts_epoll", "ours", "ours_posts", OVER_EPOLL, kind="posts", variant=True, quick=False),
    Server("libuv_posts", "peer", "peer_libuv_posts", kind="posts"),
    Server("floor_dial_io_uring", "floor", "floor_dial_io_uring", kind="dial"),
    Server("floor_dial_epoll", "floor", "floor_dial_epoll", kind="dial"),
    Server("ours_dial_callback", "ours", "ours_dial", kind="dial"),
    Server("ours_dial_callback_epoll", "ours", "ours_dial", OVER_EPOLL, kind="dial", variant=True, quick=False,
           floor=("floor_dial_epoll",)),
    Server("ours_dial_blocking", "ours", "ours_dial", ("--blocking",), kind="dial"),
    Server("libuv_dial", "peer", "peer_libuv_dial", kind="dial"),
    Server("tokio_dial", "peer", "peer_tokio_dial", kind="dial"),
    Server("floor_proxy_epoll", "floor", "floor_proxy_epoll", kind="proxy"),
    Server("ours_proxy", "ours", "ours_proxy", kind="proxy"),
    Server("ours_proxy_epoll", "ours", "ours_proxy", OVER_EPOLL, kind="proxy", variant=True, quick=False),
    Server("libuv_proxy", "peer", "peer_libuv_proxy", kind="proxy"),
    Server("tokio_proxy", "peer", "peer_tokio_proxy", kind="proxy"),
    Server("ours_http", "ours", "ours_http", kind="http"),
    Server("ours_http_rings", "ours", "ours_http", ("--no-first-try",), variant=True, kind="http"),
    Server("ours_http_epoll", "ours", "ours_http", OVER_EPOLL, variant=True, quick=False, kind="http"),
    Server("libuv_http", "peer", "peer_libuv_http", kind="http"),
    Server("nginx", "peer", "peer_nginx", kind="http"),
]


@dataclass(frozen=True)
class Case:
    name: str
    load: tuple  # arguments of the load generator: `load`, or wrk where the kind is "http"
    figure: str = "cpu_us_per_msg"  # what decides: the ratios and the chart show it
    floor: tuple = ONE_RING
    # Server and load on cores "apart", on the "same" one, or "anywhere". "threads": as "apart", but of servers that can do so
    # only the threads of connections are pinned, so that the system may place the others, and programs see both cores.
    place: str = "apart"
    threads: bool = False  # servers with a thread for each connection take part
    variants: bool = False  # servers that are variants of others take part
    quick: bool = False
    floor_arguments: tuple = ()  # what the one-ring floors need to be at their best
    kind: str = "echo"  # of the servers that take part
    most_rounds: int = sys.maxsize  # fewer where figures hardly vary, or a run takes long
    runs: int = 1  # of each server in a round: more where the same code varies most from run to run; --quick: one
    calls: bool = True  # system calls are counted
    target: float = None  # what ours should be at least, or at most if less is better: ...
    target_figure: str = "to_floor"  # ... by this figure
    backend: str = ""  # a program that the servers are told to connect to, as their last argument


def echo(name, connections, size=64, *more, **rest):
    return Case(name, ("--connections", connections, "--size", size) + more, **rest)


def ping_pong(name, **rest):
    return Case("pingpong_" + name, ("--blocking", "--size", 64), figure="p50_us", floor=("floor_blocking",), threads=True,
                **rest)


def stream(direction, size_name, size, connections, more="", **rest):
    """One-way: the server sends (download) or receives (upload) as fast as it can."""
    return Case(f"{direction}_{size_name}_{connections}{more}", (f"--{direction}", "--connections", connections, "--size", size),
                figure="mib_per_s", floor=("floor_stream_blocking",), threads=True, kind="stream", target=0.97, runs=3, **rest)


def accept(name, **rest):
    return Case(name, ("--connections", 8, "--silent"), **rest)


def dial(name, **rest):
    return Case(name, ("--connections", 8, "--dialled"), floor=("floor_dial_io_uring", "floor_dial_epoll"), kind="dial",
                **rest)


def posts(place, **rest):
    return Case("posts_64b_8_threads_" + place, ("--posts",), figure="msgs_per_s", floor=("floor_posts",), place=place,
                kind="posts", target=3.0, **rest)


def proxy(name, connections, size):
    return echo(name, connections, size, floor=("floor_proxy_epoll",), kind="proxy", backend="floor_epoll")


def http(name, connections, **rest):
    """The arguments are those of wrk. No server is written by hand."""
    return Case(name, ("--threads", 1, "--connections", connections), floor=(), kind="http", calls=False, most_rounds=10,
                **rest)


BIG_BUFFERS = ("--buffer-size", "16384", "--buffers", "256")

CASES = [
    echo("echo_64b_1", 1, quick=True, threads=True, variants=True),
    echo("echo_64b_64", 64, quick=True, threads=True, variants=True),
    echo("echo_64b_1000", 1000, quick=True, variants=True),
    echo("echo_64b_1_idle_1", 1, 64, "--idle", 1),
    echo("echo_64b_64_idle_1", 64, 64, "--idle", 1, quick=True),
    echo("echo_64b_1000_idle_1", 1000, 64, "--idle", 1, most_rounds=10),
    echo("echo_64b_64_idle_10000", 64, 64, "--idle", 10000, most_rounds=10),
    echo("echo_64b_1000_idle_10000", 1000, 64, "--idle", 10000, most_rounds=10),
    echo("echo_4kib_64", 64, 4096),
    echo("echo_16kib_64", 64, 16384, quick=True, floor_arguments=BIG_BUFFERS),
    echo("echo_64b_64_pipelined_16", 64, 64, "--in-flight", 16),
    echo("echo_64b_64_open_20000", 64, 64, "--rate", 20000, figure="p99_us"),
    echo("echo_64b_64_same", 64, place="same", most_rounds=10),
    echo("echo_64b_1000_same", 1000, place="same", most_rounds=10),
    echo("echo_64b_64_open_200000", 64, 64, "--rate", 200000),
    echo("reconnect_64b_8", 8, 64, "--reconnect", threads=True),
    echo("reconnect_64b_8_same", 8, 64, "--reconnect", place="same"),
    accept("accept_8"),
    accept("accept_8_same", place="same"),
    dial("dial_8", quick=True),
    dial("dial_8_same", place="same"),
    proxy("proxy_64b_1", 1, 64),
    proxy("proxy_64b_64", 64, 64),
    proxy("proxy_16kib_64", 64, 16384),
    http("http_100b_1000", 1000),
    ping_pong("anywhere", place="anywhere", quick=True),
    ping_pong("apart", place="threads", variants=True),
    ping_pong("same", place="same", variants=True, most_rounds=10),
    echo("echo_64b_8_threads", 8, floor=("floor_blocking",), threads=True),
    echo("echo_64b_1_anywhere", 1, place="anywhere", threads=True, most_rounds=10),
    echo("echo_64b_8_anywhere", 8, place="anywhere", threads=True, floor=("floor_blocking",), most_rounds=10),
    echo("echo_64b_64_anywhere", 64, place="anywhere", threads=True, floor=("floor_blocking",), most_rounds=10),
    echo("echo_64b_64_open_200000_anywhere", 64, 64, "--rate", 200000, place="anywhere", most_rounds=10),
    echo("reconnect_64b_8_anywhere", 8, 64, "--reconnect", place="anywhere", most_rounds=10),
    accept("accept_8_anywhere", place="anywhere"),
    dial("dial_8_anywhere", place="anywhere", most_rounds=10),
    stream("download", "64kib", 65536, 1, quick=True, variants=True),
    stream("download", "64kib", 65536, 64),
    stream("download", "1mib", 1048576, 1),
    stream("download", "1mib", 1048576, 64),
    stream("upload", "64kib", 65536, 1, variants=True),
    stream("upload", "64kib", 65536, 1, "_anywhere", place="anywhere", most_rounds=10),
    stream("upload", "64kib", 65536, 64),
    stream("upload", "64kib", 65536, 64, "_anywhere", place="anywhere", most_rounds=10),
    stream("upload", "1mib", 1048576, 1),
    stream("upload", "1mib", 1048576, 64),
    posts("apart", quick=True, variants=True),
    posts("anywhere"),
    # Memory does not drift with the machine's load.
    Case("idle_10000", ("--memory", "--idle", 10000), figure="rss_bytes_per_conn", floor=("floor_epoll",), most_rounds=3,
         calls=False, target=768.0, target_figure="rss_bytes_per_conn"),
]


def takes_part(case, server, variants):
    """`variants`: in all cases."""
    return (case.kind == server.kind and (case.threads or not server.threads) and
            not (server.without and re.search(server.without, case.name)) and
            (variants or case.variants or not server.variant or server.name in case.floor))

COSTS = ["cpu_us_per_msg", "p50_us", "p99_us", "p999_us", "switches_per_msg", "cpu_us_per_mib", "switches_per_mib", "rss_kib",
         "rss_bytes_per_conn", "slab_bytes_per_conn", "client_busy"]  # less is better
RATES = ["msgs_per_s", "mib_per_s"]  # more is better
CALLS = ["calls_per_msg", "calls_per_mib"]  # from a turn of their own


def in_order(case, results):
    """The servers and their figures, the best first by the figure that decides."""
    return sorted(results.items(), key=lambda item: item[1][case.figure], reverse=case.figure in RATES)


class Failed(Exception):
    pass


def pin(cpus):
    """What a child does before it becomes the program: keeps to `cpus`, and may have as many descriptors as it gets, which
    not every peer sees to."""
    def setup():
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65536) if most >= 0 else 65536, most))
        if cpus:
            os.sched_setaffinity(0, cpus)
    return setup


def places(place, allowed):
    """The processors of server and load; None: any."""
    if place == "anywhere" or len(allowed) < 2:
        return None, None
    if place == "same":
        return {allowed[-1]}, {allowed[-1]}
    return {allowed[-1]}, {allowed[0]}


def wait_for_address(server, seconds):
    """The address that the server announces on its first line."""
    until, text = time.monotonic() + seconds, b""
    while b"\n" not in text:
        ready, _, _ = select.select([server.stdout], [], [], max(0, until - time.monotonic()))
        piece = os.read(server.stdout.fileno(), 4096) if ready else b""
        if not piece:
            raise Failed("the server did not say where it listens")
        text += piece
    match = re.match(rb"listening on (\S+)\n", text)
    if not match:
        raise Failed("the server said something else than where it listens")
    return match.group(1).decode()


def end(process, seconds=10):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Failed(f"did not end within {seconds} s of SIGTERM")


def end_all(processes):
    """The last started first. Each is ended, whatever happens to the others."""
    failed = None
    for process in reversed(processes):
        try:
            end(process)
        except Failed as failure:
            failed = failure
        process.stdout.close()
    if failed:
        raise failed


def last_line(file):
    file.seek(0)
    lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no message"


@dataclass
class Bench:
    directory: str
    seconds: float
    warmup: float
    allowed: list
    network: str

    def start(self, program, arguments, errors, cpus):
        return subprocess.Popen([os.path.join(self.directory, program), *arguments], stdout=subprocess.PIPE, stderr=errors,
                                preexec_fn=pin(cpus))

    def load(self, case, process, address, cpus, count_calls):
        """What `load` printed, as numbers."""
        with tempfile.TemporaryFile() as errors:
            load = subprocess.run(
                [os.path.join(self.directory, "load"), "--address", address, "--pid", str(process.pid),
                 "--seconds", str(self.seconds), "--warmup", str(self.warmup), *map(str, case.load),
                 *(("--calls",) if count_calls else ())],
                stdout=subprocess.PIPE, stderr=errors, preexec_fn=pin(cpus), timeout=self.seconds + self.warmup + 60)
            if load.returncode != 0:
                raise Failed(last_line(errors))
        words = (word.split("=") for word in load.stdout.decode().split())
        return {name: float(value) for name, value in words}

    def wrk(self, case, process, address, cpus, _):
        """The same of wrk."""
        try:
            return wrk.run(address, process.pid, case.load, self.seconds, pin(cpus))
        except wrk.Error as error:
            raise Failed(str(error))

    def run(self, case, server, count_calls=False):
        """One run of one server in one case: its figures."""
        server_cpus, load_cpus = places(case.place, self.allowed)
        arguments = server.arguments + (case.floor_arguments if server.program == "floor_io_uring" else ())
        if case.place == "threads" and server.pins and server_cpus:
            arguments = ("--cpu", str(min(server_cpus))) + arguments
            server_cpus = None
        if server.sized:
            arguments += (str(case.load[case.load.index("--size") + 1]) if "--size" in case.load else "64",)
        with tempfile.TemporaryFile() as server_errors, tempfile.TemporaryFile() as backend_errors:
            processes, failure = [], None
            try:
                if case.backend:  # beside the load generator, so that the server has its processor for itself
                    processes.append(self.start(case.backend, (), backend_errors, load_cpus))
                    arguments += (wait_for_address(processes[0], 10),)
                process = self.start(server.program, arguments, server_errors, server_cpus)
                processes.append(process)
                address = wait_for_address(process, 10)
                try:
                    measure = self.wrk if case.kind == "http" else self.load
                    values = measure(case, process, address, load_cpus, count_calls)
                except Failed as seen:
                    failure = seen
                for one, errors in zip(reversed(processes), (server_errors, backend_errors)):
                    if one.poll() is not None:
                        raise Failed(f"the server ended by itself ({one.returncode}): {last_line(errors)}")
                if failure:
                    raise failure
            except subprocess.TimeoutExpired:
                raise Failed("the load generator did not end")
            finally:
                end_all(processes)
            if process.returncode not in (0, -signal.SIGTERM):
                raise Failed(f"ended with {process.returncode}: {last_line(server_errors)}")
        return values


def quartiles(values):
    if len(values) == 1:
        return values[0], values[0], values[0]
    return tuple(statistics.quantiles(values, n=4, method="inclusive"))


def summarise(runs):
    """The figures of one server in one case. Disturbances only ever make a run worse, so the quartile on the good side is
    the figure: the lower one of a cost, the upper one of a rate."""
    figures = {}
    for name in RATES + COSTS:
        values = [run[name] for run in runs if name in run]
        if not values:
            continue
        low, middle, high = quartiles(values)
        figures[name] = high if name in RATES else low
        figures[name + "_spread"] = (high - low) / middle if middle else 0.0
        figures[name + "_worse"] = low if name in RATES else high
    if "threads" in runs[-1]:
        figures["threads"] = runs[-1]["threads"]
    dropped = sum(run.get("dropped", 0) for run in runs)
    if dropped:
        figures["dropped"] = dropped
    return figures


def compare(case, results):
    """Adds to each server's figures its ratios to the floor and to the best peer, by the figure that decides."""
    def best(names):
        there = {n: results[n] for n in names if n in results and case.figure in results[n]}
        return (in_order(case, there)[0][1][case.figure], in_order(case, there)[0][0]) if there else (None, None)

    case_floor, _ = best(case.floor)
    peer, peer_name = best([s.name for s in SERVERS if s.group == "peer"])
    ours = {s.name for s in SERVERS if s.group == "ours"}
    over_rings = any("io_uring" in name for name in case.floor)
    own_floors = {s.name: best(s.floor)[0] for s in SERVERS if s.floor and over_rings}
    for server, figures in results.items():
        floor = own_floors.get(server) or case_floor
        if floor:
            figures["to_floor"] = figures[case.figure] / floor
        if peer:
            figures["to_best_peer"] = figures[case.figure] / peer
            figures["best_peer"] = peer_name
        if case.target and server in ours and case.target_figure in figures:
            figures["to_target"] = figures[case.target_figure] / case.target


SHOWN = ["msgs_per_s", "mib_per_s", "cpu_us_per_msg", "p50_us", "p99_us", "p999_us", "calls_per_msg", "switches_per_msg",
         "cpu_us_per_mib", "calls_per_mib", "switches_per_mib", "rss_bytes_per_conn", "slab_bytes_per_conn", "rss_kib",
         "threads", "client_busy", "dropped", "runs", "failed", "to_floor", "to_target", "to_best_peer", "best_peer"]
DIGITS = {"msgs_per_s": 0, "mib_per_s": 1, "cpu_us_per_msg": 3, "p50_us": 1, "p99_us": 1, "p999_us": 1, "calls_per_msg": 4,
          "switches_per_msg": 4, "cpu_us_per_mib": 1, "calls_per_mib": 2, "switches_per_mib": 3, "rss_bytes_per_conn": 0,
          "slab_bytes_per_conn": 0, "rss_kib": 0, "threads": 0, "client_busy": 2, "dropped": 0, "runs": 0, "failed": 0,
          "to_floor": 3, "to_target": 3, "to_best_peer": 3}


def text_of(name, value):
    return value if isinstance(value, str) else f"{value:.{DIGITS.get(name, 3)}f}"


def line(case, server, figures):
    words = [f"case={case.name}", f"server={server}"]
    for name in SHOWN:
        if name in figures:
            words.append(f"{name}={text_of(name, figures[name])}")
            if name in ("msgs_per_s", "cpu_us_per_msg", "p50_us", "mib_per_s", "cpu_us_per_mib"):
                words.append(f"{name}_spread={figures[name + '_spread']:.3f}")
    return " ".join(words)


COLUMNS = {"msgs_per_s": "msg/s", "mib_per_s": "MiB/s", "cpu_us_per_msg": "CPU us/msg", "cpu_us_per_mib": "CPU us/MiB",
           "rss_bytes_per_conn": "RSS B/conn", "slab_bytes_per_conn": "slab B/conn", "spread": "spread", "p50_us": "p50 us",
           "p99_us": "p99 us", "p999_us": "p99.9 us", "calls_per_msg": "calls/msg", "calls_per_mib": "calls/MiB",
           "switches_per_msg": "switches/msg", "switches_per_mib": "switches/MiB", "rss_kib": "RSS KiB",
           "client_busy": "client busy", "dropped": "dropped", "to_floor": "to floor", "to_target": "to target",
           "to_best_peer": "to best peer"}


def table(case, results):
    """For people: the best server first, and the columns in which there is anything. The spread is that of the figure that
    decides."""
    shown = [(server, figures | {"spread": figures[case.figure + "_spread"]}) for server, figures in in_order(case, results)]
    names = [name for name in COLUMNS if any(name in figures for _, figures in shown)]
    rows = [["server"] + [COLUMNS[name] for name in names]]
    for server, figures in shown:
        rows.append([server] + [text_of(n, figures[n]) if n in figures else "-" for n in names])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    better = "more" if case.figure in RATES else "less"
    lines = [f"{case.name}, ordered by {case.figure}, of which {better} is better"]
    for row in rows:
        lines.append("  " + "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w)
                                      for i, (cell, w) in enumerate(zip(row, widths))))
    return "\n".join(lines)


NOT_IN_MARKDOWN = ("client_busy", "to_target")


def markdown(case, results):
    """The table for documents: one rate only, the spread in percent, and what is ours in bold."""
    groups = {s.name: s.group for s in SERVERS}
    shown = [(server, figures | {"spread": figures[case.figure + "_spread"]}) for server, figures in in_order(case, results)]
    names = [n for n in COLUMNS if n not in NOT_IN_MARKDOWN and any(n in figures for _, figures in shown)]
    if "msgs_per_s" in names and "mib_per_s" in names:
        names.remove("mib_per_s")

    def cell(name, figures):
        if name not in figures:
            return "-"
        return f"{figures[name] * 100:.0f} %" if name == "spread" else text_of(name, figures[name])

    better = "more" if case.figure in RATES else "less"
    lines = [f"### {case.name}", "",
             f"Ordered by {COLUMNS[case.figure]}, of which {better} is better; the spread is that of it.", "",
             "| server | " + " | ".join(COLUMNS[n] for n in names) + " |", "|---" + "|---:" * len(names) + "|"]
    for server, figures in shown:
        name = f"**{server}**" if groups[server] == "ours" else server
        lines.append("| " + " | ".join([name] + [cell(n, figures) for n in names]) + " |")
    return "\n".join(lines)


COLOURS = {"floor": "#8a8f98", "ours": "#c2410c", "peer": "#2f6fab"}


def chart(all_results, rounds):
    """An SVG with a panel for each case and a bar for each server, from zero, the best first; the thin line spans the middle
    half of the rounds: it begins at the bar's end, where less is better, and ends there, where more is."""
    groups = {s.name: s.group for s in SERVERS}
    row, left, width, right = 20, 210, 520, 230
    out, y = [], 44
    for case, results in all_results:
        shown = in_order(case, results)
        most = max(max(f[case.figure], f[case.figure + "_worse"]) for _, f in shown) or 1
        better = "more" if case.figure in RATES else "less"
        out.append(f'<text x="10" y="{y}" class="case">{case.name}: {case.figure}, {better} is better</text>')
        y += 10
        for server, figures in shown:
            value, worse = figures[case.figure], figures[case.figure + "_worse"]
            bar, end_of_line, middle = max(value, 0) / most * width, max(worse, 0) / most * width, y + row / 2
            far = max(bar, end_of_line)
            out.append(f'<text x="{left - 8}" y="{middle + 4}" text-anchor="end">{server}</text>'
                       f'<rect x="{left}" y="{y + 3}" width="{bar:.1f}" height="{row - 6}" fill="{COLOURS[groups[server]]}"/>'
                       f'<line x1="{left + bar:.1f}" x2="{left + end_of_line:.1f}" y1="{middle}" y2="{middle}" stroke="#222"/>')
            ratio = f" ({figures['to_floor']:.2f} of the floor)" if "to_floor" in figures else ""
            out.append(f'<text x="{left + far + 6:.1f}" y="{middle + 4}">{text_of(case.figure, value)}{ratio}</text>')
            y += row
        y += 34
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + right}" height="{y}" font-family="sans-serif" '
            f'font-size="12"><style>.case {{ font-size: 14px; font-weight: bold }}</style>'
            f'<rect width="100%" height="100%" fill="white"/>'
            f'<text x="10" y="18">The better quartile of the runs of {rounds} rounds; the line reaches to the worse one.</text>'
            + "\n".join(out) + "</svg>\n")


CLONE_NEWNET, CLONE_NEWNS = 0x40000000, 0x00020000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
TRACING = "/sys/kernel/tracing"
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
CONGESTION = "/proc/sys/net/ipv4/tcp_congestion_control"


def enter_own_network():
    """Puts this program and all that it starts into a network namespace with nothing but a loopback device: no traffic and no
    used-up ports of others, and no pacing of what is sent, since with some of the kernel's congestion controls (bbr) it is
    their estimates of the bandwidth that decide how fast a stream is. Returns whether that was possible."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        return False
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
    with open(CONGESTION, "w") as file:
        file.write("reno")
    return True


def may_count_calls():
    """Whether system calls can be counted. Where the kernel's trace points are not mounted they are, for this program and all
    that it starts, in a namespace of their own."""
    point = os.path.join(TRACING, "events/raw_syscalls/sys_enter/id")
    if not os.access(point, os.R_OK):
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNS) == 0 and libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) == 0:
            libc.mount(b"tracefs", TRACING.encode(), b"tracefs", 0, None)
    return os.access(point, os.R_OK)


def first_match(path, prefix):
    """What follows the colon in the first line of a file that begins so; "" where there is none."""
    try:
        with open(path) as file:
            return next((line.split(":", 1)[1].strip() for line in file if line.startswith(prefix)), "")
    except OSError:
        return ""


def processor(path="/proc/cpuinfo"):
    """Its name, and its family and model where it has them: rented machines often name the maker's line only."""
    name = first_match(path, "model name") or platform.machine()
    family, model = first_match(path, "cpu family"), first_match(path, "model\t")
    return f"{name}, family {family}, model {model}" if family and model else name


def empty_call_ns():
    """What a system call costs that does nothing: getppid(2), less a call of Python's that stays in the process. The least of
    many short loops, since a disturbance only ever adds."""
    def least(call, calls=2000, loops=50):
        times = []
        for _ in range(loops):
            begun = time.perf_counter_ns()
            for _ in range(calls):
                call()
            times.append(time.perf_counter_ns() - begun)
        return min(times) / calls

    return round(least(os.getppid) - least(sys.getrecursionlimit))


VULNERABILITIES = "/sys/devices/system/cpu/vulnerabilities"


def mitigations(directory=VULNERABILITIES):
    """In one line what the kernel does about each fault of this processor; faults that it does not have are left out."""
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return "unknown"
    states = []
    for name in names:
        with open(os.path.join(directory, name)) as file:
            state = " ".join(file.read().split())
        if state != "Not affected":
            states.append(f"{name}: {state.removeprefix('Mitigation: ')}")
    return " | ".join(states) or "none needed"


def commit():
    """Of the sources beside this file, with "-dirty" where they differ from it."""
    try:
        done = subprocess.run(["git", "-C", HERE, "describe", "--always", "--dirty", "--exclude=*"], capture_output=True,
                              text=True)
        return done.stdout.strip() or "unknown"
    except OSError:
        return "unknown"


def about(bench, rounds):
    """What has to be known of a run to compare its figures, as it begins."""
    try:
        with open(CONGESTION) as file:
            congestion = file.read().strip()
    except OSError:
        congestion = "unknown"
    return {"date": str(datetime.date.today()), "commit": commit(), "kernel": platform.release(),
            "processors": len(bench.allowed), "processor": processor(),
            "empty_call_ns": empty_call_ns(), "mitigations": mitigations(), "rounds": rounds, "seconds": bench.seconds,
            "warmup": bench.warmup, "load_average": round(os.getloadavg()[0], 1), "network": bench.network,
            "congestion": congestion}


def about_lines(a):
    return [f"# {a['date']} commit {a['commit']}, kernel {a['kernel']}, {a['processors']} processors, {a['processor']}",
            f"# an empty system call: {a['empty_call_ns']} ns; mitigations: {a['mitigations']}",
            f"# {a['rounds']} rounds of {a['seconds']} s after {a['warmup']} s, load average at the start {a['load_average']}",
            f"# network: {a['network']}, congestion control {a['congestion']}"]


def as_run(about_run, all_results):
    """One run as it is kept: `all_results` has each case's name and its servers' figures."""
    def kept(name, value):
        return value if isinstance(value, str) else round(value, DIGITS.get(name, 3)) if DIGITS.get(name, 3) else round(value)

    return {"about": about_run, "cases": [{"case": case, "servers": {s: {n: kept(n, v) for n, v in figures.items()}
                                                                     for s, figures in results.items()}}
                                          for case, results in all_results]}


def results_text(runs):
    """A file of results: a list of runs, the latest one last. A line for each server, so that people can read changes."""
    def case_text(case):
        servers = ",\n".join(f"      {json.dumps(s)}: {json.dumps(f)}" for s, f in case["servers"].items())
        return f'    {{"case": {json.dumps(case["case"])}, "servers": {{\n{servers}}}}}'

    def run_text(run):
        return (f'  {{"about": {json.dumps(run["about"])},\n   "cases": [\n' + ",\n".join(map(case_text, run["cases"])) + "]}")

    return '{"runs": [\n' + ",\n".join(map(run_text, runs)) + "]}\n"


def read_results(path):
    with open(path) as file:
        return json.load(file)["runs"]


def keep(path, runs):
    with open(path, "w") as file:
        file.write(results_text(runs))


def make_charts(path, directory):
    """The charts of docs/PERFORMANCE.md into a directory, and its table to stdout. Of a case that several runs have, the latest
    counts; the first run says on which machine it was."""
    runs = read_results(path)
    cases = {case["case"]: case["servers"] for run in runs for case in run["cases"]}
    missing = sorted(charts.needed() - cases.keys())
    if missing:
        print(f"{path} lacks {', '.join(missing)}", file=sys.stderr)
        return 2
    os.makedirs(directory, exist_ok=True)
    for one in charts.CHARTS:
        with open(os.path.join(directory, one.file), "w") as file:
            file.write(charts.draw(one, cases, runs[0]["about"]))
    print(charts.table(cases, [s.name for s in SERVERS if s.group == "peer"]), end="")
    return 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer cases and rounds, within two minutes")
    parser.add_argument("--rounds", type=int, help="rounds (20; quick: 3)")
    parser.add_argument("--seconds", type=float, help="measured in each run (0.2)")
    parser.add_argument("--warmup", type=float, help="before it (0.05)")
    parser.add_argument("--budget", type=float, help="seconds after which no round begins that would not end in time "
                                                     "(none; quick: 100)")
    parser.add_argument("--cases", help="a pattern that names of cases must contain")
    parser.add_argument("--servers", help="a pattern that names of servers must contain")
    parser.add_argument("--variants", action="store_true", help="variants of servers take part in all cases, not in a few only")
    parser.add_argument("--directory", default=os.path.join(HERE, "..", "build", "bench"), help="the programs")
    parser.add_argument("--out", help="where results.txt, results.md, results.json and chart.svg go (the directory of the "
                                      "programs); with --charts: where the charts go (docs)")
    parser.add_argument("--save", metavar="FILE", help="keep the figures: add the run to this file of results, or begin one")
    parser.add_argument("--charts", metavar="FILE", help="make the charts of docs/PERFORMANCE.md from this file of results and "
                                                         "print its table; run nothing")
    parser.add_argument("--list", action="store_true", help="name cases and servers, and run nothing")
    parser.add_argument("--system-network", action="store_true", help="measure on the system's loopback device and with its "
                                                                      "congestion control, not on an own one with reno")
    parser.add_argument("--no-calls", dest="calls", action="store_false", help="do not count system calls (quick does not)")
    a = parser.parse_args()
    usual = (3, 0.2, 0.05, 100.0) if a.quick else (20, 0.2, 0.05, None)
    a.rounds, a.seconds, a.warmup, a.budget = (
        given if given is not None else default
        for given, default in zip((a.rounds, a.seconds, a.warmup, a.budget), usual))
    if a.rounds < 1:
        parser.error("at least one round")
    a.calls = a.calls and not a.quick
    return a


def select_servers(a):
    """Those that were asked for and built. What is not there is named: a comparison must not lose a peer unnoticed."""
    chosen = []
    for server in SERVERS:
        if a.servers and not re.search(a.servers, server.name) or a.quick and not a.servers and not server.quick:
            continue
        if os.access(os.path.join(a.directory, server.program), os.X_OK):
            chosen.append(server)
        else:
            print(f"# skipped: server={server.name}: {server.program} is not built")
    return chosen


def select_cases(cases):
    """Those whose load generator is there."""
    if wrk.installed():
        return cases
    for case in cases:
        if case.kind == "http":
            print(f"# skipped: case={case.name}: {wrk.PROGRAM} is not installed")
    return [case for case in cases if case.kind != "http"]


def runs_in_round(a, case):
    return 1 if a.quick else case.runs


def order(servers, turn, times):
    """All servers so many times, each time from another one on and the other way round: nobody has one neighbour always."""
    result = []
    for i in range(turn * times, (turn + 1) * times):
        around = servers if i % 2 == 0 else servers[::-1]
        shift = i % len(servers)
        result += around[shift:] + around[:shift]
    return result


def estimate(a, pairs):
    """Seconds that all of them will take."""
    def one_run(case):
        most = sum(case.load[case.load.index(option) + 1] for option in ("--connections", "--idle") if option in case.load)
        if case.kind == "http":
            return wrk.duration(a.seconds) + 0.3
        if "--memory" in case.load:
            return 0.00014 * most  # opens one after the other, and waits for memory to settle
        return a.seconds + a.warmup + 0.03 + 0.000035 * most

    seconds = sum(one_run(c) * (min(a.rounds, c.most_rounds) * runs_in_round(a, c) + (a.calls and c.calls)) for c, _ in pairs)
    return min(seconds, a.budget) if a.budget else seconds


def main():
    a = arguments()
    cases = [c for c in CASES if (not a.quick or c.quick) and (not a.cases or re.search(a.cases, c.name))]
    if a.list:
        print("cases:", *(c.name for c in CASES), sep="\n  ")
        print("servers:", *(s.name for s in SERVERS), sep="\n  ")
        return 0
    if a.charts:
        return make_charts(a.charts, a.out or os.path.join(HERE, "..", "docs"))
    servers = select_servers(a)
    cases = select_cases(cases)
    if not cases or not servers or not os.access(os.path.join(a.directory, "load"), os.X_OK):
        print("nothing to run: is everything built? (bench/build.sh)", file=sys.stderr)
        return 2
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        print("# one processor only: server and load share it in every case")
    network = "its own" if not a.system_network and enter_own_network() else "the system's"
    if a.calls and not may_count_calls():
        print("# system calls are not counted: that needs root, or permission to trace")
        a.calls = False
    bench = Bench(a.directory, a.seconds, a.warmup, allowed, network)
    pairs = [(c, s) for c in cases for s in servers if takes_part(c, s, a.variants)]
    runs = {(c.name, s.name): [] for c, s in pairs}
    failures = {}
    about_run = about(bench, a.rounds)
    print(*about_lines(about_run), sep="\n")
    print(f"# {len(pairs)} pairs of a case and a server, about {estimate(a, pairs) / 60:.1f} minutes", flush=True)

    begun, rounds = time.monotonic(), 0
    # One more turn counts system calls, which disturbs all else: it is not one of the rounds.
    turns = a.rounds + (1 if a.calls else 0)
    for turn in range(turns):
        counting = turn == a.rounds
        turn_begun = time.monotonic()
        for case in cases:
            taking_part = [s for c, s in pairs if c is case]
            if not taking_part or (not case.calls if counting else turn >= case.most_rounds):
                continue
            for server in order(taking_part, turn, 1 if counting else runs_in_round(a, case)):
                progress(f"{'system calls' if counting else f'round {turn + 1} of {a.rounds}'}: {case.name} {server.name}")
                try:
                    values = bench.run(case, server, counting)
                except Failed as failure:
                    failures.setdefault((case.name, server.name), []).append(str(failure))
                    continue
                if counting:
                    if runs[case.name, server.name]:
                        runs[case.name, server.name][0].update((n, values[n]) for n in CALLS if n in values)
                else:
                    runs[case.name, server.name].append(values)
        rounds += not counting
        now = time.monotonic()
        if a.budget and turn + 1 < turns and now + (now - turn_begun) > begun + a.budget:
            progress("")
            print(f"# stopped after {rounds} of {a.rounds} rounds: the next would not end within {a.budget:.0f} s")
            break
    progress("")

    all_results = []
    for case in cases:
        results = {}
        for server in servers:
            got = runs.get((case.name, server.name))
            if not got:
                continue
            figures = summarise(got)
            figures["runs"] = len(got)
            figures["failed"] = len(failures.get((case.name, server.name), []))
            figures.update((n, got[0][n]) for n in CALLS if n in got[0])
            results[server.name] = figures
        if results:
            compare(case, results)
            all_results.append((case, results))

    about_run["rounds"] = rounds
    heading = about_lines(about_run)
    lines = [line(c, s, f) for c, results in all_results for s, f in results.items()]
    tables = [table(c, results) for c, results in all_results]
    told = [f"FAILED case={c} server={s} times={len(w)}: {w[0]}" for (c, s), w in failures.items()]
    print("\n".join(lines) + "\n\n" + "\n\n".join(tables + told), flush=True)
    out = a.out or a.directory
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "results.txt"), "w") as file:
        file.write("\n".join(heading + lines) + "\n\n" + "\n\n".join(tables + told) + "\n")
    if all_results:
        with open(os.path.join(out, "results.md"), "w") as file:
            facts = ["- " + text.removeprefix("# ") for text in heading]
            missing = ["\n".join("- " + text for text in told)] if told else []
            file.write("\n\n".join(["\n".join(facts)] + [markdown(*one) for one in all_results] + missing) + "\n")
        with open(os.path.join(out, "chart.svg"), "w") as file:
            file.write(chart(all_results, rounds))
        this = as_run(about_run, [(case.name, results) for case, results in all_results])
        keep(os.path.join(out, "results.json"), [this])
        if a.save:
            keep(a.save, (read_results(a.save) if os.path.exists(a.save) else []) + [this])
    print(f"\nwritten: {os.path.join(out, 'results.txt')}, results.md, results.json and chart.svg, "
          f"{time.monotonic() - begun:.0f} s")
    groups = {s.name: s.group for s in SERVERS}
    # What fails in a peer is told, and is no fault of ours.
    return 1 if any(groups[s] != "peer" for _, s in failures) or not all_results else 0


def progress(text):
    """One line that overwrites itself, where somebody looks on."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K" + text)
        sys.stderr.flush()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
