#!/usr/bin/env python3
"""Says in which functions the instructions are that instructions.c counted with --profile: bench/profile.py FILE MESSAGES

Two tables, in instructions per message: by function, with what was inlined into it; and by source function, where inlined
code counts for the function that it was written in. The second needs debug information, which Cargo.toml asks for.
"""
import argparse
import re
import subprocess
import sys
from collections import Counter, defaultdict


def segments(path):
    """(offset in the file, size, address) of what is loaded, since addr2line wants addresses and the profile has offsets."""
    text = subprocess.run(["readelf", "-lW", path], capture_output=True, text=True, check=True).stdout
    return [(int(m[1], 16), int(m[3], 16), int(m[2], 16))
            for m in re.finditer(r"^\s+LOAD\s+(0x\w+) (0x\w+) 0x\w+ (0x\w+)", text, re.M)]


def short(name):
    """Without hashes, generic arguments and the paths before the last two names."""
    name = re.sub(r"::h[0-9a-f]{16}$", "", name)
    name = re.sub(r"^<(.+?) as (.+?)>::", lambda m: m[1].rsplit("::", 1)[-1] + "::", name)
    while (less := re.sub(r"<[^<>]*>", "", name)) != name:
        name = less
    return "::".join(re.sub(r"::+", "::", name).split("::")[-3:])


def frames(path, addresses):
    """For each address the functions that it is in, the innermost first, as (name, file:line)."""
    text = subprocess.run(["addr2line", "-a", "-i", "-f", "-C", "-e", path], capture_output=True, text=True, check=True,
                          input="\n".join(map(hex, addresses))).stdout
    result, here = [], None
    lines = iter(text.splitlines())
    for line in lines:
        if re.fullmatch(r"0x[0-9a-f]{16}", line):
            here = []
            result.append(here)
        else:
            here.append((short(line), re.sub(r"^.*/(src|library)/|^.*/", "", next(lines))))
    return result


def symbols(path):
    """Names from the dynamic table, for what has no debug information."""
    text = subprocess.run(["nm", "-DCS", "--defined-only", path], capture_output=True, text=True).stdout
    return [(int(m[1], 16), int(m[2], 16), m[3].split("@")[0])
            for m in re.finditer(r"^(\w+) (\w+) [TtWwiV] (.+)$", text, re.M)]


def table(title, counts, messages, least):
    print(f"\n{title}")
    rest = 0
    for name, count in counts.most_common():
        if count / messages < least:
            rest += count
        else:
            print(f"{count / messages:9.1f}  {name}")
    print(f"{rest / messages:9.1f}  (each below {least})\n{sum(counts.values()) / messages:9.1f}  in all")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("messages", type=int, help="connections times rounds")
    parser.add_argument("--least", type=float, default=2.0, help="instructions per message below which a line is left out (2)")
    parser.add_argument("--stacks", action="store_true", help="also each chain of inlined functions, with lines")
    a = parser.parse_args()
    modules = defaultdict(Counter)
    with open(a.file) as file:
        for line in file:
            count, offset, path = line.rstrip("\n").split(" ", 2)
            modules[path][int(offset, 16)] += int(count)
    outer, inner, stacks, by_module = Counter(), Counter(), Counter(), Counter()
    for path, counts in modules.items():
        base = path.rsplit("/", 1)[-1]
        by_module[base] += sum(counts.values())
        if not path.startswith("/"):
            outer[base] += sum(counts.values())
            inner[base] += sum(counts.values())
            continue
        loaded, named = segments(path), symbols(path)
        addresses = [next((o - at + to for at, size, to in loaded if at <= o < at + size), o) for o in counts]
        for address, chain, count in zip(addresses, frames(path, addresses), counts.values()):
            if chain[-1][0] == "??":
                name = next((n for at, size, n in named if at <= address < at + max(size, 1)), "?")
                chain = [(f"{base}: {name}", "")]
            outer[chain[-1][0]] += count
            inner[chain[0][0]] += count
            stacks[" < ".join(f"{name} ({line})" for name, line in chain)] += count
    table("by file", by_module, a.messages, 0)
    table("by function", outer, a.messages, a.least)
    table("by source function", inner, a.messages, a.least)
    if a.stacks:
        table("by inlined chain", stacks, a.messages, a.least)


if __name__ == "__main__":
    sys.exit(main())
