#!/usr/bin/env python3
"""Compares LICENSE-THIRD-PARTY with the crates that a library on Linux holds; --write makes it anew.

usage: python3 ci/licences.py [--write]

Each crate offers the MIT licence, and its package has the text. A crate that does not is an error here: then a person decides.
"""

import difflib
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILE = ROOT / "LICENSE-THIRD-PARTY"
# Two targets have every crate: one whose system calls rustix makes by itself, and one where it goes by the C library.
TARGETS = ["x86_64-unknown-linux-gnu", "s390x-unknown-linux-gnu"]
HEAD = """\
Software of others in libiouringnet
===================================

libiouringnet.so and libiouringnet.a hold the Rust crates below. Each crate is used here under the MIT licence. The second
column names all the licences that the crate offers.

{table}

Both libraries also hold parts of the Rust standard library: MIT or Apache-2.0, Copyright (c) The Rust Project Contributors.
The Rust toolchain has the notices of those parts, in share/doc/rust/COPYRIGHT-library.html. An installed libiouringnet has a
copy of that file if the toolchain of the build had it.
"""


def linked(target):
    """The crates that end up in the library: those reached by ordinary dependencies, without build and test tools."""
    command = ["cargo", "metadata", "--locked", "--format-version=1", f"--filter-platform={target}"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    found, waiting = {}, [metadata["resolve"]["root"]]
    while waiting:
        for dependency in nodes[waiting.pop()]["deps"]:
            ordinary = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if ordinary and dependency["pkg"] not in found:
                found[dependency["pkg"]] = packages[dependency["pkg"]]
                waiting.append(dependency["pkg"])
    return {f"{package['name']} {package['version']}": package for package in found.values()}


def text_of(name, package):
    """The MIT licence in a crate's package, with the copyright lines that it has."""
    if "MIT" not in re.split(r"[\s/()]+", package["license"] or ""):
        sys.exit(f"{name} does not offer the MIT licence: {package['license']}")
    folder = pathlib.Path(package["manifest_path"]).parent
    for candidate in ("LICENSE-MIT", "LICENSE", "LICENSE.txt", "LICENSE.md"):
        if (folder / candidate).is_file():
            lines = (folder / candidate).read_text(encoding="utf-8").replace("\r", "").strip().splitlines()
            text = "\n".join(line.rstrip() for line in lines)
            if "Permission is hereby granted" in text:
                return text
    sys.exit(f"{name} has no text of the MIT licence in its package")


def made():
    crates = {}
    for target in TARGETS:
        crates.update(linked(target))
    width = max(map(len, crates))
    table = "\n".join(f"  {name:{width}}  {crates[name]['license']}" for name in sorted(crates))
    users = {}
    for name in sorted(crates):
        users.setdefault(text_of(name, crates[name]), []).append(name.split()[0])
    parts = [HEAD.format(table=table)]
    for text, names in users.items():
        title = ", ".join(names)
        parts.append(f"\n{title}\n{'-' * len(title)}\n\n{text}\n")
    return "".join(parts)


fresh = made()
if sys.argv[1:] == ["--write"]:
    FILE.write_text(fresh, encoding="utf-8")
elif sys.argv[1:]:
    sys.exit(__doc__)
else:
    kept = FILE.read_text(encoding="utf-8") if FILE.exists() else ""
    if kept != fresh:
        lines = difflib.unified_diff(kept.splitlines(), fresh.splitlines(), FILE.name, "cargo metadata", lineterm="")
        print("\n".join(lines))
        sys.exit("LICENSE-THIRD-PARTY does not name the crates of Cargo.lock: run python3 ci/licences.py --write")
    print(f"{FILE.name} has the licence of each crate in the library")
