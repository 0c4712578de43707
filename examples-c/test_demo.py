#!/usr/bin/env python3
"""test_demo.py DEMO: a terminal gets a progress bar for each step, which is gone in the end. A pipe gets none, nor does a user who
wants plain output. Everybody gets a picture of the latencies."""

import os
import pty
import re
import subprocess
import sys

STEPS = ("preparing", "receiving", "echoing", "playing")


def fail(why, output):
    sys.exit(f"FAILED: {why}\n{output}")


def run(on_terminal, **environment):
    """What the demo prints to a terminal or to a pipe, with the line ends of a program."""
    environment = {**{k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TERM")}, **environment}
    ours, its = pty.openpty() if on_terminal else os.pipe()
    demo = subprocess.Popen([sys.argv[1], "--quick"], stdin=subprocess.DEVNULL, stdout=its, stderr=its, env=environment)
    os.close(its)
    output = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # a terminal whose last program has ended
            break
        if not piece:
            break
        output += piece
    os.close(ours)
    text = output.decode().replace("\r\n", "\n")
    if demo.wait() != 0:
        fail("the demo failed", text)
    return text


def check_picture(text, what):
    """The rows add up, and the highest one has the whole width."""
    found = re.search(rf"^{what} +(\d+) times there and back\n((?:  .*\n)+)", text, re.M)
    if not found:
        fail(f"there is no picture of {what}", text)
    rows = [re.fullmatch(r"  (?:up to|     ) +(?:\d+ [um]?s|longer) +([\d.]+) %  (#*)", row) for row in found[2].splitlines()]
    if not all(rows):
        fail(f"a row of {what} is no row", text)
    shares, widths = [float(row[1]) for row in rows], [len(row[2]) for row in rows]
    if abs(sum(shares) - 100) > 0.2 or shares[0] == 0 and widths[0] == 0:
        fail(f"the rows of {what} do not add up", text)
    for share, width in zip(shares, widths):
        if abs(width - 40 * share / max(shares)) > 1 or max(widths) != 40:
            fail(f"a bar of {what} has the wrong width", text)


def main():
    plain = {
        "a pipe": run(False, TERM="xterm"),
        "NO_COLOR": run(True, TERM="xterm", NO_COLOR="1"),
        "a dumb terminal": run(True, TERM="dumb"),
        "a terminal of an unknown kind": run(True),
    }
    for what, text in plain.items():
        if "\r" in text or "[" in text:
            fail(f"{what} gets a progress bar", text)
    bars = {"a terminal": run(True, TERM="xterm"), "an empty NO_COLOR": run(True, TERM="xterm", NO_COLOR="")}
    for what, text in bars.items():
        for step in STEPS:
            if not re.search(rf"\r   {step} +\[#* *\] +\d+ %", text):
                fail(f"{what} gets no bar of {step}", text)
        left = [line.rsplit("\r", 1)[-1] for line in text.split("\n")]  # what the line shows in the end
        if any("[" in line for line in left):
            fail(f"a bar stays on {what}", text)
    for text in (*plain.values(), *bars.values()):
        check_picture(text, "echo connections")
        check_picture(text, "blocking ping-pong")


main()
